"""Keys and values of answers that have ended, so that a later turn reads only what is new.

An entry serves a prompt that begins with the same tokens under the same mix, whoever asks. For
answers that are streamed; work that must repeat itself bit for bit starts afresh. Not covered: the
beginning of a first pass (``labels``), prompts that are read at the same moment.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence

from torch import Tensor
from transformers import DynamicCache

from t2app.engine.requests import Prompt

# What is kept: conversations, and tokens of all of them together.
MOST_ENTRIES = 32
MOST_TOKENS = 16_384
# A shorter beginning is not worth looking up.
FEWEST = 16

# Keys and values (1, heads, tokens, d) of each layer.
Layers = Sequence[tuple[Tensor, Tensor]]


class Remembered:
    """What rows held when they ended, the latest kept. For one thread at a time."""

    def __init__(self) -> None:
        self._entries: OrderedDict[tuple, Layers] = OrderedDict()

    def add(self, ids: Prompt, mix: bytes, layers: Layers) -> None:
        """Keep what a row held of ``ids`` under ``mix``."""
        if not FEWEST <= len(ids) <= MOST_TOKENS:
            return
        key = (mix, *ids)
        self._entries[key] = layers
        self._entries.move_to_end(key)
        while len(self._entries) > MOST_ENTRIES or self._tokens() > MOST_TOKENS:
            self._entries.popitem(last=False)

    def shared(self, ids: Prompt, mix: bytes) -> int:
        """How many tokens at the beginning of ``ids`` are known; the last one never is."""
        return self._longest(ids, mix)[0]

    def fill(self, cache: DynamicCache, ids: Prompt, mix: bytes) -> int:
        """Put the known beginning of ``ids`` into an empty cache; how many tokens that are."""
        count, key = self._longest(ids, mix)
        if key is not None:
            self._entries.move_to_end(key)
            for number, (keys, values) in enumerate(self._entries[key]):
                cache.update(keys[:, :, :count], values[:, :, :count], number)
        return count

    def _tokens(self) -> int:
        return sum(len(key) - 1 for key in self._entries)

    def _longest(self, ids: Prompt, mix: bytes) -> tuple[int, tuple | None]:
        best, found = 0, None
        for key in self._entries:
            if key[0] != mix:
                continue
            most = min(len(key), len(ids)) - 1
            same = next((i for i in range(most) if key[i + 1] != ids[i]), most)
            if same > best:
                best, found = same, key
        return (best, found) if best >= FEWEST else (0, None)


def name_of(delta: Tensor | None) -> bytes:
    """Stands for a mix (R,): the same for the same numbers."""
    if delta is None:
        return b""
    return hashlib.sha256(delta.float().cpu().numpy().tobytes()).digest()
