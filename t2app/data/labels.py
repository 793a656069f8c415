"""Answers that are labels: few texts that repeat, such as spam and ham."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence

from t2app.tasks.text import length, normalise, short

# More different answers than this are treated as free ones.
MOST_LABELS = 100
# Rows that a label has on average, at least.
REPEATS = 4
LABEL_WORDS = 25


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
