"""How much goes through the model at once, so that small machines have room and large ones work.

Sizes follow from the model and the machine alone, never from what is free right now: the same
training on the same machine is split in the same way.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import psutil
import torch

from t2app.engine import Engine, Prompt

MOST_ROWS = 256
# An answer in the chat waits for one micro-batch at most, so it must not take long either.
MOST_TOKENS = 2048
# The share of the machine's memory that keys and values of sampled answers may take.
CACHE_SHARE = 1 / 8


def rows_to_decode(engine: Engine, prompts: Sequence[Prompt], new_tokens: int) -> int:
    """How many answers to sample at once; their keys and values stay in memory."""
    longest = max(map(len, prompts)) + new_tokens
    room = CACHE_SHARE * total_memory(engine)
    return max(1, min(MOST_ROWS, int(room / (longest * cache_bytes(engine)))))


def micro_batches(
    engine: Engine, prompts: Sequence[Prompt], completions: Sequence[Prompt], chosen: Sequence[int]
) -> Iterator[list[int]]:
    """The ``chosen`` rows in groups of like length that fit a forward and backward pass."""
    size = {i: (len(prompts[i]) + len(completions[i]), len(completions[i])) for i in chosen}
    group: list[int] = []
    # Longest first: a group is as wide as its first row, and memory runs out early or not at all.
    longest = answer = 0
    for i in sorted(chosen, key=lambda i: (*size[i], i), reverse=True):
        longest, answer = max(longest, size[i][0]), max(answer, size[i][1])
        rows = len(group) + 1
        too_much = rows * longest > MOST_TOKENS or rows > engine.rows_to_score(answer)
        if group and too_much:
            yield group
            group, (longest, answer) = [], size[i]
        group.append(i)
    if group:
        yield group


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
