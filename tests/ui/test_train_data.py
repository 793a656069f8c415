"""Handlers of the rows: every answer of theirs fits the components, whatever is sent."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import gradio as gr
import pandas as pd
import pytest

from t2app.data.examples import EXAMPLES
from t2app.engine import Engine
from t2app.ui import train_data

ROWS = "".join(f"what is {n} plus {n}?,{2 * n}\n" for n in range(20))


def event(**values: Any) -> gr.EventData:
    return gr.EventData(None, values)


def named(order: tuple[str, ...], values: tuple[Any, ...]) -> dict[str, Any]:
    return dict(zip(order, values, strict=True))


def opened(values: tuple[Any, ...]) -> dict[str, Any]:
    return named(train_data.OPENED, values)


def looked(values: tuple[Any, ...]) -> dict[str, Any]:
    return named(train_data.LOOKED, values)


@pytest.fixture
def sums(tmp_path: Path) -> str:
    path = tmp_path / "sums.csv"
    path.write_text(f"question,answer\n{ROWS}no answer?,\n")
    return str(path)


def test_a_file_fills_the_whole_form(engine: Engine, sums: str) -> None:
    shown = opened(train_data.opened(engine, sums, 0))
    assert shown["draft"].ready
    assert (shown["name"], shown["reward"]["value"]) == ("sums", "auto")
    assert shown["description"]
    assert shown["train"]["interactive"]
    assert shown["question"]["value"] == "question"
    assert shown["context"]["value"] == train_data.NOTHING
    assert [shown[view]["visible"] for view in train_data.VIEWS] == [False] * 3 + [True] * 2
    assert not shown["notice"]["visible"]


def test_an_unreadable_file_leaves_the_page_as_it_is(engine: Engine, tmp_path: Path) -> None:
    path = tmp_path / "book.xlsx"
    path.write_bytes(b"PK\x03\x04")
    shown = opened(train_data.opened(engine, str(path), 0))
    assert "“book.xlsx” is an Excel workbook" in shown["notice"]["value"]
    assert shown["draft"] == gr.skip()
    assert shown["file"] is None


def test_rows_left_out_can_be_downloaded(engine: Engine, sums: str) -> None:
    shown = opened(train_data.opened(engine, sums, 0))
    text = Path(shown["rejected"]["value"]).read_text("utf-8-sig")
    assert list(csv.reader(io.StringIO(text)))[1][:2] == ["22", "empty cell: nothing in 'answer'"]
    assert Path(shown["rejected"]["value"]).name == "sums-left-out.csv"


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_every_example_can_be_trained_on(engine: Engine, number: int) -> None:
    shown = opened(train_data.example(engine, 0, event(example=str(number))))
    assert shown["draft"].ready, shown["draft"].problem


@pytest.mark.parametrize("sent", [{}, {"example": "-1"}, {"example": "99"}, {"example": [1]}, None])
def test_what_no_page_sends_is_refused(engine: Engine, sent: Any) -> None:
    shown = opened(train_data.example(engine, 0, gr.EventData(None, sent)))
    assert "load the page again" in shown["notice"]["value"]
    assert looked(train_data.read_again(engine, None, "", "", ""))["notice"]["visible"]
    assert looked(train_data.remapped(engine, "question", None, "x"))["notice"]["visible"]


def test_remap_and_reread(engine: Engine, sums: str) -> None:
    draft = opened(train_data.opened(engine, sums, 0))["draft"]
    shown = looked(train_data.remapped(engine, "answer", draft, train_data.NOTHING))
    assert not shown["train"]["interactive"]
    assert "right answer" in shown["notice"]["value"]
    shown = looked(train_data.read_again(engine, draft, "cp1252", "detect", "no"))
    assert shown["encoding"]["value"] == "cp1252"
    assert shown["header"]["value"] == "no"
    assert "columns" not in shown["delimiter"]
    bad = looked(train_data.read_again(engine, draft, "klingon", "detect", "detect"))
    assert "not an encoding" in bad["notice"]["value"]


def test_another_reward_and_seed(engine: Engine, sums: str) -> None:
    draft = opened(train_data.opened(engine, sums, 0))["draft"]
    assert looked(train_data.rejudged(engine, draft, "exact", 5))["draft"].seed == 5
    bad = looked(train_data.rejudged(engine, draft, "nonsense", float("nan")))
    assert "Unknown reward" in bad["notice"]["value"]
    assert set(map(str, train_data.rejudged(engine, None, "exact", 5))) == {str(gr.skip())}


def test_the_same_choice_again_changes_nothing(engine: Engine, sums: str) -> None:
    draft = opened(train_data.opened(engine, sums, 0))["draft"]
    for values in (
        train_data.remapped(engine, "question", draft, "question"),
        train_data.remapped(engine, "context", draft, train_data.NOTHING),
        train_data.remapped(engine, "choices", draft, []),
        train_data.read_again(engine, draft, "detect", "detect", "detect"),
        train_data.rejudged(engine, draft, "auto", 0),
    ):
        assert all(value == gr.skip() for value in values)


def test_guessed_columns_that_lose_most_rows_can_be_confirmed(
    engine: Engine, sums: str, tmp_path: Path
) -> None:
    path = tmp_path / "few answers.csv"
    rows = [f"what is {n} plus 1?,{n + 1 if n < 12 else ''}\n" for n in range(40)]
    path.write_text("question,answer\n" + "".join(rows))
    shown = opened(train_data.opened(engine, str(path), 0))
    assert "has 12 rows that can be used of 40" in shown["notice"]["value"]
    assert "Say below that these columns are right" in shown["notice"]["value"]
    assert shown["confirm"] == gr.update(visible=True)
    assert not shown["train"]["interactive"]
    shown = looked(train_data.confirmed(engine, shown["draft"]))
    assert shown["draft"].ready
    assert shown["confirm"] == gr.update(visible=False)
    assert shown["train"]["interactive"]
    assert shown["question"]["value"] == "question"
    again = train_data.confirmed(engine, shown["draft"])
    assert all(value == gr.skip() for value in again)
    sure = opened(train_data.opened(engine, sums, 0))
    assert sure["confirm"] == gr.update(visible=False)


def test_what_has_to_be_chosen_is_unfolded(engine: Engine, sums: str, tmp_path: Path) -> None:
    path = tmp_path / "open.csv"
    path.write_text("hello,hi\nbye,see you\nthanks,welcome\n")
    asked = opened(train_data.opened(engine, str(path), 0))
    assert "first row may name the columns" in asked["notice"]["value"]
    assert asked["more"] == gr.update(open=True)
    assert opened(train_data.opened(engine, sums, 0))["more"] == gr.skip()


def test_a_click_shows_a_row_and_another_page(engine: Engine, sums: str) -> None:
    draft = opened(train_data.opened(engine, sums, 0))["draft"]
    start, row, preview, reading = train_data.turned(engine, draft, 0, 2, event(row="7"))
    assert (start, row) == (0, 7)
    assert "row 7" in reading
    assert 'data-row="7"' in preview
    start, row, _, reading = train_data.turned(engine, draft, 0, 7, event(start="8"))
    assert (start, row, reading) == (8, 7, gr.skip())


def test_typed_rows(engine: Engine) -> None:
    grid = pd.DataFrame([[f"q{n}", n] for n in range(12)], columns=["question", "answer"])
    assert opened(train_data.typed(engine, grid, 0))["draft"].ready
    empty = pd.DataFrame([["", None]], columns=["question", "answer"])
    assert "is empty" in opened(train_data.typed(engine, empty, 0))["notice"]["value"]


@pytest.mark.parametrize("separator", ["\t", ",", ";"])
def test_pasted_rows_go_below_those_there_are(separator: str) -> None:
    grid = pd.DataFrame([["mine", "1"], ["", ""]], columns=["question", "answer"])
    text = "\n".join(f"pasted {n}{separator}{n}" for n in range(3))
    new, notice = train_data.pasted(grid, event(text=text))
    assert [row[0] for row in new["data"]] == ["mine", "pasted 0", "pasted 1", "pasted 2"]
    assert not notice["visible"]


def test_pasted_names_of_columns_are_taken_by_an_empty_table() -> None:
    grid = pd.DataFrame([["", ""]], columns=["question", "answer"])
    new, _ = train_data.pasted(grid, event(text="prompt\tcontext\tanswer\na\tb\tc\nd\te\tf"))
    assert new["headers"] == ["prompt", "context", "answer"]
    assert new["data"] == [["a", "b", "c"], ["d", "e", "f"]]


def test_a_paste_without_rows_is_refused() -> None:
    grid = pd.DataFrame([["", ""]], columns=["question", "answer"])
    assert train_data.pasted(grid, event(text="  "))[1]["visible"]
    assert train_data.pasted(grid, event())[1]["visible"]


def test_typed_rows_come_back_to_the_table(engine: Engine) -> None:
    grid = pd.DataFrame([[f"q{n}", str(n)] for n in range(12)], columns=["question", "answer"])
    draft = opened(train_data.typed(engine, grid, 0))["draft"]
    *views, shown, _ = train_data.to_typing(draft)
    assert len(views) == len(train_data.VIEWS)
    assert shown["data"][3] == ["q3", "3"]


def test_the_plan_says_what_it_takes_or_why_there_is_none(engine: Engine, sums: str) -> None:
    draft = opened(train_data.opened(engine, sums, 0))["draft"]
    given = ("auto", 2, 15, 2, 2, 0.2, 0.0, 0.0, "both", False, 0)
    assert "MB of memory" in train_data.planned(engine, draft, *given)
    assert "Steps is empty" in train_data.planned(engine, draft, "auto", None, *given[2:])
    assert "must not be below 0" in train_data.planned(engine, draft, "auto", -1, *given[2:])
    assert train_data.planned(engine, None, *given) == ""


def test_a_defect_says_so_on_the_page(engine: Engine) -> None:
    def broken(engine: Engine) -> tuple[Any, ...]:
        raise KeyError("x")

    shown = looked(train_data.guarded(broken, train_data.LOOKED)(engine))
    assert "KeyError" in shown["notice"]["value"]
