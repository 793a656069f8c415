"""Forward passes that decoding is made of, with a mix in effect, whatever keeps keys and values."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import Cache, DynamicCache, PreTrainedModel

from t2app.engine.requests import Prompt
from t2app.engine.scoring import Head
from t2app.svf.hooks import SVF, Effect


class Passes:
    """Runs ``model``; ``pad`` is the token that fills short rows."""

    def __init__(self, model: PreTrainedModel, svf: SVF, head: Head, pad: int) -> None:
        self.model, self.svf, self.head, self.pad = model, svf, head, pad

    @property
    def device(self) -> torch.device:
        """Where token ids go in."""
        return self.head.device

    def new_cache(self) -> DynamicCache:
        """Keys, values and states of nothing yet."""
        return DynamicCache(config=self.model.config)

    @torch.no_grad()
    def step(
        self, ids: Tensor, mask: Tensor, positions: Tensor, cache: Cache, effect: Effect | None
    ) -> Tensor:
        """Logits (B, V) in float32 behind the last of ``ids`` (B, T), which ``cache`` takes in.

        ``mask`` is (B, width), or (B, 1, T, width) where the cache keeps rows in slots.
        """
        inputs = {"attention_mask": mask, "position_ids": positions, "cache": cache}
        with self.svf.using(effect):
            if ids.shape[1] > 1:
                return self.head.next_logits(ids, use_cache=True, **inputs)
            out = self.model(input_ids=ids, use_cache=True, logits_to_keep=1, **inputs)
        return out.logits[:, -1].float()

    @torch.no_grad()
    def hidden(self, ids: Tensor, cache: Cache, effect: Effect | None) -> Tensor:
        """Last hidden states (B, T, hidden) of right-padded ids, behind what ``cache`` holds.

        No mask: under a causal one no real token sees the padding.
        """
        with self.svf.using(effect):
            return self.head.hidden_after(ids, cache)

    @torch.no_grad()
    def logits(self, hidden: Tensor) -> Tensor:
        """Logits (N, V) in float32 of hidden states (N, hidden)."""
        return self.head.logits(hidden)

    def right_padded(self, rows: Sequence[Prompt]) -> Tensor:
        """Ids (B, T) with padding behind them."""
        width = max(map(len, rows))
        padded = [[*row, *[self.pad] * (width - len(row))] for row in rows]
        return torch.tensor(padded, device=self.device)

    def left_padded(self, rows: Sequence[Prompt]) -> tuple[Tensor, Tensor]:
        """Ids (B, T) with padding in front of them, and their mask."""
        width = max(map(len, rows))
        ids = [[*[self.pad] * (width - len(row)), *row] for row in rows]
        mask = [[0] * (width - len(row)) + [1] * len(row) for row in rows]
        return torch.tensor(ids, device=self.device), torch.tensor(mask, device=self.device)


def positions(mask: Tensor) -> Tensor:
    """Positions that start at 0 with the first token that is not padding."""
    return (mask.cumsum(-1) - 1).clamp(min=0)
