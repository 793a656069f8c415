"""Answers that are labels, and the ways that people write one."""

from __future__ import annotations

import pytest

from t2app.data.labels import closed, codes, merge_words, most_frequent, spellings


@pytest.mark.parametrize(
    ("golds", "labels"),
    [
        (["spam"] * 5 + ["ham"] * 7, ("ham", "spam")),
        (["Spam", "spam ", "spam", "HAM", "ham", "ham."] * 3, ("HAM", "Spam")),
        (["是", "否"] * 8, ("否", "是")),
        (["yes"] * 20, None),  # one label is nothing to tell apart
        (["a", "b", "c"], None),  # they do not repeat
        ([f"label {n % 100}" for n in range(400)], 100),
        ([f"label {n % 101}" for n in range(1000)], None),
        ([" ".join(["word"] * 30) + str(n % 2) for n in range(40)], None),  # too long
        ([], None),
    ],
)
def test_closed_sets(golds: list[str], labels: tuple[str, ...] | int | None) -> None:
    found = closed(golds)
    if isinstance(labels, int):
        assert found is not None
        assert len(found) == labels
    else:
        assert found == labels


REVIEWS = ["It broke after a day.", "Great!", "Fine for 20 dollars.", "Bought 2, both in 2021."]
SUMS = [f"What is {a} + {b}?" for a in range(5) for b in range(5)]


@pytest.mark.parametrize(
    ("golds", "questions", "labels"),
    [
        (["0", "1"] * 8, REVIEWS * 4, ("0", "1")),
        (["0", "4"] * 8, REVIEWS * 4, ("0", "4")),
        (["1", "-1", "0"] * 12, REVIEWS * 9, ("-1", "0", "1")),
        (["5", "1", "3", "2", "4"] * 8, REVIEWS * 10, ("1", "2", "3", "4", "5")),
        (["1.0", "0.0"] * 8, REVIEWS * 4, ("0.0", "1.0")),
        (["1 star", "5 stars"] * 8, REVIEWS * 4, ("1 star", "5 stars")),
        (["0", "1"] * 8, ["age 39, income 5100"] * 16, ("0", "1")),  # two are always labels
        (["spam", "ham"] * 8, REVIEWS * 4, None),
        (["1", "1.0", "0"] * 8, REVIEWS * 6, None),  # two spellings of one number
        (["0.5", "1"] * 8, REVIEWS * 4, None),
        (["1000", "2000"] * 8, REVIEWS * 4, None),
        (["0", "1"] * 8 + ["2"], REVIEWS * 4, None),  # one of them does not repeat
        ([str(n % 11) for n in range(110)], REVIEWS, None),
        ([str(a + b) for a in range(5) for b in range(5)] * 2, SUMS * 2, None),  # sums repeat too
        ([str(1 + n % 3) for n in range(24)], SUMS[:24], None),
        ([str(n) for n in range(12)], REVIEWS * 3, None),
    ],
)
def test_numbers_that_stand_for_classes(
    golds: list[str], questions: list[str], labels: tuple[str, ...] | None
) -> None:
    assert codes(golds, questions) == labels


def test_the_most_frequent_spelling_is_kept() -> None:
    golds = ["Spam", "spam", "spam", "SPAM ", "ham", "Ham."]
    kept = spellings(golds)
    assert kept == {"spam": "spam", "ham": "Ham."}
    assert spellings(golds[::-1]) == kept, "whatever the order of the rows"
    assert merge_words(golds, kept) == (
        "Labels that differ only in case, blanks or final punctuation are read as one: 'ham' as "
        "'Ham.'; 'SPAM ', 'Spam' as 'spam'."
    )
    assert merge_words(["a", "b"], spellings(["a", "b"])) == ""


def test_many_merged_labels_are_counted() -> None:
    golds = [f"{spell(word)}" for word in ("ab", "cd", "ef", "gh", "ij")
             for spell in (str, str.upper, str.title)]  # fmt: skip
    words = merge_words(golds, spellings(golds))
    assert words.endswith("and 2 labels more.")


@pytest.mark.parametrize(
    ("golds", "most"),
    [(["a", "b", "b"], "b"), (["B", "b", "b ", "a", "a"], "B"), (["b", "a"], "a"), ([], None)],
)
def test_the_most_frequent_answer(golds: list[str], most: str | None) -> None:
    assert most_frequent(golds) == most
