"""Rows as HTML: what is shown, and that nothing in a cell can mean anything."""

from __future__ import annotations

from html import unescape
from pathlib import Path

import pytest

from t2app.engine import Engine
from t2app.ui import train_draft, train_rows
from t2app.ui.train_draft import Draft

NASTY = "<img src=x onerror=alert(1)>=cmd|' /C calc'!A0"


@pytest.fixture
def draft(engine: Engine, tmp_path: Path) -> Draft:
    """20 good rows; row 5 is empty, row 7 a duplicate, row 9 nasty."""
    rows = [f"what is {n} plus {n}?,{2 * n}" for n in range(20)]
    rows[3] = "no answer?,"
    rows[5] = rows[0]
    rows[7] = f'"{NASTY}",8'
    path = tmp_path / "sums.csv"
    path.write_text("question,answer\n" + "\n".join(rows))
    return train_draft.from_file(engine, path)


def test_the_preview_has_every_row_with_what_becomes_of_it(draft: Draft) -> None:
    found = {line.number: line for line in train_rows.lines(draft)}
    assert sorted(found) == list(range(2, 22))
    assert found[5].reason.startswith("empty cell")
    assert found[7].reason.startswith("duplicate")
    assert {found[n].split for n in found if not found[n].reason} == {"train", "validation", "test"}


def test_rejected_rows_of_the_file_itself_are_in_the_preview(engine: Engine, tmp_path) -> None:
    rows = "\n".join(f"q{n},{n}" for n in range(12))
    path = tmp_path / "a.csv"
    path.write_text(f"question,answer\n{rows}\none,two,three\n")
    lines = train_rows.lines(train_draft.from_file(engine, path))
    assert [line.reason[:12] for line in lines if line.reason] == ["wrong number"]


def test_pages_of_the_preview(draft: Draft) -> None:
    first, last = (train_rows.preview(draft, start, 2) for start in (0, 16))
    assert first.count("data-row=") == train_rows.PAGE
    assert "1 to 8 of 20" in first
    assert last.count("data-row=") == 4
    assert train_rows.preview(draft, 10**9, None).count("data-row=") == 1


def test_cells_are_shown_as_text(engine: Engine, draft: Draft) -> None:
    for shown in (
        train_rows.preview(draft, 0, 9),
        train_rows.reading(engine, draft, 9),
        train_rows.check(draft),
    ):
        assert "<img" not in shown
    assert NASTY in unescape(train_rows.preview(draft, 0, 9))


def test_the_model_reads_exactly_this(engine: Engine, draft: Draft) -> None:
    number = train_rows.first_row(draft)
    example = next(e for e in draft.report.splits["train"] if e.number == number)
    shown = unescape(train_rows.reading(engine, draft, number))
    ids = engine.prompt_ids(example.messages())
    assert f">{engine.tokenizer.decode(ids)}</pre>" in shown
    assert f"{len(ids)} tokens" in shown
    assert "the marked result, or the last number, is the right number" in shown


def test_a_rejected_row_says_why(engine: Engine, draft: Draft) -> None:
    assert "Empty cell: nothing in 'answer'" in unescape(train_rows.reading(engine, draft, 5))
    assert train_rows.reading(engine, draft, 999) == ""


def test_the_report_counts_and_explains(draft: Draft) -> None:
    shown = unescape(train_rows.check(draft))
    assert "18 of 20 rows</b> can be used" in shown
    assert "The answers are numbers" in shown
    assert "Row 5</b> empty cell" in shown


def test_how_the_file_was_read(draft: Draft) -> None:
    shown = train_rows.facts(draft)
    for words in ("sums.csv", "20 rows", "UTF-8", "separated by commas", "first row is the header"):
        assert words in shown
