"""Rows under way in the cache of ``transformers``: for every architecture that it knows.

Rows are aligned on the right, with padding in front of the shorter ones. A row that joins makes all
as long as the longest; each step copies keys and values once. For sliding windows, recurrent states
and attention that wants a mask of its own kind; others are faster in ``slots``.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad
from transformers import DynamicCache
from transformers.cache_utils import (
    DummyLayer,
    DynamicLayer,
    DynamicSlidingWindowLayer,
    LinearAttentionAndFullAttentionLayer,
    LinearAttentionAndSlidingWindowAttentionLayer,
    LinearAttentionCacheLayerMixin,
    LinearAttentionLayer,
)

from t2app.engine.passes import Passes, positions
from t2app.engine.requests import Prompt
from t2app.svf.hooks import Effect

# Kinds of layers whose rows can be joined.
KNOWN = {
    DummyLayer,
    DynamicLayer,
    DynamicSlidingWindowLayer,
    LinearAttentionLayer,
    LinearAttentionAndFullAttentionLayer,
    LinearAttentionAndSlidingWindowAttentionLayer,
}


class Growing:
    """Rows under way, as ``Slots`` has them."""

    def __init__(self, passes: Passes) -> None:
        self._passes = passes
        self._cache: DynamicCache | None = None
        self._mask = torch.empty(0)

    @property
    def joins(self) -> bool:
        """Whether rows may join others: not where a layer keeps what is unknown here."""
        return self._cache is None or all(type(layer) in KNOWN for layer in self._cache.layers)

    @property
    def rows(self) -> int:
        """Rows under way."""
        return 0 if self._cache is None else len(self._mask)

    def begin(self, prompts: Sequence[Prompt], one_mix: bool) -> PaddedBeginning:
        """Prompts on their way in; what they share is not used, as not every state allows it."""
        return PaddedBeginning(self._passes, prompts)

    def join(self, begun: PaddedBeginning, order: Sequence[int]) -> None:
        """Rows of ``begun`` come behind those that are here; one may come more than once."""
        chosen = torch.tensor(order, device=self._passes.device)
        cache, mask = begun.cache, begun.mask[chosen]
        _select(cache, chosen)
        if self._cache is None:
            self._cache, self._mask = cache, mask
            return
        width = max(mask.shape[1], self._mask.shape[1])
        for mine, theirs in zip(self._cache.layers, cache.layers, strict=True):
            _join(mine, theirs, width - self._mask.shape[1], width - mask.shape[1])
        masks = [pad(m, (width - m.shape[1], 0)) for m in (self._mask, mask)]
        self._mask = torch.cat(masks)

    def step(self, tokens: Sequence[int], effect: Effect | None) -> Tensor:
        """One token of each row in, logits (B, V) for the next out."""
        self._mask = pad(self._mask, (0, 1), value=1)
        places = positions(self._mask)[:, -1:]
        ids = torch.tensor(tokens, device=self._passes.device)[:, None]
        return self._passes.step(ids, self._mask, places, self._cache, effect)

    def keep(self, alive: Sequence[int]) -> list[int]:
        """Give up all rows but these; the order in which they lie from now on."""
        if not alive:
            self.reset()
            return []
        chosen = torch.tensor(alive, device=self._passes.device)
        self._mask = self._mask[chosen]
        _select(self._cache, chosen)
        return list(alive)

    def wipe(self) -> None:
        """Nothing to forget: each row is whole."""

    def reset(self) -> None:
        """Give up all rows and their memory."""
        self._cache = None


class PaddedBeginning:
    """Prompts that are read before their rows join, all at once."""

    def __init__(self, passes: Passes, prompts: Sequence[Prompt]) -> None:
        self._passes = passes
        self._ids, self.mask = passes.left_padded(prompts)
        self.cache = passes.new_cache()

    def advance(self, effect: Effect | None, tokens: int) -> Tensor:
        """Logits (B, V) behind the prompts; never in pieces, which not every state allows."""
        return self._passes.step(self._ids, self.mask, positions(self.mask), self.cache, effect)


def _select(cache: DynamicCache, chosen: Tensor) -> None:
    """Only these rows; ``batch_select_indices`` leaves recurrent states alone."""
    for layer in cache.layers:
        layer.reorder_cache(chosen)


def _join(mine: object, theirs: object, pad_mine: int, pad_theirs: int) -> None:
    """Rows of ``theirs`` behind those of ``mine``, in one layer."""
    if isinstance(mine, LinearAttentionCacheLayerMixin):
        for states, others in (
            (mine.conv_states, theirs.conv_states),
            (mine.recurrent_states, theirs.recurrent_states),
        ):
            for i, state in states.items():
                states[i] = state if state is None else torch.cat([state, others[i]])
    if not isinstance(mine, DynamicLayer) or mine.keys is None:
        return
    sliding = getattr(mine, "is_sliding", False)
    if sliding:
        mine.cumulative_length = max(
            mine.cumulative_length + pad_mine, theirs.cumulative_length + pad_theirs
        )
    most = mine.sliding_window - 1 if sliding else mine.keys.shape[2] + pad_mine
    for name in ("keys", "values"):
        parts = [
            pad(getattr(layer, name), (0, 0, more, 0))[:, :, -most:]
            for layer, more in ((mine, pad_mine), (theirs, pad_theirs))
        ]
        setattr(mine, name, torch.cat(parts))
