"""Keys and values of the rows under way in slots: nothing is copied when a token is added.

Each row lies left-aligned in a slot of its own and writes at its own position; a mask hides what is
behind it. Rows without a gap between them are a view, so that every step works on them as they lie.
For models whose layers keep keys and values and nothing else. Not covered: sliding windows and
recurrent states (``growing``); pages, so a long row makes all slots as wide.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from transformers import Cache, DynamicCache, PreTrainedModel
from transformers.cache_utils import CacheLayerMixin

from t2app.engine.passes import Passes
from t2app.engine.requests import Prompt
from t2app.engine.scoring import shared_beginning
from t2app.models import memory
from t2app.svf.hooks import Effect

# Slots get wider by so many tokens at a time, at least.
WIDTH_STEP = 64
# A step looks at a number of columns that this divides: views hold for so many steps.
VIEW_STEP = 32
# By how much of the largest logit both ways may differ; bfloat16 has eight bits.
TOLERANCE = 0.05


class _Layer(CacheLayerMixin):
    """Keys and values (slots, heads, width, d) of one layer, and what a step sees of them."""

    def __init__(self, slots: Slots) -> None:
        super().__init__()
        self._slots = slots
        self.seen: tuple[Tensor, Tensor] | None = None  # views that hold for many steps

    def update(
        self, key_states: Tensor, value_states: Tensor, *_: object, **__: object
    ) -> tuple[Tensor, Tensor]:
        """Write one token of each row at its position."""
        if self.seen is None:
            rows, width = self._slots.shown, self._slots.seen
            self.seen = self.keys[:rows, :, :width], self.values[:rows, :, :width]
        keys, values = self.seen
        keys.scatter_(2, self._slots.at(keys), key_states)
        values.scatter_(2, self._slots.at(values), value_states)
        return keys, values

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Slots are made when the first rows come in."""

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """What a step sees, from the beginning."""
        return self._slots.seen, 0

    def get_seq_length(self) -> int:
        """Tokens before this step in the longest row."""
        return self._slots.seen - 1

    def get_max_length(self) -> int:
        """As many as fit now."""
        return self._slots.width


class Slots(Cache):
    """Rows under way; ``lengths`` says how many tokens of each are there."""

    def __init__(self, passes: Passes) -> None:
        self._passes = passes
        depth = len(passes.new_cache().layers)
        super().__init__(layers=[_Layer(self) for _ in range(depth)])
        self.lengths: list[int] = []
        self.width = 0  # of every slot
        self.seen = 0  # columns that this step looks at
        self._columns = torch.empty(0)
        self._places = torch.empty(0)  # (rows, 1): where each row writes
        self._at: dict[tuple[int, int], Tensor] = {}

    joins = True

    @property
    def rows(self) -> int:
        """Rows under way."""
        return len(self.lengths)

    def begin(self, prompts: Sequence[Prompt], one_mix: bool) -> Beginning:
        """Prompts on their way in; ``one_mix`` says that all have the same."""
        return Beginning(self._passes, prompts, shared_beginning(prompts) if one_mix else 0)

    @property
    def shown(self) -> int:
        """Rows that this step runs."""
        return len(self._places)

    def held(self, row: int) -> list[tuple[Tensor, Tensor]]:
        """A copy of keys and values (1, heads, tokens, d) of a row, for each layer."""
        place = slice(row, row + 1), slice(None), slice(self.lengths[row])
        return [(layer.keys[place].clone(), layer.values[place].clone()) for layer in self.layers]

    def join(self, begun: Beginning, order: Sequence[int]) -> None:
        """Rows of ``begun`` come behind those that are here; one may come more than once."""
        start, longest = self.rows, max(begun.lengths)
        self._make_room(start + len(order), longest + 1, begun.cache)
        chosen = torch.tensor(order, device=self._passes.device)
        for mine, theirs in zip(self.layers, begun.cache.layers, strict=True):
            place = slice(start, start + len(order)), slice(None), slice(longest)
            mine.keys[place] = theirs.keys[chosen]
            mine.values[place] = theirs.values[chosen]
        self.lengths += [begun.lengths[i] for i in order]
        self._changed()

    def step(self, tokens: Sequence[int], effect: Effect | None) -> Tensor:
        """One token of each row in, logits (B, V) for the next out."""
        needed = max(self.lengths) + 1
        if needed > self.width:
            self._grow(len(self.layers[0].keys), needed)
        if needed > self.seen:
            self.seen = min(self.width, -(-needed // VIEW_STEP) * VIEW_STEP)
            self._forget_views()
        device = self._passes.device
        self._places = torch.tensor(self.lengths, device=device)[:, None]
        self._at.clear()
        mask = (self._columns[: self.seen] <= self._places)[:, None, None]
        ids = torch.tensor(tokens, device=device)[:, None]
        logits = self._passes.step(ids, mask, self._places, self, effect)
        self.lengths = [length + 1 for length in self.lengths]
        return logits

    def at(self, kept: Tensor) -> Tensor:
        """Where each row writes into ``kept`` (rows, heads, width, d): (rows, heads, 1, d)."""
        shape = kept.shape[1], kept.shape[3]
        if shape not in self._at:
            self._at[shape] = self._places[:, :, None, None].expand(-1, shape[0], 1, shape[1])
        return self._at[shape]

    def _changed(self) -> None:
        """Other rows than before."""
        self.seen = 0
        self._forget_views()

    def _forget_views(self) -> None:
        for layer in self.layers:
            layer.seen = None

    def keep(self, alive: Sequence[int]) -> list[int]:
        """Give up all rows but these; the order in which they lie from now on."""
        order, wanted = list(range(len(alive))), set(alive)
        holes = [row for row in order if row not in wanted]
        moved = [row for row in alive if row >= len(alive)]
        if holes:
            for layer in self.layers:
                for kept in (layer.keys, layer.values):
                    kept[holes] = kept[moved]
        for hole, row in zip(holes, moved, strict=True):
            order[hole] = row
        self.lengths = [self.lengths[row] for row in order]
        self._changed()
        return order

    def wipe(self) -> None:
        """Forget what is behind the rows: even behind a mask, NaN is not nothing."""
        for layer in self.layers:
            for kept in (layer.keys, layer.values):
                kept[self.rows :] = 0
                for row, length in enumerate(self.lengths):
                    kept[row, :, length:] = 0

    def reset(self) -> None:
        """Give up all rows and their memory."""
        self.lengths, self.width = [], 0
        self._changed()
        for layer in self.layers:
            layer.keys = layer.values = None

    def _make_room(self, rows: int, width: int, like: DynamicCache) -> None:
        if not self.width:
            for mine, theirs in zip(self.layers, like.layers, strict=True):
                mine.keys = theirs.keys[:0, :, :0].clone()
                mine.values = theirs.values[:0, :, :0].clone()
        there = len(self.layers[0].keys)
        if rows > there or width > self.width:
            self._grow(rows if rows <= there else max(rows, 2 * self.rows), width)

    def _grow(self, rows: int, width: int) -> None:
        """Wider or more slots, with what is in them."""
        if width > self.width:
            width = max(width, self.width + self.width // 4)
        width = -(-max(width, self.width) // WIDTH_STEP) * WIDTH_STEP
        for layer in self.layers:
            layer.keys = _larger(layer.keys, self.rows, rows, width)
            layer.values = _larger(layer.values, self.rows, rows, width)
        self.width = width
        self._changed()
        self._columns = torch.arange(width, device=self._passes.device)


class Beginning:
    """Prompts that are read before their rows join; long ones a piece at a time.

    The first ``shared`` tokens are those of every prompt, and are read once.
    """

    def __init__(self, passes: Passes, prompts: Sequence[Prompt], shared: int) -> None:
        self._passes, self._prompts, self._shared = passes, prompts, shared
        self.lengths = [len(prompt) for prompt in prompts]
        self.cache = passes.new_cache()
        self._read = 0

    def behind(self, tokens: int) -> None:
        """The cache already holds so many tokens of the only prompt."""
        self._read = tokens

    def advance(self, effect: Effect | None, tokens: int) -> Tensor | None:
        """Read so many tokens more; logits (B, V) behind the prompts once they are through.

        Several prompts are read at once, whatever ``tokens`` says.
        """
        if len(self._prompts) == 1:
            return self._piece(effect, tokens)
        shared = self._shared
        if shared:
            beginning = self._passes.right_padded([self._prompts[0][:shared]])
            self._passes.hidden(beginning, self.cache, effect)
            self.cache.batch_repeat_interleave(len(self._prompts))
        rest = self._passes.right_padded([prompt[shared:] for prompt in self._prompts])
        hidden = self._passes.hidden(rest, self.cache, effect)
        ends = torch.tensor(self.lengths, device=hidden.device) - shared - 1
        return self._passes.logits(hidden[torch.arange(len(ends), device=hidden.device), ends])

    def _piece(self, effect: Effect | None, tokens: int) -> Tensor | None:
        piece = self._prompts[0][self._read : self._read + tokens]
        hidden = self._passes.hidden(self._passes.right_padded([piece]), self.cache, effect)
        self._read += len(piece)
        return self._passes.logits(hidden[:, -1]) if self._read == self.lengths[0] else None


def _larger(kept: Tensor, used: int, rows: int, width: int) -> Tensor:
    """The same rows with more room."""
    larger = kept.new_zeros(rows, kept.shape[1], width, kept.shape[3])
    larger[:used, :, : kept.shape[2]] = kept[:used]
    return larger


# Whether a model's rows may lie in slots, found out once for each.
_known: WeakKeyDictionary[PreTrainedModel, bool] = WeakKeyDictionary()
# Tokens that it is found out with.
TRIED = ([1, 2, 3, 4, 5], [3, 1])


def fit_slots(passes: Passes) -> bool:
    """Whether slots give this model the numbers that its own cache gives; tried with two rows."""
    model = passes.model
    if model not in _known:
        plain = passes.head.shareable and model.config._attn_implementation == "sdpa"
        _known[model] = plain and _agree(passes)
    return _known[model]


def _agree(passes: Passes) -> bool:
    try:
        far = _difference(passes)
    except Exception as error:
        if isinstance(error, MemoryError) or memory.ran_out(error):
            raise
        reason = f"{type(error).__name__}: {error}"
    else:
        if far <= TOLERANCE:
            return True
        reason = f"logits differ by {far:.0%}"
    logging.getLogger(__name__).warning(
        "%s is decoded more slowly than it could be: slots do not work for it (%s)",
        type(passes.model).__name__,
        reason,
    )
    return False


def _difference(passes: Passes) -> float:
    """How far logits of two rows in slots are from those of each alone, against the largest."""
    slots = Slots(passes)
    begun = slots.begin(TRIED, one_mix=True)
    begun.advance(None, len(TRIED[0]))
    slots.join(begun, range(len(TRIED)))
    tokens = [ids[0] for ids in TRIED]
    worst = 0.0
    for ids, found in zip(TRIED, slots.step(tokens, None), strict=True):
        row = passes.right_padded([[*ids, ids[0]]])
        expected = passes.logits(passes.hidden(row, passes.new_cache(), None)[:, -1])[0]
        worst = max(worst, ((found - expected).abs().max() / expected.abs().max()).item())
    return worst if math.isfinite(worst) else math.inf
