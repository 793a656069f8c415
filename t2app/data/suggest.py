"""What the answers of a table look like, and so which reward and objective fit, in a sentence."""

from __future__ import annotations

import re
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from t2app.tasks.rewards import Objective, last_number, normalise

MOST = 0.9  # the share of the answers that has to be of a kind
SHORT_WORDS, LABEL_WORDS = 5, 25

# A number with a currency, a unit or a percent sign; or worked out, with the result marked at the
# end as in GSM8K (#### 72) or in so many words.
_NUMBER = re.compile(
    r"[^\w\s]{0,2}\s?[-−+]?[$€£¥]?\s?[\d.,'’\s]*\d(?:[eE][-+]?\d+)?\s?(?:[^\W\d_]{1,12}|[%€$£¥°])?\.?"
    r"(?:\s?(?:±|\+/-|\+-)\s?[\d.,]+)?"
)
_MARKED = re.compile(
    r"(?:####|(?:answer|result) (?:is|=|:))\s*[-−+$€£]*[\d.,]*\d[^\d]{0,12}\Z", re.I
)
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


def suggest(golds: Sequence[str], *, options: bool = False, tests: bool = False) -> Suggestion:
    """Choose by what most answers are.

    ``options``: the rows have columns of options. ``tests``: they have tests. ``golds`` are the
    answers as they stand in the file.
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
    if _share(golds, is_number) >= MOST:
        numbers = [n for g in golds if (n := last_number(g)) is not None]
        return Suggestion(
            "numeric",
            "rl",
            f"The answers are numbers from {min(numbers):g} to {max(numbers):g}, so an answer "
            "counts as right when its last number is the right one.",
        )
    return _of_text(golds)


def _of_text(golds: Sequence[str]) -> Suggestion:
    counts = Counter(map(normalise, golds))
    length = statistics.median(len(g.split()) for g in golds) if golds else 0
    if golds and 4 * len(counts) <= len(golds) and length <= LABEL_WORDS:
        return Suggestion(
            "exact",
            "rl",
            f"The answers are {len(counts)} different texts that repeat (most often "
            f"{_example([counts.most_common(1)[0][0]])}), so an answer counts as right when it is "
            "the same text.",
        )
    if length <= SHORT_WORDS:
        return Suggestion(
            "exact",
            "rl",
            f"The answers are short (e.g. {_example(golds)}), so an answer counts as right when it "
            "is the same text, whatever its case and final punctuation.",
        )
    return Suggestion(
        "overlap",
        "sft",
        f"The answers are free text of about {length:.0f} words, so an answer is judged by the "
        "words that it has in common with the right one.",
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


def is_number(gold: str) -> bool:
    """Whether a whole answer is a number, perhaps with a unit, or ends in a marked result."""
    return _NUMBER.fullmatch(gold.strip()) is not None or _MARKED.search(gold) is not None


def _is_letter(gold: str) -> bool:
    return re.fullmatch(r"\(?[A-Ha-h][).]?", gold.strip()) is not None


def _share(golds: Sequence[str], test) -> float:
    return sum(map(test, golds)) / len(golds) if golds else 0.0


def _example(golds: Sequence[str]) -> str:
    text = min(golds, key=len, default="")
    return repr(text if len(text) <= 40 else text[:39] + "…")
