"""Answers that are labels: few texts that repeat, such as spam and ham."""

from __future__ import annotations

import re
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence

from t2app.tasks.numbers import is_number, number_in
from t2app.tasks.text import length, normalise, short

_NUMBERS = re.compile(r"\d+")
# More different answers than this are treated as free ones.
MOST_LABELS = 100
# Rows that a label has on average, at least.
REPEATS = 4
LABEL_WORDS = 25
# Whole numbers that stand for classes: so many different ones at most, none larger than this.
MOST_CODES, LARGEST_CODE = 10, 100
# Two, or three in so many rows, are classes whatever is asked.
CERTAIN_ROWS = 30


def closed(golds: Sequence[str]) -> tuple[str, ...] | None:
    """The labels, the most frequent first, where answers are a closed set; None where they are not.

    Spellings that differ only in case, blanks or punctuation at the end are one label.
    """
    spelled = spellings(golds)
    if not 2 <= len(spelled) <= MOST_LABELS or not repeat(golds, len(spelled)):
        return None
    counts = Counter(map(normalise, golds))
    ranked = sorted(spelled, key=lambda key: (-counts[key], key))
    return tuple(spelled[key] for key in ranked)


def codes(golds: Sequence[str], questions: Sequence[str] = ()) -> tuple[str, ...] | None:
    """The labels, in order, where answers are numbers that stand for classes; else None.

    Such as 0 and 1, or 1 to 5 for stars: few whole numbers, each in several rows. More than two may
    as well be results, and are where most questions hold two numbers to reckon with.
    """
    labels = closed(golds)
    if not labels or len(labels) > MOST_CODES or min(Counter(map(normalise, golds)).values()) < 2:
        return None
    values = [number_in(label) if is_number(label) else None for label in labels]
    if any(v is None or v.denominator > 1 or abs(v) > LARGEST_CODE for v in values):
        return None
    if len({*values}) < len(labels):  # 1 and 1.0 are one number
        return None
    certain = len(labels) == 2 or (len(labels) == 3 and len(golds) >= CERTAIN_ROWS)
    reckoned = sum(len(_NUMBERS.findall(question)) > 1 for question in questions)
    if not certain and 2 * reckoned > len(questions):
        return None
    return tuple(label for _, label in sorted(zip(values, labels, strict=True)))


def repeat(golds: Sequence[str], different: int) -> bool:
    """Whether answers repeat often enough, and are short enough, to be labels."""
    if not golds or REPEATS * different > len(golds):
        return False
    return statistics.median(map(length, golds)) <= LABEL_WORDS


def often(golds: Sequence[str]) -> float:
    """The share of answers that occur more than once."""
    counts = Counter(map(normalise, golds))
    return sum(n for n in counts.values() if n > 1) / max(1, len(golds))


def spellings(golds: Sequence[str]) -> dict[str, str]:
    """For each answer, as compared, its most frequent spelling (of equals, the first by letter)."""
    counts: dict[str, Counter[str]] = {}
    for gold in golds:
        counts.setdefault(normalise(gold), Counter())[gold] += 1
    return {key: min(c, key=lambda text: (-c[text], text)) for key, c in counts.items()}


def merge_words(golds: Sequence[str], spelled: Mapping[str, str]) -> str:
    """Which spellings were merged into which, in a sentence; empty where none was."""
    others: dict[str, set[str]] = {}
    for gold in golds:
        kept = spelled[normalise(gold)]
        if gold != kept:
            others.setdefault(kept, set()).add(gold)
    if not others:
        return ""
    shown = [
        f"{', '.join(short(text) for text in sorted(found)[:3])}"
        f"{' and more' if len(found) > 3 else ''} as {short(kept)}"
        for kept, found in sorted(others.items())[:3]
    ]
    more = f" and {len(others) - 3} labels more" if len(others) > 3 else ""
    return (
        "Labels that differ only in case, blanks or final punctuation are read as one: "
        f"{'; '.join(shown)}{more}."
    )


def most_frequent(golds: Sequence[str]) -> str | None:
    """The most frequent answer in its most frequent spelling; None without answers."""
    counts = Counter(map(normalise, golds))
    if not counts:
        return None
    key = min(counts, key=lambda text: (-counts[text], text))
    return spellings([gold for gold in golds if normalise(gold) == key])[key]
