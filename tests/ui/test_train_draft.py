"""Drafts: read, mapped, checked; what people get wrong is told and never raised."""

from __future__ import annotations

from pathlib import Path

import pytest

from t2app.engine import Engine
from t2app.svf.library import check_name
from t2app.ui import train_draft
from t2app.ui.train_draft import Reading

ROWS = "".join(f"what is {n} plus {n}?,{2 * n}\n" for n in range(20))


@pytest.fixture
def write(tmp_path: Path):
    def make(text: str | bytes, name: str = "sums.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return make


def test_a_plain_file_is_ready_at_once(engine: Engine, write) -> None:
    draft = train_draft.from_file(engine, write(f"question,answer\n{ROWS}"))
    assert draft.ready
    assert draft.report.used == 20
    assert (draft.columns.question, draft.columns.answer) == ("question", "answer")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"PK\x03\x04rest", "Excel workbook"),
        (b"question,answer\n", "no rows"),
        (b'question,answer\n"open,1\n', "never closed"),
        (b"question,answer\na,1\nb,2\n", "at least 10"),
    ],
)
def test_what_cannot_be_trained_on_says_why(engine: Engine, write, content, said) -> None:
    draft = train_draft.from_file(engine, write(content))
    assert not draft.ready
    assert said in draft.problem
    assert "\n" not in draft.problem
    assert "--" not in draft.problem


def test_columns_that_cannot_be_guessed_are_asked_for(engine: Engine, write) -> None:
    rows = "".join(
        f"the thing number {n},the other number {n},some number {n}\n" for n in range(20)
    )
    draft = train_draft.from_file(engine, write("foo,bar,baz\n" + rows))
    assert "it is not clear which column is the question" in draft.problem
    assert draft.problem.endswith("Choose the question and the answer below.")
    draft = train_draft.remapped(engine, draft, "question", "foo")
    assert "right answer" in draft.problem
    draft = train_draft.remapped(engine, draft, "answer", "baz")
    assert draft.ready
    assert (draft.columns.question, draft.columns.answer) == ("foo", "baz")


def test_a_first_row_that_may_be_either_is_asked_about_until_it_is_said(engine, write) -> None:
    rows = "".join(f"{text},{text[::-1]}\n" for text in "abc bcd cde def efg fgh ghi hij".split())
    draft = train_draft.from_file(engine, write("hello,hi\n" + rows))
    assert "the first row may name the columns" in draft.problem
    assert "--" not in draft.problem
    assert draft.table is not None, "its rows are shown meanwhile"
    again = train_draft.rechecked(engine, draft, "exact", 1)
    assert again.problem == draft.problem
    said = train_draft.read_again(engine, draft, train_draft.Reading(header=False))
    assert len(said.table.rows) == 9


def test_a_column_that_is_taken_trades_places(engine: Engine, write) -> None:
    draft = train_draft.from_file(engine, write(f"question,answer\n{ROWS}"))
    draft = train_draft.remapped(engine, draft, "question", "answer")
    assert (draft.columns.question, draft.columns.answer) == ("answer", "question")


def test_a_column_of_options_can_be_taken_away(engine: Engine, write) -> None:
    rows = "".join(f"q{n},one {n},two {n},{'AB'[n % 2]}\n" for n in range(20))
    draft = train_draft.from_file(engine, write("question,A,B,answer\n" + rows))
    assert draft.columns.choices == ("A", "B")
    draft = train_draft.remapped(engine, draft, "choices", [])
    assert draft.columns.choices == ()
    assert draft.ready
    draft = train_draft.remapped(engine, draft, "choices", ["A", "B"])
    assert draft.columns.choices == ("A", "B")
    draft = train_draft.remapped(engine, draft, "context", "B")
    assert draft.columns.choices == ("A",)


def test_no_column_and_unknown_columns(engine: Engine, write) -> None:
    draft = train_draft.from_file(engine, write(f"question,answer\n{ROWS}"))
    assert "right answer" in train_draft.remapped(engine, draft, "answer", None).problem
    assert "no column 'nope'" in train_draft.remapped(engine, draft, "answer", "nope").problem
    assert train_draft.remapped(engine, draft, "no role", "answer") is draft


def test_another_encoding_and_back(engine: Engine, write) -> None:
    text = f"question;answer\nwie groß?;1\n{ROWS.replace(',', ';')}"
    draft = train_draft.from_file(engine, write(text.encode("cp1252")))
    assert draft.table.column("question")[0] == "wie groß?"
    broken = train_draft.read_again(engine, draft, Reading(encoding="utf-8"))
    assert "is not utf-8" in broken.problem
    assert broken.table is None
    assert train_draft.read_again(engine, broken, Reading()).ready


def test_a_delimiter_and_a_header_by_hand(engine: Engine, write) -> None:
    draft = train_draft.from_file(engine, write(ROWS))
    assert not draft.table.header
    draft = train_draft.read_again(engine, draft, Reading(header=True))
    assert draft.table.columns[0].startswith("what is 0")
    draft = train_draft.read_again(engine, draft, Reading(delimiter="tab"))
    assert len(draft.table.columns) == 1
    assert not draft.ready


def test_typed_rows(engine: Engine) -> None:
    cells = [[f"q{n}", f"{n}"] for n in range(12)]
    assert train_draft.from_cells(engine, ["question", "answer"], cells).ready
    empty = train_draft.from_cells(engine, ["question", "answer"], [["", ""]])
    assert "is empty" in empty.problem


def test_a_seed_changes_the_split_and_a_reward_the_judge(engine: Engine, write) -> None:
    draft = train_draft.from_file(engine, write(f"question,answer\n{ROWS}"))
    other = train_draft.rechecked(engine, draft, "contains", 7)
    assert other.report.splits["test"] != draft.report.splits["test"]
    assert (draft.report.reward, other.report.reward) == ("numeric", "contains")
    assert "needs a column of tests" in train_draft.rechecked(engine, draft, "code", 0).problem


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("Über Data.csv", "uber-data"),
        ("größen.csv", "grossen"),
        ("sums.csv", "sums-2"),
        ("base.csv", "my-base"),
        ("数据.csv", "my-expert"),
        ("x" * 80 + ".csv", "x" * 37),
        ("--__--.csv", "my-expert"),
    ],
)
def test_suggested_names_are_names(source: str, name: str) -> None:
    found = train_draft.suggested_name(source, {"sums"})
    assert found == name
    assert check_name(found) == found


def test_numbered_names_stay_short_enough() -> None:
    name = "n" * 41
    assert check_name(train_draft.numbered(name, {name})) == "n" * 37 + "-2"
