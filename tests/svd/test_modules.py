"""Which matrices are adapted."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers import AutoModelForCausalLM, GPT2Config, MixtralConfig

from t2app.errors import T2Error
from t2app.svd.modules import adapted_modules, module_shape, unadapted

KINDS = ("q_proj", "k_proj", "v_proj", "o_proj")
MLP = ("gate_proj", "up_proj", "down_proj")


def test_llama_names_in_model_order(make_model):
    names = [
        f"model.layers.{layer}.{part}"
        for layer in range(2)
        for part in [*(f"self_attn.{k}" for k in KINDS), *(f"mlp.{k}" for k in MLP)]
    ]
    model = make_model()
    assert list(adapted_modules(model)) == names
    assert unadapted(model) == []


def test_never_embeddings_or_head(make_model):
    names = adapted_modules(make_model(tie_word_embeddings=False))
    assert not any("embed" in name or "lm_head" in name for name in names)


def test_shapes(make_model):
    shapes = {k: module_shape(m) for k, m in adapted_modules(make_model()).items()}
    assert shapes["model.layers.0.self_attn.q_proj"] == (64, 64)
    assert shapes["model.layers.0.self_attn.k_proj"] == (32, 64)
    assert shapes["model.layers.1.mlp.gate_proj"] == (96, 64)
    assert shapes["model.layers.1.mlp.down_proj"] == (64, 96)


def test_gpt2_conv1d():
    config = GPT2Config(n_embd=32, n_layer=2, n_head=2, vocab_size=50, n_positions=32)
    found = adapted_modules(AutoModelForCausalLM.from_config(config))
    assert module_shape(found["transformer.h.0.attn.c_attn"]) == (96, 32)
    assert module_shape(found["transformer.h.1.mlp.c_proj"]) == (32, 128)
    assert len(found) == 8


def test_stacked_experts_are_named_not_silently_skipped():
    config = MixtralConfig(
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        vocab_size=50,
        num_local_experts=2,
    )
    model = AutoModelForCausalLM.from_config(config)
    assert any("experts" in name for name in unadapted(model))
    assert "model.layers.0.self_attn.q_proj" in adapted_modules(model)


def test_model_without_linear_layers_is_an_error(make_model):
    model = make_model()
    for layer in model.model.layers:
        layer.self_attn = layer.mlp = nn.Identity()
    with pytest.raises(T2Error, match="nothing to adapt"):
        adapted_modules(model)


def test_model_without_blocks_is_an_error(make_model):
    model = make_model()
    model.model.layers = nn.ModuleList([nn.Linear(2, 2)])
    with pytest.raises(T2Error, match="decoder blocks"):
        adapted_modules(model)


def test_quantised_layers_are_found_with_their_true_shape():
    bnb = pytest.importorskip("bitsandbytes")
    layer = bnb.nn.Linear4bit(64, 32, quant_type="nf4")
    layer.weight = bnb.nn.Params4bit(torch.randn(32, 64), requires_grad=False)
    layer.to("cpu")
    assert module_shape(layer) == (32, 64)
