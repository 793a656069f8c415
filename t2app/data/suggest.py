"""What the answers of a table look like, and so which reward and objective fit, in a sentence."""

from __future__ import annotations

import re
import statistics
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from t2app.data import trial
from t2app.data.labels import LABEL_WORDS, MOST_LABELS, closed, codes, often, repeat
from t2app.tasks.numbers import is_number, number_in
from t2app.tasks.rewards import Objective, normalise
from t2app.tasks.text import length, short

MOST = 0.9  # the share of the answers that has to be of a kind
SHORT_WORDS = 5
REPEATED = 0.5  # the share of answers that occur twice or more, where they look like labels
_COMMON = frozenset(
    "about after also answer before between could does each from gets give gives have having here "
    "into just like made make makes many more most much must need only other over please question "
    "should some such take takes than that their them then there these they this those what when "
    "where which while will with without would write your".split()
)


@dataclass(frozen=True)
class Suggestion:
    """The reward, the objective, and why, as a sentence for people."""

    reward: str
    objective: Objective
    why: str


def suggest(
    golds: Sequence[str],
    questions: Sequence[str] = (),
    *,
    options: bool = False,
    tests: bool = False,
) -> Suggestion:
    """Choose by what most answers are, and by what a trial of the reward on them gives.

    ``options``: the rows have columns of options. ``tests``: they have tests. ``golds`` are the
    answers as they stand in the file, to ``questions``.
    """
    if tests:
        return Suggestion(
            "code",
            "rl",
            "Every row has tests, so an answer counts as right when its program passes them.",
        )
    if options or _share(golds, _is_letter) >= MOST:
        return Suggestion(
            "choice",
            "rl",
            f"The answers pick one of several options (e.g. {_example(golds)}), so an answer "
            "counts as right when it settles on the right letter or gives that option's text.",
        )
    if _share(golds, is_number) < MOST:
        return _of_text(golds, "")
    if classes := codes(golds, questions):
        return _of_codes(classes)
    tried = trial.of_golds("numeric", [gold for gold in golds if is_number(gold)])
    if tried.problem:
        return _of_text(golds, "Numbers alone do not tell the answers apart. ")
    return _of_numbers(golds)


def _of_codes(classes: Sequence[str]) -> Suggestion:
    return Suggestion(
        "exact",
        "rl",
        f"The answers are {len(classes)} whole numbers that repeat ({', '.join(classes)}), as "
        "labels do, so an answer counts as right when it is the same one and nothing else.",
    )


def _of_numbers(golds: Sequence[str]) -> Suggestion:
    numbers = [n for gold in golds if (n := number_in(gold)) is not None]
    return Suggestion(
        "numeric",
        "rl",
        f"The answers are numbers from {_written(min(numbers))} to {_written(max(numbers))}, so an "
        "answer counts as right when its marked result, or else its last number, is the right one.",
    )


def _of_text(golds: Sequence[str], before: str) -> Suggestion:
    different = len(set(map(normalise, golds)))
    words = statistics.median(map(length, golds)) if golds else 0
    repeats = repeat(golds, different)
    if labels := closed(golds):
        return Suggestion(
            "exact",
            "rl",
            f"{before}The answers are {len(labels)} different texts that repeat (most often "
            f"{short(labels[0])}), so an answer counts as right when it is the same text.",
        )
    if different > MOST_LABELS and often(golds) >= REPEATED and words <= LABEL_WORDS:
        before += (
            f"The answers are {different} different labels, more than the {MOST_LABELS} of a "
            "closed set: they are treated as free answers. "
        )
    elif _share(golds, _mostly_digits) >= MOST and _share(golds, is_number) < 1 - MOST:
        before += f"The answers have digits but are no numbers (e.g. {_example(golds)}). "
    if words <= SHORT_WORDS or repeats:
        return Suggestion(
            "exact",
            "rl",
            f"{before}The answers are short (e.g. {_example(golds)}), so an answer counts as right "
            "when it is the same text, whatever its case and final punctuation.",
        )
    return Suggestion(
        "overlap",
        "sft",
        f"{before}The answers are free text of about {words:.0f} words, so an answer is judged by "
        "the words that it has in common with the right one.",
    )


def describe(questions: Sequence[str], reward: str) -> str:
    """A description of the data for the list of experts, from its most frequent words."""
    counts: Counter[str] = Counter()
    for question in questions:
        found = set(re.findall(r"[^\W\d_]{4,}", question.lower())) - _COMMON
        counts.update(sorted(found))  # in an order that does not change from run to run
    frequent = [word for word, n in counts.most_common(4) if n > 1]
    kind = {
        "numeric": "questions answered by a number",
        "choice": "multiple choice questions",
        "code": "writing a program function",
        "overlap": "requests answered in free text",
    }.get(reward, "questions with a short answer")
    return f"{kind}: {', '.join(frequent)}" if frequent else kind


def _is_letter(gold: str) -> bool:
    return re.fullmatch(r"\(?[A-Ha-h][).]?", gold.strip()) is not None


def _mostly_digits(gold: str) -> bool:
    return sum(map(str.isdigit, gold)) > sum(map(str.isalpha, gold))


def _written(number: Fraction) -> str:
    """A number as people write it: whole ones with every digit."""
    if number.denominator == 1 and abs(number) < 10**20:
        return f"{number.numerator:,}"
    return f"{Decimal(number.numerator) / Decimal(number.denominator):.6g}"


def _share(golds: Sequence[str], test: Callable[[str], bool]) -> float:
    return sum(map(test, golds)) / len(golds) if golds else 0.0


def _example(golds: Sequence[str]) -> str:
    return short(min(golds, key=len, default=""))
