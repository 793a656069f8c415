"""Which column is which."""

from __future__ import annotations

from pathlib import Path

import pytest

from t2app.data.columns import Columns, guess, parse
from t2app.data.names import option_letter, role_rank
from t2app.data.table import Table, read_table, table_from_cells
from t2app.errors import T2Error

FILES = Path(__file__).resolve().parent.parent / "data" / "csv"
ABCD = ("A", "B", "C", "D")


def table(*columns: str, rows: int = 2) -> Table:
    return table_from_cells(columns, [[f"{c} {n}" for c in columns] for n in range(rows)], "f.csv")


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (("question", "answer"), Columns("question", "answer")),
        (("Answer", " Question "), Columns("Question", "Answer")),
        (("prompt", "completion"), Columns("prompt", "completion")),
        (("text", "label"), Columns("text", "label")),
        (("input", "target"), Columns("input", "target")),
        (("Frage", "Antwort"), Columns("Frage", "Antwort")),
        (("instruction", "input", "output"), Columns("instruction", "output", "input")),
        (("question", "context", "answer"), Columns("question", "answer", "context")),
        (("system", "user", "assistant"), Columns("user", "assistant", system="system")),
        (("question", *ABCD, "answer"), Columns("question", "answer", choices=ABCD)),
        (("D", "C", "B", "A", "q", "answer"), Columns("q", "answer", choices=ABCD)),
        (
            ("stem", "option_a", "option_b", "correct answer"),
            Columns("stem", "correct answer", choices=("option_a", "option_b")),
        ),
        (
            ("question", "choice1", "choice2", "choice3", "label"),
            Columns("question", "label", choices=("choice1", "choice2", "choice3")),
        ),
        (("question", "choices", "answer"), Columns("question", "answer", choices=("choices",))),
        (("prompt", "tests"), Columns("prompt", tests="tests")),
        (("task_id", "text", "code", "test_list"), Columns("text", "code", tests="test_list")),
        (
            ("question_id", "question_text", "final_answer"),
            Columns("question_text", "final_answer"),
        ),
        (("foo", "bar"), Columns("foo", "bar")),
        (("question", "bar"), Columns("question", "bar")),
        (("foo", "label"), Columns("foo", "label")),
    ],
)
def test_guesses(columns: tuple[str, ...], expected: Columns) -> None:
    assert guess(table(*columns)) == expected


def test_guesses_from_files() -> None:
    exam = guess(read_table(FILES / "no-header-exam.csv"))
    assert exam == Columns(
        "column 1", "column 6", choices=tuple(f"column {n}" for n in range(2, 6))
    )
    assert guess(read_table(FILES / "no-header.csv")) == Columns("column 1", "column 2")
    assert guess(read_table(FILES / "index-and-id.csv")) == Columns(
        "prompt_text", "ground truth label"
    )


def test_row_numbers_are_no_answer() -> None:
    rows = [[str(n), f"why {n}", "so"] for n in range(5)]
    assert guess(table_from_cells(["", "foo", "bar"], rows)) == Columns("foo", "bar")


@pytest.mark.parametrize("columns", [("text",), ("foo", "bar", "baz"), ("question",)])
def test_columns_that_cannot_be_told_are_named(columns: tuple[str, ...]) -> None:
    with pytest.raises(T2Error, match=r"f\.csv: it is not clear which column is the .*answer") as e:
        guess(table(*columns))
    assert all(repr(name) in str(e.value) for name in columns)


def test_roles_can_be_given() -> None:
    three = table("foo", "bar", "baz")
    assert guess(three, {"question": "baz", "answer": "FOO"}) == Columns("baz", "foo")
    assert guess(three, {"question": "baz", "answer": "foo", "system": "bar"}).system == "bar"
    alpaca = table("instruction", "input", "output")
    assert guess(alpaca, {"context": None}) == Columns("instruction", "output")
    assert guess(alpaca, {"answer": "input"}) == Columns("instruction", "input")
    quiz = table("question", "w", "x", "answer")
    assert guess(quiz, {"choices": "w+x"}).choices == ("w", "x")
    assert guess(quiz, {"choices": ["w", "x"]}).choices == ("w", "x")
    assert guess(table("question", "A", "B", "answer"), {"choices": ""}).choices == ()


def test_given_roles_that_are_wrong() -> None:
    with pytest.raises(T2Error, match=r"no column 'anser'\. Did you mean 'answer'\? It has 'q"):
        guess(table("question", "answer"), {"answer": "anser"})
    with pytest.raises(T2Error, match="'reply' is no role of a column: choose from question"):
        guess(table("question", "answer"), {"reply": "answer"})


def test_roles_on_the_command_line() -> None:
    assert parse("question=Frage,answer=Antwort") == {"question": "Frage", "answer": "Antwort"}
    assert parse("question=a, b and c, answer = d=e") == {"question": "a, b and c", "answer": "d=e"}
    assert parse("choices=A+B,context=") == {"choices": "A+B", "context": ""}
    for bad in ("", "Frage", "foo=bar", "x,question=a"):
        with pytest.raises(T2Error, match="is not a choice of columns: write question=NAME"):
            parse(bad)


def test_names() -> None:
    assert role_rank("The Answer:", "answer") is not None
    assert role_rank("answer_id", "answer") is None
    assert role_rank("operating system", "system") is None
    letters = ["A", "b)", "Option C", "answer_d", "choice 5", "answer", "5", "class a", "i"]
    assert [option_letter(x) for x in letters] == ["A", "B", "C", "D", "E", None, None, None, None]


def test_what_an_expert_keeps() -> None:
    assert Columns("q", "a", choices=("A", "B")).to_dict() == {
        "question": "q",
        "answer": "a",
        "choices": ["A", "B"],
    }
