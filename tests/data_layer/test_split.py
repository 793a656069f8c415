"""Sides of the split: every label on each as far as there are rows; decided by hash and seed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from t2app.data.split import split

SIDES = ("train", "validation", "test")


@dataclass(frozen=True)
class Row:
    number: int
    question: str
    system: str | None = None


def rows_of(counts: dict[str, int]) -> tuple[list[Row], list[str]]:
    labels = [label for label, n in counts.items() for _ in range(n)]
    return [Row(i, f"question {i}") for i in range(len(labels))], labels


def counted(counts: dict[str, int], seed: int = 0) -> dict[str, dict[str, int]]:
    """Rows of each label on each side."""
    rows, labels = rows_of(counts)
    found = split(rows, seed, labels)
    return {side: dict(Counter(labels[r.number] for r in found[side])) for side in SIDES}


@pytest.mark.parametrize("seed", range(5))
def test_every_side_has_the_rare_label(seed: int) -> None:
    assert counted({"fine": 110, "fraud": 10}, seed) == {
        "train": {"fine": 67, "fraud": 5},
        "validation": {"fine": 16, "fraud": 2},
        "test": {"fine": 27, "fraud": 3},
    }


@pytest.mark.parametrize(
    ("rare", "sides"),
    [
        (1, {"train": 1}),
        (2, {"train": 1, "test": 1}),
        (3, {"train": 1, "validation": 1, "test": 1}),
        (4, {"train": 2, "validation": 1, "test": 1}),
        (8, {"train": 5, "validation": 1, "test": 2}),
    ],
)
def test_as_far_as_there_are_rows(rare: int, sides: dict[str, int]) -> None:
    found = counted({"usual": 100, "rare": rare})
    assert {side: c["rare"] for side, c in found.items() if "rare" in c} == sides


def test_shares_stay_what_they_were() -> None:
    found = counted({"a": 50, "b": 30, "c": 20})
    assert {side: sum(c.values()) for side, c in found.items()} == {
        "train": 60, "validation": 15, "test": 25
    }  # fmt: skip
    rows, _ = rows_of({"x": 3000})
    assert {side: len(part) for side, part in split(rows, 0).items()} == {
        "train": 2300, "validation": 200, "test": 500
    }  # fmt: skip


def test_hundred_labels_of_four_rows() -> None:
    found = counted({f"label {n}": 4 for n in range(100)})
    assert {len(c) for c in found.values()} == {100}


def test_one_question_in_two_spellings_stays_on_one_side() -> None:
    rows = [
        Row(2 * i + j, word) for i in range(40) for j, word in enumerate((f"q{i} x", f"Q{i}  X"))
    ]
    labels = ["a" if r.number < 60 else "b" for r in rows]
    for side in split(rows, 1, labels).values():
        numbers = {r.number for r in side}
        assert all(n ^ 1 in numbers for n in numbers)


COUNTS = st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 40), min_size=1)


@settings(deadline=None)
@given(COUNTS, st.integers(0, 9), st.randoms())
def test_any_labels(counts: dict[str, int], seed: int, shuffled) -> None:
    rows, labels = rows_of(counts)
    found = split(rows, seed, labels)
    numbers = [r.number for side in found.values() for r in side]
    assert sorted(numbers) == [r.number for r in rows]
    assert all(side == tuple(sorted(side, key=lambda r: r.number)) for side in found.values())
    pairs = list(zip(rows, labels, strict=True))
    shuffled.shuffle(pairs)
    assert split([r for r, _ in pairs], seed, [x for _, x in pairs]) == found
    for label, n in counts.items() if len(counts) > 1 else ():
        sides = [any(labels[r.number] == label for r in found[side]) for side in SIDES]
        assert sum(sides) >= min(n, 3), (label, n, sides)
