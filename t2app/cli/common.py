"""What several commands share: the choice of a model, JSON, progress on standard error."""

from __future__ import annotations

import argparse
import json
import logging
import math
import sys
import time
from collections.abc import Callable
from typing import Any

from t2app.config import AUTO, TINY

MODEL_HELP = (
    "auto (the best that is here: SmolLM2 once it was got, else the built-in one), tiny (built "
    "in), smollm2, a folder, a GGUF file, a Hugging Face id, or one with a quantisation or a file: "
    "ID:Q4_K_M"
)
ERASE = "\r\x1b[K"  # a terminal's line
SECONDS_BETWEEN = 10.0  # lines of progress in a log file


def add_model(parser: argparse.ArgumentParser) -> None:
    """``--model``, ``--quant``, ``--device``, ``--execution``, ``--factors`` and ``--json``."""
    parser.add_argument("--model", default=AUTO, help=MODEL_HELP)
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
        chosen(args.model, args.device),
        args.quant,
        args.device,
        report=loading(),
        execution=args.execution,
        storage=args.factors,
    )


def chosen(model: str, device: str = "cpu") -> str:
    """What ``auto`` comes to, told where it is not the built-in model; other names stay."""
    if model != AUTO:
        return model
    from t2app.models import precision, ready

    best = ready.best(precision.device_named(device))
    if best != TINY:
        note(f"t2app: loading {best}, which is here; --model {TINY} takes the built-in model")
    return best


def loading() -> Callable[[str, int, int], None]:
    """A ``Report`` for a model that is being loaded: how far it is, with the time left."""
    from t2app.models.words import Pace

    pace, line, current, whole = Pace(), Line(), "", False

    def report(stage: str, done: int, total: int) -> None:
        nonlocal current, whole
        if not total or (stage == current and whole):
            return
        if stage != current:
            line.end()
        current, whole = stage, done == total
        line.show(pace(stage, done, total))
        if whole:
            line.end()

    return report


class Line:
    """How far something is, on standard error.

    On a terminal it is one line that changes, and whatever else is said takes its place. A log
    file gets the first text, one every ``SECONDS_BETWEEN`` seconds, and the last.
    """

    shown: Line | None = None  # on a terminal: the one that has a text and no end yet

    def __init__(self) -> None:
        self.live = sys.stderr.isatty()
        self._open = False  # on a terminal: the line has a text and no end yet
        self._waiting: str | None = None
        self._next = -math.inf

    def show(self, text: str) -> None:
        """How far it is now."""
        if self.live:
            print(f"{ERASE}{text}", end="", file=sys.stderr, flush=True)
            self._open, Line.shown = True, self
        elif time.monotonic() < self._next:
            self._waiting = text
        else:
            self._say(text)

    def end(self) -> None:
        """It goes no further: the last text stays."""
        if self._open:
            self._open, Line.shown = False, None
            note("")
        if self._waiting is not None:
            self._say(self._waiting)
        self._next = -math.inf

    def clear(self) -> None:
        """Take it off a terminal; a log file keeps the last text."""
        if self.live:
            print(ERASE, end="", file=sys.stderr, flush=True)
            self._open, Line.shown = False, None
        self.end()

    def _say(self, text: str) -> None:
        note(text)
        self._waiting, self._next = None, time.monotonic() + SECONDS_BETWEEN


def note(text: str) -> None:
    """A line for people, on standard error; progress that stands there gives way."""
    erased = ERASE if Line.shown is not None else ""
    print(f"{erased}{text}", file=sys.stderr, flush=True)


class Notes(logging.Handler):
    """What modules log, as lines for people: never through a line of progress."""

    def emit(self, record: logging.LogRecord) -> None:
        """Show a record."""
        note(self.format(record))


def logged() -> None:
    """From now on warnings of this program, and of others, are ``Notes``."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=[Notes()])


def print_json(value: Any) -> None:
    """One JSON object on standard output, in ASCII: any encoding of the output can hold it."""
    print(json.dumps(value), flush=True)
