"""Bytes of a file as text: which encoding it has, and what to say of a file that is no text.

Detected are UTF-8 and UTF-16 with and without a byte order mark, UTF-32 with one, cp1252 and
Latin-1. Any other encoding that Python knows can be named. Not covered: guessing between the
one-byte encodings of other alphabets, which takes statistics and is often wrong on short files.
"""

from __future__ import annotations

import codecs

from t2app.errors import T2Error

MARKS = (  # UTF-32 first: its mark begins with that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
NOT_TEXT = (
    (b"PK\x03\x04", "an Excel workbook or another zip file"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook"),
    (b"\x1f\x8b", "a gzip file"),
    (b"PAR1", "a Parquet file"),
    (b"%PDF", "a PDF"),
    (b"\x89PNG", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
    (b"SQLite format 3", "a database"),
)
# Python's own, for host names and source code.
NOT_FOR_FILES = ("idna", "punycode", "unicode-escape", "raw-unicode-escape", "undefined", "utf-7")
REMEDY = "open it where it was made and save it as CSV (UTF-8)"
_CONTROL = bytes(b for b in range(32) if b not in b"\t\n\v\f\r\x1a\x1b\0")
_UNDEFINED_IN_CP1252 = b"\x81\x8d\x8f\x90\x9d"


def decode(data: bytes, name: str, encoding: str | None = None) -> tuple[str, str]:
    """Text without a byte order mark, and the encoding that it was read with.

    A file that is almost all UTF-8 is read as such, with U+FFFD where it is damaged. Raises T2Error
    for files that are no text, for unknown encodings, and where a named one does not fit.
    """
    for magic, kind in NOT_TEXT:
        if data.startswith(magic):
            raise T2Error(f"{name} is {kind}, not text: {REMEDY}")
    chosen = _known(encoding) if encoding else detect(data)
    try:
        text = data.decode(chosen, "strict" if encoding else "replace")
    except UnicodeError as error:
        raise T2Error(_does_not_fit(data, name, chosen, error)) from error
    text = text.removeprefix("\ufeff")
    _refuse_binary(text, name)
    return text, chosen


def _known(encoding: str) -> str:
    """The encoding by the name it has in Python; T2Error where that is none of a text file."""
    try:
        found = codecs.lookup(encoding.strip()).name
        "a".encode(found)  # a LookupError for codecs like base64, which are not for text
    except (LookupError, ValueError):
        found = None
    if found is None or found in NOT_FOR_FILES:
        raise T2Error(f"{encoding!r} is not an encoding: try utf-8, utf-16, cp1252 or latin-1")
    return found


def detect(data: bytes) -> str:
    """The encoding that the bytes are most likely in, by Python's name."""
    for mark, encoding in MARKS:
        if data.startswith(mark):
            return encoding
    if wide := _without_mark(data[:4096]):
        return wide
    if _mostly_utf8(data):
        return "utf-8"
    if not any(byte in data for byte in _UNDEFINED_IN_CP1252):
        # Where no byte is in 80-9F the two agree, and Latin-1 is the narrower claim.
        return "cp1252" if any(byte in data for byte in range(0x80, 0xA0)) else "latin-1"
    return "latin-1"


def _without_mark(start: bytes) -> str | None:
    """UTF-16 of mostly Latin text has a zero in every second byte."""
    half = len(start) // 2
    if half == 0:
        return None
    even, odd = start[0 : 2 * half : 2].count(0), start[1 : 2 * half : 2].count(0)
    if odd > 0.4 * half and even < 0.05 * half:
        return "utf-16-le"
    return "utf-16-be" if even > 0.4 * half and odd < 0.05 * half else None


def _mostly_utf8(data: bytes) -> bool:
    """Valid UTF-8, or text with more valid characters of several bytes than invalid bytes."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        text = data.decode("utf-8", "replace")
        bad = text.count("\ufffd")
        return sum(not c.isascii() for c in text) - bad > bad
    return True


def _does_not_fit(data: bytes, name: str, encoding: str, error: UnicodeError) -> str:
    where = ""
    if isinstance(error, UnicodeDecodeError):
        line = data.count(b"\n", 0, error.start) + 1
        where = f": byte {data[error.start]:#04x} in line {line} does not fit"
    return f"{name} is not {encoding}{where}; try {detect(data)}"


def _refuse_binary(text: str, name: str) -> None:
    """Raise T2Error for NUL, and for more control characters than text has."""
    at = text.find("\0")
    controls = sum(map(text[:65536].count, map(chr, _CONTROL)))
    if controls > 8 + 0.02 * min(len(text), 65536):
        raise T2Error(f"{name} is not a text file: {REMEDY}")
    if at >= 0:
        line = text.count("\n", 0, at) + 1
        raise T2Error(
            f"{name} holds a NUL character in line {line}: it is damaged or no text; {REMEDY}"
        )
