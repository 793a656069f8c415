"""A small random model of every architecture, saved and loaded as a real one would be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from t2app import models
from t2app.models import precision
from t2app.models.loading import BaseModel

SHAPE = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
}
TEXT = {
    "vocab_size": 300,
    "max_position_embeddings": 256,
    "initializer_range": 0.1,
    "bos_token_id": None,
    "eos_token_id": 0,
    "pad_token_id": 0,
}
GPT2 = {"n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 256}
MAMBA = {
    "mamba_n_heads": 8,
    "mamba_d_head": 16,
    "mamba_d_state": 16,
    "mamba_n_groups": 1,
    "mamba_chunk_size": 8,
}
DELTANET = {
    "num_hidden_layers": 4,
    "linear_key_head_dim": 16,
    "linear_value_head_dim": 16,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
}
WINDOW = {"sliding_window": 8, "query_pre_attn_scalar": 16}

# By transformers' ``model_type``: what differs from ``SHAPE`` and ``TEXT``.
COMMON: dict[str, dict[str, Any]] = {
    "llama": {},
    "mistral": {"sliding_window": 8},
    "qwen2": {},
    "qwen3": {},
    "gemma2": WINDOW,
    "gemma3_text": WINDOW,
    "phi3": {},  # Phi-4 is one too; q, k, v and gate, up are one matrix each
    "olmo2": {},
    "smollm3": {"num_hidden_layers": 4},  # the fourth layer has no rotary embedding
    "granite": {"residual_multiplier": 0.5, "logits_scaling": 2.0},
    "gpt2": GPT2,
    "gpt_neox": {},
    # Hybrids: linear attention, a state space or a convolution in place of most attention.
    "qwen3_next": {
        **DELTANET,
        "num_experts": 0,
        "decoder_sparse_step": 1,
        "mlp_only_layers": [0, 1, 2, 3],
    },
    "falcon_h1": {**MAMBA, "mamba_d_ssm": 64, "mamba_n_heads": 4},
    "lfm2": {
        "num_hidden_layers": 3,
        "block_ff_dim": 96,
        "block_auto_adjust_ff_dim": False,
        "layer_types": ["conv", "full_attention", "conv"],
    },
    "granitemoehybrid": {
        **MAMBA,
        "layer_types": ["mamba", "attention"],
        "num_local_experts": 0,
        "shared_intermediate_size": 96,
    },
}
RARER: dict[str, dict[str, Any]] = {
    "qwen3_5_text": DELTANET,
    "olmo3": {"sliding_window": 8},
    "olmo_hybrid": {"num_hidden_layers": 4},
    "bamba": {**MAMBA, "attn_layer_indices": [1]},
    "lfm3": {
        "num_hidden_layers": 3,
        "layer_types": ["conv", "sliding_attention", "full_attention"],
        "sliding_window": 8,
    },
    "ministral3": {},
    "exaone4": {"sliding_window": 8},
    "glm4": {},
    "hunyuan_v1_dense": {},
    "seed_oss": {},
    "apertus": {},
    "ernie4_5": {},
    "cohere2": {"sliding_window": 8},
    "phi": {},
    "stablelm": {},
    "nanochat": {},
}
# Their experts are one tensor of three dimensions, which is named and not adapted.
MIXTURES: dict[str, dict[str, Any]] = {
    "mixtral": {"num_local_experts": 2},
    "qwen3_moe": {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32},
    "gpt_oss": {"num_local_experts": 4, "num_experts_per_tok": 2},
}
ALL = {**COMMON, **RARER, **MIXTURES}


def shape_of(kind: str) -> dict[str, Any]:
    """Arguments of the configuration."""
    return {**({} if kind == "gpt2" else SHAPE), **TEXT, **ALL[kind]}


def build(kind: str) -> torch.nn.Module:
    """A random model; biases are not zero, so that a mistake with them shows."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **shape_of(kind)))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.normal_(std=0.1)
    return model.eval()


@pytest.fixture(scope="session")
def folder_of(tmp_path_factory: pytest.TempPathFactory, tokenizer: Any) -> Callable[[str], Path]:
    """``folder_of(kind)``: a saved checkpoint, made once."""
    made: dict[str, Path] = {}

    def save(kind: str) -> Path:
        if kind not in made:
            made[kind] = tmp_path_factory.mktemp("architectures") / kind
            build(kind).save_pretrained(made[kind])
            tokenizer.save_pretrained(made[kind])
        return made[kind]

    return save


@pytest.fixture
def load(
    folder_of: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., BaseModel]:
    """``load(kind, quant="none")``: through the real loader, in float32 instead of bfloat16."""
    monkeypatch.setattr(precision, "plain_dtype", lambda label: torch.float32)

    def loaded(kind: str, quant: str = "none") -> BaseModel:
        return models.load(str(folder_of(kind)), quant=quant, device="cpu")

    return loaded
