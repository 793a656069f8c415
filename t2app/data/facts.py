"""What the cells of a column look like: how many are filled, how long, how many of them differ."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from t2app.data.building import short
from t2app.data.header import is_number, width
from t2app.data.json_rows import nested

MOST = 0.9
# Fewer filled cells than this, and a column holds neither question nor answer.
LEAST_FILLED = 0.5
# Labels repeat: so many rows each at least, and so many different ones at most.
REPEATS, MOST_LABELS = 3, 100
LABEL_WIDTH = 60
WORDS = 2.5  # of a text, on average
_DATE = re.compile(
    r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}(?:[ T]\d{1,2}:\d{2}.*)?"
    r"|(?:mon|tue|wed|thu|fri|sat|sun)\w* .*\d.*",
    re.IGNORECASE,
)
_LINK = re.compile(r"(?:https?://|www\.)\S+|\S+@\S+\.\w+|@\w+")
_CODE = re.compile(r"(?=\S*[\d_])[\w.:#-]+")
_WIDE = re.compile(r"[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff]")


@dataclass(frozen=True)
class Facts:
    """Shares from 0 to 1 of the filled cells, but ``filled``, which is of all rows.

    ``width`` counts a Chinese, Japanese or Korean character as three; ``words`` are those of a
    cell, on average.
    """

    filled: float
    distinct: int
    rows: int
    width: float
    words: float
    numbers: float
    codes: float
    json: float
    example: str = ""

    @property
    def constant(self) -> bool:
        """Whether all cells say the same."""
        return self.distinct < 2

    @property
    def labels(self) -> bool:
        """Whether the cells are few short texts that repeat."""
        few = 2 <= self.distinct <= min(MOST_LABELS, self.rows / REPEATS)
        return few and self.width <= LABEL_WIDTH

    @property
    def text(self) -> bool:
        """Whether the cells are texts of several words that mostly differ."""
        return self.words >= WORDS and self.distinct > self.rows / 2 and self.numbers < 0.5

    @property
    def aside(self) -> bool:
        """Whether the cells are dates, links, names of accounts or keys of records."""
        return self.codes >= MOST and not self.labels

    def words_for(self, role: str) -> str:
        """How a column looks in a role, for people."""
        if self.labels:
            return f"{self.distinct} different texts"
        return f"such as {short(self.example, 30)} as the {role}"


def facts_of(cells: Sequence[str]) -> Facts:
    """What the cells of a column look like."""
    found = [cell for cell in cells if cell]
    if not found:
        return Facts(0.0, 0, 0, 0.0, 0.0, 0.0, 0.0, 0.0)
    n = len(found)
    counts = Counter(" ".join(cell.casefold().split()) for cell in found)
    return Facts(
        filled=n / len(cells),
        distinct=len(counts),
        rows=n,
        width=sum(map(width, found)) / n,
        words=sum(map(_words, found)) / n,
        numbers=sum(map(is_number, found)) / n,
        codes=sum(map(_is_code, found)) / n,
        json=sum(map(holds_json, found)) / n,
        example=max(counts, key=lambda cell: (counts[cell], -len(cell))),
    )


def holds_json(cell: str) -> bool:
    """Whether a cell is a list or an object, as JSON or as Python writes it."""
    return nested(cell) is not cell


def _words(cell: str) -> float:
    """Words, where scripts without spaces have one in two characters."""
    wide = len(_WIDE.findall(cell))
    return wide / 2 + len(_WIDE.sub(" ", cell).split())


def _is_code(cell: str) -> bool:
    if is_number(cell):
        return False
    return any(p.fullmatch(cell) for p in (_DATE, _LINK, _CODE))
