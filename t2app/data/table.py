"""Read a file of rows: CSV with any usual delimiter, JSON Lines, or a JSON array.

Encoding, delimiter and header are detected and can be named. Rows keep the number that a
spreadsheet shows for them (the header is row 1, blank rows count); in JSON it is the line or the
item. A row that does not fit is rejected with its number and a reason, a file that cannot be read
is a T2Error. Not covered: Excel workbooks, and files larger than ``MAX_BYTES``, which are refused.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from t2app.data.decode import decode
from t2app.data.names import is_known
from t2app.errors import T2Error

MAX_BYTES = 20 * 2**20
MAX_ROWS = 50_000
MAX_COLUMNS = 200
MAX_RECORD = 1_000_000
ENOUGH = "a few hundred rows are enough to train on: keep a part of it"
DELIMITERS = {"tab": "\t", "pipe": "|", "semicolon": ";", "comma": ","}  # rarest in text first
_SAMPLE_CHARACTERS, _SAMPLE_RECORDS = 200_000, 200
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


@dataclass(frozen=True)
class Table:
    """Rows with named columns, and how the file was read.

    ``format`` is ``csv``, ``json lines``, ``json`` or ``typed`` (by hand); ``delimiter`` is None
    but for ``csv``. ``sha256`` is that of the file.
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
    for what cannot be read: missing, too large, empty, binary, only a header.
    """
    data, name = _bytes_of(source, name)
    if delimiter is not None:
        delimiter = _delimiter_named(delimiter)
    text, encoding = decode(data, name, encoding)
    if not text.strip():
        raise T2Error(f"{name} is empty: it needs rows with a question and an answer each")
    found = None if delimiter else _json_rows(text, name)
    if found is None:
        found = _csv_rows(text, name, delimiter, header)
    if not found.rows and not found.rejected:
        raise T2Error(f"{name} has no rows below its header ({_listed(found.columns)})")
    return Table(
        name=name,
        columns=found.columns,
        rows=tuple(found.rows),
        rejected=tuple(found.rejected),
        format=found.format,
        encoding=encoding,
        delimiter=found.delimiter,
        header=found.header,
        sha256=hashlib.sha256(data).hexdigest(),
    )


def table_from_cells(
    columns: Sequence[object], rows: Sequence[Sequence[object]], name: str = "the table"
) -> Table:
    """A table that was typed or pasted; its first row has number 1. Blank rows are left out."""
    cells = [[_clean("" if c is None else str(c)) for c in row] for row in rows]
    found = _Found(_unique_names([str(c) for c in columns]), "typed")
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


@dataclass
class _Found:
    """A table while it is read."""

    columns: tuple[str, ...]
    format: str
    delimiter: str | None = None
    header: bool = True
    rows: list[Row] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)

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
            self.rejected.append(
                Rejected(
                    number,
                    f"wrong number of cells: {len(cells)} instead of {width}{hint}",
                    tuple(cells),
                )
            )
            return
        self.rows.append(Row(number, tuple(cells)))


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


def _delimiter_named(delimiter: str) -> str:
    found = DELIMITERS.get(delimiter.strip().lower(), delimiter.replace("\\t", "\t"))
    if len(found) != 1 or found in '"\r\n\0 ':
        raise T2Error(
            f"{delimiter!r} is not a delimiter: give one character, or {', '.join(DELIMITERS)}"
        )
    return found


# -- JSON --------------------------------------------------------------------------------------


def _json_rows(text: str, name: str) -> _Found | None:
    """Rows of JSON Lines or of a JSON array; None where the text is neither."""
    start = text.lstrip()
    says_json = name.lower().endswith((".jsonl", ".ndjson", ".json"))
    if start.startswith("["):
        items = _loaded(start)
        if isinstance(items, list) and any(isinstance(item, dict) for item in items):
            return _from_objects(list(enumerate(items, 1)), "json", name)
    elif start.startswith("{") or says_json:
        lines = [(n, line) for n, line in enumerate(text.split("\n"), 1) if line.strip()]
        first = _loaded(lines[0][1])
        if isinstance(first, dict):
            return _from_objects(((n, _loaded(line)) for n, line in lines), "json lines", name)
    if says_json:
        raise T2Error(
            f"{name} is not JSON Lines: every line must be one object such as "
            '{"question": "...", "answer": "..."}'
        )
    return None


def _loaded(text: str) -> Any:
    """The value of JSON text; a ValueError where it is none, as a value."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        return ValueError(str(error))


def _from_objects(items: Any, kind: str, name: str) -> _Found:
    objects: list[tuple[int, dict[str, Any]]] = []
    rejected: list[Rejected] = []
    columns: dict[str, None] = {}
    for number, item in items:
        if isinstance(item, dict):
            item = {_clean(key): value for key, value in item.items()}
            columns |= dict.fromkeys(item)
            objects.append((number, item))
        else:
            why = f": {item}" if isinstance(item, ValueError) else ""
            rejected.append(Rejected(number, f"no JSON object{why}"))
        _refuse_size(len(objects) + len(rejected), len(columns), name)
    found = _Found(_unique_names(list(columns)), kind, rejected=rejected)
    for number, item in objects:
        found.add(number, [_as_cell(item.get(key)) for key in columns])
    return found


def _as_cell(value: Any) -> str:
    """Text as it is, nothing for null, and other values as JSON."""
    if value is None:
        return ""
    return _clean(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


# -- CSV ---------------------------------------------------------------------------------------


def _csv_rows(text: str, name: str, delimiter: str | None, header: bool | None) -> _Found:
    hint = re.match(r"sep=(.)\r?\n", text, re.IGNORECASE)  # Excel writes and reads this line
    if hint:
        text, delimiter = text[hint.end() :], delimiter or hint[1]
    delimiter = delimiter or _guess_delimiter(text)
    sample = [cells for _, cells in _sample(text, delimiter) if any(cells)]
    if not sample:
        list(_records(text, delimiter, name))  # says what is wrong with the first row
        raise T2Error(f"{name} has no rows: it needs a question and an answer in each")
    header = _has_header(sample) if header is None else header
    names = sample[0] if header else [""] * _usual_width(sample)
    found = _Found((), "csv", delimiter, header)
    kept = [(number, cells) for number, cells in _records(text, delimiter, name) if any(cells)]
    kept = kept[1:] if header else kept
    found.columns = _unique_names(_without_empty_end(names, [cells for _, cells in kept]))
    for number, cells in kept:
        found.add(number, cells)
    return found


def _without_empty_end(names: list[str], rows: list[list[str]]) -> list[str]:
    """Excel writes delimiters for columns that once held something: drop them."""
    width = len(names)
    while width and not names[width - 1] and not any(any(r[width - 1 : width]) for r in rows):
        width -= 1
    return names[:width]


class _Lines:
    """The physical lines of a text for ``csv.reader``, and those of the current record."""

    def __init__(self, text: str, name: str) -> None:
        self._lines = io.StringIO(text, newline="")
        self._name = name
        self.begin(1)

    def begin(self, record: int) -> None:
        """From here on lines belong to another record."""
        self.record, self.taken, self._size = record, [], 0

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self.taken.append(line)
        self._size += len(line)
        if self._size > MAX_RECORD:
            raise T2Error(
                f"{self._name}: row {self.record} has more than {MAX_RECORD:,} characters; "
                "is a quotation mark never closed?"
            )
        return line


def _records(text: str, delimiter: str, name: str) -> Iterator[tuple[int, list[str]]]:
    """Every record with its number; raises T2Error where the file's structure is broken."""
    lines = _Lines(text, name)
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True)
    number, last = 0, []
    while True:
        number, last = number + 1, lines.taken
        lines.begin(number)
        try:
            cells = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            raise T2Error(
                f"{name}: row {number} cannot be read ({error}); is a quotation mark never closed?"
            ) from error
        _refuse_size(number, len(cells), name)
        yield number, [_clean(cell) for cell in cells]
    if _is_open(last, delimiter):
        raise T2Error(
            f"{name}: row {number - 1} opens a quotation mark that is never closed: "
            + repr(last[0].strip()[:60])
        )


def _is_open(lines: list[str], delimiter: str) -> bool:
    """Whether the last record ends inside quotation marks, which the reader only says if strict."""
    try:
        list(csv.reader(lines, delimiter=delimiter, skipinitialspace=True, strict=True))
    except csv.Error as error:
        return "unexpected end of data" in str(error)
    return False


def _sample(text: str, delimiter: str) -> list[tuple[int, list[str]]]:
    """The first records, as far as they can be read."""
    start = text[:_SAMPLE_CHARACTERS]
    if len(start) < len(text):
        start = start[: max(start.rfind("\n"), start.rfind("\r")) + 1] or start
    found: list[tuple[int, list[str]]] = []
    with suppress(T2Error):  # it is raised again, with the file's name, when all of it is read
        for record in islice(_records(start, delimiter, ""), _SAMPLE_RECORDS):
            found.append(record)
    return found


def _guess_delimiter(text: str) -> str:
    """The delimiter that finds known names in the first row and gives most rows the same width."""

    def score(delimiter: str) -> tuple[int, float]:
        records = [cells for _, cells in _sample(text, delimiter) if any(cells)]
        width = _usual_width(records)
        if width < 2:
            return 0, 0.0
        named = sum(map(is_known, records[0])) if len(records[0]) > 1 else 0
        return named, sum(len(cells) == width for cells in records) / len(records)

    scores = {d: score(d) for d in DELIMITERS.values()}
    best = max(scores, key=scores.__getitem__)
    return best if any(scores[best]) else ","


def _usual_width(records: Sequence[Sequence[str]]) -> int:
    """The most frequent number of cells; of equally frequent ones the larger."""
    counts = Counter(map(len, records))
    return max(counts, key=lambda width: (counts[width], width), default=0)


def _has_header(sample: list[list[str]]) -> bool:
    """Whether the first row names the columns.

    Names are short, no numbers and end no sentence. Beyond that either a known one is among them
    that never occurs below, or they differ and what is below is another thing: numbers, or much
    longer.
    """
    first, below = sample[0], sample[1:]
    named = [cell for cell in first if cell]
    if not all(map(_like_a_name, named)):
        return False
    columns = [[r[i] for r in below if i < len(r) and r[i]] for i in range(len(first))]
    if any(is_known(cell) and cell not in columns[i] for i, cell in enumerate(first) if cell):
        return True
    if not below or len({*named}) != len(named):
        return False
    return any(
        cell
        and values
        and cell not in values
        and (all(map(_is_number, values)) or _mean_length(values) > max(20, 3 * len(cell)))
        for cell, values in zip(first, columns, strict=True)
    )


def _like_a_name(cell: str) -> bool:
    return len(cell) <= 40 and not _is_number(cell) and cell[-1] not in ".?!" and "\n" not in cell


def _is_number(cell: str) -> bool:
    return re.fullmatch(r"[-+]?[\d.,]*\d%?", cell) is not None


def _mean_length(values: Sequence[str]) -> float:
    return sum(map(len, values)) / len(values)


# -- both --------------------------------------------------------------------------------------


def _clean(cell: str) -> str:
    """Without white space around it, and with the line breaks of Unix.

    The first line of several keeps its indentation. What is no character becomes U+FFFD.
    """
    text = _DAMAGED.sub("\ufffd", cell.replace("\r\n", "\n").replace("\r", "\n"))
    text = text.rstrip().rstrip("\x1a\ufeff").rstrip().removeprefix("\ufeff")
    return _BLANK_LINES.sub("", text) if "\n" in text else text.strip()


def _unique_names(names: Sequence[str]) -> tuple[str, ...]:
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


def _refuse_size(rows: int, columns: int, name: str) -> None:
    if rows > MAX_ROWS:
        raise T2Error(f"{name} has more than {MAX_ROWS:,} rows, the most that is read; {ENOUGH}")
    if columns > MAX_COLUMNS:
        raise T2Error(
            f"{name} has more than {MAX_COLUMNS} columns in row {rows}: is the delimiter right?"
        )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:10])
