"""Answers that are labels, and the ways that people write one."""

from __future__ import annotations

import pytest

from t2app.data.labels import closed, merge_words, most_frequent, spellings


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
