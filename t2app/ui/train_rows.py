"""Rows as HTML: the preview, what the model reads of one row, and the report of the check.

Everything from a file is escaped, so HTML and formulas show as the text they are. Pure functions.
"""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from t2app.data import Columns, Report
from t2app.data.asked import Example
from t2app.engine import Engine
from t2app.errors import T2Error
from t2app.training.plan import Plan
from t2app.ui.train_draft import Draft

PAGE = 8
REJECTED_SHOWN = 50
ALSO_SHOWN = 5  # other right answers of a row
# A cell in the preview; the row that is chosen is shown whole.
CELL_CHARACTERS = 300
MOST_COLUMNS = 12

PLANNING = '<p class="t2-quiet">Trying a few rows to see how to train …</p>'
SPLITS = {
    "train": ("train", "to train on"),
    "validation": ("choose", "to choose the best step by"),
    "test": ("test", "held out, to measure before and after"),
}
USED_FOR = {
    "train": "The model trains on this row.",
    "validation": "The best step is chosen by this row and others.",
    "test": "This row is held out, to measure before and after.",
}
ROLE_WORDS = {
    "question": "question",
    "answer": "answer",
    "context": "context",
    "choices": "option",
    "tests": "tests",
    "system": "system",
}


@dataclass(frozen=True)
class Line:
    """A row of the file and what becomes of it: a split, or why it is rejected."""

    number: int
    cells: tuple[str, ...]
    split: str = ""
    reason: str = ""


def lines(draft: Draft) -> list[Line]:
    """Every row of the file in its order, rejected ones too."""
    if draft.table is None:
        return []
    fates = {}
    rejected = draft.report.rejected if draft.report else draft.table.rejected
    if draft.report:
        fates = {e.number: s for s, rows in draft.report.splits.items() for e in rows}
    reasons = {row.number: row.reason for row in rejected}
    found = [
        Line(row.number, row.cells, fates.get(row.number, ""), reasons.get(row.number, ""))
        for row in draft.table.rows
    ]
    found += [Line(row.number, row.cells, reason=row.reason) for row in draft.table.rejected]
    return sorted(found, key=lambda line: line.number)


def preview(draft: Draft, start: int, chosen: int | None) -> str:
    """Rows from position ``start`` on as a table; a click on one carries its number."""
    if draft.table is None:
        return ""
    found = lines(draft)
    start = max(0, min(start, len(found) - 1))
    shown = found[start : start + PAGE]
    body = "".join(_row(line, line.number == chosen) for line in shown)
    return (
        f'<div class="t2-table-wrap"><table class="t2-table"><thead><tr><th>Row</th>'
        f"{''.join(_heads(draft))}<th></th></tr></thead><tbody>{body}</tbody></table></div>"
        f"{_pager(start, len(shown), len(found))}"
    )


def _heads(draft: Draft) -> Iterator[str]:
    assert draft.table is not None
    roles = _roles(draft.columns) if draft.columns else {}
    for name in draft.table.columns[:MOST_COLUMNS]:
        role = roles.get(name)
        tag = f'<span class="t2-role">{ROLE_WORDS[role]}</span>' if role else ""
        yield f'<th class="{"t2-used" if role else ""}">{html.escape(name)}{tag}</th>'
    more = len(draft.table.columns) - MOST_COLUMNS
    if more > 0:
        yield f"<th>and {more} more</th>"


def _roles(columns: Columns) -> dict[str, str]:
    """The role of each column that has one."""
    found = {}
    for role, names in columns.to_dict().items():
        for name in [names] if isinstance(names, str) else names:
            found[name] = role
    return found


def _row(line: Line, chosen: bool) -> str:
    state = "t2-chosen" if chosen else "t2-bad" if line.reason else ""
    fate = ""
    if line.split:
        fate = f'<span class="t2-tag t2-{line.split}">{SPLITS[line.split][0]}</span>'
    elif line.reason:
        kind = html.escape(line.reason.split(":")[0])
        fate = f'<span class="t2-tag t2-rejected">{kind}</span>'
    cells = "".join(
        f'<td><div dir="auto">{html.escape(_clip(cell))}</div></td>'
        for cell in line.cells[:MOST_COLUMNS]
    )
    more = "<td>…</td>" if len(line.cells) > MOST_COLUMNS else ""
    return (
        f'<tr class="{state}" data-row="{line.number}"><td><button type="button" '
        f'aria-label="Show row {line.number}" aria-pressed="{str(chosen).lower()}">{line.number}'
        f"</button></td>{cells}{more}<td>{fate}</td></tr>"
    )


def _pager(start: int, shown: int, total: int) -> str:
    if total <= PAGE:
        return ""
    back, on = max(0, start - PAGE), start + PAGE
    return (
        '<div class="t2-pager">'
        f'<button type="button" data-start="{back}" aria-label="Earlier rows"'
        f"{'' if start else ' disabled'}>‹</button>"
        f"<span>{start + 1:,} to {start + shown:,} of {total:,}</span>"
        f'<button type="button" data-start="{on}" aria-label="Later rows"'
        f"{' disabled' if on >= total else ''}>›</button></div>"
    )


def reading(engine: Engine, draft: Draft, number: int | None) -> str:
    """Exactly the text that the model reads of a row, and what counts as right; or why not."""
    if draft.table is None or number is None:
        return ""
    example = _example(draft.report, number)
    if example is None or draft.report is None:
        line = next((line for line in lines(draft) if line.number == number), None)
        if line is None or not line.reason:
            return ""
        cells = "\n".join(f"{c}" for c in line.cells if c)
        return (
            f"<h3>Row {number} is left out</h3>"
            f'<p class="t2-quiet">{html.escape(_sentence(line.reason))}</p>{_pre(cells)}'
        )
    try:
        closed = draft.report.closed
        ids = engine.prompt_ids(example.messages(closed.instruction if closed else ""))
    except T2Error as error:  # another model than the one it was checked for
        return f'<p class="t2-quiet">{html.escape(_sentence(str(error)))}</p>'
    text = engine.tokenizer.decode(ids)
    rule = draft.report.rule.summary
    tested = draft.report.rule.uses("code")
    learned = f"<h3>Answer to learn from</h3>{_pre(example.answer)}" if tested else ""
    also = f'<p class="t2-quiet">Also right: {_listed(example.also)}.</p>' if example.also else ""
    return (
        f"<h3>What the model reads of row {number}</h3>{_pre(text)}"
        f'<p class="t2-quiet">{len(ids):,} tokens, with the marks that the model was trained on. '
        f"{USED_FOR[_split(draft.report, number)]}</p>"
        f"{learned if example.answer else ''}<h3>{'Tests' if tested else 'Right answer'}</h3>"
        f"{_pre(example.gold)}{also}"
        f'<p class="t2-quiet">How an answer is judged: {html.escape(rule)}.</p>'
    )


def _example(report: Report | None, number: int) -> Example | None:
    if report is None:
        return None
    every = (e for rows in report.splits.values() for e in rows)
    return next((e for e in every if e.number == number), None)


def _split(report: Report, number: int) -> str:
    return next(s for s, rows in report.splits.items() if any(e.number == number for e in rows))


def first_row(draft: Draft) -> int | None:
    """The row to begin with: the first that is trained on."""
    if draft.report and draft.report.splits["train"]:
        return draft.report.splits["train"][0].number
    found = lines(draft)
    return found[0].number if found else None


def check(draft: Draft) -> str:
    """The report before training: rows used and where they go, how an answer is judged."""
    report = draft.report
    if report is None:
        return ""
    counts = report.counts()
    return (
        f"{_bar(counts)}"
        f'<p class="t2-say">{html.escape(_sentence(report.why))}</p>'
        f"{_notes(report)}{_rejected(report)}"
    )


def _notes(report: Report) -> str:
    """What was found out about the file by looking at it, so that a wrong guess is seen."""
    items = "".join(f"<li>{html.escape(_sentence(_clip(note)))}</li>" for note in report.notes)
    return f'<ul class="t2-quiet">{items}</ul>' if items else ""


def _bar(counts: dict[str, int]) -> str:
    """Rows of each kind as one bar with a legend."""
    kinds = [*((split, words[1]) for split, words in SPLITS.items()), ("rejected", "left out")]
    used = [(kind, words, counts[kind]) for kind, words in kinds if counts.get(kind)]
    parts = "".join(f'<i class="t2-{kind}" style="flex-grow:{n}"></i>' for kind, _, n in used)
    legend = "".join(
        f'<li><i class="t2-{kind}"></i><b>{n:,}</b> {words}</li>' for kind, words, n in used
    )
    total = sum(n for kind, _, n in used if kind != "rejected")
    every = sum(n for *_, n in used)
    head = f"{total:,} rows" if total == every else f"{total:,} of {every:,} rows"
    return (
        f'<p class="t2-say"><b>{head}</b> can be used.</p>'
        f'<div class="t2-split" aria-hidden="true">{parts}</div><ul class="t2-legend">{legend}</ul>'
    )


def _rejected(report: Report) -> str:
    rows: Sequence = report.rejected[:REJECTED_SHOWN]
    if not rows:
        return ""
    items = "".join(
        f"<li><b>Row {row.number}</b> {html.escape(_clip(row.reason))}</li>" for row in rows
    )
    more = len(report.rejected) - len(rows)
    rest = f"<li>and {more:,} more; the file has them all</li>" if more else ""
    left = len(report.rejected)
    word = "1 row is" if left == 1 else f"{left:,} rows are"
    return (
        f'<details class="t2-rejects"><summary>{word} left out: why?</summary>'
        f"<ul>{items}{rest}</ul></details>"
    )


def plan_words(found: Plan) -> str:
    """How it will be trained and what that takes."""
    return (
        f'<p class="t2-say">{html.escape(_sentence(found.why))}</p>'
        f'<p class="t2-takes"><b>Takes</b> {html.escape(found.words())}.</p>'
    )


def plan_problem(reason: str) -> str:
    """Why there is no plan."""
    return f'<p class="t2-say t2-warn">{html.escape(_sentence(reason))}</p>'


def facts(draft: Draft) -> str:
    """How the file was read, in a line."""
    table = draft.table
    name = html.escape(draft.source.name)
    if table is None:
        return f'<div class="t2-file"><b>{name}</b></div>'
    rows = len(table.rows) + len(table.rejected)
    said = [f"{rows:,} {'row' if rows == 1 else 'rows'}", f"{len(table.columns)} columns"]
    if table.format == "csv":
        said += [table.encoding.upper(), f"separated by {delimiter_words(table.delimiter)}"]
        header = "first row is the header" if table.header else "no header"
        said.append("first row: header or example?" if draft.unread else header)
    elif table.format != "typed":
        said += [table.format.replace("json", "JSON"), table.encoding.upper()]
    words = "".join(f"<span>{html.escape(part)}</span>" for part in said)
    return f'<div class="t2-file"><b>{name}</b>{words}</div>'


def delimiter_words(delimiter: str | None) -> str:
    """``;`` -> ``semicolons``."""
    names = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "pipes"}
    return names.get(delimiter or ",", repr(delimiter))


def _pre(text: str) -> str:
    return f'<pre class="t2-pre" dir="auto">{html.escape(text)}</pre>'


def _listed(texts: Sequence[str]) -> str:
    """The first few, escaped."""
    more = len(texts) - ALSO_SHOWN
    shown = ", ".join(html.escape(_clip(text)) for text in texts[:ALSO_SHOWN])
    return f"{shown} and {more:,} more" if more > 0 else shown


def _clip(text: str) -> str:
    return text if len(text) <= CELL_CHARACTERS else text[: CELL_CHARACTERS - 1] + "…"


def _sentence(text: str) -> str:
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "?", "!")) else f"{text}."
