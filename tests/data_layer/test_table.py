"""Reading files: every oddity as a real file, and generated ones."""

from __future__ import annotations

import csv
import io
import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from t2app.data import building, csv_text, guess
from t2app.data.table import Row, Table, read_table, table_from_cells
from t2app.data.unclear import Unclear
from t2app.errors import T2Error

FILES = Path(__file__).resolve().parent.parent / "data" / "csv"
QA = ("question", "answer")
WIEN = ("What is the capital of Österreich?", "Wien – the city")


@pytest.mark.parametrize(
    ("file", "encoding", "delimiter", "columns", "first"),
    [
        ("utf-8.csv", "utf-8", ",", QA, (2, *WIEN)),
        ("utf-8-bom.csv", "utf-8-sig", ",", QA, (2, *WIEN)),
        ("utf-16.csv", "utf-16", "\t", QA, (2, *WIEN)),
        ("utf-16-no-mark.csv", "utf-16-le", ",", QA, (2, *WIEN)),
        ("utf-16-be-no-mark.csv", "utf-16-be", ",", QA, (2, *WIEN)),
        ("cp1252-semicolon.csv", "cp1252", ";", QA, (2, *WIEN)),
        ("latin-1.csv", "latin-1", ",", QA, (2, "Was heißt über?", "above")),
        ("tabs.tsv", "utf-8", "\t", ("prompt", "completion"), (2, "Say a, b and c", "a, b, c")),
        ("pipes.csv", "utf-8", "|", ("input", "output"), (2, "red; green", "rot; grün")),
        ("decimal-comma.csv", "utf-8", ";", ("Aufgabe", "Antwort"), (2, "1,5 + 1", "2,5")),
        ("excel-sep.csv", "utf-8", ";", QA, (2, "one", "1")),
        ("quoted-newlines.csv", "utf-8", ",", QA, (2, "first line\nsecond line", "1")),
        ("crlf.csv", "utf-8", ",", QA, (2, "a\nb", "1")),
        ("old-mac.csv", "utf-8", ",", QA, (2, "a", "1")),
        ("names-with-spaces.csv", "utf-8", ",", ("question", "Answer"), (2, "two", "2")),
        ("names-twice.csv", "utf-8", ",", (*QA, "answer (2)"), (2, "a", "1", "x")),
        ("trailing-delimiters.csv", "utf-8", ";", QA, (2, "a", "1")),
        ("text-after-quote.csv", "utf-8", ",", QA, (2, "a b", "1")),
        ("formulas.csv", "utf-8", ",", QA, (2, "=cmd|' /C calc'!A0", "1")),
    ],
)
def test_files(
    file: str, encoding: str, delimiter: str, columns: tuple[str, ...], first: tuple
) -> None:
    table = read_table(FILES / file)
    assert (table.encoding, table.delimiter, table.header) == (encoding, delimiter, True)
    assert table.columns == columns
    assert table.rows[0] == Row(first[0], first[1:])
    assert table.rejected == ()


@pytest.mark.parametrize(("file", "columns"), [("no-header.csv", 2), ("no-header-exam.csv", 6)])
def test_no_header(file: str, columns: int) -> None:
    table = read_table(FILES / file)
    assert not table.header
    assert table.columns == tuple(f"column {n}" for n in range(1, columns + 1))
    assert table.rows[0].number == 1
    assert len(table.rows) == 3


def test_names_and_numbers_below_them_are_told_apart() -> None:
    table = read_table(FILES / "unknown-names.csv")
    assert table.columns == ("foo", "bar", "baz")
    assert read_table(b"what,how much\na,1\nb,2\n").header
    assert not read_table(b"one of them,question\nother,question\n").header, "a label, no name"


def test_a_first_row_that_may_be_either_is_asked_about() -> None:
    with pytest.raises(Unclear, match=r"'hello' \| 'hi'.*--header if it names them, --no-header"):
        read_table(b"hello,hi\nbye,see you\n")
    assert read_table(b"hello,hi\nbye,see you\n", header=True).columns == ("hello", "hi")
    assert len(read_table(b"hello,hi\nbye,see you\n", header=False).rows) == 2


def test_header_delimiter_and_encoding_can_be_named() -> None:
    table = read_table(FILES / "no-header.csv", header=True)
    assert table.columns == ("What is 2 + 2?", "4")
    assert read_table(FILES / "utf-8.csv", header=False).rows[0] == Row(1, QA)
    one = read_table(b"question;answer\na;b\n", delimiter="comma", header=True)
    assert one.columns == ("question;answer",)
    tilde = "a~b\nc~d\n".encode("utf-16-le")
    assert read_table(tilde, encoding="utf-16-le", delimiter="~", header=False).rows
    assert read_table(b"a\tb\nc\td\n", delimiter="\\t", header=False).rows[1].cells == ("c", "d")
    for bad in ("ab", '"', "\n", ""):
        with pytest.raises(T2Error, match="is not a delimiter: give one character, or tab"):
            read_table(b"a,b\n", delimiter=bad)


def test_quotes_and_indentation() -> None:
    rows = read_table(FILES / "quoted-newlines.csv").rows
    assert [row.cells[0] for row in rows[1:]] == ['he said "hello, you"', "  indented\n    code"]
    assert [row.number for row in rows] == [2, 3, 4], "a spreadsheet's row, not a line"


def test_ragged_rows_are_rejected_by_number_and_blank_ones_counted() -> None:
    table = read_table(FILES / "ragged.csv")
    assert [(row.number, *row.cells) for row in table.rows] == [
        (2, "a", "1"),
        (5, "d", "4"),
        (8, "e", "5"),
    ]
    assert [row.number for row in table.rejected] == [3, 4]
    assert table.rejected[0].reason == "wrong number of cells: 1 instead of 2"
    assert "3 instead of 2; a cell that holds the delimiter needs quotation" in (
        table.rejected[1].reason
    )
    assert table.rejected[1].cells == ("c", "3", "extra")


def test_empty_names_are_numbered() -> None:
    table = read_table(FILES / "names-empty.csv")
    assert table.columns == ("column 1", "question", "column 3", "answer")


def test_damaged_text_is_marked_in_its_cell() -> None:
    table = read_table(FILES / "damaged-utf-8.csv")
    assert table.encoding == "utf-8"
    assert ["\ufffd" in row.cells[0] for row in table.rows] == [False, True, False]


def test_json_lines() -> None:
    table = read_table(FILES / "lines.jsonl")
    assert (table.format, table.delimiter) == ("json lines", None)
    assert table.columns == ("question", "answer", "choices")
    assert table.rows[0] == Row(1, ("a\nb", "1", ""))
    assert table.rows[1] == Row(3, ("c", "x\u2028y", '["d", "e"]'))
    assert table.rows[2] == Row(4, ("", "z", ""))


def test_broken_json_lines() -> None:
    table = read_table(FILES / "broken.jsonl")
    assert [row.number for row in table.rejected] == [2, 3]
    assert table.rejected[0].reason.startswith("no JSON object: Expecting value")
    assert table.rows[1].cells == ("\ufffd", "2\ufffd"), "half a character, and NUL"


def test_json_arrays_and_other_json() -> None:
    assert read_table(FILES / "array.json").rows[1] == Row(2, ("add", "2 and 2", "4"))
    with pytest.raises(T2Error):
        guess(read_table(FILES / "object.json"))
    assert read_table(b"[question],answer\n[1],2\n").columns == ("[question]", "answer")


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("empty.csv", "empty.csv is empty"),
        ("only-blanks.csv", "only-blanks.csv is empty"),
        ("only-header.csv", r"only-header.csv has no rows below its header \(question, answer\)"),
        ("only-delimiters.csv", "has no rows"),
        ("nul.csv", "nul.csv holds a NUL character in line 3"),
        ("binary.csv", "binary.csv is not a text file"),
        ("workbook.csv", "an Excel workbook.*save it as CSV"),
        (b'"' * 999, "row 1 opens a quotation mark"),
        ("open-quote.csv", "row 3 opens a quotation mark that is never closed: '\"b,2'"),
        ("missing.csv", "cannot read .*missing.csv': No such file"),
        ("", "cannot read .*: Is a directory"),
        ("a\0b", "cannot read"),
        (b'{"data": []}', "the file has no rows: there is nothing under 'data'"),
        (b'{"data": {}, "version": "1.0"}', "has no rows: there is nothing under 'data'"),
        (b'{"question": [], "answer": []}', "there is nothing under 'question' and 'answer'"),
        (b"{}", "the file has no rows: it is {}"),
        (b"[[]]", "the file has no rows: it is not JSON Lines"),
        (b"[{}]", "the file has no rows: it is not JSON Lines"),
    ],
)
def test_files_that_cannot_be_read(file: str | bytes, message: str) -> None:
    with pytest.raises(T2Error, match=message) as caught:
        read_table(file if isinstance(file, bytes) else FILES / file)
    assert "\n" not in str(caught.value)


def test_200_mb_are_refused_without_reading_them(tmp_path: Path) -> None:
    path = tmp_path / "large.csv"
    with path.open("wb") as file:
        file.write(b"question,answer\n")
        file.truncate(200 * 2**20)
    tracemalloc.start()
    with pytest.raises(T2Error, match=r"large\.csv is larger than 20 MB.*keep a part of it"):
        read_table(path)
    assert tracemalloc.get_traced_memory()[1] < 60 * 2**20
    tracemalloc.stop()


def test_too_many_rows_columns_and_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "MAX_ROWS", 10)
    monkeypatch.setattr(csv_text, "MAX_RECORD", 1000)
    with pytest.raises(T2Error, match="more than 10 rows"):
        read_table(b"a,b\n" * 12)
    with pytest.raises(T2Error, match="more than 10 rows"):
        read_table(b'{"a": 1}\n' * 12)
    with pytest.raises(T2Error, match="more than 200 columns in row 2"):
        read_table(b"question,answer\n" + b"," * 250)
    with pytest.raises(T2Error, match="more than 200 columns"):
        read_table(json.dumps({str(n): n for n in range(250)}).encode())
    with pytest.raises(T2Error, match="row 2 has more than 1,000 characters"):
        read_table(b'question,answer\n"' + b"text\n" * 300)


def test_a_cell_that_is_too_long_for_the_reader() -> None:
    with pytest.raises(T2Error, match=r"row 2 cannot be read .*field limit"):
        read_table(b"question,answer\n" + b"x" * 200_000 + b",1\n")


def test_typed_rows() -> None:
    table = table_from_cells(["question ", "answer"], [["a ", 1], ["", None], ["b"], [None, "c"]])
    assert table.rows == (Row(1, ("a", "1")), Row(4, ("", "c")))
    assert [row.number for row in table.rejected] == [3]
    assert (table.format, len(table.sha256)) == ("typed", 64)
    assert table.sha256 != table_from_cells(["question", "answer"], [["a", 2]]).sha256
    with pytest.raises(T2Error, match="the table is empty"):
        table_from_cells(["question", "answer"], [["", ""]])


def test_the_hash_is_that_of_the_file() -> None:
    assert read_table(b"question,answer\na,b\n").sha256.startswith("957be590")


# -- generated -----------------------------------------------------------------------------------

CSV_LIKE = st.text(alphabet=',;\t|"\n\r ab1?{}[]:\0é€\ufeff\ud800=', max_size=80)
CELL = st.text(st.characters(exclude_categories=["C", "Z"]) | st.sampled_from(' ,;"\n|\t'))


def whole(table: Table) -> None:
    """What holds for every table."""
    assert table.rows or table.rejected
    assert len({*table.columns}) == len(table.columns)
    assert all(len(row.cells) == len(table.columns) for row in table.rows)
    numbers = [row.number for row in (*table.rows, *table.rejected)]
    assert len({*numbers}) == len(numbers)
    assert not any("\0" in cell or "\r" in cell for row in table.rows for cell in row.cells)
    json.dumps([row.cells for row in table.rows], ensure_ascii=False).encode()


def read_whole(data: bytes, name: str = "f.csv", **how: Any) -> None:
    """A whole table or an error of one line: anything else fails."""
    try:
        whole(read_table(data, name, **how))
    except T2Error as error:
        if "\n" in str(error):
            pytest.fail(f"an error of several lines: {error}")


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_give_anything_but_a_table_or_an_error(data: bytes) -> None:
    read_whole(data)


@settings(deadline=None)
@given(
    CSV_LIKE,
    st.sampled_from(["utf-8", "utf-16", "utf-16-le", "utf-8-sig", "utf-32"]),
    st.sampled_from(["f.csv", "f.jsonl", "f.json"]),
    st.sampled_from([None, "utf-8", "cp1252", "utf-16"]),
    st.sampled_from([None, ",", ";", "tab"]),
    st.sampled_from([None, True, False]),
)
def test_no_text_gives_anything_but_a_table_or_an_error(
    text: str,
    written: str,
    name: str,
    encoding: str | None,
    delimiter: str | None,
    header: bool | None,
) -> None:
    data = text.encode(written, "surrogatepass")
    read_whole(data, name, encoding=encoding, delimiter=delimiter, header=header)


@settings(deadline=None)
@given(
    st.lists(st.tuples(CELL, CELL), min_size=1, max_size=8),
    st.sampled_from([",", ";", "\t", "|"]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    st.sampled_from(["\n", "\r\n"]),
)
def test_what_a_spreadsheet_writes_is_read_back(
    rows: list[tuple[str, str]], delimiter: str, encoding: str, ending: str
) -> None:
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter, lineterminator=ending)
    writer.writerows([("question", "answer"), *rows])
    expected = [[" ".join(cell.split()) for cell in row] for row in rows]
    expected = [(n, *row) for n, row in enumerate(expected, 2) if any(row)]
    if not expected:
        return
    table = read_table(out.getvalue().encode(encoding))
    assert (table.columns, table.delimiter) == (("question", "answer"), delimiter)
    found = [(row.number, *(" ".join(cell.split()) for cell in row.cells)) for row in table.rows]
    assert found == expected


@settings(deadline=None)
@given(st.lists(st.dictionaries(CELL, st.none() | CELL | st.integers(), max_size=3), max_size=5))
def test_json_lines_are_read_or_refused(rows: list[dict[str, object]]) -> None:
    data = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows).encode()
    try:
        whole(read_table(data, "f.jsonl"))
    except T2Error:
        assert not any(str(v).strip() for row in rows for v in row.values() if v is not None)
