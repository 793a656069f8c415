"""Train an expert with reinforcement learning on the rows of a file, or on a built-in task.

FILE is CSV (comma, semicolon, tab or pipe), JSON Lines or a JSON array with a question and an
answer in each row. Encoding, delimiter and columns are detected and can be named; how an answer is
judged follows from what the answers are. Rows are split into those to train on, those to choose the
best step by, and those to measure before and after.

A run that was stopped or killed continues from its last checkpoint when it is started again with
the same settings. Ctrl-C keeps the best expert so far.
"""

from __future__ import annotations

import argparse
import re
import unicodedata
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from t2app.cli.common import add_model, load_engine, note, print_json
from t2app.errors import T2Error

if TYPE_CHECKING:
    from t2app.data import Report
    from t2app.engine import Engine
    from t2app.tasks import Task
    from t2app.training.reinforce import Progress

SHOWN = 5  # rejected rows
FOR_FILES = ("reward", "columns", "encoding", "delimiter", "header", "description", "rejected")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``train``; one option for each setting of the RL loop."""
    from t2app.training.reinforce import Settings

    parser.add_argument("file", nargs="?", metavar="FILE", help="rows to train on")
    parser.add_argument("--task", help="instead of FILE: math, code, reasoning or dispatch")
    parser.add_argument("--name", help="name of the expert (default: that of the file or task)")
    _add_file_arguments(parser.add_argument_group("how FILE is read and judged"))
    parser.add_argument("--objective", choices=("rl",), default="rl")
    parser.add_argument(
        "--test", type=int, default=500, help="problems that it is measured on before and after"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an expert of that name")
    for field in fields(Settings):
        option = f"--{field.name.replace('_', '-')}"
        if isinstance(field.default, bool):
            parser.add_argument(
                option, action=argparse.BooleanOptionalAction, default=field.default
            )
        else:
            parser.add_argument(option, type=type(field.default), default=field.default)
    add_model(parser)


def _add_file_arguments(group: Any) -> None:
    """Options that need a FILE; without one they are None."""
    from t2app.tasks.rewards import REWARDS

    group.add_argument("--reward", choices=("auto", *REWARDS), help="default: auto")
    group.add_argument(
        "--columns",
        metavar="ROLE=NAME,...",
        help="question, answer, context, choices (A+B+C+D), tests, system; default: guessed",
    )
    group.add_argument("--encoding", help="such as cp1252; default: detected")
    group.add_argument("--delimiter", help="comma, semicolon, tab or pipe; default: detected")
    group.add_argument(
        "--header",
        action=argparse.BooleanOptionalAction,
        help="the first row names the columns, or not; default: detected",
    )
    group.add_argument("--description", help="what the expert is for; default: from the questions")
    group.add_argument(
        "--rejected", metavar="CSV", help="write the rows that cannot be used here, with reasons"
    )


def run(args: argparse.Namespace) -> int:
    """Train, and print the report."""
    from t2app.training.experts import train_expert
    from t2app.training.reinforce import Settings

    _refuse_contradictions(args)
    settings = Settings(**{f.name: getattr(args, f.name) for f in fields(Settings)})
    engine, task = _from_file(args) if args.file else _built_in(args)
    report = train_expert(
        engine,
        task,
        args.name or (_name_of(args.file) if args.file else args.task),
        settings,
        test=args.test,
        overwrite=args.overwrite,
        phase=note,
        progress=_show,
    )
    if args.json:
        print_json(report)
    else:
        before, after = report["before"], report["after"]
        print(
            f"{report['expert']}: {before['accuracy']:.1%} -> {after['accuracy']:.1%} "
            f"on {after['n']} {'held-out rows' if args.file else 'fresh problems'}, "
            f"in {report['seconds']:.0f} s; written to {report['path']}"
        )
    return 0


def _refuse_contradictions(args: argparse.Namespace) -> None:
    from t2app.tasks import TASKS

    if (args.file is None) == (args.task is None):
        raise T2Error("give either a FILE with rows to train on, or --task")
    if args.task is not None and args.task not in TASKS:
        raise T2Error(f"unknown task {args.task!r}: choose from {', '.join(TASKS)}")
    given = [name for name in FOR_FILES if getattr(args, name) is not None]
    if args.task is not None and given:
        raise T2Error(f"--{given[0]} is for a FILE with rows, not for --task {args.task}")
    if args.test < 1:
        raise T2Error(f"--test is {args.test}: it must be at least 1")


def _built_in(args: argparse.Namespace) -> tuple[Engine, Task]:
    from t2app.tasks import TASKS

    return load_engine(args), TASKS[args.task]


def _from_file(args: argparse.Namespace) -> tuple[Engine, Task]:
    """The task of a file; what is wrong with it is told before a model is loaded."""
    from t2app import data
    from t2app.data import columns

    table = data.read_table(
        args.file, encoding=args.encoding, delimiter=args.delimiter, header=args.header
    )
    found = data.guess(table, columns.parse(args.columns) if args.columns else None)
    options = {"reward": args.reward or "auto", "seed": args.seed}
    _tell(data.check(table, found, **options), args.rejected)
    engine = load_engine(args)
    report = data.check(
        table,
        found,
        **options,
        count_tokens=engine.count_tokens,
        max_tokens=engine.longest_prompt,
    )
    _tell(report, args.rejected)
    note(
        f"{table.name}: {table.encoding}"
        + (f", delimiter {table.delimiter!r}" if table.delimiter else f", {table.format}")
        + f", {', '.join(f'{role} {name!r}' for role, name in found.to_dict().items())}"
    )
    note(report.summary())
    for row in report.rejected[:SHOWN]:
        note(f"  row {row.number}: {row.reason}")
    if len(report.rejected) > SHOWN:
        note(f"  and {len(report.rejected) - SHOWN} more; --rejected FILE writes them all")
    note(report.why)
    return engine, data.build(report, description=args.description)


def _tell(report: Report, path: str | None) -> None:
    """Write the rejected rows where they were asked for; T2Error where too few are left."""
    if path is not None:
        try:
            Path(path).write_text(report.rejected_csv(), "utf-8")
        except OSError as error:
            raise T2Error(f"cannot write {path!r}: {error.strerror or error}") from error
    if report.problem:
        raise T2Error(report.problem)


def _name_of(file: str) -> str:
    """``Über data.csv`` -> ``uber-data``."""
    plain = unicodedata.normalize("NFKD", Path(file).stem).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9_]+", "-", plain.lower()).strip("-_")[:41]


def _show(p: Progress) -> None:
    measured = "" if p.validation is None else f"  validation {p.validation:.1%}  best {p.best:.1%}"
    note(
        f"step {p.step}/{p.steps}  reward {p.reward:+.2f}  KL {p.kl:.3f}  {p.seconds:.0f} s"
        f"{measured}"
    )
