"""What several commands share: the choice of a model, JSON, progress on standard error."""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable
from typing import Any

ERASE = "\r\x1b[K"  # a terminal's line
SECONDS_BETWEEN = 10.0  # lines of progress in a log file


def add_model(parser: argparse.ArgumentParser) -> None:
    """``--model``, ``--quant``, ``--device``, ``--execution``, ``--factors`` and ``--json``."""
    parser.add_argument(
        "--model", default="tiny", help="tiny (built in), a folder, or a Hugging Face id"
    )
    parser.add_argument("--quant", default="auto", help="auto, nf4, int8 or none")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:1")
    parser.add_argument(
        "--execution",
        default="auto",
        choices=("auto", "factored", "merged"),
        help="how a mix is executed: beside the weights, or written into a copy of them (auto: "
        "once an answer gets long)",
    )
    parser.add_argument(
        "--factors",
        default="auto",
        choices=("auto", "dense", "int8", "nf4"),
        help="how the factors are kept (auto: in the model's own precision, and where a CPU has "
        "room for copies, them or the weights in the layout that it computes fastest in)",
    )
    add_json(parser)


def add_json(parser: argparse.ArgumentParser) -> None:
    """``--json``."""
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def load_engine(args: argparse.Namespace):
    """The engine that the arguments ask for; factoring shows its progress."""
    from t2app.engine import Engine

    return Engine.load(
        args.model,
        args.quant,
        args.device,
        report=loading(),
        execution=args.execution,
        storage=args.factors,
    )


def loading() -> Callable[[str, int, int], None]:
    """A ``Report`` for a model that is being loaded: how far it is, with the time left."""
    from t2app.models.words import Pace

    pace, line, current = Pace(), Line(), ""

    def report(stage: str, done: int, total: int) -> None:
        nonlocal current
        if not total:
            return
        if stage != current:
            line.end()
            current = stage
        line.show(pace(stage, done, total))
        if done == total:
            line.end()

    return report


class Line:
    """How far something is, on standard error.

    On a terminal it is one line that changes. A log file gets the first text, one every
    ``SECONDS_BETWEEN`` seconds, and the last.
    """

    def __init__(self) -> None:
        self.live = sys.stderr.isatty()
        self._open = False  # on a terminal: the line has a text and no end yet
        self._waiting: str | None = None
        self._next = -math.inf

    def show(self, text: str) -> None:
        """How far it is now."""
        if self.live:
            note(f"{ERASE}{text}", end="")
            self._open = True
        elif time.monotonic() < self._next:
            self._waiting = text
        else:
            self._say(text)

    def end(self) -> None:
        """It goes no further: the last text stays."""
        if self._open:
            note("")
        if self._waiting is not None:
            self._say(self._waiting)
        self._open, self._next = False, -math.inf

    def clear(self) -> None:
        """Take it off a terminal; a log file keeps the last text."""
        if self.live:
            note(ERASE, end="")
            self._open = False
        self.end()

    def _say(self, text: str) -> None:
        note(text)
        self._waiting, self._next = None, time.monotonic() + SECONDS_BETWEEN


def note(text: str, end: str = "\n") -> None:
    """A line for people, on standard error."""
    print(text, end=end, file=sys.stderr, flush=True)


def print_json(value: Any) -> None:
    """One JSON object on standard output, in ASCII: any encoding of the output can hold it."""
    print(json.dumps(value), flush=True)
