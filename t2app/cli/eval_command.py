"""Measure tasks by strategies (base, each expert, each strategy, oracle) on fresh problems."""

from __future__ import annotations

import argparse

from t2app.cli.common import add_model, load_engine, note, print_json
from t2app.errors import T2Error


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``eval``."""
    parser.add_argument(
        "--task", action="append", help="a task; may be given several times (default: all)"
    )
    parser.add_argument(
        "--strategy", action="append", help="classifier or prompt; may be given several times"
    )
    parser.add_argument("--n", type=int, default=500, help="fresh problems of each task")
    add_model(parser)


def run(args: argparse.Namespace) -> int:
    """Measure, and print the table."""
    from t2app.evaluation import grid
    from t2app.tasks import BUILT_IN, SISTERS

    known = (*BUILT_IN, *SISTERS)
    for task in args.task or ():
        if task not in known:
            raise T2Error(f"unknown task {task!r}: choose from {', '.join(known)}")
    for strategy in args.strategy or ():
        if strategy not in grid.TWO_PASS:
            raise T2Error(
                f"strategy {strategy!r} cannot be measured: choose from {', '.join(grid.TWO_PASS)}"
            )
    if args.n < 1:
        raise T2Error(f"--n is {args.n}: it must be at least 1")
    found = grid.run(
        load_engine(args), args.task or known, args.strategy or grid.TWO_PASS, args.n, note
    )
    if args.json:
        print_json(found)
    else:
        print(grid.markdown(found))
    return 0
