"""Whether the first row names the columns or is an example: both readings weighed.

Names differ from what stands below them: a number below a word, a label that no other row has,
questions below a word without a question mark. An example is like what stands below it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from t2app.data.names import is_known

LONGEST_NAME = 60
# How rare a value that was not seen before has to be in a column of labels (Good and Turing).
NEW_LABEL = 0.07
MOST_ALIKE = 0.9
_ENDINGS = ".?!。？！؟;؛…"
_SNAKE = re.compile(r"[A-Za-z]+(?:_[A-Za-z0-9]+)+|[a-z]+(?:[A-Z][a-z]+)+")


def has_header(sample: Sequence[Sequence[str]]) -> bool | None:
    """Whether the first of some records names the columns; None where nothing tells."""
    first, below = sample[0], sample[1:]
    named = [cell for cell in first if cell]
    columns = [[row[i] for row in below if i < len(row) and row[i]] for i in range(len(first))]
    known = [cell for cell in named if is_known(cell)]
    if known and len(known) == len(named):
        return True  # also where the file repeats its header
    if not below:
        return bool(known)
    pairs = [(cell, values) for cell, values in zip(first, columns, strict=True) if cell]
    is_name = any(_is_name(cell, values) for cell, values in pairs)
    is_example = len({*named}) < len(named) and not known
    is_example |= any(_is_example(cell, values) for cell, values in pairs)
    return is_name if is_name != is_example else None


def _is_name(cell: str, values: Sequence[str]) -> bool:
    """Whether something says that this is a name and not one more of the values."""
    if not values or cell in values or not _like_a_name(cell):
        return False
    if is_known(cell) and (len(cell) > 2 or not cell.isascii()):
        return True
    if is_number(cell):
        return False
    return any(_differences(cell, values))


def _differences(cell: str, values: Sequence[str]) -> Iterator[bool]:
    """Each is a way in which a name differs from the values below it."""
    yield _share(values, is_number) >= MOST_ALIKE
    counts = Counter(values)
    singles = sum(n == 1 for n in counts.values())
    yield len(counts) < len(values) and (singles + 0.5) / len(values) <= NEW_LABEL
    shape, n = Counter(map(_shape, values)).most_common(1)[0]
    alike = n >= max(3, MOST_ALIKE * len(values)) and "9" in shape
    yield alike and _shape(cell) != shape
    ending = len(values) >= 3 and _share(values, lambda v: v[-1] in _ENDINGS) >= MOST_ALIKE
    yield ending and cell[-1] not in _ENDINGS
    yield bool(_SNAKE.fullmatch(cell)) and _share(values, lambda v: not _SNAKE.fullmatch(v)) > 0.8
    yield sum(map(width, values)) / len(values) > max(20, 3 * width(cell))


def _is_example(cell: str, values: Sequence[str]) -> bool:
    """Whether something says that this is one more of the values."""
    if not _like_a_name(cell) or is_number(cell):
        return True
    if not values:
        return False
    if cell in values:
        return True
    shape, n = Counter(map(_shape, values)).most_common(1)[0]
    return "9" in shape and n >= max(3, MOST_ALIKE * len(values)) and _shape(cell) == shape


def _like_a_name(cell: str) -> bool:
    return width(cell) <= LONGEST_NAME and cell[-1] not in _ENDINGS and "\n" not in cell


def _shape(cell: str) -> str:
    """``A012`` -> ``a9``: runs of letters and of digits."""
    return re.sub(r"\d+", "9", re.sub(r"[^\W\d_]+", "a", cell))


def is_number(cell: str) -> bool:
    """Whether a whole cell is a number, perhaps with a percent sign."""
    return re.fullmatch(r"[-+]?[\d.,]*\d%?", cell) is not None


def width(text: str) -> float:
    """Characters, where one of Chinese, Japanese or Korean says as much as three letters."""
    wide = sum("\u3040" <= c <= "\u9fff" or "가" <= c <= "힣" for c in text)
    return len(text) + 2 * wide


def _share(values: Sequence[str], test) -> float:
    return sum(map(test, values)) / len(values)
