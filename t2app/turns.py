"""Who runs the model next: answers as soon as they can, training in what they leave over.

One resident base model serves both. A turn is one forward pass, or in training one micro-batch
forward and backward, so that is the longest an answer waits. Answers run side by side; training
runs alone, when no answer has wanted the model for a moment (the next token of an answer comes
right after the last) or when it has waited ``SHARE`` times as long as its last turn took: under
constant load it keeps a fifth of the time. Not covered: several processes.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

# How much of the time answers get, for each part of training, while both want the model.
SHARE = 4
# Seconds between two tokens of one answer, on its way through the page.
GAP = 0.03


class Turns:
    """Turns at one model. Calls from one thread may nest; the outermost counts."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._background: ContextVar[bool] = ContextVar("in_background", default=False)
        self._held: ContextVar[bool] = ContextVar("turn_held", default=False)
        self._answers = 0  # that run or wait for training to end its turn
        self._training = False
        self._due = False  # training has waited long enough: answers let it pass
        self._last_answer = float("-inf")
        self._last_length = 0.0

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
        finally:
            self._held.reset(token)
            self._leave(training, began)

    def _enter_answer(self) -> float:
        with self._changed:
            self._changed.wait_for(lambda: not self._due)
            self._answers += 1
            try:
                self._changed.wait_for(lambda: not self._training)
            except BaseException:  # Ctrl-C while waiting
                self._answers -= 1
                raise
        return time.monotonic()

    def _enter_training(self) -> float:
        asked = time.monotonic()
        patience = max(GAP, SHARE * self._last_length)
        with self._changed:
            try:
                while self._training or self._wanted_until() > time.monotonic():
                    self._due = time.monotonic() - asked >= patience
                    if self._due and not self._training and not self._answers:
                        break
                    self._changed.wait(GAP)
                self._training = True
            finally:
                self._due = False
                self._changed.notify_all()
        return time.monotonic()

    def _wanted_until(self) -> float:
        """When training may go on if no further answer asks for the model."""
        return float("inf") if self._answers else self._last_answer + GAP

    def _leave(self, training: bool, began: float) -> None:
        with self._changed:
            now = time.monotonic()
            if training:
                self._training, self._last_length = False, now - began
            else:
                self._answers -= 1
                self._last_answer = now
            self._changed.notify_all()
