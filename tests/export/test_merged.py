"""Exported checkpoints: transformers alone loads them, and they answer as the mix does."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from t2app import config, export, models
from t2app.engine import Engine
from t2app.errors import T2Error

WEIGHTS = {"one": 0.6, "two": 0.3}
QUESTION = [{"role": "user", "content": "the quick fox"}]


def mixed_logits(engine: Engine) -> torch.Tensor:
    prompt = torch.tensor([engine.prompt_ids(QUESTION)])
    with torch.no_grad(), engine.svf.using(engine.delta(WEIGHTS)):
        return engine.model(prompt).logits.float()


def exported_logits(folder: Path, dtype: torch.dtype = torch.bfloat16) -> torch.Tensor:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = tokenizer.apply_chat_template(QUESTION, add_generation_prompt=True, return_tensors="pt")
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)
    with torch.no_grad():
        return model(ids["input_ids"]).logits.float()


def error(actual: torch.Tensor, expected: torch.Tensor) -> float:
    return ((actual - expected).norm() / expected.norm()).item()


@pytest.mark.parametrize("quant", ["none", "nf4"])
def test_same_logits_as_the_mix(base_folder, tmp_path, quant):
    """Also against an engine on the quantised model: the export comes from the original weights."""
    found = export.write(str(base_folder), WEIGHTS, tmp_path / "out" / "mix")
    assert found["weights"] == WEIGHTS
    assert found["precision"] == "bfloat16"
    assert found["megabytes"] > 0
    actual = exported_logits(tmp_path / "out" / "mix")
    if quant == "nf4":
        pytest.importorskip("bitsandbytes")
    base = models.load(str(base_folder), quant, "cpu")
    engine = Engine(base, models.factors(base))
    expected = mixed_logits(engine)
    with torch.no_grad():
        plain = engine.model(torch.tensor([engine.prompt_ids(QUESTION)])).logits.float()
    allowed = 0.03 if quant == "none" else 0.3
    assert error(actual, expected) < allowed < error(plain, expected)


def test_float32_is_exact_and_loads_without_this_project(
    base_folder, tmp_path, monkeypatch, tokenizer
):
    """As the built-in model, which is kept in float32; in a process that cannot import t2app."""
    monkeypatch.setattr(config, "TINY_DIR", base_folder)
    base = models.load("tiny", "none", "cpu")
    engine = Engine(base, models.factors(base))
    assert set(engine.library.experts()) == set(WEIGHTS)  # the same weights under another name
    expected = mixed_logits(engine)
    out = tmp_path / "mix"
    assert export.write("tiny", WEIGHTS, out)["precision"] == "float32"
    torch.testing.assert_close(exported_logits(out, torch.float32), expected, atol=2e-5, rtol=1e-5)
    code = (
        "import sys, torch\n"
        "from transformers import AutoModelForCausalLM\n"
        "model = AutoModelForCausalLM.from_pretrained(sys.argv[1])\n"
        "ids = torch.tensor([[1, 2, 3, 4]])\n"
        "print(model(ids).logits.double().sum().item())\n"
        "assert 't2app' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(out)],
        cwd=tmp_path, env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    with torch.no_grad(), engine.svf.using(engine.delta(WEIGHTS)):
        total = engine.model(torch.tensor([[1, 2, 3, 4]])).logits.double().sum().item()
    assert float(done.stdout) == pytest.approx(total, abs=0.01)


def test_what_is_in_the_folder(base_folder, tmp_path):
    out = tmp_path / "mix"
    out.mkdir()
    export.write(str(base_folder), {**WEIGHTS, "two": 0.0}, out)
    names = {path.name for path in out.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "README.md"} <= names
    assert not list(tmp_path.glob(".mix*"))
    card = (out / "README.md").read_text()
    assert "one 0.6" in card
    assert "two" not in card
    assert "base_model" not in card  # a folder's name is no id of the hub
    # It is a base model like any other.
    assert models.load(str(out), device="cpu").name == "mix"


@pytest.mark.skipif(os.name == "nt", reason="rights are other ones there")
def test_others_can_read_it_and_find_its_base(checkpoint, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("T2APP_EXPERTS", str(tmp_path / "experts"))
    cached = tmp_path / "models--org--small" / "snapshots" / ("1" * 40)
    shutil.copytree(checkpoint, cached)
    before = os.umask(0o027)
    try:
        export.write(str(cached), {}, tmp_path / "plain")
    finally:
        os.umask(before)
    assert {stat.S_IMODE(p.stat().st_mode) for p in (tmp_path / "plain").iterdir()} == {0o640}
    assert stat.S_IMODE((tmp_path / "plain").stat().st_mode) == 0o750
    assert "base_model: org/small\n" in (tmp_path / "plain" / "README.md").read_text()
    assert "Writing model shards" not in capfd.readouterr().err


def test_without_a_mix_the_base_is_written(base_folder, tmp_path):
    export.write(str(base_folder), {}, tmp_path / "plain")
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "plain", dtype=torch.bfloat16)
    base = models.load(str(base_folder), "none", "cpu").model
    for left, right in zip(plain.parameters(), base.parameters(), strict=True):
        assert torch.equal(left, right)


def test_a_folder_in_use_is_left_alone(base_folder, tmp_path):
    with pytest.raises(T2Error, match="is not empty"):
        export.write(str(base_folder), {}, base_folder)
    with pytest.raises(T2Error, match="is a file"):
        export.write(str(base_folder), {}, base_folder / "config.json")
    with pytest.raises(T2Error, match="cannot write the checkpoint"):
        export.write(str(base_folder), {}, base_folder / "config.json" / "x")


def disk_with(monkeypatch, *frees: int) -> None:
    """A disk that has so much free, one time after the other."""
    usage, left = shutil.disk_usage("."), list(frees)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=left.pop(0)))


def test_full_disk_is_said_before_anything_is_loaded(base_folder, tmp_path, monkeypatch):
    disk_with(monkeypatch, 100)
    for name in ("load", "factors"):
        monkeypatch.setattr(models, name, lambda *_, **__: pytest.fail("the model was loaded"))
    with pytest.raises(T2Error, match=r"takes 0\.0 GB and .*/new has 0\.0 GB free: choose another"):
        export.write(str(base_folder), WEIGHTS, tmp_path / "new" / "mix")
    assert not (tmp_path / "new").exists()


def test_disk_that_fills_meanwhile(base_folder, tmp_path, monkeypatch):
    models.factors(models.load(str(base_folder), "none", "cpu"))  # these ask the disk as well
    disk_with(monkeypatch, 10**9, 100)
    with pytest.raises(T2Error, match="GB free: choose another disk"):
        export.write(str(base_folder), {}, tmp_path / "mix")
    assert not (tmp_path / "mix").exists()


def test_unknown_expert(base_folder, tmp_path):
    with pytest.raises(T2Error, match="did you mean one"):
        export.write(str(base_folder), {"ones": 1.0}, tmp_path / "mix")
    assert not (tmp_path / "mix").exists()


def test_command(base_folder, tmp_path, capsys):
    from t2app.cli import main

    out = tmp_path / "mix"
    command = ["export", "--model", str(base_folder), "--weights", "one=0.5", str(out)]
    assert main([*command, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found) == {"path", "base", "weights", "precision", "megabytes", "seconds"}
    assert found["weights"] == {"one": 0.5}
    assert main(command) == 2
    assert "is not empty" in capsys.readouterr().err
    command[-1] = str(tmp_path / "second")
    assert main(command) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith(f"written to {tmp_path / 'second'}")
    assert "mix: one 0.5" in captured.err
