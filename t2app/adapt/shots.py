"""Solved examples for few-shot adaptation: a handful of rows, checked like those to train on.

At most ``MOST_SHOTS`` are searched on; ``TEST`` of the rows that are left measure what was found.
Not covered: the search itself (``few_shot``).
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace

from t2app.data import Preview, check, preview
from t2app.data.check import AUTO, Report
from t2app.data.columns import Columns
from t2app.data.table import Table
from t2app.data.task import assemble
from t2app.engine import Engine
from t2app.errors import T2Error
from t2app.tasks import Problem, Task

FEWEST_SHOTS, MOST_SHOTS = 2, 10
# Of the rows that are not searched on, so many measure the result.
TEST = 500
SHOWN = 5  # rejected rows


@dataclass(frozen=True)
class Shots:
    """A task with the problems to search on, and the rest to measure by, which no search sees.

    ``notes`` are lines for people: rows that cannot be used, and the like.
    """

    task: Task
    shots: tuple[Problem, ...]
    rest: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.shots) < FEWEST_SHOTS:
            raise T2Error(_too_few(self.task.name, len(self.shots)))

    def preview(self) -> Preview:
        """The first example as it is asked and answered."""
        return preview(self.task, self.shots[0])


def read(
    table: Table,
    *,
    columns: Columns | None = None,
    reward: str = AUTO,
    shots: int = MOST_SHOTS,
    seed: int = 0,
    engine: Engine | None = None,
    test: int = TEST,
) -> Shots:
    """The examples in a table; ``shots`` of them, drawn by ``seed``, are to be searched on.

    At most ``test`` others measure the result. ``engine`` finds the rows that are too long for its
    model. Raises T2Error where fewer than ``FEWEST_SHOTS`` rows can be used, with the reason of the
    first that cannot, and Unclear where columns were guessed and lose more than half of the rows.
    """
    if test < 0:
        raise T2Error(f"{test} rows cannot measure the result: take 0 or more")
    if shots < FEWEST_SHOTS:
        raise T2Error(f"{shots} examples to search on are too few: take {FEWEST_SHOTS} or more")
    limits = (
        {"count_tokens": engine.count_tokens, "max_tokens": engine.longest_prompt} if engine else {}
    )
    # A mix is used without its examples' choices at hand, so it is searched without them.
    report = check(table, columns, reward=reward, seed=seed, tell=False, **limits)
    if report.used < FEWEST_SHOTS:
        raise T2Error(_too_few(table.name, report.used) + _first(report))
    if report.doubt:
        raise report.doubt
    task = assemble(report)
    every = [problem for rows in task.rows.values() for problem in rows]
    rng = random.Random(seed)
    drawn = set(rng.sample(range(len(every)), min(shots, len(every))))
    others = [i for i in range(len(every)) if i not in drawn]
    rest = set(rng.sample(others, min(test, len(others))))
    return Shots(
        replace(task, rows={}),
        tuple(p for i, p in enumerate(every) if i in drawn),
        tuple(p for i, p in enumerate(every) if i in rest),
        tuple(_notes(report, len(drawn), len(rest))),
    )


def _too_few(name: str, used: int) -> str:
    count = {0: "no example", 1: "one example only"}[used]
    return f"{name} has {count} that can be used: give 3 to 10 questions with their answers"


def _first(report: Report) -> str:
    if not report.rejected:
        return ""
    row = report.rejected[0]
    return f". Row {row.number} cannot: {row.reason}"


def _notes(report: Report, drawn: int, rest: int) -> Iterator[str]:
    """How the rows were read and are judged, what cannot be used, what the rest is for."""
    yield from (f"{note[:1].upper()}{note[1:]}." for note in report.notes)
    yield report.why
    if drawn == FEWEST_SHOTS:
        yield "Two examples say little about a task: many mixes will do equally well on them."
    for row in report.rejected[:SHOWN]:
        yield f"Row {row.number} is left out: {row.reason}."
    if len(report.rejected) > SHOWN:
        yield f"{len(report.rejected) - SHOWN} more rows are left out."
    others = report.used - drawn
    if others:
        measure = f"the other {others:,}" if rest == others else f"{rest:,} of the other {others:,}"
        yield f"{drawn} rows are searched on; {measure} measure the result."
