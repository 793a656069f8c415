"""Small GGUF files, written with the package that llama.cpp keeps for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Kind
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from tests.conftest import CHAT_TEMPLATE, build_model, build_tokenizer

PLAIN = {"attention_bias": False, "mlp_bias": False}
NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}
FILE_TYPES = {"F32": 0, "F16": 1, "Q4_0": 2, "Q4_1": 3, "Q8_0": 7, "BF16": 32}


def plain_model(**changes: Any) -> PreTrainedModel:
    """A small Llama as files of GGUF can hold it: without biases."""
    return build_model(**{**PLAIN, **changes})


def write(
    path: Path,
    kind: str = "F16",
    *,
    model: PreTrainedModel | None = None,
    tokenizer: PreTrainedTokenizerFast | None = None,
    template: str | None = CHAT_TEMPLATE,
    architecture: str = "llama",
    tensors_a_part: int = 0,
    values: dict[str, Any] | None = None,
    extra: dict[str, np.ndarray] | None = None,
) -> Path:
    """A model in a file, or with ``tensors_a_part`` in several; the path of the (first) file.

    ``values`` are further metadata, ``extra`` further tensors.
    """
    model = plain_model() if model is None else model
    tokenizer = build_tokenizer() if tokenizer is None else tokenizer
    writer = gguf.GGUFWriter(path, architecture, split_max_tensors=tensors_a_part)
    writer.add_name("A small model")
    writer.add_file_type(FILE_TYPES[kind])
    _shape(writer, model.config)
    _words(writer, tokenizer)
    if template is not None:
        writer.add_chat_template(template)
    for key, value in (values or {}).items():
        adds = {str: writer.add_string, int: writer.add_uint32, float: writer.add_float32}
        adds[type(value)](key, value)
    for name, tensor in _tensors(model).items():
        _add(writer, name, tensor, Kind[kind] if tensor.ndim == 2 else Kind.F32)
    for name, tensor in (extra or {}).items():
        _add(writer, name, tensor, Kind.F32)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path if path.exists() else sorted(path.parent.glob(f"{path.stem}-*.gguf"))[0]


def _shape(writer: gguf.GGUFWriter, config: Any) -> None:
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)


def _words(writer: gguf.GGUFWriter, tokenizer: PreTrainedTokenizerFast) -> None:
    """The vocabulary, filled up to the size of the embedding."""
    known = json.loads(tokenizer.backend_tokenizer.to_str())
    special = {token["content"] for token in known["added_tokens"]}
    tokens = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().__getitem__)
    tokens += [f"[unused{i}]" for i in range(300 - len(tokens))]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([3 if t in special else 5 if "unused" in t else 1 for t in tokens])
    writer.add_token_merges([" ".join(pair) for pair in known["model"]["merges"]])
    writer.add_eos_token_id(tokenizer.eos_token_id)


def _tensors(model: PreTrainedModel) -> dict[str, np.ndarray]:
    """Under llama.cpp's names, with the rows of queries and keys in its order."""
    config, found = model.config, {}
    for name, parameter in model.named_parameters():
        value = parameter.detach().float().numpy()
        block, _, rest = name.removeprefix("model.layers.").partition(".")
        inner, _, ending = rest.rpartition(".")
        if not block.isdigit():
            fixed = {"model.embed_tokens": "token_embd", "model.norm": "output_norm"}
            inner, _, ending = name.rpartition(".")
            found[f"{fixed.get(inner, 'output')}.{ending}"] = value
            continue
        heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
        count = heads.get(inner.rpartition(".")[2])
        if count is not None:
            apart = value.reshape(count, 2, value.shape[0] // count // 2, *value.shape[1:])
            value = apart.swapaxes(1, 2).reshape(value.shape)
        found[f"blk.{block}.{NAMES[inner]}.{ending}"] = value
    return found


def _add(writer: gguf.GGUFWriter, name: str, value: np.ndarray, kind: Kind) -> None:
    plain = {Kind.F32: np.float32, Kind.F16: np.float16}
    if kind in plain:
        writer.add_tensor(name, np.ascontiguousarray(value, plain[kind]))
    else:
        packed = gguf.quants.quantize(np.ascontiguousarray(value, np.float32), kind)
        writer.add_tensor(name, packed, raw_dtype=kind)
