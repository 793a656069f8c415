"""What several commands share: the choice of a model, JSON, progress on standard error."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any


def add_model(parser: argparse.ArgumentParser) -> None:
    """``--model``, ``--quant``, ``--device`` and ``--json``."""
    parser.add_argument(
        "--model", default="tiny", help="tiny (built in), a folder, or a Hugging Face id"
    )
    parser.add_argument("--quant", default="auto", help="auto, nf4, int8 or none")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    add_json(parser)


def add_json(parser: argparse.ArgumentParser) -> None:
    """``--json``."""
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def load_engine(args: argparse.Namespace):
    """The engine that the arguments ask for; factoring shows its progress."""
    from t2app.engine import Engine

    return Engine.load(args.model, args.quant, args.device, progress=factored)


def factored(done: int, total: int) -> None:
    """Progress of factoring."""
    note(f"\rfactoring matrix {done} of {total}", end="\n" if done == total else "")


def note(text: str, end: str = "\n") -> None:
    """A line for people, on standard error."""
    print(text, end=end, file=sys.stderr, flush=True)


def print_json(value: Any) -> None:
    """One JSON object on standard output, in ASCII: any encoding of the output can hold it."""
    print(json.dumps(value), flush=True)
