"""Who runs the model next: answers as soon as they can, training in what they leave over.

One resident base model serves everyone, one at a time. A turn is one step of a batch, one pass that
scores something, or in training one micro-batch forward and backward, so that is the longest an
answer waits. Answers come in the order in which they asked. Background work goes when no answer has
wanted the model for a moment (the next token of an answer comes right after the last) or when it
has waited ``SHARE`` times as long as its last turn took: under constant load it keeps a fifth of
the time. Not covered: several processes.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

# How much of the time answers get, for each part of training, while both want the model.
SHARE = 4
# Seconds between two tokens of one answer, on its way through the page.
GAP = 0.03


class Turns:
    """Turns at one model. Calls from one thread may nest; the outermost counts.

    ``settle`` is called at the end of a background turn: on a GPU it waits until the work that was
    handed in is done.
    """

    def __init__(self, settle: Callable[[], None] = lambda: None) -> None:
        self._settle = settle
        self._changed = threading.Condition()
        self._background: ContextVar[bool] = ContextVar("in_background", default=False)
        self._held: ContextVar[bool] = ContextVar("turn_held", default=False)
        self._line: deque[object] = deque()  # answers that wait, in order
        self._running = False
        self._due = False  # training has waited long enough: answers let it pass
        self._last_answer = float("-inf")
        self._last_length = 0.0

    @property
    def in_background(self) -> bool:
        """Whether this thread is inside ``background``."""
        return self._background.get()

    @contextmanager
    def background(self) -> Iterator[None]:
        """What this thread runs inside is training: it waits for answers."""
        token = self._background.set(True)
        try:
            yield
        finally:
            self._background.reset(token)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Hold the model; never across a ``yield`` to somebody else."""
        if self._held.get():
            yield
            return
        training = self._background.get()
        began = self._enter_training() if training else self._enter_answer()
        token = self._held.set(True)
        try:
            yield
            if training:
                self._settle()
        finally:
            self._held.reset(token)
            self._leave(training, began)

    def _enter_answer(self) -> float:
        ticket = object()
        with self._changed:
            self._line.append(ticket)
            try:
                self._changed.wait_for(
                    lambda: self._line[0] is ticket and not self._running and not self._due
                )
            except BaseException:  # Ctrl-C while waiting
                self._line.remove(ticket)
                self._changed.notify_all()
                raise
            self._line.popleft()
            self._running = True
        return time.monotonic()

    def _enter_training(self) -> float:
        asked = time.monotonic()
        patience = max(GAP, SHARE * self._last_length)
        with self._changed:
            try:
                while self._running or self._wanted_until() > time.monotonic():
                    self._due = time.monotonic() - asked >= patience
                    if self._due and not self._running:
                        break
                    self._changed.wait(GAP)
                self._running = True
            finally:
                self._due = False
                self._changed.notify_all()
        return time.monotonic()

    def _wanted_until(self) -> float:
        """When training may go on if no further answer asks for the model."""
        return float("inf") if self._line else self._last_answer + GAP

    def _leave(self, training: bool, began: float) -> None:
        with self._changed:
            self._running = False
            now = time.monotonic()
            if training:
                self._last_length = now - began
            else:
                self._last_answer = now
            self._changed.notify_all()
