"""The benchmark: what takes turns differs only in how it runs, and the tables hold it all."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig

from t2app import cli, models
from t2app.engine import Engine
from t2app.errors import T2Error
from t2app.evaluation import bench
from t2app.evaluation.bench import accuracy, block, report, shapes, size, variants
from t2app.evaluation.bench.clock import interleaved, spread
from t2app.models import memory, precision
from t2app.svd.modules import adapted_modules

IDS = torch.tensor([[5, 17, 30, 2]])


def logits(variant: variants.Variant) -> torch.Tensor:
    with torch.no_grad(), variant.context():
        return variant.model(IDS).logits


FACTORING_PEAK = size.factoring_peak


@pytest.fixture(autouse=True)
def _quick(monkeypatch) -> None:
    """The peak of factoring takes a new process for every shape, and has a test of its own."""
    monkeypatch.setattr(size, "factoring_peak", lambda shapes: 2.0)


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
    layers = adapted_modules(base.model).values()
    assert not any("forward" in vars(module) for module in layers)
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
    seconds = found["factor"]["one block"]["seconds"]
    assert f"| factoring one block | {seconds:.3g} s (" in text
    for name in (*found["decode_16"], *found["relative_error"]):
        assert f"| {name} |" in text
    width = {block.count("|") / (block.count("\n") + 1) for block in text.split("\n\n")[1:]}
    assert all(cells == int(cells) for cells in width)  # no row lacks a cell
    assert engine.ends  # put back after the answer of a fixed length


def test_errors_are_in_the_order_that_they_must_have(engine):
    found = accuracy.relative_errors(engine, block.originals(engine))
    assert not any(name.startswith("loaded") for name in found)
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
    assert 0.9 < FACTORING_PEAK([(1500, 700)]) < 8


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


# -- quantised -------------------------------------------------------------------------------


@pytest.fixture
def blocks64(monkeypatch) -> None:
    """The shape ``blocks64``, whose sizes NF4 can hold: multiples of 64."""
    config = LlamaConfig(
        vocab_size=1200, hidden_size=128, intermediate_size=256, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, attention_bias=True,
    )  # fmt: skip
    monkeypatch.setitem(shapes.SHAPES, "blocks64", config)


def loaded_rows(found: dict) -> dict[str, float]:
    """The measured errors by what follows the name of the base."""
    rows = {n: e for n, e in found["relative_error"].items() if n.startswith("loaded")}
    return {name.split("base", 1)[1].split(", kept")[0]: error for name, error in rows.items()}


def expected_errors(errors: dict[str, float], quant: str) -> bool:
    """Of a quantised base: far from 0, and neither way to run a mix adds much."""
    low, high = (0.05, 0.15) if quant == "nf4" else (0.002, 0.03)
    assert set(errors) == {" without a mix", ", factored", ", merged"}
    return all(low < error < high for error in errors.values())


@pytest.mark.parametrize("quant", ["nf4", "int8"])
def test_a_quantised_shape(blocks64, quant):
    pytest.importorskip("bitsandbytes")
    engine = shapes.engine("blocks64", "cpu", quant=quant)
    assert engine.base.precision == quant
    layers = block.layers(engine)
    assert not any(layer.module.weight.is_floating_point() for layer in engine.svf.layers.values())
    assert not any(getattr(x.module, "support_avx512bf16_for_cpu", False) for x in layers)
    originals = block.originals(engine)
    assert {w.dtype for w in originals.values()} == {torch.bfloat16}
    assert [*originals] == [layer.name for layer in layers]
    assert not hasattr(shapes.SHAPES["blocks64"], "quantization_config")

    found = bench.run(engine, rounds=1, tokens=2)
    assert found["about"]["precision"] == quant
    assert expected_errors(loaded_rows(found), quant)
    plain = bench.run(shapes.engine("blocks64", "cpu", quant="none"), rounds=1, tokens=2)
    assert not loaded_rows(plain)
    for name, error in plain["relative_error"].items():  # of the same weights
        assert error == pytest.approx(found["relative_error"][name], rel=1e-3)
    ways = set(found["decode_1"])
    assert ways == set(plain["decode_1"]) - {"base, packed"}
    megabytes, whole = found["megabytes"], plain["megabytes"]
    assert megabytes["weights"] < 0.8 * whole["weights"]
    assert megabytes["reference: U, S, V"] == whole["reference: U, S, V"]
    found["aims"] = report.aims(found)
    assert f"| loaded {'NF4' if quant == 'nf4' else quant} base, factored |" in (
        report.markdown(found)
    )


def test_int8_is_nearer_to_the_original_than_nf4(blocks64):
    pytest.importorskip("bitsandbytes")
    errors = {}
    for quant in ("nf4", "int8"):
        engine = shapes.engine("blocks64", "cpu", quant=quant)
        # Before the model ran for the first time, too: int8 layers then move their scales.
        found = accuracy.relative_errors(engine, block.originals(engine))
        errors[quant] = loaded_rows({"relative_error": found})
    for name, error in errors["nf4"].items():
        assert errors["int8"][name] < 0.3 * error


@pytest.mark.parametrize("quant", ["nf4", "int8"])
def test_variants_of_a_quantised_model(blocks64, quant):
    pytest.importorskip("bitsandbytes")
    engine = shapes.engine("blocks64", "cpu", quant=quant)
    base = variants.plain(engine)
    assert {id(p) for p in base.model.parameters()} == {id(p) for p in engine.model.parameters()}
    expected = logits(variants.adapted(engine, None))
    assert logits(base).equal(expected)
    delta = torch.randn(engine.svf.layout.total, generator=torch.Generator().manual_seed(3)) * 0.3
    mixed = logits(variants.factored(engine, delta))
    change = (mixed - expected).float().norm()
    assert change > 0.05 * expected.float().norm()
    merged = logits(variants.merged(engine, delta))
    assert (merged - mixed).float().norm() < 0.1 * change
    if importlib.util.find_spec("peft"):
        adapters = variants.lora(engine)
        kinds = {type(m).__name__ for n, m in adapters.model.named_modules() if n.endswith("_proj")}
        assert kinds == {"Linear4bit" if quant == "nf4" else "Linear8bitLt"}
        dtypes = {p.dtype for n, p in adapters.model.named_parameters() if "lora_" in n}
        assert dtypes == {engine.svf.dtype}
        assert logits(adapters).equal(expected)
    assert logits(variants.adapted(engine, None)).equal(expected)


@pytest.mark.parametrize("quant", ["nf4", "int8"])
def test_a_quantised_checkpoint_is_measured_against_its_file(checkpoint, quant):
    pytest.importorskip("bitsandbytes")
    engine = Engine.load(str(checkpoint), quant, "cpu")
    plain = models.load(str(checkpoint), "none", "cpu").model
    originals = block.originals(engine)
    assert len(originals) == 7
    for name, weight in originals.items():
        assert weight.to(torch.bfloat16).equal(plain.get_submodule(name).weight)
    found = accuracy.relative_errors(engine, originals)
    assert expected_errors(loaded_rows({"relative_error": found}), quant)


def test_factors_of_a_shape_are_kept_as_asked(blocks64):
    engine = shapes.engine("blocks64", "cpu", quant="none", storage="nf4")
    assert engine.svf.storage == "nf4"
    assert engine.svf.nbytes < 0.3 * shapes.engine("blocks64", "cpu", quant="none").svf.nbytes


def test_auto_on_a_cpu_is_nf4_only_where_nothing_else_fits(blocks64, monkeypatch):
    pytest.importorskip("bitsandbytes")
    assert shapes.engine("blocks64", "cpu").base.precision == precision.fastest_on_cpu()
    with pytest.raises(T2Error, match="choose from auto, nf4"):
        shapes.engine("blocks64", "cpu", quant="int3")
    monkeypatch.setattr(memory, "free", lambda place: 10**6)
    with pytest.raises(T2Error, match="blocks64 needs"):
        shapes.engine("blocks64", "cpu")


def test_command_line_of_a_quantised_shape(blocks64, tmp_path, capsys):
    pytest.importorskip("bitsandbytes")
    out = tmp_path / "bench.json"
    few = ["--rounds", "1", "--tokens", "2", "--device", "cpu", "--out", str(out)]
    for options in (["--quant", "int8", "--factors", "int8"], ["--quant", "none"]):
        assert cli.main(["bench", "--shape", "blocks64", *options, *few]) == 0
    assert "| loaded int8 base without a mix |" in capsys.readouterr().out
    titles = json.loads(Path(out).read_text())
    assert set(titles) == {"blocks64, int8, factors int8", "blocks64"}
    assert titles["blocks64, int8, factors int8"]["about"]["precision"] == "int8"


@pytest.mark.parametrize("shape", ["tiny", "qwen2.5-0.5b"])
@pytest.mark.parametrize("option", [("--model", "tiny"), ("--execution", "auto")])
def test_options_that_shape_leaves_nothing_to_are_refused(shape, option, capsys, monkeypatch):
    monkeypatch.setattr(shapes, "engine", lambda *_, **__: pytest.fail("a model was made"))
    monkeypatch.setattr(Engine, "load", lambda *_, **__: pytest.fail("a model was loaded"))
    assert cli.main(["bench", "--shape", shape, *option]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert f"{option[0]} cannot be used with --shape" in said


def test_without_shape_the_usual_model_is_loaded(engine, monkeypatch):
    asked = []
    monkeypatch.setattr(Engine, "load", lambda *args, **more: asked.append((args, more)) or engine)
    monkeypatch.setattr(bench, "run", lambda *_: pytest.fail("that is all"))
    with pytest.raises(pytest.fail.Exception, match="that is all"):
        cli.main(["bench"])
    args, more = asked[0]
    assert args == ("tiny", "auto", "auto")
    assert (more["execution"], more["storage"]) == ("auto", "auto")
