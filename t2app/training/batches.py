"""How many answers are sampled at once, so that small machines have room and large ones work.

Sizes follow from the model and the machine alone, never from what is free right now: the same
training on the same machine is split in the same way.
"""

from __future__ import annotations

from collections.abc import Sequence

import psutil
import torch

from t2app.engine import Engine, Prompt

MOST_ROWS = 256
# The share of the machine's memory that keys and values of sampled answers may take.
CACHE_SHARE = 1 / 8


def rows_to_decode(engine: Engine, prompts: Sequence[Prompt], new_tokens: int) -> int:
    """How many answers to sample at once; their keys and values stay in memory."""
    longest = max(map(len, prompts)) + new_tokens
    room = CACHE_SHARE * total_memory(engine)
    return max(1, min(MOST_ROWS, int(room / (longest * cache_bytes(engine)))))


def cache_bytes(engine: Engine) -> int:
    """Bytes that the keys and values of one token take."""
    config = engine.model.config.get_text_config(decoder=True)
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    item = 4 if engine.base.precision == "float32" else 2
    return 2 * config.num_hidden_layers * heads * width * item


def total_memory(engine: Engine) -> int:
    """Bytes of memory that the device has."""
    if engine.base.device.type == "cuda":
        return torch.cuda.get_device_properties(engine.base.device).total_memory
    return psutil.virtual_memory().total
