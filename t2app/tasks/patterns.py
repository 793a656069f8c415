"""Regular expressions from a file: refused where compiling or matching them could take over."""

from __future__ import annotations

import re

import regex as timed

from t2app.errors import T2Error
from t2app.tasks.text import short

PATTERN_SECONDS = 0.1
MAX_PATTERN, MAX_WRITTEN_OUT = 500, 5000

_TOKEN = re.compile(r"\\.|\[(?:\\.|[^\]\\])*\]|\{(?=\d|,\d)(\d*)(?:,(\d*))?\}|.", re.DOTALL)


def matches(answer: str, gold: str) -> float:
    """1 where the pattern in ``gold`` matches anywhere in the answer.

    A pattern that takes more CPU time than ``PATTERN_SECONDS`` does not match. Raises T2Error for
    one that is none.
    """
    try:
        return float(pattern(gold).search(answer, timeout=PATTERN_SECONDS) is not None)
    except TimeoutError:
        return 0.0


def pattern(text: str) -> timed.Pattern[str]:
    """The compiled pattern. Raises T2Error for one that is none, too long or repeats too much."""
    if len(text) > MAX_PATTERN:
        raise T2Error(f"the pattern has more than {MAX_PATTERN} characters")
    if _written_out(text) > MAX_WRITTEN_OUT:
        raise T2Error(f"{short(text)} repeats too much: keep counts such as {{1000}} small")
    try:
        return timed.compile(text)
    except (timed.error, ValueError, OverflowError, RecursionError) as error:
        raise T2Error(f"{text!r} is not a regular expression: {error}") from error


def _written_out(text: str) -> int:
    """How long a pattern gets when its counted repeats are written out, as compiling does.

    ``((a{1000}){1000}){1000}`` would take all memory before any match could be stopped.
    """
    totals, last = [0], 0
    for token in _TOKEN.finditer(text):
        if token[0] == "(":
            totals.append(0)
            continue
        if token[1] is not None:
            size = last * (max(int(n or 0) for n in token.groups()) - 1)
        else:
            size = totals.pop() if token[0] == ")" and len(totals) > 1 else 1
            last = 0
        totals[-1] += max(0, size)
        last += max(0, size)
    return sum(totals)
