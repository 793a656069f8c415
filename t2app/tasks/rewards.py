"""How an answer is judged: plain functions of an answer and the gold answer that give 0.0 to 1.0.

``REWARDS`` has them by name with what a task needs: to score many answers, and to say why a gold
answer cannot be judged by. None of them sees a model.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import regex as timed_regex

from t2app.errors import T2Error
from t2app.tasks import asserts, sandbox
from t2app.tasks.base import Problem
from t2app.tasks.code import program

Objective = Literal["rl", "sft"]
Options = Sequence[tuple[str, str]]

PATTERN_SECONDS = 0.1
MAX_PATTERN, MAX_WRITTEN_OUT = 500, 5000
MAX_WORDS = 2000
LETTERS = "ABCDEFGH"

# A minus counts where nothing stands directly before it, so 12-3 is 12 and 3.
_NUMBER = re.compile(
    r"(?P<sign>(?<![\w)\]])[-−+])?(?P<digits>(?:(?<!\w)\.)?\d(?:[\d.,'’\u00a0\u202f\u2009]*\d)?)"
    r"(?P<exponent>[eE][-+]?\d{1,3}(?!\w))?"
)
_ENGLISH = re.compile(r"[1-9]\d{0,2}(?:,\d{2,3})*,\d{3}(?:\.\d+)?")  # 1,234.5 and 12,34,567
_GERMAN = re.compile(r"[1-9]\d{0,2}(?:\.\d{3})+,\d+|[1-9]\d{0,2}(?:\.\d{3}){2,}")  # 1.234,5
_SPACED = re.compile(r"[1-9]\d{0,2}(?:['’\u00a0\u202f\u2009]\d{3})+(?:[.,]\d+)?")  # 1'234,5
_PLAIN = re.compile(r"(?:\d+[.,])?\d+|\.\d+")
_WHOLE = re.compile(r"[-−+]?\d{1,3}(?: \d{3})+(?:[.,]\d+)?")  # 1 234: only as a whole cell
_TOLERANCE = re.compile(r"\s*(?:±|\+/-|\+-)\s*")
_PATTERN_TOKEN = re.compile(r"\\.|\[(?:\\.|[^\]\\])*\]|\{(?=\d|,\d)(\d*)(?:,(\d*))?\}|.", re.DOTALL)
# Scripts that put no space between words: every character counts as a word.
_WORD = re.compile(
    r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+|[^\w\s]"
)


# -- text --------------------------------------------------------------------------------------


def normalise(text: str) -> str:
    """Without case, repeated white space, quotation marks around it and punctuation at its end."""
    text = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    bare = text.rstrip(" .,;:!?…。！？").strip("\"'`“”‘’«»*").rstrip(" .,;:!?…。！？")
    return bare or text


def words(text: str) -> list[str]:
    """Words and single punctuation marks, without case."""
    return _WORD.findall(normalise(text))


def exact(answer: str, gold: str) -> float:
    """1 where the answer is ``gold``, but for case, white space and punctuation at the end."""
    return float(normalise(answer) == normalise(gold))


def contains(answer: str, gold: str) -> float:
    """1 where the words of the gold answer occur in the answer, side by side."""
    said, wanted = words(answer), words(gold)
    return float(
        any(said[i : i + len(wanted)] == wanted for i in range(len(said) - len(wanted) + 1))
    )


def regex(answer: str, gold: str) -> float:
    """1 where the pattern in ``gold`` matches anywhere in the answer.

    A pattern that takes more CPU time than ``PATTERN_SECONDS`` does not match. Raises T2Error for
    one that is none.
    """
    try:
        return float(_pattern(gold).search(answer, timeout=PATTERN_SECONDS) is not None)
    except TimeoutError:
        return 0.0


def _pattern(text: str) -> timed_regex.Pattern[str]:
    if len(text) > MAX_PATTERN:
        raise T2Error(f"the pattern has more than {MAX_PATTERN} characters")
    if _written_out(text) > MAX_WRITTEN_OUT:
        raise T2Error(f"{_short(text)} repeats too much: keep counts such as {{1000}} small")
    try:
        return timed_regex.compile(text)
    except (timed_regex.error, ValueError, OverflowError, RecursionError) as error:
        raise T2Error(f"{text!r} is not a regular expression: {error}") from error


def _written_out(pattern: str) -> int:
    """How long a pattern gets when its counted repeats are written out, as compiling does.

    ``((a{1000}){1000}){1000}`` would take all memory before any match could be stopped.
    """
    totals, last = [0], 0
    for token in _PATTERN_TOKEN.finditer(pattern):
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


def overlap(answer: str, gold: str) -> float:
    """F1 of the longest common subsequence of words (ROUGE-L, Lin 2004), 0 to 1."""
    said, wanted = words(answer)[:MAX_WORDS], words(gold)[:MAX_WORDS]
    if not said or not wanted:
        return 0.0
    row = [0] * (len(wanted) + 1)
    for word in said:
        diagonal = 0
        for j, other in enumerate(wanted, 1):
            diagonal, row[j] = row[j], diagonal + 1 if word == other else max(row[j], row[j - 1])
    return 2 * row[-1] / (len(said) + len(wanted))


# -- numbers -----------------------------------------------------------------------------------


def last_number(text: str) -> float | None:
    """The last number of a text; None without one.

    A comma before exactly three digits separates thousands, before others decimals; a point does
    the reverse only where it occurs twice or a comma follows. So ``1.234`` is below two.
    """
    if _WHOLE.fullmatch(text.strip()):
        text = text.replace(" ", "")
    found = deque(_NUMBER.finditer(text), maxlen=1)
    return _value(found[0]) if found else None


def _value(match: re.Match[str]) -> float:
    value = float(_digits(match["digits"]) + (match["exponent"] or ""))
    return -value if match["sign"] in ("-", "−") else value


def _digits(text: str) -> str:
    """A number as Python writes it; of a list like ``1,2,3`` the last one."""
    if _ENGLISH.fullmatch(text):
        return text.replace(",", "")
    if _GERMAN.fullmatch(text):
        return text.replace(".", "").replace(",", ".")
    if _SPACED.fullmatch(text):
        return re.sub(r"['’\s]", "", text).replace(",", ".")
    return text.replace(",", ".") if _PLAIN.fullmatch(text) else re.split(r"\D", text)[-1]


def numeric(answer: str, gold: str, tolerance: float = 1e-6) -> float:
    """1 where the last number of the answer is the last number of ``gold``.

    Equal means: apart by at most ``tolerance`` of its size, or by what the gold answer itself
    allows, as in ``3.14 ± 0.01``.
    """
    wanted, allowed = _with_tolerance(gold)
    said = last_number(answer)
    if said is None or wanted is None:
        return 0.0
    return float(
        math.isclose(said, wanted, rel_tol=tolerance, abs_tol=1e-9)
        or abs(said - wanted) <= allowed * (1 + 1e-9)
    )


def _with_tolerance(gold: str) -> tuple[float | None, float]:
    parts = _TOLERANCE.split(gold)
    if len(parts) == 2 and (allowed := last_number(parts[1])) is not None:
        return last_number(parts[0]), allowed
    return last_number(gold), 0.0


# -- choice ------------------------------------------------------------------------------------


# A small letter with a word behind it is an article.
_SAID = re.compile(
    r"(?i:answer)(?:\s+(?i:is)\s*:?|\s*:)\s*[(\[*]*([A-H]\b|[a-h]\b(?!\s+\w))(?!['’])"
)
_FIRST = re.compile(r"[(\[*]*([A-Ha-h])(?:[)\]*]|[.:](?=\s|$)|\s*$)")


def choice(answer: str, gold: str, options: Options = ()) -> float:
    """1 where the answer settles on the letter ``gold``; see ``chosen_letter``."""
    return float(chosen_letter(answer, options) == gold.strip().upper())


def chosen_letter(answer: str, options: Options = ()) -> str | None:
    """The letter an answer settles on, or that of the only option whose text it gives.

    In this order: after "answer is" (the last time), a letter at the beginning as in ``B) Paris``,
    the text of exactly one option, the last capital letter that stands alone and is no article.
    """
    text = answer.strip()
    if said := _SAID.findall(text):
        return said[-1].upper()
    if first := _FIRST.match(text):
        return first[1].upper()
    named = [letter for letter, option in options if normalise(text) == normalise(option)]
    named = named or [letter for letter, option in options if contains(text, option)]
    if len(named) == 1:
        return named[0]
    alone = re.findall(r"\b(?!A\s+[a-z])([A-H])\b(?!['’])", text)
    return alone[-1] if alone else None


# -- code --------------------------------------------------------------------------------------


def code(answer: str, gold: str) -> float:
    """1 where the program in the answer passes every test in ``gold`` (``asserts``), sandboxed."""
    return code_many([answer], [gold])[0]


def code_many(answers: Sequence[str], golds: Sequence[str]) -> list[float]:
    """``code`` for many answers, on all processors. Raises T2Error for unreadable tests."""
    tests = [asserts.read(gold) for gold in golds]
    jobs = [
        (program(answer), t.function, [arguments for arguments, _ in t.cases])
        for answer, t in zip(answers, tests, strict=True)
    ]
    return [
        float(
            outcome.status == "ok"
            and all(
                asserts.same(got, want)
                for got, (_, want) in zip(outcome.values, t.cases, strict=True)
            )
        )
        for outcome, t in zip(sandbox.run_many(jobs), tests, strict=True)
    ]


# -- by name -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Reward:
    """A way to judge, in words, and the two things a task does with it."""

    name: str
    summary: str
    score: Callable[[Sequence[Problem], Sequence[str]], list[float]]
    unreadable: Callable[[str], str | None]


def _each(function: Callable[[str, str], float]):
    def score(problems: Sequence[Problem], answers: Sequence[str]) -> list[float]:
        return [function(a, p.gold) for p, a in zip(problems, answers, strict=True)]

    return score


def _score_choice(problems: Sequence[Problem], answers: Sequence[str]) -> list[float]:
    """The options are in ``hidden`` as (letter, text)."""
    return [choice(a, p.gold, p.hidden) for p, a in zip(problems, answers, strict=True)]


def _score_code(problems: Sequence[Problem], answers: Sequence[str]) -> list[float]:
    return code_many(answers, [p.gold for p in problems])


def _no_words(gold: str) -> str | None:
    return None if words(gold) else "no words in the answer"


def _no_number(gold: str) -> str | None:
    value, allowed = _with_tolerance(gold)
    if value is None or not math.isfinite(value + allowed):
        return f"no number in {_short(gold)}"
    return None


def _no_letter(gold: str) -> str | None:
    if re.fullmatch("[A-Ha-h]", gold.strip()):
        return None
    return f"{_short(gold)} is none of the options, nor the letter of one"


def _raised(function: Callable[[str], object]) -> Callable[[str], str | None]:
    def reason(gold: str) -> str | None:
        try:
            function(gold)
        except T2Error as error:
            return str(error)
        return None

    return reason


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:39] + "…")


REWARDS = {
    r.name: r
    for r in (
        Reward("exact", "the answer is the gold answer", _each(exact), _no_words),
        Reward("numeric", "the last number is the gold number", _each(numeric), _no_number),
        Reward("choice", "the letter, or the option's text, is right", _score_choice, _no_letter),
        Reward(
            "code", "the program passes the tests of its row", _score_code, _raised(asserts.read)
        ),
        Reward(
            "overlap", "words in common with the gold answer, 0 to 1", _each(overlap), _no_words
        ),
        Reward("contains", "the gold answer occurs in the answer", _each(contains), _no_words),
        Reward("regex", "the gold pattern matches the answer", _each(regex), _raised(_pattern)),
    )
}
