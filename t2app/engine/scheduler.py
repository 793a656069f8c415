"""Which batch the model runs next, and who runs it.

Answers that are streamed share one batch; work that is handed in as a whole (a search, a
measurement, the answers of a training step) has a batch to itself, so that what it finds does not
depend on who else asks. Batches share the time evenly: the one that has had least goes next.

There is no thread for it. Whoever waits for a token leads: runs the model, for everyone, until that
token is there; then the next who waits leads. One user pays for no change of threads (on two busy
cores these took half of the time), nothing runs ahead of what is read, and a leader that dies, of
Ctrl-C say, is noticed by the others, who are told and go on. Background work has a scheduler of its
own and goes after answers (``turns``).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from t2app.engine.batch import Batch
from t2app.engine.requests import Stream
from t2app.engine.turns import Turns
from t2app.errors import T2Error

# Seconds after which somebody who waits looks whether anybody leads.
LOOK_AFTER = 1.0


class Scheduler:
    """Batches and those who wait for them. Safe to use from several threads."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._lock = threading.Lock()
        self._batches: list[Batch] = []
        self._shared: Batch | None = None
        self._led = False
        # What each waits for, and how to wake it, in the order in which they came.
        self._waiting: list[tuple[Callable[[], bool], threading.Condition]] = []

    def run(self, batch: Batch) -> None:
        """Take up ``batch``; it is worked at while somebody waits for its streams."""
        with self._lock:
            self._take_up(batch)

    def share(self, streams: Sequence[Stream], make: Callable[[], Batch]) -> None:
        """Decode ``streams`` with all others that share a batch; ``make`` gives an empty one."""
        with self._lock:
            if self._shared is None:
                self._shared = make()
                self._take_up(self._shared)
            self._shared.add(streams)

    def _take_up(self, batch: Batch) -> None:
        batch.spent = min((other.spent for other in self._batches), default=0.0)
        self._batches.append(batch)

    # -- waiting and leading -----------------------------------------------------------------

    def until(self, there: Callable[[], bool]) -> None:
        """Return once ``there()``: somebody runs the model meanwhile, if nobody else, this thread.

        ``there`` is asked often, and from other threads.
        """
        while not self._waited(there):
            with self._lead():
                while not there():
                    self._once()

    def leave(self, streams: Sequence[Stream]) -> None:
        """No further token of these is wanted: their rows are given up."""
        for stream in streams:
            stream.close()
        with self._lock:
            if self._led:
                return  # the leader sees to it before the next step
            self._led = True
        with self._lead():
            self._sweep()

    def _waited(self, there: Callable[[], bool]) -> bool:
        """True once ``there()``; False where this thread is to lead."""
        with self._lock:
            mine = there, threading.Condition(self._lock)
            self._waiting.append(mine)
            try:
                while not there():
                    if not self._led:
                        self._led = True
                        return False
                    mine[1].wait(LOOK_AFTER)
                return True
            finally:
                self._waiting.remove(mine)

    @contextmanager
    def _lead(self) -> Iterator[None]:
        """Inside, this thread runs the model; behind, the next one does."""
        try:
            yield
        finally:
            with self._lock:
                self._led = False
                for there, condition in self._waiting:
                    if not there():  # the others are awake, and may not come back
                        condition.notify()
                        break

    def _once(self) -> None:
        """One pass of the batch whose turn it is; those who got what they wait for are woken."""
        with self._lock:
            if not self._batches:
                raise RuntimeError("somebody waits for tokens that nobody decodes")
            batch = min(self._batches, key=lambda batch: batch.spent)
        with self._turns.turn():
            began = time.perf_counter()
            try:
                batch.work()
            except Exception as error:  # of the model: it ends these requests, nobody else's
                batch.fail(error)
            except BaseException as error:
                self._died(error)
                raise
            finally:
                batch.spent += time.perf_counter() - began
        self._tidy()

    def _sweep(self) -> None:
        """Give up rows that nobody wants any more, where no step follows that would."""
        for batch in list(self._batches):
            batch.drop_closed()
        self._tidy()

    def _tidy(self) -> None:
        with self._lock:
            done = [batch for batch in self._batches if not batch.busy]
            for batch in done:
                batch.end()
                self._batches.remove(batch)
                if batch is self._shared:
                    self._shared = None
            for there, condition in self._waiting:
                if there():
                    condition.notify()

    def _died(self, error: BaseException) -> None:
        """Whoever ran the model was interrupted in the middle: what it worked at is lost."""
        line = f"whoever ran the model was interrupted ({type(error).__name__})"
        with self._lock:
            batches, self._batches, self._shared = self._batches, [], None
        logging.getLogger(__name__).warning("%s; the next request starts anew", line)
        for batch in batches:
            batch.fail(T2Error(f"{line}: ask again"))
        self._tidy()
