"""Train an expert with reinforcement learning on a built-in task.

A run that was stopped or killed continues from its last checkpoint when it is started again with
the same settings. Ctrl-C keeps the best expert so far.
"""

from __future__ import annotations

import argparse
from dataclasses import fields

from t2app.cli.common import add_model, load_engine, note, print_json
from t2app.errors import T2Error


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``train``; one option for each setting of the RL loop."""
    from t2app.training.reinforce import Settings

    parser.add_argument("--task", required=True, help="math, code, reasoning or dispatch")
    parser.add_argument("--name", help="name of the expert (default: that of the task)")
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


def run(args: argparse.Namespace) -> int:
    """Train, and print the report."""
    from t2app.tasks import TASKS
    from t2app.training.experts import train_expert
    from t2app.training.reinforce import Progress, Settings

    if args.task not in TASKS:
        raise T2Error(f"unknown task {args.task!r}: choose from {', '.join(TASKS)}")
    if args.test < 1:
        raise T2Error(f"--test is {args.test}: it must be at least 1")
    settings = Settings(**{f.name: getattr(args, f.name) for f in fields(Settings)})

    def show(p: Progress) -> None:
        measured = (
            "" if p.validation is None else f"  validation {p.validation:.1%}  best {p.best:.1%}"
        )
        note(
            f"step {p.step}/{p.steps}  reward {p.reward:+.2f}  KL {p.kl:.3f}  "
            f"{p.seconds:.0f} s{measured}"
        )

    report = train_expert(
        load_engine(args),
        TASKS[args.task],
        args.name or args.task,
        settings,
        test=args.test,
        overwrite=args.overwrite,
        phase=note,
        progress=show,
    )
    if args.json:
        print_json(report)
    else:
        before, after = report["before"], report["after"]
        print(
            f"{report['expert']}: {before['accuracy']:.1%} -> {after['accuracy']:.1%} "
            f"on {after['n']} fresh problems, in {report['seconds']:.0f} s; "
            f"written to {report['path']}"
        )
    return 0
