"""How many requests are answered at a time, how many wait, and the rest is told to come back.

One event loop. Each request that has come in may run one step at a time in a thread of ``pool``.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from typing import TypeVar

from t2app.server.errors import Refused

T = TypeVar("T")
END = object()
# Seconds that a request is thought to take before one has ended.
FIRST_GUESS = 2.0
LONGEST_WAIT = 60


class Gate:
    """At most ``running`` requests at a time and ``waiting`` behind them."""

    def __init__(self, running: int, waiting: int) -> None:
        self._most_running, self._most_waiting = running, waiting
        self._free = asyncio.Semaphore(running)
        self._pool = ThreadPoolExecutor(running, thread_name_prefix="answer")
        self._seconds = FIRST_GUESS  # a request takes, of late
        self.running = self.waiting = 0
        self.stopping = False

    @asynccontextmanager
    async def enter(self) -> AsyncIterator[None]:
        """Inside, the request is one of those that run; ``Refused`` where too many wait."""
        self.check()
        if self._free.locked() and self.waiting >= self._most_waiting:
            raise Refused(
                f"{self.running} requests are being answered and {self.waiting} wait: ask again "
                "later",
                429,
                code="rate_limit_exceeded",
                retry_after=self._until_free(),
            )
        self.waiting += 1
        try:
            await self._free.acquire()
        finally:
            self.waiting -= 1
        began = time.monotonic()
        self.running += 1
        try:
            self.check()
            yield
        finally:
            self.running -= 1
            self._free.release()
            self._seconds += 0.2 * (time.monotonic() - began - self._seconds)

    def _until_free(self) -> int:
        expected = self._seconds * (self.waiting + 1) / self._most_running
        return max(1, min(LONGEST_WAIT, round(expected)))

    def check(self) -> None:
        """``Refused`` once the server is stopping."""
        if self.stopping:
            raise Refused(
                "the server is stopping: ask again later", 503, code="stopping", retry_after=10
            )

    async def steps(self, make: Callable[[], Iterator[T]]) -> AsyncIterator[T]:
        """What the iterator gives, each step in a thread. It is closed when this is, so an answer
        that nobody waits for stops after the step that is under way.
        """
        items = make()
        step: Future | None = None
        try:
            while True:
                self.check()
                step = self._pool.submit(next, items, END)
                found = await asyncio.wrap_future(step)
                if found is END:
                    return
                yield found
        finally:
            if step is not None:
                step.add_done_callback(lambda _: self._close(items))

    def _close(self, items: Iterator) -> None:
        with suppress(RuntimeError):  # the pool has ended, and the process with it
            self._pool.submit(items.close)

    def end(self) -> None:
        """Wait for no thread."""
        self._pool.shutdown(wait=False, cancel_futures=True)
