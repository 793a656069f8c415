"""What several commands share: the choice of a model, JSON, progress on standard error."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from typing import Any


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
    """A ``Report`` for a model that is being loaded: one line, with the time left."""
    from t2app.models.words import Pace

    pace = Pace()

    def report(stage: str, done: int, total: int) -> None:
        if total:
            note(f"\r{pace(stage, done, total):<60}", end="\n" if done == total else "")

    return report


def note(text: str, end: str = "\n") -> None:
    """A line for people, on standard error."""
    print(text, end=end, file=sys.stderr, flush=True)


def print_json(value: Any) -> None:
    """One JSON object on standard output, in ASCII: any encoding of the output can hold it."""
    print(json.dumps(value), flush=True)
