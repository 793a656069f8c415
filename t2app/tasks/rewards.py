"""How an answer is judged: rewards by name, each a plain function that gives 0.0 to 1.0.

``REWARDS`` has those that come with the app, with what a task needs of them: to score many
answers, and to say why gold answers cannot be judged by. Where a problem has several right answers
the best match counts. None of them sees a model. Not covered: rewards that users write (``own``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from t2app.errors import T2Error
from t2app.tasks import testing
from t2app.tasks.base import Problem
from t2app.tasks.letters import LETTERS, choice, chosen_letter
from t2app.tasks.numbers import number_in, numeric, with_tolerance
from t2app.tasks.patterns import matches, pattern
from t2app.tasks.text import contains, exact, has_words, normalise, overlap, short, words

Objective = Literal["rl", "sft"]
Score = Callable[[Sequence[Problem], Sequence[str]], list[float]]
# Why a gold answer cannot be judged by; None where it can.
Unreadable = Callable[[str], str | None]


@dataclass(frozen=True)
class Reward:
    """A way to judge, in words, and the two things a task does with it.

    ``parts`` names the rewards that it is made of, with their weights (itself, for most);
    ``sources`` holds the programs of those that are the user's own, by file name.
    """

    name: str
    summary: str
    score: Score
    unreadable: Unreadable
    parts: tuple[tuple[str, float], ...] = ()
    sources: tuple[tuple[str, str], ...] = ()

    def uses(self, name: str) -> bool:
        """Whether it is, or contains, the reward of that name."""
        return name == self.name or any(name == part for part, _ in self.parts)

    @property
    def own(self) -> bool:
        """Whether a function of the user's own has a part in it."""
        return bool(self.sources)


def golds(problem: Problem) -> tuple[str, ...]:
    """Every right answer of a problem, the first to learn from first."""
    return (problem.gold, *problem.also)


def _best(function: Callable[[str, str], float]) -> Score:
    def score(problems: Sequence[Problem], answers: Sequence[str]) -> list[float]:
        pairs = zip(problems, answers, strict=True)
        return [max(function(answer, gold) for gold in golds(p)) for p, answer in pairs]

    return score


def _score_choice(problems: Sequence[Problem], answers: Sequence[str]) -> list[float]:
    """The options are in ``hidden`` as (letter, text)."""
    pairs = zip(problems, answers, strict=True)
    return [max(choice(answer, gold, p.hidden) for gold in golds(p)) for p, answer in pairs]


def _score_code(problems: Sequence[Problem], answers: Sequence[str]) -> list[float]:
    """The tests are the gold answer."""
    cells = [(i, gold) for i, p in enumerate(problems) for gold in golds(p)]
    passed = testing.passed(
        [gold for _, gold in cells],
        [problems[i].question for i, _ in cells],
        [answers[i] for i, _ in cells],
    )
    found = [0.0] * len(problems)
    for (i, _), right in zip(cells, passed, strict=True):
        found[i] = max(found[i], float(right))
    return found


def code(answer: str, gold: str) -> float:
    """1 where the program in the answer passes every test in ``gold``, in the sandbox."""
    return float(testing.passed([gold], [""], [answer])[0])


def _no_words(gold: str) -> str | None:
    return None if has_words(gold) else "no words in the answer"


def _no_number(gold: str) -> str | None:
    value, _ = with_tolerance(gold)
    return f"no number in {short(gold)}" if value is None else None


def _no_letter(gold: str) -> str | None:
    if len(gold.strip()) == 1 and gold.strip().upper() in LETTERS:
        return None
    return f"{short(gold)} is none of the options, nor the letter of one"


def _no_tests(gold: str) -> str | None:
    return testing.unusable([gold])[0]


def _no_pattern(gold: str) -> str | None:
    try:
        pattern(gold)
    except T2Error as error:
        return str(error)
    return None


REWARDS = {
    name: Reward(name, summary, score, unreadable, ((name, 1.0),))
    for name, summary, score, unreadable in (
        ("exact", "the same text as the right answer", _best(exact), _no_words),
        (
            "numeric",
            "the marked result, or the last number, is the right number",
            _best(numeric),
            _no_number,
        ),
        ("choice", "the letter, or the option's text, is right", _score_choice, _no_letter),
        ("code", "the program passes the tests of its row", _score_code, _no_tests),
        (
            "overlap",
            "words in common with the right answer, 0 to 1",
            _best(overlap),
            _no_words,
        ),
        ("contains", "the right answer occurs in the answer", _best(contains), _no_words),
        ("regex", "the gold pattern matches the answer", _best(matches), _no_pattern),
    )
}

__all__ = [
    "LETTERS",
    "REWARDS",
    "Objective",
    "Reward",
    "choice",
    "chosen_letter",
    "code",
    "contains",
    "exact",
    "golds",
    "matches",
    "normalise",
    "number_in",
    "numeric",
    "overlap",
    "words",
]
