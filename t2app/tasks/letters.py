"""Which option an answer settles on: by its letter, or by its text."""

from __future__ import annotations

import re
from collections.abc import Sequence

from t2app.tasks.numbers import marked
from t2app.tasks.text import contains, normalise, words

Options = Sequence[tuple[str, str]]  # (letter, text)

LETTERS = "ABCDEFGH"

# A small letter with a word behind it is an article.
_SAID = re.compile(r"[(\[*$]*(?:\\text\s*\{\s*)?([A-H]\b|[a-h]\b(?!\s+\w))(?!['’])")
_OPTION = re.compile(r"(?i:option|choice|letter)\s+[(\[*]*([A-Ha-h])\b(?!['’])")
_FIRST = re.compile(r"[(\[*]*([A-Ha-h])(?:[)\]*]|[.:](?=\s|$)|\s*$)")
_ALONE = re.compile(r"\b(?!A\s+[a-z])([A-H])\b(?!['’])")


def choice(answer: str, gold: str, options: Options = ()) -> float:
    """1 where the answer settles on the letter ``gold``; see ``chosen_letter``."""
    return float(chosen_letter(answer, options) == gold.strip().upper())


def chosen_letter(answer: str, options: Options = ()) -> str | None:
    r"""The letter an answer settles on, or that of the only option whose text it gives.

    In this order: the marked result ("answer is", ``####``, ``\boxed{}``), a letter at the
    beginning as in ``B) Paris``, the text of exactly one option, the last capital letter that
    stands alone and is no article. A marked result that is none of the options settles on none,
    whatever the text before it names.
    """
    text = answer.strip()
    result = marked(text)
    if result is not None and (letter := _of_result(result, options)):
        return letter
    if first := _FIRST.match(text):
        return first[1].upper()
    if result and words(result):
        text = text[text.rfind(result) :]
    elif named := _named(text, options):
        return named
    alone = _ALONE.findall(text)
    return alone[-1] if alone else None


def _of_result(result: str, options: Options) -> str | None:
    """The letter that a marked result begins with, or that of the option that it gives."""
    result = result.strip()
    if said := _SAID.match(result) or _OPTION.match(result):
        return said[1].upper()
    if same := _named(result, options):
        return same
    begun = [
        (len(words(text)), letter)
        for letter, text in options
        if words(text) and words(result)[: len(words(text))] == words(text)
    ]
    return max(begun)[1] if begun else None


def _named(text: str, options: Options) -> str | None:
    """The option that is the text, or the only one that occurs in it."""
    named = [letter for letter, option in options if normalise(text) == normalise(option)]
    named = named or [letter for letter, option in options if contains(text, option)]
    return named[0] if len(named) == 1 else None
