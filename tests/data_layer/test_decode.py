"""Encodings: detected, named, and what is no text."""

from __future__ import annotations

import pytest

from t2app.data.decode import decode
from t2app.data.unclear import Unclear
from t2app.errors import T2Error

TEXT = "question,answer\nWas kostet es? 5 € – oder über 6,zwölf\n"


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("ascii", "utf-8"),
        ("utf-8", "utf-8"),
        ("utf-8-sig", "utf-8-sig"),
        ("utf-16", "utf-16"),
        ("utf-16-le", "utf-16-le"),
        ("utf-16-be", "utf-16-be"),
        ("utf-32", "utf-32"),
        ("cp1252", "cp1252"),
        ("latin-1", "latin-1"),
    ],
)
def test_encodings_are_detected(written: str, found: str) -> None:
    text = TEXT
    if written in ("ascii", "latin-1"):
        text = TEXT.replace("€", "EUR").replace("–", "-")
    if written == "ascii":
        text = text.replace("ü", "ue").replace("ö", "oe")
    assert decode(text.encode(written), "f.csv") == (text, found)


def test_bytes_that_read_well_in_no_encoding_are_asked_about() -> None:
    with pytest.raises(Unclear, match=r"line 1 reads well in none; name it \(--encoding NAME\)"):
        decode(b"caf\xe9 \x9d", "f.csv")
    assert decode(b"caf\xe9 \x9d", "f.csv", "latin-1")[0] == "café \x9d"


def test_an_encoding_can_be_named() -> None:
    assert decode("вопрос".encode("cp1251"), "f.csv", "windows-1251") == ("вопрос", "cp1251")


@pytest.mark.parametrize("name", ["utf-9", "base64", "rot13", "idna", "a\0b", "unicode_escape"])
def test_unknown_encodings(name: str) -> None:
    with pytest.raises(T2Error, match="is not an encoding: try utf-8"):
        decode(b"text", "f.csv", name)


def test_an_encoding_that_does_not_fit_names_the_byte_and_what_fits() -> None:
    with pytest.raises(T2Error, match=r"f\.csv is not utf-8: byte 0xe9 in line 2.*try latin-1"):
        decode(b"a\ncaf\xe9 b", "f.csv", "utf-8")
    with pytest.raises(T2Error, match="is not ascii"):
        decode("é".encode(), "f.csv", "ascii")


def test_a_single_broken_byte_does_not_turn_utf8_into_cp1252() -> None:
    text, encoding = decode("schön, süß".encode() + b"\xff", "f.csv")
    assert (text, encoding) == ("schön, süß\ufffd", "utf-8")


@pytest.mark.parametrize(
    ("data", "kind", "remedy"),
    [
        (b"PK\x03\x04rest", "an Excel workbook", "save it as CSV"),
        (b"\xd0\xcf\x11\xe0rest", "an old Excel workbook", "save it as CSV"),
        (b"\x1f\x8brest", "a gzip", "unpack it"),
        (b"%PDF-1.7", "a PDF", "save it as CSV"),
        (b"PAR1rest", "a Parquet", "save it as CSV"),
    ],
)
def test_files_that_are_something_else_are_named(data: bytes, kind: str, remedy: str) -> None:
    with pytest.raises(T2Error, match=f"f.csv is {kind}.*{remedy}"):
        decode(data, "f.csv")


def test_binary_files_and_nul() -> None:
    with pytest.raises(T2Error, match="not a text file"):
        decode(bytes(range(256)) * 4, "f.csv")
    with pytest.raises(T2Error, match="NUL character in line 2"):
        decode(b"a\nb\0c\n" + b"text " * 20, "f.csv")
