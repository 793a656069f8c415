"""Rows to train on, to choose by and to measure on: decided by a hash, alike for every label.

Rows with the same question, but for case and white space, stay on one side. The split depends on
questions, labels and seed, not on the order of the rows. Not covered: near-duplicates that are
worded differently.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Protocol, TypeVar, get_args

from t2app.tasks.base import Split

TEST_SHARE, MOST_TEST = 0.25, 500
VALIDATION_SHARE, MOST_VALIDATION = 0.15, 200
# Rows that a label needs before one of them is held out, and one chosen by.
FOR_TEST, FOR_VALIDATION = 2, 3


class Asked(Protocol):
    """What a split has to know of a row."""

    @property
    def number(self) -> int:
        """Its place in the file."""

    @property
    def question(self) -> str:
        """All that is asked."""

    @property
    def system(self) -> str | None:
        """Its system prompt, if it has one."""


Row = TypeVar("Row", bound=Asked)


def same_question(row: Asked) -> str:
    """Equal for rows that ask the same, but for white space."""
    return " ".join(f"{row.system or ''}\0{row.question}".split())


def split(
    rows: Sequence[Row], seed: int, labels: Sequence[str] | None = None
) -> dict[Split, tuple[Row, ...]]:
    """Training, validation and test rows, each in the order of the file.

    Questions are ranked by a hash of seed and text, and shares cut from the ranking. ``labels`` has
    the label of each row where answers are few labels: then every side gets its share of each, and
    of a rare one a row as far as there are any (the first trains, the second is held out, the third
    chooses).
    """
    groups: dict[str, list[Row]] = defaultdict(list)
    strata: dict[str, dict[str, None]] = defaultdict(dict)
    label_of: dict[str, str] = {}
    for row, label in zip(rows, labels or [""] * len(rows), strict=True):
        question = same_question(row).casefold()
        groups[question].append(row)
        label_of[question] = min(label, label_of.get(question, label))
    for question, label in label_of.items():
        strata[label][question] = None
    counts = {label: sum(len(groups[q]) for q in found) for label, found in strata.items()}
    tests = _quotas(counts, _wanted(len(rows), TEST_SHARE, MOST_TEST), FOR_TEST)
    choosing = _quotas(
        counts, _wanted(len(rows), VALIDATION_SHARE, MOST_VALIDATION), FOR_VALIDATION
    )
    found: dict[Split, list[Row]] = {side: [] for side in get_args(Split)}
    for label, questions in strata.items():
        wanted = {"test": tests[label], "validation": choosing[label], "train": len(rows)}
        taken = dict.fromkeys(wanted, 0)
        for question in sorted(questions, key=lambda q: _rank(seed, q)):
            side: Split = next(s for s, n in wanted.items() if taken[s] < n)
            found[side] += groups[question]
            taken[side] += len(groups[question])
    return {side: tuple(sorted(part, key=lambda r: r.number)) for side, part in found.items()}


def _rank(seed: int, question: str) -> bytes:
    return hashlib.sha256(f"{seed}/{question}".encode()).digest()


def _wanted(rows: int, share: float, most: int) -> int:
    return min(most, max(2, round(share * rows)))


def _quotas(counts: Mapping[str, int], wanted: int, least: int) -> dict[str, int]:
    """How many rows of each label make ``wanted``: its share, and 1 where it has ``least`` rows.

    What is left goes to the largest remainders (Hare and Niemeyer), of equals to the rarer label.
    So the sum is ``wanted``, unless rare labels need more.
    """
    total = sum(counts.values())
    shares = {label: n * wanted / total for label, n in counts.items()}
    found = {
        label: max(int(share), 1 if counts[label] >= least and len(counts) > 1 else 0)
        for label, share in shares.items()
    }
    left = wanted - sum(found.values())
    by_remainder = sorted(shares, key=lambda x: (found[x] - shares[x], counts[x], x))
    for label in by_remainder[: max(0, left)]:
        if found[label] < shares[label]:
            found[label] += 1
    return found
