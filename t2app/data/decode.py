"""Bytes of a file as text: which encoding it has, and what to say of a file that is no text.

UTF-8, UTF-16 and UTF-32 show in the bytes. Of the older encodings those remain in which the text
reads like words (``readings``); among several, chardet chooses, if there are enough words to choose
by. Otherwise the user is asked: no encoding is taken because nothing else fits.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence
from dataclasses import dataclass

import chardet

from t2app.data.readings import script_of, strangeness, words_of
from t2app.data.unclear import Unclear
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
    (b"BZh", "a bzip2 file"),
    (b"\xfd7zXZ", "an xz file"),
    (b"(\xb5/\xfd", "a zstd file"),
    (b"PAR1", "a Parquet file"),
    (b"ARROW1", "an Arrow file"),
    (b"FEA1", "a Feather file"),
    (b"ORC", "an ORC file"),
    (b"Obj\x01", "an Avro file"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"\x89HDF", "an HDF5 file"),
    (b"%PDF", "a PDF"),
    (b"{\\rtf", "a rich text document"),
    (b"\x89PNG", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
    (b"SQLite format 3", "a database"),
)
# Tried in this order; of those that read alike the first is named. The rare ones are tried where
# nothing else reads like words.
LATIN = (
    "cp1252 iso8859-15 cp1250 iso8859-2 cp1254 cp1257 cp1258 mac-roman cp850 cp437 cp852".split()
)
CANDIDATES = [
    *LATIN,
    *"cp1251 koi8-r koi8-u cp866 iso8859-5 mac-cyrillic cp1253 iso8859-7 cp1255 iso8859-8".split(),
    *"cp1256 iso8859-6 cp874 gb18030 big5hkscs cp932 euc-jp cp949".split(),
]
RARE = "iso8859-4 iso8859-16 cp775 cp857 cp855 cp737 cp862 mac-latin2 mac-turkish mac-greek".split()
# A reading with more than this share of strange words is none. Fewer words than these cannot tell
# one reading from another.
STRANGE = 0.1
ENOUGH_LATIN, ENOUGH = 3, 5
SAMPLE = 100_000  # bytes
SHOWN = 3  # readings
DAMAGE = 0.002  # the share of characters that may be unreadable
# Python's own, for host names and source code.
NOT_FOR_FILES = ("idna", "punycode", "unicode-escape", "raw-unicode-escape", "undefined", "utf-7")
REMEDY = "open it where it was made and save it as CSV (UTF-8)"
PACKED = {"a gzip file", "a bzip2 file", "an xz file", "a zstd file"}
UNPACK = "unpack it, and give the file that is inside"
_CONTROL = bytes(b for b in range(32) if b not in b"\t\n\v\f\r\x1a\x1b\0")
# A double byte may end in a letter, never in what stands between words.
_BETWEEN_WORDS = re.compile(rb"[\s,;\"'.?!0-9()]+")


def decode(data: bytes, name: str, encoding: str | None = None) -> tuple[str, str]:
    """Text without a byte order mark, and the encoding that it was read with.

    A file that is almost all readable is read as such, with U+FFFD where it is damaged. Raises
    T2Error for files that are no text, for unknown encodings, and where a named one does not fit;
    Unclear where the encoding cannot be told.
    """
    for magic, kind in NOT_TEXT:
        if data.startswith(magic):
            remedy = UNPACK if kind in PACKED else REMEDY
            raise T2Error(f"{name} is {kind}, not text: {remedy}")
    chosen = _known(encoding) if encoding else detect(data, name)
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


def detect(data: bytes, name: str) -> str:
    """The encoding that the bytes are in, by Python's name. Raises Unclear."""
    for mark, encoding in MARKS:
        if data.startswith(mark):
            return encoding
    if wide := _without_mark(data):
        return wide
    if data.isascii():
        return _switched(data) or "utf-8"
    if _mostly_utf8(data) or _is_binary(data):
        return "utf-8"
    return _older(data, name)


def _without_mark(data: bytes) -> str | None:
    """UTF-16 has zeros in every second byte of Latin text; elsewhere the words have to tell."""
    start = data[:4096]
    half = len(start) // 2
    if half == 0 or 0 not in start:
        return None
    even, odd = start[0 : 2 * half : 2].count(0), start[1 : 2 * half : 2].count(0)
    if odd > 0.4 * half and even < 0.05 * half:
        return "utf-16-le"
    if even > 0.4 * half and odd < 0.05 * half:
        return "utf-16-be"
    for encoding in ("utf-16-le", "utf-16-be"):
        text = start[: 2 * half].decode(encoding, "replace")
        if "\n" in text and words_of(text) and strangeness(text, "gb18030") <= STRANGE:
            return encoding
    return None


def _switched(data: bytes) -> str | None:
    """The encodings of 7 bits that switch alphabets by an escape: ISO-2022 and HZ."""
    if b"\x1b$" not in data and b"\x1b(" not in data and b"~{" not in data:
        return None
    found = chardet.detect(data[:SAMPLE])["encoding"]
    if not found or codecs.lookup(found).name in ("ascii", "utf-8"):
        return None
    text = data[:SAMPLE].decode(found, "replace")
    return codecs.lookup(found).name if words_of(text) and "\ufffd" not in text else None


def _mostly_utf8(data: bytes) -> bool:
    """Valid UTF-8, or text with more valid characters of several bytes than invalid bytes."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        text = data.decode("utf-8", "replace")
        bad = text.count("\ufffd")
        return sum(not c.isascii() for c in text) - bad > bad
    return True


def _is_binary(data: bytes) -> bool:
    """Whether bytes are no text in any encoding; ``_refuse_binary`` says so."""
    start = data[:65536]
    return 0 in start or sum(map(start.count, _CONTROL)) > 8 + 0.02 * len(start)


# -- older encodings ------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Reading:
    """A sample of the file in one encoding, and its words with letters that are not ASCII."""

    encoding: str
    text: str
    words: tuple[str, ...]


def _older(data: bytes, name: str) -> str:
    """The encoding in which the text reads like words, if only one does or enough words tell."""
    sample = _sample(data)
    readings = _readings(sample, CANDIDATES)
    rare = not readings
    readings = readings or _readings(sample, RARE)
    if not readings or (rare and len(readings[0].words) < ENOUGH):
        line = data.count(b"\n", 0, data.index(_first_high(data))) + 1
        raise Unclear(
            "encoding",
            f"{name}: the encoding was not found: line {line} reads well in none",
            "name it (--encoding NAME), or save the file as UTF-8",
            "Choose it below, or save the file as UTF-8.",
        )
    best = readings[0]
    if not best.words:  # signs alone, such as a pound or a dash, which other readings may have too
        signs = [r for r in readings if r.encoding in LATIN and not r.words]
        if any(r.text != best.text for r in signs):
            raise _several(name, best, signs)
    elif any(r.text != best.text for r in readings):
        best = _likeliest(sample, readings)
        latin = all(script_of(word) == "latin" for word in best.words)
        if len(best.words) < (ENOUGH_LATIN if latin else ENOUGH):
            raise _several(name, best, readings)
    if best.encoding == "cp1252" and not re.search(rb"[\x80-\x9f]", data):
        return "latin-1"  # the two agree there, and this is the narrower claim
    return best.encoding


def _first_high(data: bytes) -> bytes:
    match = re.search(rb"[\x80-\xff]", data)
    return match[0] if match else data[:1]


def _sample(data: bytes) -> bytes:
    """The first lines that are not ASCII."""
    found, size = [], 0
    for line in data.splitlines(keepends=True):
        if not line.isascii():
            found.append(line)
            size += len(line)
            if size > SAMPLE:
                break
    return b"".join(found)[: 2 * SAMPLE]


def _readings(sample: bytes, encodings: Sequence[str]) -> list[_Reading]:
    """The sample in each of the encodings in which it reads like words."""
    found = []
    for encoding in encodings:
        text = sample.decode(encoding, "replace")
        damage = text.count("\ufffd")
        if damage > DAMAGE * len(text) or re.search(r"[\x7f-\x9f]", text):
            continue
        if strangeness(text, encoding) <= STRANGE:
            found.append(_Reading(codecs.lookup(encoding).name, text, tuple(words_of(text))))
    return found


def _likeliest(sample: bytes, readings: list[_Reading]) -> _Reading:
    """The reading that chardet finds likeliest; of foreign words it is given nothing else."""
    if not any(script_of(r.words[0]) == "latin" for r in readings if r.words):
        words = (w for w in _BETWEEN_WORDS.split(sample) if not w.isascii())
        sample = b" ".join(words)
    names = [_for_chardet(r.encoding) for r in readings]
    ranked = chardet.detect_all(
        sample, include_encodings=names, no_match_encoding=names[0], ignore_threshold=True
    )
    texts = {r.encoding: r.text for r in readings}
    for one in ranked:
        if one["encoding"] and (text := texts.get(codecs.lookup(one["encoding"]).name)):
            return next(r for r in readings if r.text == text)
    return readings[0]


def _for_chardet(encoding: str) -> str:
    """A name that chardet knows: its own have hyphens where Python has underscores."""
    return {"mac-roman": "macroman", "mac-cyrillic": "maccyrillic", "mac-latin2": "maclatin2",
            "mac-greek": "macgreek", "mac-turkish": "macturkish",
            "euc_jp": "euc-jp"}.get(encoding, encoding)  # fmt: skip


def _several(name: str, best: _Reading, readings: Sequence[_Reading]) -> Unclear:
    """What to ask where several readings are possible: how the same place reads in each."""
    others = [r for r in readings if r.text != best.text]
    at = min(_first_difference(best.text, r.text) for r in others)
    shown: dict[str, str] = {}
    for reading in (best, *others):
        shown.setdefault(_around(reading.text, at), reading.encoding)
    listed = [f"{text!r} ({encoding})" for text, encoding in list(shown.items())[:SHOWN]]
    return Unclear(
        "encoding",
        f"{name}: too few words tell its encoding, which may read {' or '.join(listed)}",
        f"say which (--encoding {best.encoding})",
        "Choose the encoding below.",
    )


def _first_difference(one: str, other: str) -> int:
    pairs = enumerate(zip(one, other, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(one), len(other)))


def _around(text: str, at: int) -> str:
    """The word at a place, with at most ten characters on both sides."""
    start, end = max(0, at - 10), at + 10
    before = re.split(r"[\s,;\"]", text[start:at])[-1]
    return before + re.split(r"[\s,;\"]", text[at:end])[0]


# -- what is no text ------------------------------------------------------------------------------


def _does_not_fit(data: bytes, name: str, encoding: str, error: UnicodeError) -> str:
    where = ""
    if isinstance(error, UnicodeDecodeError):
        line = data.count(b"\n", 0, error.start) + 1
        where = f": byte {data[error.start]:#04x} in line {line} does not fit"
    try:
        advice = f"; try {detect(data, name)}"
    except Unclear:
        advice = ""
    return f"{name} is not {encoding}{where}{advice}"


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
