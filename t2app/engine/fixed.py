"""Slots whose step runs on buffers that stay where they are, so that a GPU can replay it whole.

One CUDA graph for each number of rows (powers of two) and of columns that is seen, with mixes and
without: launching some hundred kernels one by one takes longer than running them. Tokens, places
and mixes are written into the buffers before a replay; rows that fill up a power of two write where
nobody looks. On a CPU the same step runs without a graph, which is how it is tested there. Not
covered: models on several GPUs and merged weights, which take the plain step of ``Slots``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from t2app.engine.passes import Passes
from t2app.engine.slots import Slots
from t2app.models import memory
from t2app.svf.hooks import Effect, Factored

# Columns that the shortest step sees.
FEWEST_COLUMNS = 128
# Runs before one is recorded: libraries set themselves up in the first.
WARM_UP = 2


class Recording:
    """Work on fixed buffers that is run again and again: a CUDA graph, or just the work."""

    def __init__(self, work: Callable[[], Tensor], pool: object) -> None:
        self._work = work
        self._graph: torch.cuda.CUDAGraph | None = None
        self._out: Tensor | None = None
        if pool is not None:
            self._capture(pool)

    def replay(self) -> Tensor:
        """What the work gives now; its memory is written over by the next replay."""
        if self._graph is None:
            return self._work()
        self._graph.replay()
        return self._out

    def _capture(self, pool: object) -> None:
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(WARM_UP):
                self._work()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        # Other threads may use the device meanwhile.
        with torch.cuda.graph(graph, pool=pool, capture_error_mode="thread_local"):
            self._out = self._work()
        self._graph = graph


class FixedSlots(Slots):
    """Rows under way, as ``Slots`` has them."""

    def __init__(self, passes: Passes) -> None:
        super().__init__(passes)
        cuda = passes.device.type == "cuda"
        self._pool = torch.cuda.graph_pool_handle() if cuda else None
        self._works = True
        self._recordings: dict[tuple[int, int, bool], Recording] = {}
        self._inputs = torch.empty(0)  # (2, slots): tokens and places
        self._mixes = torch.empty(0)  # (slots, R)
        self._mixed: Factored | None = None  # whose mixes lie in the buffer

    def step(self, tokens: Sequence[int], effect: Effect | None) -> Tensor:
        """One token of each row in, logits (B, V) for the next out."""
        if not self._works or not (effect is None or isinstance(effect, Factored)):
            return super().step(tokens, effect)
        rows, needed = _power(self.rows), max(self.lengths) + 1
        if needed > self.width or rows > len(self.layers[0].keys):
            self._grow(max(rows, len(self.layers[0].keys)), needed)
        self._write(tokens, effect)
        key = rows, min(self.width, max(FEWEST_COLUMNS, _power(needed))), effect is not None
        if key not in self._recordings:
            recording = self._recorded(*key)
            if recording is None:
                self._works = False
                return super().step(tokens, effect)
            self._recordings[key] = recording
        logits = self._recordings[key].replay()[: self.rows]
        self.lengths = [length + 1 for length in self.lengths]
        return logits

    def _write(self, tokens: Sequence[int], effect: Factored | None) -> None:
        """Fill the buffers; rows that nobody looks at write at the beginning of their slots."""
        empty = [0] * (self._inputs.shape[1] - self.rows)
        self._inputs.copy_(torch.tensor([[*tokens, *empty], [*self.lengths, *empty]]))
        if effect is not None and effect is not self._mixed:
            self._mixes[: self.rows] = effect.flat
            self._mixed = effect

    def _recorded(self, rows: int, columns: int, mixed: bool) -> Recording | None:
        """A step of so many rows; None where the device cannot record it, which is said."""
        effect = self._effect(rows) if mixed else None

        def work() -> Tensor:
            self.seen = columns
            self._forget_views()
            self._at.clear()
            self._places = self._inputs[1, :rows, None]
            mask = (self._columns[:columns] <= self._places)[:, None, None]
            ids = self._inputs[0, :rows, None]
            return self._passes.step(ids, mask, self._places, self, effect)

        try:
            return Recording(work, self._pool)
        except RuntimeError as error:
            if memory.ran_out(error):
                raise
            logging.getLogger(__name__).warning(
                "decoding is slower than it could be: a step cannot be recorded here (%s)",
                str(error).partition("\n")[0],
            )
            return None

    def _effect(self, rows: int) -> Factored:
        """The mixes in the buffer, a view for each layer; layers they leave alone get zeros."""
        buffer = self._mixes[:rows]
        parts = self._passes.svf.layout.split(buffer)
        return Factored({name: part.unsqueeze(1) for name, part in parts.items()}, buffer)

    def _changed(self) -> None:
        super()._changed()
        self._mixed = None

    def _grow(self, rows: int, width: int) -> None:
        """Powers of two; what was recorded points at the old buffers."""
        rows, width = _power(rows), max(FEWEST_COLUMNS, _power(width), self.width)
        super()._grow(rows, width)
        device, svf = self._passes.device, self._passes.svf
        self._recordings.clear()
        self._inputs = torch.zeros(2, rows, dtype=torch.long, device=device)
        self._mixes = torch.zeros(rows, svf.layout.total, dtype=svf.dtype, device=device)

    def reset(self) -> None:
        """Give up all rows and their memory."""
        super().reset()
        self._recordings.clear()
        self._mixes = torch.empty(0)


def _power(number: int) -> int:
    """The next power of two."""
    return 1 << (number - 1).bit_length()
