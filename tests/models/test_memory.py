"""What a model needs, against what it then takes; how it is spread over GPUs."""

from __future__ import annotations

import pytest
import torch

from t2app import models
from t2app.models import checkpoint as files
from t2app.models import memory
from t2app.models.memory import SPARE, Need
from t2app.svd.modules import adapted_modules
from t2app.svf.hooks import SVF


def taken(model: torch.nn.Module) -> int:
    """Bytes of everything a model holds, also of the scales of quantised weights."""
    total = 0
    for tensor in model.parameters():
        total += tensor.nbytes
        state = getattr(tensor, "quant_state", None)
        if state is not None:
            total += state.absmax.nbytes + state.state2.absmax.nbytes
    return total


@pytest.mark.parametrize("quant", ["none", "nf4", "int8"])
def test_the_estimate_is_what_the_model_takes(checkpoint, quant):
    if quant != "none":
        pytest.importorskip("bitsandbytes")
    base = models.load(str(checkpoint), quant, "cpu")
    bones = memory.skeleton(files.read_config(checkpoint))
    need = memory.need(bones, base.precision)
    # int8 keeps a scale for each row as well, which is much for rows this short.
    assert need.weights == pytest.approx(taken(base.model), rel=0.02 if quant != "int8" else 0.1)
    assert need.total == need.weights + need.factors + SPARE
    factors = models.factors(base)
    for storage in ("dense", "int8", "nf4"):
        svf = SVF(base.model, factors, storage=storage)
        # Scales are much for vectors this short.
        expected = memory.need(bones, base.precision, storage).factors
        assert expected == pytest.approx(svf.nbytes, rel=0 if storage == "dense" else 0.15)
        svf.remove()


def test_llama_3_8b_in_nf4_with_nf4_factors_takes_less_than_half_of_bfloat16():
    from transformers import LlamaConfig

    shape = {"hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32}
    heads = {"num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128256}
    model = memory.skeleton(LlamaConfig(**shape, **heads))
    plain = memory.need(model, "bfloat16", None).weights
    share = {
        kind: (need.weights + need.factors) / plain
        for kind, storage in {"bfloat16": "dense", "int8": "int8", "nf4": "nf4"}.items()
        for need in [memory.need(model, "nf4", storage, torch.device("cuda"))]
    }
    assert plain == pytest.approx(16.06e9, rel=1e-3)
    assert share["nf4"] < 0.5
    assert share == pytest.approx({"bfloat16": 0.697, "int8": 0.526, "nf4": 0.445}, abs=2e-3)


def test_a_model_that_one_gpu_holds_is_not_spread():
    assert memory.spread(Need(10**9, 10**9), [4 * 10**9, 4 * 10**9]) is None
    assert memory.spread(Need(10**9, 10**9), []) is None


def test_weights_leave_room_for_the_factors_beside_them():
    shares = memory.spread(Need(6 * 10**9, 2 * 10**9), [5 * 10**9, 6 * 10**9])
    assert shares == {0: int(4.7e9 * 0.75), 1: int(5.7e9 * 0.75)}
    assert sum(shares.values()) > 6 * 10**9


def test_a_model_spread_by_a_device_map_adapts_in_place(checkpoint):
    """Through accelerate's own hooks, as on several GPUs; here every part is on the CPU."""
    from accelerate import dispatch_model

    base = models.load(str(checkpoint), "none", "cpu")
    svf = SVF(base.model, models.factors(base))
    ids, delta = torch.arange(12)[None], torch.full((svf.layout.total,), 0.2)
    with torch.no_grad(), svf.using(delta):
        expected = base.model(ids).logits
    places = {"model.embed_tokens": "cpu", "model.layers.0": "cpu", "model.layers.1": "cpu"}
    rest = {"model.norm": "cpu", "model.rotary_emb": "cpu", "lm_head": "cpu"}
    spread = dispatch_model(base.model, {**places, **rest}, main_device="cpu", force_hooks=True)
    with torch.no_grad(), svf.using(delta):
        assert torch.equal(spread(ids).logits, expected)
    assert len(adapted_modules(spread)) == 14


def test_a_container_may_have_less_than_the_machine(tmp_path, monkeypatch):
    limit, used = tmp_path / "memory.max", tmp_path / "memory.current"
    monkeypatch.setattr(memory, "GROUPS", (limit, used))
    cpu = torch.device("cpu")
    assert memory.free(cpu) > 10**8
    limit.write_text("max\n")
    used.write_text("1000\n")
    assert memory.free(cpu) > 10**8
    limit.write_text("5000\n")
    assert (memory.free(cpu), memory.total(cpu)) == (4000, 5000)
