"""Which batch the model runs next, and the thread that runs it.

Answers that are streamed share one batch; work that is handed in as a whole (a search, a
measurement, the answers of a training step) has a batch to itself, so that what it finds does not
depend on who else asks. Batches share the time evenly: the one that has had least goes next. A
thread lives while there is work. Should it die, whoever waits is told, and the next request starts
another. Background work has a scheduler of its own and goes after answers (``turns``).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext

from t2app.engine.batch import Batch
from t2app.engine.requests import Stream
from t2app.engine.turns import Turns
from t2app.errors import T2Error

# Seconds that a thread waits for more work before it ends.
LINGER = 2.0


class Scheduler:
    """Runs batches in a thread of its own, ``background`` ones behind all answers."""

    def __init__(self, turns: Turns, background: bool = False) -> None:
        self._turns, self._background = turns, background
        self._changed = threading.Condition()
        self._batches: list[Batch] = []
        self._shared: Batch | None = None
        self._thread: threading.Thread | None = None

    def run(self, batch: Batch) -> None:
        """Work at ``batch`` until it is done."""
        with self._changed:
            self._take_up(batch)

    def share(self, streams: Sequence[Stream], make: Callable[[], Batch]) -> None:
        """Decode ``streams`` with all others that share a batch; ``make`` gives an empty one."""
        with self._changed:
            if self._shared is None:
                self._shared = make()
            self._shared.add(streams)
            if self._shared not in self._batches:
                self._take_up(self._shared)
            self._changed.notify_all()

    def check(self) -> None:
        """Start the thread again where it is gone and work is left."""
        with self._changed:
            if self._batches and not self._is_alive():
                self._start()

    def _take_up(self, batch: Batch) -> None:
        batch.spent = min((other.spent for other in self._batches), default=0.0)
        self._batches.append(batch)
        if not self._is_alive():
            self._start()
        self._changed.notify_all()

    def _is_alive(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _start(self) -> None:
        name = "t2app-background" if self._background else "t2app-answers"
        self._thread = threading.Thread(target=self._live, name=name, daemon=True)
        self._thread.start()

    # -- in the thread -----------------------------------------------------------------------

    def _live(self) -> None:
        """Work until there has been nothing to do for a while; say so if that fails."""
        try:
            with self._turns.background() if self._background else nullcontext():
                while self._wait():
                    self._once()
        except BaseException as error:
            logging.getLogger(__name__).exception("the thread that runs the model has stopped")
            self._died(error)

    def _wait(self) -> bool:
        """Whether there is work; without any the thread ends."""
        with self._changed:
            if self._changed.wait_for(lambda: self._batches, LINGER):
                return True
            if self._thread is threading.current_thread():
                self._thread = None
            return False

    def _once(self) -> None:
        with self._changed:
            batch = min(self._batches, key=lambda batch: batch.spent)
        with self._turns.turn():
            began = time.perf_counter()
            try:
                batch.work()
            except Exception as error:  # of the model: it ends these requests, nobody else's
                batch.fail(error)
            batch.spent += time.perf_counter() - began
        with self._changed:
            if not batch.busy:
                self._batches.remove(batch)
                if batch is self._shared:
                    self._shared = None

    def _died(self, error: BaseException) -> None:
        line = f"the thread that runs the model has stopped ({type(error).__name__}: {error})"
        with self._changed:
            batches, self._batches, self._shared = self._batches, [], None
            if self._thread is threading.current_thread():
                self._thread = None
        for batch in batches:
            batch.fail(T2Error(f"{line}; ask again: another one starts"))
