"""Sizes, times, progress and errors in the words of a message."""

from __future__ import annotations

import time
from collections.abc import Callable

# What is being done, how much of it is done, how much there is: bytes, tensors or matrices.
Report = Callable[[str, int, int], None]

# The stages of loading a model; of all but reading it is counted how much is done.
DOWNLOADING = "downloading"
UNPACKING = "unpacking"
READING = "reading the weights"
FACTORING = "factoring"


def gigabytes(size: float) -> str:
    """Bytes for people: ``3.1 GB``, ``412 MB``, ``0.3 MB``."""
    if size >= 1e9:
        return f"{size / 1e9:.1f} GB"
    return f"{size / 1e6:.0f} MB" if size >= 1e7 else f"{size / 1e6:.1f} MB"


def first_line(error: BaseException) -> str:
    """Class and first line of an error."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0].rstrip('.')}" if lines else type(error).__name__


def duration(seconds: float) -> str:
    """``40 s``, ``12 min``, ``1 h 05 min``."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02} min"


class Pace:
    """How far a model has got, in words, with the time left at the pace of the stage so far.

    Called as a ``Report``: ``pace(stage, done, total)`` gives the line, without a full stop.
    """

    def __init__(self) -> None:
        self._stage = ""
        self._first = 0
        self._began = 0.0

    def __call__(self, stage: str, done: int, total: int) -> str:
        """The line for ``done`` of ``total``."""
        if stage != self._stage:
            # What was done before (by an earlier run) says nothing about the pace.
            self._stage, self._first, self._began = stage, done, time.monotonic()
        left = self._left(done, total)
        return what_is_done(stage, done, total) + (f", {duration(left)} left" if left else "")

    def _left(self, done: int, total: int) -> float | None:
        spent, came = time.monotonic() - self._began, done - self._first
        return spent / came * (total - done) if came > 0 and spent > 1 and done < total else None


def what_is_done(stage: str, done: int, total: int) -> str:
    """``downloading 1.2 GB of 3.1 GB``, ``factoring matrix 3 of 168``, ``reading the weights`` …"""
    if stage == DOWNLOADING:
        return f"downloading {gigabytes(done)} of {gigabytes(total)}"
    if stage == UNPACKING:
        return f"unpacking tensor {done} of {total}"
    if stage == FACTORING:
        return f"factoring matrix {done} of {total}"
    return stage
