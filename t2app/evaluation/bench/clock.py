"""Timing several ways to do the same thing so that what else the machine does hits all alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch

# Does one thing once and gives the seconds it took.
Timed = Callable[[], float]

# Of one measurement: all of them together stay below two minutes.
MOST_SECONDS = 10.0


def timed(action: Callable[[], object]) -> Timed:
    """``action``, timed until a GPU has finished it too."""

    def run() -> float:
        began = now()
        action()
        return now() - began

    return run


def now() -> float:
    """Seconds on a clock that waits for the GPU."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def interleaved(
    actions: Mapping[str, Timed],
    rounds: int,
    warm_up: int = 1,
    most_seconds: float = MOST_SECONDS,
) -> dict[str, Any]:
    """Run every action once a round, each time starting with another one: ABC BCA CAB ...

    Gives for each name ``seconds`` (median), ``low`` and ``high`` (quartiles). No round begins
    after ``most_seconds``, but there is always one.
    """
    names, times = list(actions), {name: [] for name in actions}
    began = time.perf_counter()
    for index in range(warm_up + rounds):
        if index > warm_up and time.perf_counter() - began > most_seconds:
            break
        first = index % len(names)
        for name in names[first:] + names[:first]:
            seconds = actions[name]()
            if index >= warm_up:
                times[name].append(seconds)
    return {name: spread(values) for name, values in times.items()}


def spread(values: list[float]) -> dict[str, float]:
    """Median and quartiles."""
    low, high = values[0], values[0]
    if len(values) > 1:
        low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return {"seconds": statistics.median(values), "low": low, "high": high}
