"""``train --try-reward``: what a reward gives on the first rows, without a model."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from t2app.cli import common, rows
from t2app.errors import T2Error

if TYPE_CHECKING:
    from t2app.data.bench import Line
    from t2app.data.trial import Trial
    from t2app.tasks.rewards import Reward

CLIP = 48  # characters of an answer


def run(args: argparse.Namespace) -> int:
    """Print what the reward gives on the first rows of the file, and what to know of it."""
    from t2app import data
    from t2app.data import bench
    from t2app.data.rows import problems_of

    table, columns = rows.read(args)
    report = data.check(table, columns, reward=rows.reward_of(args.reward), seed=args.seed)
    used = sorted((e for part in report.splits.values() for e in part), key=lambda e: e.number)
    if not used:
        raise T2Error(report.problem or f"{table.name} has no rows that can be used")
    lines = bench.lines(report.rule, problems_of(used, table, report.rule))
    if args.json:
        common.print_json(
            {
                "reward": report.reward,
                "summary": report.rule.summary,
                "trial": report.trial.to_dict() if report.trial else None,
                "rows": [line.to_dict() for line in lines],
            }
        )
    else:
        _print(report.rule, report.trial, lines)
    if report.trial and report.trial.failure:
        raise T2Error(report.trial.failure)
    return 0


def _print(rule: Reward, trial: Trial | None, lines: list[Line]) -> None:
    print(f"{rule.name}: {rule.summary}")
    for line in lines:
        score = "fails" if line.score is None else f"{line.score:.2f}"
        said = f"  {line.said}" if line.said else ""
        print(f"row {line.row:<5} {line.kind:<21} {score:>5}  {_clip(line.answer)}{said}")
    if trial and not trial.failure:
        means = {"right answers": trial.own, "other rows' answers": trial.other,
                 "the empty answer": trial.empty}  # fmt: skip
        shown = [f"{name} {value:.2f}" for name, value in means.items() if value is not None]
        print(f"on average, over {trial.rows} rows: {', '.join(shown)}")
        print(trial.words() or "Nothing speaks against it.")


def _clip(text: str) -> str:
    one = " ".join(text.split())
    return repr(one if len(one) <= CLIP else one[: CLIP - 1] + "…")
