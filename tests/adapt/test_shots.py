"""Solved examples from a file: which can be used, which are searched on, what is said of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from t2app.adapt import shots
from t2app.adapt.shots import Shots
from t2app.data import Unclear, read_table, table_from_cells
from t2app.data.columns import Columns
from t2app.errors import T2Error

ROWS = [["What is 2 + 3?", "5"], ["What is 4 + 4?", "8"], ["What is 9 - 2?", "7"]]


def table(rows: list[list[str]]):
    return table_from_cells(["question", "answer"], rows, "shots")


def test_a_few_rows_are_examples():
    found = shots.read(table(ROWS))
    assert {p.question for p in found.shots} == {row[0] for row in ROWS}
    assert found.rest == ()
    assert found.task.reward == "numeric"
    problem = next(p for p in found.shots if p.question == "What is 4 + 4?")
    assert found.task.score([problem, problem], ["It is 8.", "9"]) == [1.0, 0.0]


def test_rows_that_are_not_searched_on_measure_the_result():
    rows = [[f"What is {n} + 1?", str(n + 1)] for n in range(25)]
    found = shots.read(table(rows), shots=5)
    assert (len(found.shots), len(found.rest)) == (5, 20)
    assert not set(found.shots) & set(found.rest)
    assert "5 rows are searched on; the other 20 measure the result." in found.notes
    assert shots.read(table(rows), shots=5).shots == found.shots
    assert shots.read(table(rows), shots=5, seed=1).shots != found.shots


def test_so_many_rows_measure_the_result():
    rows = [[f"What is {n} + 1?", str(n + 1)] for n in range(600)]
    found = shots.read(table(rows), shots=5)
    assert len(found.rest) == shots.TEST == 500
    assert "5 rows are searched on; 500 of the other 595 measure the result." in found.notes
    fewer = shots.read(table(rows), shots=5, test=20)
    assert fewer.shots == found.shots
    assert len(fewer.rest) == 20
    assert not set(fewer.shots) & set(fewer.rest)


def test_a_file(tmp_path: Path):
    file = tmp_path / "shots.csv"
    file.write_text("question;answer\n" + "\n".join(";".join(row) for row in ROWS))
    assert len(shots.read(read_table(str(file))).shots) == 3


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (ROWS[:1], r"shots has one example only .*: give 3 to 10"),
        ([], r"shots"),
        ([[ROWS[0][0], ""], ROWS[1]], r"one example only.*Row 1 cannot: empty cell"),
        (
            [[q, "nothing"] for q, _ in ROWS],
            r"no example.*Row 1 cannot: unreadable answer: no number",
        ),
        (
            [[ROWS[0][0], "5"], [ROWS[0][0], "6"]],
            r"no example.*Row 1 cannot: conflicting answers: row 2 answers the same question",
        ),
    ],
)
def test_what_cannot_be_searched_on(rows, message):
    with pytest.raises(T2Error, match=message) as error:
        shots.read(table(rows), reward="numeric")
    assert "\n" not in str(error.value)


def test_rows_that_cannot_be_used_are_named_and_the_rest_goes_on():
    more = ["What is 5 + 5?", "10"]
    rows = [*ROWS, ["What is 1 + 1?", "two"], [ROWS[0][0], "6"], more]
    found = shots.read(table(rows), reward="numeric")
    assert {p.question for p in found.shots} == {ROWS[1][0], ROWS[2][0], more[0]}
    notes = " ".join(found.notes)
    assert "Row 4 is left out: unreadable answer: no number in 'two'." in notes
    assert "Row 1 is left out: conflicting answers" in notes
    assert "Row 5 is left out: conflicting answers" in notes
    assert "Two examples say little" in " ".join(shots.read(table(ROWS), shots=2).notes)


def test_guessed_columns_that_lose_more_than_half_of_the_rows_are_asked_about():
    given = table([*ROWS[:2], *([f"What is {n} + 1?", ""] for n in range(3))])
    with pytest.raises(Unclear, match="shots has 2 rows that can be used of 5"):
        shots.read(given)
    named = Columns("question", "answer")
    assert len(shots.read(given, columns=named).shots) == 2


def test_an_example_as_it_is_asked_and_answered():
    shown = shots.read(table(ROWS)).preview()
    assert shown.number == 1
    assert shown.messages[-2:] == (
        {"role": "user", "content": ROWS[0][0]},
        {"role": "assistant", "content": "5"},
    )


def test_a_row_too_long_for_the_model_is_left_out(engine):
    rows = [*ROWS, ["word " * 5000, "1"]]
    found = shots.read(table(rows), engine=engine)
    assert len(found.shots) == 3
    assert any("Row 4 is left out: too long" in line for line in found.notes)


def test_fewer_than_two_make_no_search():
    with pytest.raises(T2Error, match="1 examples to search on are too few"):
        shots.read(table(ROWS), shots=1)
    whole = shots.read(table(ROWS))
    with pytest.raises(T2Error, match="one example only"):
        Shots(whole.task, whole.shots[:1])
