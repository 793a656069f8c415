"""Measure tasks by strategies on fresh problems: base, each expert, strategies, oracle, few-shot.

What is measured is kept: a table that was interrupted continues, and two processes with other tasks
can share the work. The table is also written as JSON, after each task.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from t2app.cli.common import add_model, load_engine, note, print_json
from t2app.errors import T2Error


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``eval``."""
    parser.add_argument(
        "--task", action="append", help="a task; may be given several times (default: all)"
    )
    parser.add_argument(
        "--strategy",
        action="append",
        help="prompt; prompt, said; classifier; prototype; few-shot 3; few-shot 5; few-shot 10; "
        "few-shot 5, likelihood; few-shot 5, paper (default: these); auto; few-shot 5, free; "
        "few-shot 5, per layer",
    )
    parser.add_argument("--n", type=int, default=500, help="fresh problems of each task")
    parser.add_argument("--out", metavar="FILE", help="the JSON file (default: in the cache)")
    parser.add_argument("--fresh", action="store_true", help="measure again what is there")
    parser.add_argument(
        "--questions", metavar="FILE", help="JSON Lines with question and kind, to classify too"
    )
    add_model(parser)


def run(args: argparse.Namespace) -> int:
    """Measure, and print the table."""
    from t2app.evaluation import grid, results
    from t2app.evaluation.memo import Memo, write

    questions = grid.read_questions(Path(args.questions)) if args.questions else []
    engine = load_engine(args)
    tasks, strategies = args.task or grid.KNOWN_TASKS, args.strategy or grid.usual(engine)
    grid.check(engine, tasks, strategies, args.n)
    out = Path(args.out) if args.out else results.path(engine)
    _try(out)
    found = grid.run(
        engine,
        tasks,
        strategies,
        args.n,
        memo=Memo(results.folder() / "measured", args.fresh),
        handwritten=questions,
        report=note,
        keep=lambda table: write(out, table, indent=1),
    )
    note(f"written to {out}")
    if args.json:
        print_json(found)
    else:
        print(grid.markdown(found))
    return 0


def _try(out: Path) -> None:
    """T2Error now rather than after an hour."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with out.open("a"):
            pass
    except OSError as error:
        raise T2Error(f"cannot write {out}: {error.strerror or error}") from error
