"""A table while it is read: its rows, those that do not fit, and the limits on both."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from t2app.errors import T2Error

MAX_ROWS = 50_000
MAX_COLUMNS = 200
ENOUGH = "a few hundred rows are enough to train on: keep a part of it"
_DAMAGED = re.compile("[\0\ud800-\udfff]")
_BLANK_LINES = re.compile(r"\A(?:[^\S\n]*\n)+")


@dataclass(frozen=True)
class Row:
    """The cells of one row, as many as the table has columns, and its number in the file."""

    number: int
    cells: tuple[str, ...]


@dataclass(frozen=True)
class Rejected:
    """A row that cannot be used, and why."""

    number: int
    reason: str
    cells: tuple[str, ...] = ()


@dataclass
class Builder:
    """Rows with named columns on their way to a ``Table``, whose fields these are.

    ``open_header`` says that the first row may be names or an example, and nothing tells which.
    """

    columns: tuple[str, ...]
    format: str
    delimiter: str | None = None
    header: bool = True
    open_header: bool = False
    rows: list[Row] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    lists: tuple[str, ...] = ()
    roles: dict[str, str] = field(default_factory=dict)

    def add(self, number: int, cells: list[str]) -> None:
        """Keep a row, or reject it where it has too few or too many cells; drop blank ones."""
        if not any(cells):
            return
        width = len(self.columns)
        if len(cells) > width and not any(cells[width:]):
            cells = cells[:width]
        if len(cells) != width:
            hint = ""
            if len(cells) > width and self.delimiter:
                hint = "; a cell that holds the delimiter needs quotation marks"
            reason = f"wrong number of cells: {len(cells)} instead of {width}{hint}"
            self.rejected.append(Rejected(number, reason, tuple(cells)))
            return
        self.rows.append(Row(number, tuple(cells)))


def clean(cell: str) -> str:
    """Without white space around it, and with the line breaks of Unix.

    The first line of several keeps its indentation. What is no character becomes U+FFFD.
    """
    text = _DAMAGED.sub("\ufffd", cell.replace("\r\n", "\n").replace("\r", "\n"))
    text = text.rstrip().rstrip("\x1a\ufeff").rstrip().removeprefix("\ufeff")
    return _BLANK_LINES.sub("", text) if "\n" in text else text.strip()


def unique_names(names: Sequence[str]) -> tuple[str, ...]:
    """Names without white space; ``column 2`` for an empty one, ``answer (2)`` for a repeated."""
    found: list[str] = []
    for number, name in enumerate(names, 1):
        name = " ".join(name.split()) or f"column {number}"
        candidate, copy = name, 1
        while candidate in found:
            copy += 1
            candidate = f"{name} ({copy})"
        found.append(candidate)
    return tuple(found)


def refuse_size(rows: int, columns: int, name: str) -> None:
    """Raise T2Error for more rows or columns than are read."""
    if rows > MAX_ROWS:
        raise T2Error(f"{name} has more than {MAX_ROWS:,} rows, the most that is read; {ENOUGH}")
    if columns > MAX_COLUMNS:
        raise T2Error(
            f"{name} has more than {MAX_COLUMNS} columns in row {rows}: is the delimiter right?"
        )


def short(text: str, most: int = 60) -> str:
    """Text in quotation marks on one line, cut where it is long."""
    line = " ".join(text.split())
    return repr(line if len(line) <= most else line[: most - 1] + "…")
