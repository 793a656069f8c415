"""Rows of text with a delimiter: CSV, TSV, and tables as Markdown has them.

Delimiter and header are found and can be named; how quotation marks are meant is found. Rows keep
the number that a spreadsheet shows for them: the header is row 1, blank rows count.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice

from t2app.data.building import Builder, Rejected, clean, refuse_size, unique_names
from t2app.data.header import has_header
from t2app.data.names import is_known
from t2app.errors import T2Error

MAX_RECORD = 1_000_000
DELIMITERS = {"tab": "\t", "pipe": "|", "semicolon": ";", "comma": ","}  # rarest in text first
_SELDOM = "~^¦\x1f\x01"  # where none of those is in the text
_SAMPLE_CHARACTERS, _SAMPLE_RECORDS = 200_000, 200
_UNIFORM = 0.98
_RULE = re.compile(r"[\s:|+=-]*-[\s:|+=-]*")  # the line below the names of a Markdown table

DOUBLED, ESCAPED, TEXT = "doubled", "escaped", "text"
_SAID = {
    ESCAPED: "quotation marks inside of cells are written with a backslash",
    TEXT: "quotation marks are read as a part of the text",
}

Record = tuple[int, list[str]]


def delimiter_named(delimiter: str) -> str:
    """The delimiter by its name or itself. Raises T2Error."""
    found = DELIMITERS.get(delimiter.strip().lower(), delimiter.replace("\\t", "\t"))
    if len(found) != 1 or found in '"\r\n\0 ':
        raise T2Error(
            f"{delimiter!r} is not a delimiter: give one character, or {', '.join(DELIMITERS)}"
        )
    return found


def csv_rows(text: str, name: str, delimiter: str | None, header: bool | None) -> Builder:
    """Every row of the text. Raises T2Error where its structure is broken."""
    hint = re.match(r"sep=(.)\r?\n", text, re.IGNORECASE)  # Excel writes and reads this line
    if hint:
        text, delimiter = text[hint.end() :], delimiter or hint[1]
    delimiter = delimiter or _guess_delimiter(text)
    found = Builder((), "csv", delimiter)
    marks = _marks_of(text, delimiter)
    if marks != DOUBLED:
        found.notes.append(_SAID[marks])
    records = list(_records(text, delimiter, name, marks, found.rejected))
    records = _bare(records, delimiter)
    if not records:
        raise T2Error(f"{name} has no rows: it needs a question and an answer in each")
    records = _below_preamble(records, found)
    _fill(found, records, header)
    if header is None and not found.header and _reads_like_prose(text, delimiter):
        found.open_header = True
    return found


def rows_of_cells(records: Sequence[Record], kind: str, header: bool | None) -> Builder:
    """A table of rows that came as lists of cells, as some JSON has them."""
    found = Builder((), kind)
    _fill(found, list(records), header)
    return found


def _fill(found: Builder, records: list[Record], header: bool | None) -> None:
    """Decide on the header, name the columns, add the rows."""
    sample = [cells for _, cells in records[:_SAMPLE_RECORDS]]
    told = has_header(sample) if header is None else header
    found.open_header = told is None
    found.header = told is not False
    names = sample[0] if found.header else [""] * _usual_width(sample)
    below = records[1:] if found.header else records
    if found.header and _lacks_row_names(names, below):
        names = ["", *names]
    found.columns = unique_names(_without_empty_end(names, [cells for _, cells in below]))
    for number, cells in below:
        if found.header and cells == sample[0]:
            found.rejected.append(Rejected(number, "header: the names again", tuple(cells)))
        else:
            found.add(number, cells)


# -- records -------------------------------------------------------------------------------------


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


def _records(
    text: str, delimiter: str, name: str, marks: str, rejected: list[Rejected]
) -> Iterator[Record]:
    """Every record that is not blank, with its number.

    One in which a quotation mark swallows other rows goes to ``rejected``. Raises T2Error where the
    file's structure is broken.
    """
    lines = _Lines(text, name)
    reader = csv.reader(lines, **_dialect(delimiter, marks))
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
        refuse_size(number, len(cells), name)
        cells = [clean(cell) for cell in cells]
        sound = marks != DOUBLED or len(lines.taken) < 2
        if not sound and _strictly(lines.taken, delimiter) == "torn":
            reason = f"quotation mark: one in this row is closed {len(lines.taken) - 1} lines below"
            rejected.append(Rejected(number, reason, tuple(cells)))
        elif any(cells):
            yield number, cells
    if marks != TEXT and _strictly(last, delimiter, marks) == "open":
        raise T2Error(
            f"{name}: row {number - 1} opens a quotation mark that is never closed: "
            + repr(last[0].strip()[:60])
        )


def _dialect(delimiter: str, marks: str) -> dict:
    """What ``csv.reader`` needs to know."""
    how = {DOUBLED: {}, ESCAPED: {"doublequote": False, "escapechar": "\\"},
           TEXT: {"quoting": csv.QUOTE_NONE}}[marks]  # fmt: skip
    return {"delimiter": delimiter, "skipinitialspace": delimiter != "\t", **how}


def _strictly(lines: Sequence[str], delimiter: str, marks: str = DOUBLED) -> str:
    """Whether records are sound to a strict reader; "open" or "torn" where they are not."""
    try:
        list(csv.reader(lines, strict=True, **_dialect(delimiter, marks)))
    except csv.Error as error:
        return "open" if "unexpected end of data" in str(error) else "torn"
    return ""


def _marks_of(text: str, delimiter: str) -> str:
    """How quotation marks inside of cells are written, or that they are text themselves."""
    lines = text.splitlines(keepends=True)
    if '"' not in text or not _strictly(lines, delimiter):
        return DOUBLED
    only_marks = '\\"' in text and not re.search(r'\\(?!["\\])', text)
    if only_marks and not _strictly(lines, delimiter, ESCAPED):
        return ESCAPED
    return TEXT if _quotes_are_text(text, delimiter) else DOUBLED


def _quotes_are_text(text: str, delimiter: str) -> bool:
    """Whether quotation marks are a part of the text, as tab-separated files often have them.

    So they are where a strict reader stumbles over them, every line by itself has the cells of a
    row, and more cells begin with a mark that does not close than with one that does; and where
    marks would join lines to one row or, in a file with tabs, stand beside text.
    """
    lines = [line for line in text.splitlines() if line.strip()]
    rows = [line.split(delimiter) for line in lines]
    width = _usual_width(rows)
    if width < 2 or sum(len(row) == width for row in rows) < _UNIFORM * len(rows):
        return False
    opened = [cell.strip() for row in rows for cell in row if cell.lstrip().startswith('"')]
    closed = sum(
        len(cell) > 1 and cell.endswith('"') and '"' not in cell[1:-1].replace('""', "")
        for cell in opened
    )
    stray = len(opened) - closed
    if stray <= closed:
        return False
    if delimiter == "\t":
        return True
    joined = sum(1 for _ in _lenient(text, delimiter))
    return stray > 1 and joined < len(lines)


def _lenient(text: str, delimiter: str) -> Iterator[list[str]]:
    with suppress(csv.Error):
        reader = csv.reader(io.StringIO(text, newline=""), **_dialect(delimiter, DOUBLED))
        yield from (cells for cells in reader if any(map(str.strip, cells)))


def _reads_like_prose(text: str, delimiter: str) -> bool:
    """Whether lines are sentences whose commas were taken for the bounds of cells."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    ended = sum(line[-1] in ".!?…。" for line in lines)
    spaced = sum(line.count(delimiter) == line.count(f"{delimiter} ") for line in lines)
    return min(ended, spaced) >= 0.9 * len(lines)


def _bare(records: list[Record], delimiter: str) -> list[Record]:
    """Without the frame of a Markdown table: pipes around each row, the rule below the names."""
    if delimiter != "|" or not records:
        return records
    framed = [not cells[0] and not cells[-1] and len(cells) > 2 for _, cells in records]
    if sum(framed) < _UNIFORM * len(records):
        return records
    bare = [(n, cells[1:-1]) for n, cells in records]
    return [(n, cells) for n, cells in bare if not _RULE.fullmatch("|".join(cells))]


def _below_preamble(records: list[Record], found: Builder) -> list[Record]:
    """Without titles and remarks above the table, each a single cell; they count as rejected."""
    width = _usual_width([cells for _, cells in records[:_SAMPLE_RECORDS]])
    if width < 2:
        return records
    filled = [sum(map(bool, cells)) for _, cells in records[:20]]
    at = next((i for i, n in enumerate(filled) if n > 1), 0)
    padded = any(len(cells) > 1 for _, cells in records[:at])
    if padded and not any(map(is_known, records[at][1])):
        return records  # a row without an answer, rather than a title that a spreadsheet padded
    for number, cells in records[:at]:
        found.rejected.append(Rejected(number, "remark: a line above the table", tuple(cells)))
    return records[at:]


def _lacks_row_names(names: Sequence[str], below: Sequence[Record]) -> bool:
    """Whether rows are numbered in a column that the header leaves out, as R writes tables."""
    wide = [cells for _, cells in below if len(cells) == len(names) + 1]
    return len(wide) == len(below) > 0 and [c[0] for c in wide] == [
        str(n) for n in range(1, len(wide) + 1)
    ]


def _without_empty_end(names: Sequence[str], rows: Sequence[Sequence[str]]) -> Sequence[str]:
    """Excel writes delimiters for columns that once held something: drop them."""
    width = len(names)
    while width and not names[width - 1] and not any(any(r[width - 1 : width]) for r in rows):
        width -= 1
    return names[:width]


# -- delimiter -----------------------------------------------------------------------------------


def _sample(text: str, delimiter: str) -> list[list[str]]:
    """The first records, as far as they can be read."""
    start = text[:_SAMPLE_CHARACTERS]
    if len(start) < len(text):
        start = start[: max(start.rfind("\n"), start.rfind("\r")) + 1] or start
    found: list[list[str]] = []
    marks = _marks_of(start, delimiter)
    with suppress(T2Error):  # it is raised again, with the file's name, when all of it is read
        for _, cells in islice(_records(start, delimiter, "", marks, []), _SAMPLE_RECORDS):
            found.append(cells)
    return found


def _guess_delimiter(text: str) -> str:
    """The delimiter that finds known names in the first row and gives most rows the same width.

    Of equal ones that which leaves no other delimiter at the edge of a cell: questions that end in
    a semicolon, as in Greek, are not separated by it.
    """

    def score(delimiter: str) -> tuple[int, float, float]:
        records = _sample(text, delimiter)
        width = _usual_width(records)
        if width < 2:
            return 0, 0.0, 0.0
        named = sum(map(is_known, records[0])) if len(records[0]) > 1 else 0
        share = sum(len(cells) == width for cells in records) / len(records)
        others = tuple(d for d in DELIMITERS.values() if d != delimiter)
        edges = sum(any(cell.startswith(others) for cell in cells) for cells in records)
        return named, share, -edges / len(records)

    scores = {d: score(d) for d in DELIMITERS.values()}
    best = max(scores, key=scores.__getitem__)
    if scores[best][1]:
        return best
    seldom = {d: score(d)[1] for d in _SELDOM if d in text}
    return next((d for d, share in seldom.items() if share >= _UNIFORM), ",")


def _usual_width(records: Sequence[Sequence[str]]) -> int:
    """The most frequent number of cells; of equally frequent ones the larger."""
    counts = Counter(map(len, records))
    return max(counts, key=lambda width: (counts[width], width), default=0)
