"""What happens to the rows before training: opened, read again, remapped, looked at.

Handlers: plain values in, the new values of the components they are wired to (``train_tab``) out,
in the order of ``LOOKED`` or ``OPENED``. Not covered: training itself (``train_runs``).
"""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
import pandas as pd

from t2app import data
from t2app.data.check import AUTO
from t2app.data.examples import EXAMPLES
from t2app.data.names import ROLES
from t2app.engine import Engine
from t2app.errors import T2Error
from t2app.tasks.rewards import REWARDS
from t2app.training import plan
from t2app.ui import train_draft, train_rows
from t2app.ui.asking import note
from t2app.ui.train_downloads import keep
from t2app.ui.train_draft import Draft, Reading
from t2app.ui.train_form import settings_from

Values = tuple[Any, ...]

# Components that every look at the rows sets, and those that new rows set besides.
LOOKED = (
    "draft", "ticket", "start", "row", "notice", "facts", "encoding", "delimiter", "header",
    *ROLES, "confirm", "more", "preview", "reading", "check", "rejected", "train", "plan",
    "description",
)  # fmt: skip
VIEWS = ("sources", "intro", "typing", "rows", "expert")
OPENED = (*VIEWS, "file", *LOOKED, "name", "reward")

ENCODINGS = ("utf-8", "utf-16", "cp1252", "gb18030", "big5", "shift_jis", "euc_kr", "cp1251")
DETECT = "detect"
HEADERS = {"yes": True, "no": False}
NOTHING = "—"
EMPTY_GRID = [["", ""] for _ in range(6)]
GRID_COLUMNS = ("question", "answer")
BAD_EVENT = "That could not be understood; load the page again."


def guarded(handler: Callable[..., Values], order: Sequence[str]) -> Callable[..., Values]:
    """The handler, with a line on the page where it has a defect: never an end without a word."""

    @functools.wraps(handler)
    def safe(*values: Any) -> Values:
        try:
            return handler(*values)
        except Exception as error:
            logging.getLogger(__name__).exception("in %s", handler.__name__)
            line = f"Something went wrong: {type(error).__name__}. The terminal says more."
            return _refused(line, order)

    return safe


def opened(engine: Engine, path: str | None, seed: float) -> Values:
    """A file was dropped."""
    if not path:
        return _nothing(OPENED)
    return _introduced(engine, train_draft.from_file(engine, path, seed=_whole(seed)))


def example(engine: Engine, seed: float, event: gr.EventData) -> Values:
    """One of the files to try was clicked."""
    number = _number(event, "example")
    if number is None or not 0 <= number < len(EXAMPLES):
        return _refused(BAD_EVENT, OPENED)
    path = EXAMPLES[number].path
    return _introduced(engine, train_draft.from_file(engine, path, seed=_whole(seed)))


def typed(engine: Engine, grid: pd.DataFrame, seed: float) -> Values:
    """Rows were typed; columns without a name and without anything below are left out."""
    columns, cells = cells_of(grid)
    return _introduced(engine, train_draft.from_cells(engine, columns, cells, seed=_whole(seed)))


def to_typing(draft: Draft | None) -> Values:
    """Show the grid: empty, or with the rows there are if they were typed before."""
    grid = gr.skip()
    if draft is not None and draft.source.path is None:
        grid = {"headers": list(draft.source.columns), "data": list(map(list, draft.source.cells))}
    return *_views("intro", "typing"), grid, note("")


def to_sources() -> Values:
    """Back to the choice of rows; what was typed stays in the grid."""
    return *_views("sources", "intro"), None, note("")


def _views(*shown: str) -> Values:
    """Which parts of the page are on show, in the order of ``VIEWS``."""
    return tuple(gr.update(visible=name in shown) for name in VIEWS)


def pasted(grid: pd.DataFrame, event: gr.EventData) -> Values:
    """Rows were pasted onto the grid: they go below the ones that are there."""
    text = carried(event, "text")
    if not isinstance(text, str):
        return gr.skip(), note(BAD_EVENT)
    columns, cells = cells_of(grid)
    kept = [row for row in cells if any(cell.strip() for cell in row)]
    try:
        new = data.read_table(text.encode("utf-8", "replace"), "what was pasted", encoding="utf-8")
    except data.Unclear as doubt:
        hint = "Put a row above them that says question and answer."
        return gr.skip(), note(f"{doubt.fact}. {hint}")
    except T2Error as error:
        return gr.skip(), note(str(error))
    if new.header and not kept:
        columns = list(new.columns)
    width = max(len(columns), len(new.columns))
    columns += [f"column {n + 1}" for n in range(len(columns), width)]
    rows = [*kept, *(list(row.cells) for row in new.rows)]
    padded = [[*row, *[""] * (width - len(row))] for row in rows]
    left = len(new.rejected)
    said = (
        f"{left} of the pasted rows have a wrong number of cells and were left out." if left else ""
    )
    return {"headers": columns, "data": padded}, note(said)


def cells_of(grid: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    """Names and cells of the grid as text."""
    cells = [["" if pd.isna(c) else str(c) for c in row] for row in grid.to_numpy().tolist()]
    return [str(name) for name in grid.columns], cells


def read_again(
    engine: Engine, draft: Draft | None, encoding: str, delimiter: str, header: str
) -> Values:
    """Encoding, delimiter or header were chosen by hand."""
    if draft is None:
        return _refused(BAD_EVENT, LOOKED)
    reading = Reading(
        None if encoding in (DETECT, None, "") else str(encoding),
        None if delimiter in (DETECT, None, "") else str(delimiter),
        HEADERS.get(header),
    )
    if reading == draft.reading:
        return _nothing(LOOKED)
    again = train_draft.read_again(engine, draft, reading)
    return looked(engine, again, described=draft.report is not None)


def remapped(engine: Engine, role: str, draft: Draft | None, value: Any) -> Values:
    """Another column was chosen for a role."""
    if draft is None:
        return _refused(BAD_EVENT, LOOKED)
    wanted = None if value == NOTHING else value
    # A dropdown tells the same choice twice, and the second time must not undo what came between.
    if train_draft.serves(draft, role, wanted):
        return _nothing(LOOKED)
    again = train_draft.remapped(engine, draft, role, wanted)
    return looked(engine, again, described=draft.report is not None)


def confirmed(engine: Engine, draft: Draft | None) -> Values:
    """The columns that were guessed are right, though most rows are lost with them."""
    if draft is None:
        return _refused(BAD_EVENT, LOOKED)
    if not draft.asks_columns:
        return _nothing(LOOKED)
    return looked(engine, train_draft.confirmed(engine, draft), described=True)


def rejudged(
    engine: Engine, draft: Draft | None, reward: str, seed: float, tell: bool = True
) -> Values:
    """Another reward or seed, or whether choices are told; without rows there is nothing yet."""
    chosen = (reward, _whole(seed), bool(tell))
    if draft is None or (draft.reward, draft.seed, draft.tell) == chosen:
        return _nothing(LOOKED)
    again = train_draft.rechecked(engine, draft, *chosen)
    return looked(engine, again, described=draft.report is not None)


def turned(engine: Engine, draft: Draft | None, start: int, row: int | None, event: gr.EventData):
    """Another row was chosen in the preview, or another page of it."""
    if draft is None:
        return (gr.skip(),) * 4
    chosen, first = _number(event, "row"), _number(event, "start")
    row = row if chosen is None else chosen
    start = start if first is None else max(0, first)
    reading = gr.skip() if chosen is None else train_rows.reading(engine, draft, row)
    return start, row, train_rows.preview(draft, start, row), reading


def planned(engine: Engine, draft: Draft | None, *given: Any) -> str:
    """How it will be trained, how long that takes and how much memory; some seconds of work."""
    if draft is None or draft.report is None or draft.problem:
        return ""
    try:
        task, settings = data.build(draft.report), settings_from(*given)
        with engine.turns.background():  # answers go first
            found = plan.make(engine, task, settings)
    except T2Error as error:
        return train_rows.plan_problem(str(error))
    except Exception as error:  # a defect: the estimate must not stand in the way of training
        logging.getLogger(__name__).exception("while planning")
        return train_rows.plan_problem(f"no estimate: {type(error).__name__}")
    return train_rows.plan_words(found)


def looked(engine: Engine, draft: Draft, described: bool) -> Values:
    """All that depends on the rows and how they are read, in the order of ``LOOKED``.

    A description is suggested unless these rows are ``described`` already, perhaps by hand.
    """
    row = train_rows.first_row(draft)
    rejected = draft.report.rejected_csv() if draft.report and draft.report.rejected else None
    return (
        draft,
        time.monotonic_ns(),
        0,
        row,
        note(_problem(draft)),
        train_rows.facts(draft),
        *_reading(draft),
        *(_role(draft, role) for role in ROLES),
        gr.update(visible=draft.asks_columns),
        gr.update(open=True) if draft.unread else gr.skip(),
        train_rows.preview(draft, 0, row),
        train_rows.reading(engine, draft, row),
        train_rows.check(draft),
        _download(rejected, draft.source.name),
        gr.update(interactive=draft.ready),
        train_rows.PLANNING if draft.ready else "",
        gr.skip() if described or not draft.report else draft.report.description(),
    )


def _introduced(engine: Engine, draft: Draft) -> Values:
    """A draft of new rows, with a name and a description to begin with."""
    if draft.table is None and not draft.unread:
        return _refused(_problem(draft), OPENED)
    taken = engine.library.experts()
    return (
        *_views("rows", "expert"),
        None,
        *looked(engine, draft, described=False),
        train_draft.suggested_name(draft.source.name, taken),
        gr.update(choices=reward_choices(), value=AUTO),
    )


def _problem(draft: Draft) -> str:
    return quoted(draft.problem, draft.source.name)


def quoted(line: str, name: str) -> str:
    """The line, where it begins with the file's name with that in quotation marks."""
    rest = line.removeprefix(name)
    return f"“{name}”{rest}" if rest != line else rest


def _refused(reason: str, order: Sequence[str]) -> Values:
    """Nothing changes but the notice; the place for a file is free again."""
    given = {"notice": note(reason), "run_notice": note(reason), "file": None}
    return tuple(given.get(name, gr.skip()) for name in order)


def _nothing(order: Sequence[str]) -> Values:
    return (gr.skip(),) * len(order)


def _reading(draft: Draft) -> Values:
    """The choices of encoding, delimiter and header, with what was detected."""
    table, asked = draft.table, draft.reading
    shown = draft.source.path is not None and (table is None or table.format == "csv")
    found = f" ({table.encoding})" if table and not asked.encoding else ""
    delimiter = ""
    if table and not asked.delimiter and table.delimiter:
        delimiter = f" ({train_rows.delimiter_words(table.delimiter)})"
    header = ""
    if table and asked.header is None:
        header = " (unclear)" if draft.unread else " (yes)" if table.header else " (no)"
    return (
        gr.update(
            choices=[(f"Detect{found}", DETECT), *ENCODINGS],
            value=asked.encoding or DETECT,
            visible=draft.source.path is not None,
        ),
        gr.update(
            choices=[(f"Detect{delimiter}", DETECT), *data.table.DELIMITERS],
            value=asked.delimiter or DETECT,
            visible=shown,
        ),
        gr.update(
            choices=[(f"Detect{header}", DETECT), ("Yes", "yes"), ("No", "no")],
            value={None: DETECT, True: "yes", False: "no"}[asked.header],
            visible=shown,
        ),
    )


def _role(draft: Draft, role: str) -> Any:
    """The choice of column for a role, with the one it has."""
    columns = list(draft.table.columns) if draft.table else []
    found = draft.columns.to_dict() if draft.columns else draft.roles or {}
    value = found.get(role)
    if role == "choices":
        return gr.update(choices=columns, value=list(value or ()))
    return gr.update(choices=[NOTHING, *columns], value=value or NOTHING)


def reward_choices(own: str = "") -> list[tuple[str, str]]:
    """Rewards for a dropdown, each with what it means; ``own`` is one that was typed."""
    words = [(f"{name}: {reward.summary}", name) for name, reward in REWARDS.items()]
    typed = [(f"{own}: as typed below", own)] if own else []
    return [("auto: by what the answers are", AUTO), *words, *typed]


def _download(text: str | None, source: str) -> Any:
    if text is None:
        return gr.update(visible=False)
    path = keep(text.encode("utf-8-sig"), f"{Path(source).stem}-left-out.csv")
    return gr.update(visible=True, value=path)


def carried(event: gr.EventData, key: str) -> Any:
    """What an event carries under a name; None for nothing, as browsers send what they like."""
    values = event._data
    return values.get(key) if isinstance(values, dict) else None


def _number(event: gr.EventData, key: str) -> int | None:
    """A whole number that an event carries."""
    try:
        return int(carried(event, key))
    except (TypeError, ValueError, OverflowError):
        return None


def _whole(seed: Any) -> int:
    """The seed as far as it is one; what is not is told when training begins."""
    return int(seed) if isinstance(seed, int | float) and seed == seed and abs(seed) < 2**53 else 0
