"""A reward tried on the rows before training: does it pay for the right answers, and only them?

The given answer of a row should get all, those of other rows mostly nothing, the empty answer
nothing. What the most frequent answer gets on all rows is the bar that an expert has to beat.
"""

from __future__ import annotations

import hashlib
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from t2app.data.labels import most_frequent, repeat
from t2app.errors import T2Error
from t2app.tasks import own
from t2app.tasks.base import Problem
from t2app.tasks.rewards import REWARDS, Reward
from t2app.tasks.text import length, normalise, short, words

# Rows that are tried: where a score costs nothing, little, and a process.
MOST_ROWS, MOST_OWN, MOST_RUNS = 200, 64, 12
# Word by word, overlap takes the product of both lengths: what all of it may come to.
MOST_STEPS = 3_000_000
# What a reward has to give to right answers on average, and may give to others and to nothing.
OWN, OTHER, EMPTY = 0.9, 0.5, 0.5
# How often the most frequent answer has to occur, and what it has to get, to be a bar.
OFTEN, BAR = 3, 0.05
LONGEST_EXACT = 12  # words of an answer
ALIKE = 0.8  # overlap with another row's answer that is worth a word
# Answers that a function should survive whatever it makes of them.
AWKWARD = ("I do not know.", "42", "word " * 400, "```python\nx = 1\n```", "ß 東京 \u200b")


@dataclass(frozen=True)
class Trial:
    """What a reward gives on average, 0 to 1; None where rows have no answers to try.

    ``own`` to the given answers, ``other`` to those of other rows, ``empty`` to the empty one,
    ``common`` to the most frequent answer ``most``. ``failure`` says that it cannot be run,
    ``problem`` why it will not do, ``notes`` what else to know.
    """

    reward: str
    rows: int
    own: float | None = None
    other: float | None = None
    empty: float | None = None
    common: float | None = None
    most: str | None = None
    failure: str | None = None
    problem: str | None = None
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)

    def words(self) -> str:
        """What people should know of it, in sentences; empty where there is nothing."""
        problem = f"It will not do: {self.problem}." if self.problem else ""
        return " ".join(filter(None, (problem, *self.notes)))


def run(rule: Reward, problems: Sequence[Problem]) -> Trial:
    """Try a reward on rows; which ones does not depend on their order."""
    if not problems:
        return Trial(rule.name, 0)
    tried = sorted(_chosen(rule, problems), key=lambda p: p.number)
    try:
        return _measured(rule, problems, tried)
    except T2Error as error:
        return Trial(rule.name, len(tried), failure=str(error))


def of_golds(reward: str, golds: Sequence[str]) -> Trial:
    """Try a reward that comes with the app on answers alone."""
    problems = [Problem("", gold, gold, gold, gold) for gold in golds]
    return run(REWARDS[reward], problems)


def given(rule: Reward, problem: Problem) -> str | None:
    """The right answer as somebody would say it; None where a row only says how to tell."""
    if rule.uses("regex"):
        return None
    if rule.uses("code") or rule.own:
        return problem.fast or None
    return problem.gold


def _chosen(rule: Reward, problems: Sequence[Problem]) -> list[Problem]:
    ranked = sorted(problems, key=lambda p: hashlib.sha256(p.question.encode()).digest())
    if rule.uses("code"):
        return ranked[:MOST_RUNS]
    if rule.own:
        return ranked[:MOST_OWN]
    if not rule.uses("overlap"):
        return ranked[:MOST_ROWS]
    steps = 0
    for i, problem in enumerate(ranked[:MOST_ROWS]):
        steps += 2 * len(words(problem.gold)) ** 2
        if steps > MOST_STEPS and i:
            return ranked[:i]
    return ranked[:MOST_ROWS]


def _measured(rule: Reward, problems: Sequence[Problem], tried: Sequence[Problem]) -> Trial:
    answered = [p for p in tried if given(rule, p) is not None]
    right = [given(rule, p) or "" for p in answered]
    wrong = others(rule, problems, answered)
    most = most_frequent([a for p in problems if (a := given(rule, p)) is not None])
    own_scores = rule.score(answered, right) if answered else []
    found = Trial(
        rule.name,
        len(tried),
        _mean(own_scores),
        _mean(rule.score(answered, wrong)) if wrong else None,
        _mean(rule.score(tried, [""] * len(tried))),
        _mean(rule.score(tried, [most] * len(tried))) if most and _has_a_bar(rule) else None,
        most,
    )
    if rule.own:
        rows = tried[:3]
        rule.score([p for p in rows for _ in AWKWARD], [a for _ in rows for a in AWKWARD])
    low = [p for p, score in zip(answered, own_scores, strict=True) if score < 1 - 1e-9]
    return Trial(
        **{
            **asdict(found),
            "problem": _problem(rule, found, low, right),
            "notes": tuple(_notes(rule, found, low, answered, right)),
        }
    )


def _has_a_bar(rule: Reward) -> bool:
    return not (rule.uses("code") or rule.uses("overlap"))


def others(rule: Reward, problems: Sequence[Problem], tried: Sequence[Problem]) -> list[str]:
    """For each row the answer of another that reads differently; empty where all are alike."""
    texts = {normalise(a): a for p in problems if (a := given(rule, p)) is not None}
    ranked = sorted(texts, key=lambda text: hashlib.sha256(text.encode()).digest())
    if len(ranked) < 2:
        return []
    at = {text: i for i, text in enumerate(ranked)}
    places = [at[normalise(given(rule, p) or "")] for p in tried]
    return [texts[ranked[(place + 1) % len(ranked)]] for place in places]


def _mean(scores: Sequence[float]) -> float | None:
    return sum(scores) / len(scores) if scores else None


def _problem(
    rule: Reward, found: Trial, low: Sequence[Problem], right: Sequence[str]
) -> str | None:
    """Why a reward will not do, the worst first; None where it will."""
    if found.empty is not None and found.empty >= EMPTY:
        return (
            f"this reward is met by the empty answer, which gets {found.empty:.2f} on average, so "
            "training would teach the model to say nothing"
        )
    if found.own is not None and found.own < OWN and not rule.own:
        return (
            f"the given answers themselves get {found.own:.2f} on average instead of 1"
            f"{_first_of(low)}"
        )
    if rule.name == "exact" and _too_long(right):
        return (
            f"the answers have about {statistics.median(map(length, right)):.0f} words and differ, "
            "so hardly any answer will be the same text (overlap pays for words in common)"
        )
    if found.own is None or found.other is None or rule.uses("overlap"):
        return None
    if found.other > OTHER and (not rule.own or found.other > found.own - 0.1):
        return (
            f"answers of other rows get {found.other:.2f} on average, the right ones "
            f"{found.own:.2f}: it hardly tells right from wrong"
        )
    if rule.own and found.other > found.own - 0.02:
        return (
            f"the right answers get {found.own:.2f} on average and those of other rows "
            f"{found.other:.2f}: it does not tell right from wrong"
        )
    return None


def _too_long(answers: Sequence[str]) -> bool:
    """Whether answers are too long to be said again word for word, and no set of texts."""
    long = bool(answers) and statistics.median(map(length, answers)) > LONGEST_EXACT
    return long and not repeat(answers, len(set(map(normalise, answers))))


def _first_of(rows: Sequence[Problem]) -> str:
    numbered = [p.number for p in rows if p.number]
    return f" (first: row {min(numbered)})" if numbered else ""


def _notes(
    rule: Reward,
    found: Trial,
    low: Sequence[Problem],
    answered: Sequence[Problem],
    right: Sequence[str],
) -> Iterator[str]:
    if low and found.own is not None and found.own >= OWN and not rule.own:
        what = "programs fail their own tests" if rule.uses("code") else "answers do not get 1"
        yield f"{len(low)} of {len(answered)} given {what}{_first_of(low)}."
    if rule.own and found.own is not None and found.own < 1 - 1e-9:
        yield f"The given answers get {found.own:.2f} on average."
    if found.empty and found.empty < EMPTY:
        yield f"The empty answer gets {found.empty:.2f} on average."
    if rule.uses("overlap") and (found.other or 0) >= ALIKE:
        yield (
            f"The answers are alike: that of another row already gets {found.other:.2f}, so watch "
            "what is gained over that."
        )
    often = sum(normalise(answer) == normalise(found.most or "") for answer in right)
    if found.common and found.most is not None and often >= OFTEN and found.common >= BAR:
        yield (
            f"Always answering {short(found.most)} gets {found.common:.0%}: that is the bar to "
            "beat."
        )
    for name, source in rule.sources:
        for problem, one in zip(answered, own.given(name, source, answered, right), strict=True):
            if one.printed:
                yield (
                    f"{name}, row {problem.number}: the function prints "
                    f"{short(one.printed.strip())}; only what it returns counts."
                )
                break
