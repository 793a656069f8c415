"""Measure the ways to run a mix against each other: speed, memory, accuracy, the first pass.

Base, factored, merged, unmerged LoRA (where PEFT is installed) and the reference's way, in one run
on the same weights. --shape measures a model of that shape with random weights.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from t2app.cli.common import add_model, load_engine, loading, note, print_json
from t2app.errors import T2Error


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``bench``."""
    parser.add_argument(
        "--shape",
        help="tiny, qwen2.5-0.5b, llama-3.2-1b or llama-3-8b: random weights, no download",
    )
    parser.add_argument("--rounds", type=int, default=15, help="rounds of each measurement")
    parser.add_argument("--tokens", type=int, default=64, help="length of the answer")
    parser.add_argument("--out", metavar="FILE", help="add the figures to this JSON file")
    add_model(parser)


def run(args: argparse.Namespace) -> int:
    """Measure, and print the tables."""
    for name in ("rounds", "tokens"):
        if getattr(args, name) < 1:
            raise T2Error(f"--{name} is {getattr(args, name)}: it must be at least 1")
    from t2app.evaluation import bench
    from t2app.evaluation.bench import report, shapes

    if args.shape in (None, "tiny"):
        engine = load_engine(args)
    else:
        progress = loading()
        engine = shapes.engine(
            args.shape, args.device, lambda done, total: progress("factoring", done, total)
        )
    found = bench.run(engine, args.rounds, args.tokens, note)
    found["aims"] = report.aims(found)
    if args.out:
        _add(Path(args.out), engine.base.name, found)
    if args.json:
        print_json(found)
    else:
        print(report.markdown(found))
    return 0


def _add(path: Path, model: str, found: dict) -> None:
    """Keep the figures of other models that the file holds."""
    try:
        known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        path.write_text(json.dumps({**known, model: found}, indent=1) + "\n", encoding="utf-8")
    except (OSError, ValueError, TypeError) as error:
        raise T2Error(f"cannot write {path}: {error}; choose another file") from error
