"""Options in cells, and the letters of gold answers."""

from __future__ import annotations

import pytest

from t2app.data.choices import below, from_cell, from_cells, letters

CAT_DOG = (("A", "cat"), ("B", "dog"))


@pytest.mark.parametrize(
    "cell",
    [
        '["cat", "dog"]',
        "['cat', 'dog']",
        '{"text": ["cat", "dog"], "label": ["A", "B"]}',
        '{"A": "cat", "B": "dog"}',
        "A) cat B) dog",
        "(A) cat\n(B) dog",
        "A. cat, B. dog",
        "cat\ndog",
        "cat | dog",
        "cat; dog;",
    ],
)
def test_options_in_one_cell(cell: str) -> None:
    assert from_cell(cell) == CAT_DOG


@pytest.mark.parametrize("cell", ["", "cat", "[]", "[1", "|".join("abcdefghij"), "B) cat A) dog"])
def test_what_is_no_list_of_options(cell: str) -> None:
    assert from_cell(cell) == ()


def test_an_empty_column_keeps_its_letter_free() -> None:
    assert from_cells(["cat", "", "dog", ""]) == (("A", "cat"), ("C", "dog"))


def test_the_question_with_its_options() -> None:
    assert below("Which?", CAT_DOG) == "Which?\nA) cat\nB) dog"


@pytest.mark.parametrize(
    ("golds", "expected"),
    [
        (["A", "b", "(B)", "B) dog", "a."], ["A", "B", "B", "B", "A"]),
        (["cat", "Dog.", "B"], ["A", "B", "B"]),
        (["0", "1", "1"], ["A", "B", "B"]),
        (["1", "2", "2"], ["A", "B", "B"]),
        (["C", "cow", "2"], [None, None, "B"]),
    ],
)
def test_gold_answers_as_letters(golds: list[str], expected: list[str | None]) -> None:
    assert letters(golds, [CAT_DOG] * len(golds)) == expected


def test_options_that_are_numbers() -> None:
    options = (("A", "2"), ("B", "1"), ("C", "7"))
    assert letters(["7", "2", "1"], [options] * 3) == ["C", "A", "B"]
    assert letters(["0", "2", "1"], [options] * 3) == ["A", "C", "B"]


def test_letters_without_options() -> None:
    assert letters(["A", "c", "no"], [(), (), ()]) == ["A", "C", None]
