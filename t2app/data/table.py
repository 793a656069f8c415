"""Read a file of rows into a table of text: CSV and the like, JSON in its forms, labelled text.

Encoding, delimiter and header are detected and can be named; what was guessed is told in ``notes``,
and where two readings are possible Unclear is raised. A row that does not fit is rejected with its
number and a reason, a file that cannot be read is a T2Error. Not covered: Excel workbooks, and
files larger than ``MAX_BYTES``, which are refused.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from t2app.data import csv_text, shapes, transcripts
from t2app.data.building import ENOUGH, Builder, Rejected, Row, clean, short, unique_names
from t2app.data.conversations import is_conversation
from t2app.data.csv_text import DELIMITERS
from t2app.data.decode import decode
from t2app.data.json_rows import Items, items_of
from t2app.data.unclear import Unclear
from t2app.errors import T2Error

__all__ = ["DELIMITERS", "Rejected", "Row", "Table", "read_table", "table_from_cells"]

MAX_BYTES = 20 * 2**20
_MARKUP = (
    (re.compile(r"\s*<(?:!doctype html|html|table)", re.IGNORECASE), "an HTML page"),
    (re.compile(r"\s*<\?xml|\s*<(\w+)>\s*<\w+>"), "XML"),
    (re.compile(r"(?:---\s*\n)?\s*- \w+:.*\n\s+\w+:"), "YAML"),
)


@dataclass(frozen=True)
class Table:
    """Rows with named columns, and how the file was read.

    ``format`` is ``csv``, ``json lines``, ``json``, ``text`` or ``typed`` (by hand); ``delimiter``
    is None but for ``csv``. ``sha256`` is that of the file. ``notes`` are lines for people about
    how it was read. ``lists`` are the columns whose cells are JSON lists of texts, any of which is
    right where it is an answer; ``roles`` the columns whose role follows from the format.
    """

    name: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    rejected: tuple[Rejected, ...] = ()
    format: str = "csv"
    encoding: str = "utf-8"
    delimiter: str | None = None
    header: bool = True
    sha256: str = ""
    notes: tuple[str, ...] = ()
    lists: tuple[str, ...] = ()
    roles: Mapping[str, str] = field(default_factory=dict)

    def column(self, name: str) -> list[str]:
        """Every cell of a column."""
        at = self.columns.index(name)
        return [row.cells[at] for row in self.rows]

    def how(self) -> dict[str, Any]:
        """How the file was read, for people to check and for an expert's header."""
        return {
            "format": self.format,
            "encoding": self.encoding,
            "delimiter": self.delimiter,
            "header": self.header,
        }


def read_table(
    source: bytes | str | Path,
    name: str | None = None,
    *,
    encoding: str | None = None,
    delimiter: str | None = None,
    header: bool | None = None,
) -> Table:
    """Read a file, from its path or its bytes (then ``name`` says what to call it).

    ``delimiter`` is one character, or ``comma``, ``semicolon``, ``tab`` or ``pipe``. Raises T2Error
    for what cannot be read (missing, too large, empty, binary, only a header) or is refused
    (preference files, tool calls, long conversations), and Unclear where encoding or header cannot
    be told.
    """
    data, name = _bytes_of(source, name)
    if delimiter is not None:
        delimiter = csv_text.delimiter_named(delimiter)
    text, encoding = decode(data, name, encoding)
    if not text.strip():
        raise T2Error(f"{name} is empty: it needs rows with a question and an answer each")
    found = _read(text, name, delimiter, header)
    if not found.rows and not found.rejected:
        raise T2Error(f"{name} has no rows below its header ({', '.join(found.columns[:10])})")
    table = Table(
        name=name,
        columns=found.columns,
        rows=tuple(found.rows),
        rejected=tuple(found.rejected),
        format=found.format,
        encoding=encoding,
        delimiter=found.delimiter,
        header=found.header,
        sha256=hashlib.sha256(data).hexdigest(),
        notes=tuple(found.notes),
        lists=found.lists,
        roles=found.roles,
    )
    if found.open_header:
        raise _open_header(table)
    return table


def table_from_cells(
    columns: Sequence[object], rows: Sequence[Sequence[object]], name: str = "the table"
) -> Table:
    """A table that was typed or pasted; its first row has number 1. Blank rows are left out."""
    cells = [[clean("" if c is None else str(c)) for c in row] for row in rows]
    found = Builder(unique_names([str(c) for c in columns]), "typed")
    for number, row in enumerate(cells, 1):
        found.add(number, row)
    if not found.rows and not found.rejected:
        raise T2Error(f"{name} is empty: type or paste rows with a question and an answer each")
    whole = json.dumps([found.columns, cells]).encode()
    return Table(
        name,
        found.columns,
        tuple(found.rows),
        tuple(found.rejected),
        "typed",
        sha256=hashlib.sha256(whole).hexdigest(),
    )


def _bytes_of(source: bytes | str | Path, name: str | None) -> tuple[bytes, str]:
    """The bytes, never more than ``MAX_BYTES`` of them in memory, and what to call the file."""
    if isinstance(source, bytes):
        data, name = source, name or "the file"
    else:
        path = Path(source)
        name = name or path.name
        try:
            with path.open("rb") as file:
                data = file.read(MAX_BYTES + 1)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise T2Error(f"cannot read {str(path)!r}: {reason}") from error
    if len(data) > MAX_BYTES:
        raise T2Error(
            f"{name} is larger than {MAX_BYTES >> 20} MB, the most that is read; {ENOUGH}"
        )
    return data, name


def _read(text: str, name: str, delimiter: str | None, header: bool | None) -> Builder:
    """The rows, by the first format that the text has."""
    if delimiter is None:
        if (items := items_of(text, name)) is not None:
            return _of_items(items, name, header)
        _refuse_markup(text, name)
        found = transcripts.labelled_lines(text) or transcripts.transcript_rows(text, name)
        if found:
            return found
    return shapes.reshaped(csv_text.csv_rows(text, name, delimiter, header), name)


def _refuse_markup(text: str, name: str) -> None:
    """Raise T2Error for pages and documents that are text, but not rows of it."""
    for pattern, kind in _MARKUP:
        if pattern.match(text):
            raise T2Error(f"{name} is {kind}: save its rows as CSV or JSON Lines")


def _of_items(items: Items, name: str, header: bool | None) -> Builder:
    """Rows of JSON values: of objects, of lists of cells, or of texts."""
    values = [(n, {"messages": v} if is_conversation(v) else v) for n, v in items.values]
    kinds = {kind: [(n, v) for n, v in values if isinstance(v, kind)] for kind in (dict, list, str)}
    kind = max(kinds, key=lambda k: len(kinds[k]))
    if kind is list:
        rows = [(n, [clean(shapes.as_cell(cell)) for cell in v]) for n, v in kinds[list]]
        found = csv_text.rows_of_cells([r for r in rows if any(r[1])], items.kind, header)
    else:
        records = [(n, {"text": v} if isinstance(v, str) else v) for n, v in kinds[kind]]
        found = shapes.rows_of(records, items.kind, name)
    for number, value in values:
        if not isinstance(value, kind):
            reason = f"no JSON object: {short(json.dumps(value), 40)}"
            found.rejected.append(Rejected(number, reason))
    found.rejected[:0] = items.rejected
    found.notes[:0] = items.notes
    return found


def _open_header(table: Table) -> Unclear:
    """What to ask where the first row may be names or an example."""
    rows = [row.cells for row in table.rows[:2]]
    first, second = (table.columns, *rows, ())[:2] if table.header else (*rows, (), ())[:2]
    names, below = (" | ".join(short(cell, 40) for cell in cells[:4]) for cells in (first, second))
    return Unclear(
        "header",
        f"{table.name}: the first row may name the columns or be an example: {names} (then comes "
        f"{below})",
        "say which: --header if it names them, --no-header if it is an example",
        "Say below whether the first row names the columns.",
        table,
    )
