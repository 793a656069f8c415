"""Measure the ways to run a mix against each other: speed, memory, accuracy, the first pass.

Base, factored, merged, unmerged LoRA (where PEFT is installed) and the reference's way, in one run
on the same weights. --shape measures a model of that shape with random weights, kept as --quant and
--factors say.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from t2app.cli.common import add_model, load_engine, loading, note, print_json
from t2app.errors import T2Error

if TYPE_CHECKING:
    from t2app.engine import Engine

# Options that ask for nothing beside --shape, and why.
REFUSED = {
    "model": "it makes the model itself; leave one of them out",
    "execution": "every way to run a mix is measured; leave it out",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``bench``."""
    parser.add_argument(
        "--shape",
        help="tiny, qwen2.5-0.5b, llama-3.2-1b or llama-3-8b: random weights, no download",
    )
    parser.add_argument("--rounds", type=int, default=15, help="rounds of each measurement")
    parser.add_argument("--tokens", type=int, default=64, help="length of the answer")
    parser.add_argument("--out", metavar="FILE", help="add the figures to this JSON file")
    add_model(parser)  # the figures are those of the built-in model unless one is named
    # None: not asked for. With --shape they cannot be.
    parser.set_defaults(model=None, execution=None)


def run(args: argparse.Namespace) -> int:
    """Measure, and print the tables."""
    for name in ("rounds", "tokens"):
        if getattr(args, name) < 1:
            raise T2Error(f"--{name} is {getattr(args, name)}: it must be at least 1")
    from t2app.evaluation import bench
    from t2app.evaluation.bench import report

    engine = _engine(args)
    found = bench.run(engine, args.rounds, args.tokens, note)
    found["aims"] = report.aims(found)
    if args.out:
        _add(Path(args.out), _title(found), found)
    if args.json:
        print_json(found)
    else:
        print(report.markdown(found))
    return 0


def _engine(args: argparse.Namespace) -> Engine:
    """The model to measure; ``T2Error`` for options that ``--shape`` leaves nothing to."""
    for name, reason in REFUSED.items():
        if args.shape is not None and getattr(args, name) is not None:
            raise T2Error(f"--{name} cannot be used with --shape: {reason}")
    if args.shape in (None, "tiny"):
        chosen = {"model": args.model or "tiny", "execution": args.execution or "auto"}
        return load_engine(argparse.Namespace(**{**vars(args), **chosen}))
    from t2app.evaluation.bench import shapes

    progress = loading()
    return shapes.engine(
        args.shape,
        args.device,
        lambda done, total: progress("factoring", done, total),
        quant=args.quant,
        storage=args.factors,
    )


def _title(found: dict) -> str:
    """Model and what was asked for: figures of other ways to load it stay beside them."""
    about = found["about"]
    parts = [about["model"]]
    if about["precision"] in ("nf4", "int8"):
        parts.append(about["precision"])
    if about["factors"] != "auto":
        parts.append(f"factors {about['factors']}")
    if about["device"] != "CPU":
        parts.append(about["device"])
    return ", ".join(parts)


def _add(path: Path, model: str, found: dict) -> None:
    """Keep the figures of other models that the file holds."""
    try:
        known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        path.write_text(json.dumps({**known, model: found}, indent=1) + "\n", encoding="utf-8")
    except (OSError, ValueError, TypeError) as error:
        raise T2Error(f"cannot write {path}: {error}; choose another file") from error
