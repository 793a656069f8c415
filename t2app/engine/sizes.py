"""How many rows are decoded at once, from the memory of the machine.

Sizes follow from the model and the machine alone, never from what is free right now: the same work
on the same machine is split in the same way. Where memory runs out all the same, a batch halves
itself.
"""

from __future__ import annotations

import psutil
import torch
from transformers import PreTrainedModel

# Rows beyond which a step takes longer in proportion, on a CPU and on a GPU.
MOST_ROWS = (64, 256)
# The share of the machine's memory that keys and values of one batch may take.
CACHE_SHARE = 1 / 8
# Tokens of a long prompt that are read while others wait for their next token.
PIECE = (256, 4096)


def rows_at_once(model: PreTrainedModel, device: torch.device, longest: int) -> int:
    """Rows of ``longest`` tokens whose keys and values fit."""
    room = CACHE_SHARE * total_memory(device)
    fit = int(room / (longest * bytes_per_token(model)))
    return max(1, min(MOST_ROWS[device.type == "cuda"], fit))


def bytes_per_token(model: PreTrainedModel) -> int:
    """Bytes that the keys and values of one token take."""
    config = model.config.get_text_config(decoder=True)
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return 2 * config.num_hidden_layers * heads * width * model.dtype.itemsize


def total_memory(device: torch.device) -> int:
    """Bytes of memory that the device has."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    return psutil.virtual_memory().total
