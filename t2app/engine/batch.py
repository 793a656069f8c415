"""Rows that are decoded together, each with a mix, a temperature and a seed of its own.

Rows join at any step and leave at any step. What a batch is made of depends on its own requests
alone, so that work which must repeat itself bit for bit gets a batch to itself. Not covered: which
batch goes next (``scheduler``).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from t2app.engine.fixed import FixedSlots
from t2app.engine.growing import Growing, PaddedBeginning
from t2app.engine.passes import Passes
from t2app.engine.remembered import Remembered
from t2app.engine.requests import Stream, not_finite
from t2app.engine.sampling import NOT_FINITE, logprob, pick
from t2app.engine.slots import Beginning, Slots
from t2app.models import memory
from t2app.svf.hooks import Effect
from t2app.svf.merged import Execution

KINDS = {"growing": Growing, "slots": Slots, "fixed": FixedSlots}
# Places that are kept for the next batch, with what was recorded there.
KEPT = 2


class Means:
    """What batches work with. ``kind`` says how keys and values are kept, a name of ``KINDS``.

    ``name`` is the model's, for errors.
    """

    def __init__(self, passes: Passes, execution: Execution, kind: str, name: str) -> None:
        self.passes, self.execution, self.kind, self.name = passes, execution, kind, name
        self._free: list[FixedSlots] = []
        self.remembered = Remembered()

    def rows(self) -> Slots | Growing:
        """A place for keys and values."""
        return self._free.pop() if self._free else KINDS[self.kind](self.passes)

    def take_back(self, rows: Slots | Growing) -> None:
        """A place that a batch has done with; memory is kept where making it anew takes long."""
        if isinstance(rows, FixedSlots) and len(self._free) < KEPT:
            self._free.append(rows)


class Batch:
    """Streams that are decoded together: ``most`` at once, the others wait.

    ``piece`` is the most prompt tokens that are read in one pass. ``patient`` waits until a quarter
    of the rows is free before others join, so that few passes read all prompts.
    """

    def __init__(
        self,
        means: Means,
        streams: Iterable[Stream] = (),
        *,
        most: int,
        piece: int,
        patient: bool = True,
    ) -> None:
        self._means, self._most, self._piece, self._patient = means, most, piece, patient
        self._waiting: deque[Stream] = deque(streams)
        self._inbox: deque[Stream] = deque()  # filled by other threads
        self._rows = means.rows()
        self._streams: list[Stream] = []  # in the order of the rows
        self._last: list[int] = []  # token of each row, which the model has not seen
        self._effect: Effect | None = None
        self._stale = False  # the effect is not that of these rows
        self._begun: tuple[Beginning | PaddedBeginning, list[Stream], list[int]] | None = None
        self._stepped = False  # since the last piece of a prompt
        self.spent = 0.0  # seconds of the model's time

    def add(self, streams: Iterable[Stream]) -> None:
        """Streams that join when there is room; from any thread."""
        self._inbox.extend(streams)

    @property
    def busy(self) -> bool:
        """Whether anything is left to do."""
        return bool(self._streams or self._waiting or self._begun or self._inbox)

    def end(self) -> None:
        """Nothing is left to do."""
        self._means.take_back(self._rows)

    def all(self) -> list[Stream]:
        """Every stream that has not ended."""
        self._look_in()
        begun = self._begun[1] if self._begun else []
        return [*self._streams, *begun, *self._waiting]

    def _look_in(self) -> None:
        while self._inbox:
            self._waiting.append(self._inbox.popleft())

    def work(self) -> None:
        """One pass of the model: a step of all rows, or a piece of the prompts that come next.

        The two alternate where both are to be done. Where memory runs out, half of the rows go on
        and the others wait.
        """
        try:
            self._work()
            return
        except (MemoryError, RuntimeError) as error:
            if not memory.ran_out(error):
                raise
            if self._under_way() == 1:
                self._give_up(error)
        # Outside the handler: there the traceback would still hold the tensors.
        self._start_over()

    def _work(self) -> None:
        self.drop_closed()
        if self._begun is None and self._may_join():
            self._begin()
        if self._begun is not None and (self._stepped or not self._streams):
            self._stepped = False
            self._read()
        elif self._streams:
            self._stepped = True
            self._step()

    def drop_closed(self) -> None:
        """Give up rows and streams in line whose tokens nobody wants any more."""
        self._look_in()
        if any(stream.closed for stream in self._waiting):
            _end(stream for stream in self._waiting if stream.closed)
            self._waiting = deque(stream for stream in self._waiting if not stream.closed)
        if self._begun and all(stream.closed for stream in self._begun[1]):
            _end(self._begun[1])
            self._begun = None
        self._drop([i for i, stream in enumerate(self._streams) if not stream.closed])

    # -- joining -----------------------------------------------------------------------------

    def _may_join(self) -> bool:
        free = self._most - len(self._streams)
        if not self._streams:
            return bool(self._waiting)
        least = max(1, self._most // 4) if self._patient else 1
        return bool(self._waiting) and self._rows.joins and free >= least

    def _begin(self) -> None:
        """The streams that come next; those with the same prompt and mix share one row for it."""
        if self._known(self._waiting[0]):
            self._begin_behind(self._waiting.popleft())
            return
        chosen: list[Stream] = []
        distinct: dict[tuple, int] = {}
        prompts: list[list[int]] = []
        order: list[int] = []
        longest = 0
        while self._waiting and len(self._streams) + len(chosen) < self._most:
            if self._known(self._waiting[0]):
                break
            ids = self._waiting[0].ids
            key = (id(self._waiting[0].request.delta), *ids)
            longest = max(longest, len(ids))
            if key not in distinct and prompts and longest * (len(prompts) + 1) > self._piece:
                break
            stream = self._waiting.popleft()
            if key not in distinct:
                distinct[key] = len(prompts)
                prompts.append(ids)
            order.append(distinct[key])
            chosen.append(stream)
        one_mix = all(s.request.delta is chosen[0].request.delta for s in chosen)
        self._begun = self._rows.begin(prompts, one_mix), chosen, order

    def _known(self, stream: Stream) -> int:
        """Tokens at the beginning of a prompt that need not be read again."""
        if stream.mix is None:
            return 0
        return self._means.remembered.shared(stream.ids, stream.mix)

    def _begin_behind(self, stream: Stream) -> None:
        """A stream whose beginning is known."""
        begun = self._rows.begin([stream.ids], one_mix=True)
        begun.behind(self._means.remembered.fill(begun.cache, stream.ids, stream.mix))
        self._begun = begun, [stream], [0]

    def _read(self) -> None:
        """A piece of the prompts; behind the last one their rows join."""
        begun, streams, order = self._begun
        firsts = [streams[order.index(i)] for i in range(max(order) + 1)]
        logits = begun.advance(self._effect_of(firsts), self._piece)
        if logits is None:
            return
        self._rows.join(begun, order)
        self._begun = None
        self._streams += streams
        self._stale = True
        chosen = torch.tensor(order, device=logits.device)
        self._hand_out(streams, logits[chosen], len(self._last))

    # -- stepping ----------------------------------------------------------------------------

    def _step(self) -> None:
        if self._stale:
            self._effect, self._stale = self._effect_of(self._streams), False
        self._hand_out(self._streams, self._rows.step(self._last, self._effect), 0)

    def _effect_of(self, streams: Sequence[Stream]) -> Effect | None:
        """The mixes of these rows; one that all of them share is in effect once."""
        deltas = [stream.request.delta for stream in streams]
        if all(delta is deltas[0] for delta in deltas):
            return self._means.execution.effect(deltas[0])
        some = next(delta for delta in deltas if delta is not None)
        base = torch.zeros_like(some)
        return self._means.execution.effect(
            torch.stack([base if delta is None else delta for delta in deltas])
        )

    def _hand_out(self, streams: Sequence[Stream], logits: Tensor, start: int) -> None:
        """The next token of the rows from ``start`` on; rows that end are given up."""
        tokens, logprobs = _sampled(streams, logits)
        self._last[start:] = tokens
        alive = list(range(start))
        for row, (stream, token, value) in enumerate(zip(streams, tokens, logprobs, strict=True)):
            if token == NOT_FINITE:
                stream.end(not_finite(self._means.name))
            elif not stream.put(token, value):
                alive.append(start + row)
        self._drop(alive)
        if NOT_FINITE in tokens:
            self._rows.wipe()

    def _drop(self, alive: list[int]) -> None:
        """Give up all rows but these."""
        if len(alive) == len(self._streams):
            return
        kept = set(alive)
        gone = [(row, stream) for row, stream in enumerate(self._streams) if row not in kept]
        for row, stream in gone:
            if stream.mix is not None and stream.error is None:
                ids = stream.ids[: self._rows.lengths[row]]
                self._means.remembered.add(ids, stream.mix, self._rows.held(row))
        _end(stream for _, stream in gone)
        order = self._rows.keep(alive)
        self._streams = [self._streams[row] for row in order]
        self._last = [self._last[row] for row in order]
        self._stale = True

    # -- faults ------------------------------------------------------------------------------

    def fail(self, error: BaseException) -> None:
        """End every stream with this error."""
        for stream in self.all():
            stream.end(error)
        self._waiting.clear()
        self._streams, self._last, self._begun = [], [], None
        self._rows.reset()

    def _under_way(self) -> int:
        return len(self._streams) + (len(self._begun[1]) if self._begun else 0)

    def _give_up(self, error: BaseException) -> None:
        """End the one request that is under way: it does not fit even by itself."""
        for stream in (*self._streams, *(self._begun[1] if self._begun else ())):
            stream.end(error)
        self._streams, self._last, self._begun = [], [], None

    def _start_over(self) -> None:
        """Half as many rows from now on; those under way read again what they have said."""
        self._most = max(1, min(self._most, self._under_way()) // 2)
        self._waiting = deque(self.all())
        self._streams, self._last, self._begun, self._effect = [], [], None, None
        self._rows.reset()
        memory.release()


def _sampled(streams: Sequence[Stream], logits: Tensor) -> tuple[list[int], list[float]]:
    """Tokens and log-probabilities (0 where nobody wants them) for logits (B, V)."""
    temperature = draw = top_p = None
    if any(stream.draws is not None for stream in streams):
        warm = [stream.request.temperature for stream in streams]
        temperature = torch.tensor(warm, device=logits.device)
        drawn = [stream.draws[len(stream.tokens)] if stream.draws else 0.0 for stream in streams]
        draw = torch.tensor(drawn, device=logits.device)
        shares = [stream.request.top_p for stream in streams]
        top_p = torch.tensor(shares, device=logits.device) if min(shares) < 1 else None
    tokens = pick(logits, temperature, draw, top_p)
    if not any(stream.request.likelihood for stream in streams):
        return tokens.tolist(), [0.0] * len(streams)
    # Whole numbers of this size are exact in float64, so one transfer brings both.
    both = torch.stack([tokens.double(), logprob(logits, tokens).double()]).tolist()
    return [int(token) for token in both[0]], both[1]


def _end(streams: Iterable[Stream]) -> None:
    for stream in streams:
        stream.end()
