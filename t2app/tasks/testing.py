"""Whether programs pass tests: single calls and scripts, many at a time, in the sandbox."""

from __future__ import annotations

from collections.abc import Sequence

from t2app.errors import T2Error
from t2app.tasks import asserts, sandbox, scripts
from t2app.tasks.asserts import Tests
from t2app.tasks.programs import complete

# Scripts that are tried before training; each costs a process.
MOST_TRIED = 500


def passed(cells: Sequence[str], questions: Sequence[str], answers: Sequence[str]) -> list[bool]:
    """Whether the program in each answer passes the tests in the cell beside it.

    The question may give a part of the program. Raises T2Error for unreadable tests.
    """
    tests = [asserts.read(cell) for cell in cells]
    found = [False] * len(cells)
    single = [i for i, t in enumerate(tests) if not t.script]
    for i, right in zip(single, _singles(tests, questions, answers, single), strict=True):
        found[i] = right
    for script in dict.fromkeys(t for t in tests if t.script):
        rows = [i for i, t in enumerate(tests) if t == script]
        judged = scripts.passed(script, [questions[i] for i in rows], [answers[i] for i in rows])
        for i, right in zip(rows, judged, strict=True):
            found[i] = right
    return found


def _singles(
    tests: Sequence[Tests], questions: Sequence[str], answers: Sequence[str], rows: Sequence[int]
) -> list[bool]:
    jobs = [
        (
            complete(questions[i], answers[i], tests[i].function),
            tests[i].function,
            [arguments for arguments, _ in tests[i].cases],
        )
        for i in rows
    ]
    return [
        outcome.status == "ok"
        and all(
            asserts.same(got, want)
            for got, (_, want) in zip(outcome.values, tests[i].cases, strict=True)
        )
        for i, outcome in zip(rows, sandbox.run_many(jobs), strict=True)
    ]


def unusable(cells: Sequence[str]) -> list[str | None]:
    """For each cell why its tests cannot be used; None where they can.

    Of scripts the first ``MOST_TRIED`` are run without a program.
    """
    found: list[str | None] = []
    open_: dict[int, Tests] = {}
    for i, cell in enumerate(cells):
        try:
            tests = asserts.read(cell)
        except T2Error as error:
            found.append(str(error))
            continue
        found.append(None)
        if tests.script and len(open_) < MOST_TRIED:
            open_[i] = tests
    for i, reason in zip(open_, scripts.unusable(list(open_.values())), strict=True):
        found[i] = reason
    return found
