"""The benchmark: what takes turns differs only in how it runs, and the tables hold it all."""

from __future__ import annotations

import importlib.util

import pytest
import torch
from transformers import LlamaConfig

from t2app.errors import T2Error
from t2app.evaluation import bench
from t2app.evaluation.bench import accuracy, report, shapes, size, variants
from t2app.evaluation.bench.clock import interleaved, spread
from t2app.models import precision

IDS = torch.tensor([[5, 17, 30, 2]])


def logits(variant: variants.Variant) -> torch.Tensor:
    with torch.no_grad(), variant.context():
        return variant.model(IDS).logits


@pytest.fixture
def delta(engine) -> torch.Tensor:
    return torch.randn(engine.svf.layout.total, generator=torch.Generator().manual_seed(3)) * 0.3


def test_everything_takes_turns():
    order = []

    def action(name: str):
        return lambda: order.append(name) or float(len(order))

    found = interleaved({name: action(name) for name in "abc"}, rounds=2)
    assert "".join(order) == "abcbcacab"
    assert found["a"] == {"seconds": 7.0, "low": 6.5, "high": 7.5}
    assert spread([2.0]) == {"seconds": 2.0, "low": 2.0, "high": 2.0}


def test_variants_share_the_weights_and_differ_as_they_should(engine, delta):
    base = variants.plain(engine)
    assert logits(base).equal(logits(variants.adapted(engine, None)))
    ours = {p.data_ptr() for p in engine.model.parameters()}
    assert {p.data_ptr() for p in base.model.parameters()} == ours
    assert not any("forward" in vars(module) for module in base.model.modules())
    mixed = logits(variants.factored(engine, delta))
    assert (mixed - logits(base)).abs().max() > 0.01
    merged = logits(variants.merged(engine, delta))
    torch.testing.assert_close(merged, mixed, atol=1e-5, rtol=1e-5)
    # Building the copies must not have touched the engine.
    with engine.svf.using(delta), torch.no_grad():
        assert engine.model(IDS).logits.equal(mixed)


def test_lora_runs_on_the_same_layers(engine):
    pytest.importorskip("peft")
    adapters = variants.lora(engine)
    names = {n for n, _ in adapters.model.named_modules() if n.endswith("lora_A.default")}
    assert len(names) == len(engine.svf.layers)
    # B is zero at the start, so only the work differs.
    assert torch.equal(logits(adapters), logits(variants.plain(engine)))


def test_without_peft_that_row_is_left_out(engine, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert variants.lora(engine) is None


def test_tables(engine):
    found = bench.run(engine, rounds=1, tokens=4)
    ways = {"base", "factored", "merged"}
    if importlib.util.find_spec("peft"):
        ways.add("LoRA r=16")
    assert set(found["decode_1"]) == ways
    assert set(found["decode_16"]) == {*ways, "factored, 16 mixes"}
    assert found["decode_1"]["base"]["speed"] == 1
    assert found["switch"]["reference"]["seconds"] > 0
    found["aims"] = report.aims(found)
    assert len(found["aims"]) == len(report.AIMS)
    text = report.markdown(found)
    for name in (*found["decode_16"], *found["relative_error"]):
        assert f"| {name} |" in text
    width = {block.count("|") / (block.count("\n") + 1) for block in text.split("\n\n")[1:]}
    assert all(cells == int(cells) for cells in width)  # no row lacks a cell
    assert engine.ends  # put back after the answer of a fixed length


def test_errors_are_in_the_order_that_they_must_have(engine):
    found = accuracy.relative_errors(engine)
    assert found["factored"] < 1e-5
    assert found["merged"] < 1e-5
    assert found["factored"] < found["factored, factors in int8"]
    assert found["factored, factors in int8"] < found["factored, factors in NF4"]
    assert found["factored, factors in NF4"] < found["no mix at all"]
    kept = found["NF4 base, merged, kept at 16 bits"]
    assert kept < 1.05 * found["NF4 base, factored"]
    assert kept < found["NF4 base, merged, rounded to NF4 again"]


def test_nf4_base_with_factors_takes_less_than_half_of_bfloat16():
    found = size.nf4_against_bfloat16()
    assert found["gigabytes"]["bfloat16 model"] == pytest.approx(16.06, abs=0.01)
    assert found["share_of_bfloat16"]["factors in NF4"] < 0.5


def test_peak_of_factoring():
    """The Gram matrix alone is as large as 0.9 of this matrix in float32."""
    assert 0.9 < size.factoring_peak([(1500, 700)]) < 8


def test_a_packed_base_is_measured_beside_the_plain_one(monkeypatch):
    wide = LlamaConfig(
        vocab_size=1200, hidden_size=512, intermediate_size=1024, num_hidden_layers=1,
        num_attention_heads=2, num_key_value_heads=1,
    )  # fmt: skip
    monkeypatch.setitem(shapes.SHAPES, "wide", wide)
    monkeypatch.setattr(precision, "fastest_on_cpu", lambda: "float32")
    found = bench.run(shapes.engine("wide", "cpu"), rounds=1, tokens=2)
    assert found["decode_1"]["base, packed"]["seconds"] > 0
    assert found["megabytes"]["packed copy of the weights"] == pytest.approx(6.3, abs=0.05)


def test_shape(monkeypatch):
    small = LlamaConfig(
        vocab_size=1200, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=1,
    )  # fmt: skip
    monkeypatch.setitem(shapes.SHAPES, "small", small)
    steps = []
    engine = shapes.engine("small", "cpu", lambda done, total: steps.append((done, total)))
    assert steps[-1] == (7, 7)
    assert len(engine.svf.layers) == 14
    assert set(engine.library.experts()) == {"code", "dispatch", "math", "reasoning"}
    assert engine.base.precision == precision.fastest_on_cpu()
    found = bench.run(engine, rounds=1, tokens=2)
    assert found["about"]["model"] == "small"
    with pytest.raises(T2Error, match="choose from tiny, qwen"):
        shapes.engine("nothing")
