"""How likely each of a few labels is as the answer, without decoding one."""

from __future__ import annotations

import copy
import hashlib
import threading
from collections import OrderedDict
from collections.abc import Mapping

import torch
from torch import Tensor
from transformers import Cache

from t2app.engine.passes import Passes
from t2app.engine.requests import Prompt
from t2app.engine.turns import Turns

PREFIXES_KEPT = 8


class Labels:
    """Scores labels behind prompts; beginnings that prompts share are read once for each mix."""

    def __init__(self, passes: Passes, turns: Turns) -> None:
        self._passes, self._turns = passes, turns
        self._lock = threading.Lock()
        self.prefixes: OrderedDict[tuple, Cache] = OrderedDict()

    @torch.no_grad()
    def probabilities(
        self,
        prompt: Prompt,
        prefix: int,
        spelled: Mapping[str, Prompt],
        delta: Tensor | None,
    ) -> dict[str, float]:
        """Probability of each label, ``spelled`` in tokens, given that it is one of them.

        One pass behind the first ``prefix`` tokens of the prompt, which are kept. Where two labels
        begin with the same token, one short pass more decides between them: the probability of a
        label is the product over its tokens, each among the tokens that some label allows there.
        """
        cache = self._prefix(prompt[:prefix], delta)
        root = self._extend(prompt[prefix:], cache, delta)

        def walk(path: list[int], candidates: list[str], share: float) -> dict[str, float]:
            if len(candidates) == 1:
                return {candidates[0]: share}
            logits = root if not path else self._extend(path, copy.deepcopy(cache), delta)
            children: dict[int, list[str]] = {}
            for label in candidates:
                children.setdefault(spelled[label][len(path)], []).append(label)
            shares = logits[list(children)].double().softmax(0).tolist()
            found: dict[str, float] = {}
            for (token, below), part in zip(children.items(), shares, strict=True):
                found |= walk([*path, token], below, share * part)
            return found

        found = walk([], list(spelled), 1.0)
        return {label: found[label] for label in spelled}

    def _prefix(self, prefix: Prompt, delta: Tensor | None) -> Cache:
        """A copy of the keys and values of ``prefix``, computed once for each mix."""
        key = (
            tuple(prefix),
            None if delta is None else hashlib.sha256(delta.cpu().numpy().tobytes()).digest(),
        )
        with self._lock:
            found = self.prefixes.get(key)
            if found is not None:
                self.prefixes.move_to_end(key)
        if found is None:
            found = self._passes.new_cache()
            if prefix:
                self._extend(prefix, found, delta)
            with self._lock:
                self.prefixes[key] = found
                while len(self.prefixes) > PREFIXES_KEPT:
                    self.prefixes.popitem(last=False)
        return copy.deepcopy(found)

    def _extend(self, ids: Prompt, cache: Cache, delta: Tensor | None) -> Tensor:
        """Run one row on top of ``cache`` (which grows) and give the next token's logits (V,)."""
        row = torch.tensor([ids], device=self._passes.device)
        with self._turns.turn():
            hidden = self._passes.hidden(row, cache, self._passes.svf.factored(delta))
            return self._passes.logits(hidden[:, -1])[0]
