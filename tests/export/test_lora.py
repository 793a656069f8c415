"""Adapters: PEFT loads them without this project and answers as the mix does."""

from __future__ import annotations

import json

import pytest
import torch
from transformers import AutoModelForCausalLM

from t2app import models
from t2app.cli import main
from t2app.engine import Engine
from t2app.errors import T2Error
from t2app.export import lora
from t2app.svf.low_rank import cut

WEIGHTS = {"one": 0.6, "two": 0.3}
IDS = torch.tensor([[1, 2, 3, 4, 5]])
FULL = 64


def through_peft(base: str, adapter: str) -> torch.Tensor:
    peft = pytest.importorskip("peft")
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    model = peft.PeftModel.from_pretrained(model, adapter)
    assert not [name for name, p in model.named_parameters() if p.is_meta]
    with torch.no_grad():
        return model(IDS).logits


@pytest.mark.parametrize("rank", [FULL, 5])
def test_peft_gives_the_logits_of_the_mix(base_folder, base_engine, tmp_path, rank):
    """At full rank those of the mix itself, below those of the cut mix."""
    found = lora.write("tiny", WEIGHTS, tmp_path / "adapter", rank=rank)
    delta = base_engine.delta(WEIGHTS)
    part = cut(base_engine.svf.layout, base_engine.sigma, delta, rank)
    with torch.no_grad(), base_engine.svf.using(delta if rank == FULL else part):
        expected = base_engine.model(IDS).logits
    actual = through_peft(str(base_folder), str(tmp_path / "adapter"))
    torch.testing.assert_close(actual, expected, atol=1e-4, rtol=1e-4)
    assert (found["kept"] == 1.0) == (rank == FULL)


def test_the_built_in_model(tmp_path, shared_cache):
    """Logits of a real expert through PEFT, to 1e-4."""
    pytest.importorskip("peft")
    base = models.load("tiny", "none", "cpu")
    engine = Engine(base, models.factors(base))
    found = lora.write("tiny", {"math": 1.0}, tmp_path / "adapter", rank=256)
    assert found["kept"] == 1.0
    assert found["agreement"]["same"] == found["agreement"]["n"]
    with torch.no_grad(), engine.svf.using(engine.delta({"math": 1.0})):
        expected = engine.model(IDS).logits
    actual = through_peft(str(base.folder), str(tmp_path / "adapter"))
    torch.testing.assert_close(actual, expected, atol=1e-4, rtol=1e-4)


def test_how_much_is_kept_decides_the_rank(base_folder, tmp_path):
    found = lora.write(str(base_folder), WEIGHTS, tmp_path / "most", keep=0.9)
    less = lora.write(str(base_folder), WEIGHTS, tmp_path / "half", keep=0.5)
    assert 0.9 <= found["kept"] < 0.95
    assert less["rank"] < found["rank"] < FULL
    assert less["megabytes"] < found["megabytes"]
    assert less["agreement"]["kl"] > found["agreement"]["kl"] > 0


def test_card_and_settings(base_folder, tmp_path):
    lora.write(str(base_folder), {**WEIGHTS, "two": 0.0}, tmp_path / "adapter", rank=3)
    card = (tmp_path / "adapter" / "README.md").read_text()
    assert "one 0.6." in card
    assert "two" not in card
    assert "Rank 3" in card
    assert "word for word" in card
    settings = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert (settings["r"], settings["lora_alpha"]) == (3, 3)
    assert "q_proj" in settings["target_modules"]
    assert {p.name for p in (tmp_path / "adapter").iterdir()} == {
        "README.md", "adapter_config.json", "adapter_model.safetensors"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("weights", "options", "message"),
    [
        ({}, {}, "the base alone is no adapter"),
        ({"one": 0.0}, {}, "the base alone is no adapter"),
        (WEIGHTS, {"rank": 0}, "ranks from 1 to 64"),
        (WEIGHTS, {"rank": 65}, "ranks from 1 to 64"),
        (WEIGHTS, {"keep": 1.5}, "between 0 and 1"),
        (WEIGHTS, {"rank": 3, "keep": 0.5}, "give one"),
        ({"oen": 1.0}, {"rank": 3}, "did you mean one"),
    ],
)
def test_what_is_refused(base_folder, tmp_path, weights, options, message):
    with pytest.raises(T2Error, match=message):
        lora.write(str(base_folder), weights, tmp_path / "adapter", **options)
    assert not (tmp_path / "adapter").exists()


def test_command(base_folder, tmp_path, capsys):
    out = str(tmp_path / "adapter")
    command = ["export", "--as", "lora", "--model", str(base_folder), "--weights", "one=1"]
    assert main([*command, "--rank", "4", "--json", out]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["rank"] == 4
    assert set(found["agreement"]) == {"n", "same", "kl"}
    assert main([*command, "--rank", "4", str(tmp_path / "second")]) == 0
    assert "of the change of the weights" in capsys.readouterr().out
    assert main(["export", "--rank", "4", str(tmp_path / "third")]) == 2
    assert "for --as lora, not for merged" in capsys.readouterr().err


@pytest.mark.slow  # three greedy measurements of the built-in model: 20 s
def test_accuracy_is_measured(tmp_path, capsys):
    out = str(tmp_path / "adapter")
    command = ["export", "--as", "lora", "--weights", "math=1", "--rank", "128"]
    assert main([*command, "--measure", "50", out]) == 0
    assert "math (n = 50): base " in capsys.readouterr().out
    assert "- math (n = 50): base " in (tmp_path / "adapter" / "README.md").read_text()
