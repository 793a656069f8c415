"""What goes wrong in a run, told in plain words with what to do, from the figures of its steps.

Pure functions of the curve: the steps so far as JSON values (``loop.Progress``), oldest first. An
alarm needs several steps in a row, so that one odd step raises none, and none of those about a lack
of variety is raised where nearly every answer is right. Not covered: whether the expert helps
(``outcome``), what it does to other questions (``evaluation.harm``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

Step = Mapping[str, Any]

# Steps in a row that must agree.
IN_A_ROW = 3
# The mean reward (-1 to 1) from which there is little left to learn: 95 % of the answers right.
SOLVED = 0.9
# The share of prompts whose samples are all the same text.
ALIKE = 0.9
# The mean reward below which nearly nothing is right.
HOPELESS = -0.95
ALL_CUT, MANY_CUT, GROWN = 0.9, 0.2, 1.5
# Nats for each token. The answers of a healthy run keep more entropy than this, and stay nearer to
# the base (see docs/LOG.md).
LEAST_ENTROPY = 0.01
MOST_KL = 3.0
# The mean score (0 to 1) of the empty answer.
EMPTY_PAYS = 0.5


@dataclass(frozen=True)
class Alarm:
    """What is the matter, ``says``, and what to do about it, ``advice``; ``kind`` names it."""

    kind: str
    says: str
    advice: str

    def to_dict(self) -> dict[str, str]:
        """As JSON values."""
        return asdict(self)


def now(curve: Sequence[Step], most_kl: float = MOST_KL) -> list[Alarm]:
    """The alarms that hold after the last step of ``curve``."""
    if not curve:
        return []
    stage = [s for s in curve if s["step"] > 0 and s.get("objective") == curve[-1]["objective"]]
    last = stage[-IN_A_ROW:]
    learned = any(step["objective"] == "sft" and step["step"] > 0 for step in curve)
    found = [_empty(curve), _skipped(curve)]
    if len(last) == IN_A_ROW:
        found.append(_far(last, most_kl))
        if last[-1]["objective"] == "rl":
            found += [_variety(last, learned), _length(stage, last), _entropy(last)]
    return [alarm for alarm in found if alarm is not None]


def over(curve: Sequence[Step], most_kl: float = MOST_KL) -> list[dict[str, Any]]:
    """Every alarm of a run as JSON values, with the ``first`` and ``last`` step it held at.

    ``at_end`` says whether it still held after the last step.
    """
    found: dict[str, dict[str, Any]] = {}
    for count in range(1, len(curve) + 1):
        step = curve[count - 1]["step"]
        for alarm in now(curve[:count], most_kl):
            first = found.get(alarm.kind, {}).get("first", step)
            found[alarm.kind] = {**alarm.to_dict(), "first": first, "last": step}
    return [{**a, "at_end": a["last"] == curve[-1]["step"]} for a in found.values()]


def new(found: Sequence[Mapping], before: Sequence[Mapping]) -> list[Mapping[str, Any]]:
    """Those of a kind that was not there before."""
    known = {alarm["kind"] for alarm in before}
    return [alarm for alarm in found if alarm["kind"] not in known]


def line(alarm: Mapping[str, Any]) -> str:
    """An alarm in one line; one of ``over`` says at which steps it held."""
    when = ""
    if "first" in alarm:
        first, last = alarm["first"], alarm["last"]
        when = f" (step {first})" if first == last else f" (steps {first} to {last})"
    return f"{alarm['says']}{when}. {alarm['advice']}."


# -- each alarm ----------------------------------------------------------------------------------


def _variety(last: Sequence[Step], learned: bool) -> Alarm | None:
    """All samples of a prompt alike, or no prompt whose samples differ in reward.

    ``learned`` says whether the run learned from the given answers before.
    """
    reward, same = _mean(last, "reward"), _least(last, "same")
    if reward is None or reward >= SOLVED:
        return None
    if same is None:
        return _unlikely(reward)
    alike = _least(last, "alike")
    if alike is not None and alike >= ALIKE:
        return Alarm(
            "collapsed",
            f"Collapsed: in {alike:.0%} of the prompts all sampled answers are the same text, and "
            "not the right one",
            "Without variety nothing is learned: stop, and begin anew with shorter steps "
            "or more KL weight; a higher temperature samples more widely",
        )
    if same < 1:
        return None
    says = f"No prompt of the last {IN_A_ROW} steps had answers with different rewards"
    if reward <= HOPELESS:
        first = (
            "learn longer from the given answers (more steps)"
            if learned
            else "learn from the given answers first (objective sft+rl)"
        )
        return Alarm(
            "flat reward",
            f"{says}: no sampled answer was right",
            f"There is nothing to reinforce: {first}, take a reward that also pays for a part, or "
            "begin with easier rows",
        )
    return Alarm(
        "flat reward",
        says,
        "Nothing is learned from such steps: take more answers per row or more rows per "
        "step, a higher temperature, or a reward that tells better answers from worse ones",
    )


def _unlikely(reward: float) -> Alarm | None:
    """Closed answers that the model hardly ever gives: their gradient is next to nothing."""
    if reward > HOPELESS:
        return None
    return Alarm(
        "flat reward",
        "The right answers are too unlikely to be reinforced",
        "Learn from the given answers first (objective sft, or sft+rl)",
    )


def _length(stage: Sequence[Step], last: Sequence[Step]) -> Alarm | None:
    """Answers that run into the limit of their length."""
    cut, length = _least(last, "cut"), _least(last, "length")
    if cut is None or length is None:
        return None
    advice = (
        "What is cut off counts as wrong: allow longer answers if good ones need them, or begin "
        "anew with shorter steps or more KL weight"
    )
    if cut >= ALL_CUT:
        return Alarm(
            "cut off", f"{cut:.0%} of the answers run into the limit of their length", advice
        )
    first = stage[:IN_A_ROW]
    before, cut_before = _mean(first, "length"), _mean(first, "cut")
    if before is None or length < GROWN * before or cut < max(MANY_CUT, 2 * (cut_before or 0)):
        return None
    return Alarm(
        "growing",
        f"Answers grow: {length:.0f} tokens on average, {before:.0f} at the beginning, and "
        f"{cut:.0%} run into the limit of their length",
        advice,
    )


def _entropy(last: Sequence[Step]) -> Alarm | None:
    """A policy that is certain of every token, and not right."""
    entropy, reward = _mean(last, "entropy"), _mean(last, "reward")
    if entropy is None or reward is None or reward >= SOLVED:
        return None
    if max(step["entropy"] for step in last) >= LEAST_ENTROPY:
        return None
    return Alarm(
        "certain",
        f"The model is certain of every token (entropy {entropy:.3f} nats a token) without being "
        "right",
        "It tries nothing new any more: stop, and begin anew with shorter steps or more KL weight",
    )


def _far(last: Sequence[Step], most: float) -> Alarm | None:
    """Answers that are far from what the base would say."""
    kl = _least(last, "kl")
    if kl is None or kl <= most:
        return None
    return Alarm(
        "far from the base",
        f"The answers are far from the base's: KL {kl:.1f} nats a token, where {most:g} is the "
        "budget",
        "Other questions may suffer: see what the finished expert does to them, or begin anew with "
        "more KL weight, shorter steps or fewer of them",
    )


def _skipped(curve: Sequence[Step]) -> Alarm | None:
    """Steps that were left out lately."""
    until = curve[-1].get("skipped") or 0
    before = (curve[-IN_A_ROW - 1].get("skipped") or 0) if len(curve) > IN_A_ROW else 0
    if until <= before:
        return None
    count = until - before
    return Alarm(
        "skipped steps",
        f"{count} of the last {min(IN_A_ROW, len(curve) - 1)} steps {_were(count)} left out, as "
        f"the gradient was not a finite number",
        "Load the model in another precision (not quantised, or on the CPU), or train on shorter "
        "rows",
    )


def _were(count: int) -> str:
    return "was" if count == 1 else "were"


def _empty(curve: Sequence[Step]) -> Alarm | None:
    """A reward that pays for saying nothing; it is measured once, before the first step."""
    pays = curve[0].get("empty")
    if pays is None or pays < EMPTY_PAYS:
        return None
    return Alarm(
        "empty answer",
        f"The empty answer gets {pays:.0%} of the reward",
        "An expert may learn to say nothing: take another reward, or look at what yours gives on "
        "your rows before you train",
    )


def _least(steps: Sequence[Step], figure: str) -> float | None:
    """The least over steps; None where one of them lacks the figure."""
    values = [step.get(figure) for step in steps]
    return None if None in values else min(values)


def _mean(steps: Sequence[Step], figure: str) -> float | None:
    """The mean over steps; None where one of them lacks the figure."""
    values = [step.get(figure) for step in steps]
    return None if None in values else sum(values) / len(values)
