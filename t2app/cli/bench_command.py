"""Measure the speed of the first pass, of switching a mix, and of decoding with experts."""

from __future__ import annotations

import argparse
import time

from t2app.cli.common import add_model, load_engine, print_json
from t2app.errors import T2Error


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``bench``."""
    parser.add_argument("--runs", type=int, default=15, help="runs of each measurement")
    parser.add_argument("--tokens", type=int, default=64, help="tokens decoded in each run")
    add_model(parser)


def run(args: argparse.Namespace) -> int:
    """Measure, and print the figures."""
    from t2app.evaluation import bench

    for name in ("runs", "tokens"):
        if getattr(args, name) < 1:
            raise T2Error(f"--{name} is {getattr(args, name)}: it must be at least 1")
    began = time.perf_counter()
    engine = load_engine(args)
    loaded = time.perf_counter() - began
    found = {"load_seconds": round(loaded, 2), **bench.run(engine, args.runs, args.tokens)}
    if args.json:
        print_json(found)
        return 0
    for name, value in found.items():
        for key, figure in value.items() if isinstance(value, dict) else ((name, value),):
            print(f"{key if key == name else f'{name}: {key}':48} {figure}")
    return 0
