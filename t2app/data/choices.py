"""Options of multiple choice questions, and gold answers given as letter, text or position."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Sequence
from typing import Any

from t2app.tasks.rewards import LETTERS, normalise

Options = tuple[tuple[str, str], ...]  # (letter, text)

_MARK = re.compile(r"(?:^|(?<=\s))\(?([A-H])[).:]\s+")


def from_cells(cells: Sequence[str]) -> Options:
    """One column for each option; empty ones are left out and keep their letter."""
    return tuple((letter, text) for letter, text in zip(LETTERS, cells, strict=False) if text)


def from_cell(cell: str) -> Options:
    """All options in one cell: a list (JSON or Python), marked ``A) …``, or one a line.

    Also separated by ``|`` or ``;``. Empty where there are not two to eight.
    """
    found = _listed(cell) or _marked(cell) or _separated(cell)
    texts = _without_marks([" ".join(str(text).split()) for text in found])
    return from_cells(texts) if 2 <= len(texts) <= len(LETTERS) else ()


def _without_marks(texts: list[str]) -> list[str]:
    """Options that all begin with their own letter, as in ``A)21``, without it."""
    marked = [re.match(r"\(?([A-H])[).:]\s*(?=\S)", text) for text in texts]
    if not all(marked) or [m[1] for m in marked if m] != list(LETTERS[: len(texts)]):
        return texts
    return [text[m.end() :] for text, m in zip(texts, marked, strict=True) if m]


def _listed(cell: str) -> list[Any]:
    for read in (json.loads, ast.literal_eval):
        try:
            value = read(cell)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            continue
        if isinstance(value, dict):  # {"text": [...], "label": ["A", ...]}, or {"A": "...", ...}
            value = value.get("text", list(value.values()))
        if isinstance(value, (list, tuple)):
            return list(value)
    return []


def _marked(cell: str) -> list[str]:
    parts = _MARK.split(cell)
    letters, texts = parts[1::2], parts[2::2]
    in_order = letters == list(LETTERS[: len(letters)])
    return [t.strip(" ,;\n") for t in texts] if in_order and not parts[0].strip() else []


def _separated(cell: str) -> list[str]:
    for separator in ("\n", "|", ";"):
        parts = [part.strip() for part in cell.split(separator) if part.strip()]
        if len(parts) > 1:
            return parts
    return []


def below(question: str, options: Options) -> str:
    """The question with its options, one a line."""
    return "\n".join([question, *(f"{letter}) {text}" for letter, text in options)])


def letters(golds: Sequence[str], options: Sequence[Options]) -> list[str | None]:
    """The letter of each gold answer; None where it is none of its row's options.

    Golds are letters, texts of options or positions: what fits most of the column goes first. A
    column of positions counts from 0 if it has a 0, else from 1.
    """
    first = 0 if "0" in golds else 1
    ways = (_by_letter, _by_text, lambda gold, row: _by_position(gold, row, first))
    found = [[way(g, o) for g, o in zip(golds, options, strict=True)] for way in ways]
    found.sort(key=lambda column: -sum(letter is not None for letter in column))
    return [next((x for x in row if x), None) for row in zip(*found, strict=True)]


def _by_letter(gold: str, options: Options) -> str | None:
    match = re.fullmatch(r"\(?([A-Ha-h])(?:[).:](?:\s.*)?)?", gold, re.DOTALL)
    if match is None:
        return None
    letter = match[1].upper()
    return letter if not options or any(letter == known for known, _ in options) else None


def _by_text(gold: str, options: Options) -> str | None:
    same = [letter for letter, text in options if normalise(text) == normalise(gold)]
    return same[0] if same else None


def _by_position(gold: str, options: Options, first: int) -> str | None:
    if not re.fullmatch("[0-8]", gold):
        return None
    at = int(gold) - first
    return options[at][0] if 0 <= at < len(options) else None
