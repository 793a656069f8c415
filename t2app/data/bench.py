"""What a reward gives on the first rows of a file: to the right answer, another's, and nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from t2app.data.trial import given, others
from t2app.errors import T2Error
from t2app.tasks import own
from t2app.tasks.base import Problem
from t2app.tasks.rewards import Reward

ROWS = 8
RIGHT, OTHER, EMPTY = "the right answer", "another row's answer", "the empty answer"
# A function that fails on so many answers is not tried on more.
MOST_FAILURES = 3


@dataclass(frozen=True)
class Line:
    """What a reward gives to an answer of a row; ``score`` is None where it fails, as ``said``."""

    row: int
    kind: str
    answer: str
    score: float | None
    said: str = ""

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


def lines(rule: Reward, problems: Sequence[Problem], rows: int = ROWS) -> list[Line]:
    """Every kind of answer to the first rows, row by row, until too many fail."""
    shown = list(problems)[:rows]
    other = dict(zip([p.number for p in shown], others(rule, problems, shown), strict=False))
    found: list[Line] = []
    for problem in shown:
        answers = ((RIGHT, given(rule, problem)), (OTHER, other.get(problem.number)), (EMPTY, ""))
        for kind, answer in answers:
            if answer is not None:
                found.append(_line(rule, problem, kind, answer))
        if sum(line.score is None for line in found) >= MOST_FAILURES:
            break
    return found


def _line(rule: Reward, problem: Problem, kind: str, answer: str) -> Line:
    try:
        score = rule.score([problem], [answer])[0]
    except T2Error as error:
        return Line(problem.number, kind, answer, None, str(error))
    printed = [
        one.printed.strip()
        for name, source in rule.sources
        for one in own.given(name, source, [problem], [answer])
        if one.printed.strip()
    ]
    said = f"prints {printed[0]!r}, which does not count" if printed else ""
    return Line(problem.number, kind, answer, round(score, 4), said)
