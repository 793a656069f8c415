"""What training came to: the same held-out rows before and after, in figures and in words.

An expert has to beat the best of what costs nothing: the plain base, the constant answer, and
whatever else was measured on the same rows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from t2app.data.labels import closed
from t2app.data.task import RowsTask
from t2app.evaluation.measure import Accuracy
from t2app.evaluation.stats import paired_difference, sign_test
from t2app.tasks import Problem, Task
from t2app.tasks.judging import cut_off
from t2app.tasks.rewards import normalise
from t2app.tasks.text import short

Verdict = Literal["helps", "makes no difference", "hurts"]
SIGNIFICANT = 0.05
BASE = "the base"


@dataclass(frozen=True)
class HeldOut:
    """A held-out row with both answers and their scores, 0 to 1."""

    question: str
    gold: str
    base: str
    expert: str
    before: float
    after: float

    @property
    def change(self) -> Literal["gained", "lost", "same"]:
        """What the expert did to this row."""
        if self.after == self.before:
            return "same"
        return "gained" if self.after > self.before else "lost"

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


def changed_first(rows: Sequence[HeldOut]) -> list[HeldOut]:
    """Rows whose score changed, then those with another answer, then the rest, each in order."""
    return sorted(rows, key=lambda row: (row.change == "same", row.base == row.expert))


# -- what it has to beat -------------------------------------------------------------------------


def labels_of(task: Task, problems: Sequence[Problem]) -> list[str] | None:
    """The label of each problem where the task's answers are a closed set; else None."""
    if not isinstance(task, RowsTask) or task.reward in ("choice", "code", "regex", "overlap"):
        return None
    if closed([p.gold for rows in task.rows.values() for p in rows]) is None:
        return None
    return [normalise(p.gold) for p in problems]


def constant_answer(task: Task, problems: Sequence[Problem]) -> dict[str, list[float]]:
    """The most frequent right answer of the training rows, given to every problem: its scores.

    By a name for people; empty where answers are free, or there are no rows to count.
    """
    if not isinstance(task, RowsTask) or not task.rows.get("train") or not problems:
        return {}
    if task.reward != "choice" and labels_of(task, problems) is None:
        return {}
    golds = [p.gold for p in task.rows["train"]]
    counts: dict[str, int] = defaultdict(int)
    for gold in golds:
        counts[gold] += 1
    most = min(counts, key=lambda gold: (-counts[gold], gold))
    return {f"always answering {short(most)}": task.score(problems, [most] * len(problems))}


# -- the verdict ---------------------------------------------------------------------------------


def judge(
    before: Sequence[float],
    after: Sequence[float],
    baselines: Mapping[str, Sequence[float]] | None = None,
    *,
    labels: Sequence[str] | None = None,
    finished: tuple[Sequence[bool], Sequence[bool]] | None = None,
) -> dict[str, Any]:
    """Accuracies, paired gains with 95 % intervals, exact test and verdict, as JSON values.

    ``baselines`` has what else was tried on the same rows: a name for people and its scores. An
    expert helps where it beats the best of them and of ``before``: the exact test is significant at
    5 % and the interval of the paired gain above 0 (one of them alone errs where rows are few or
    scores are graded). It hurts where the same holds against ``before`` the other way round.
    ``labels`` are the right answers where they are labels, ``finished`` which answers of base and
    expert were not cut off.
    """
    tried = {BASE: before, **(baselines or {})}
    best = max(tried, key=lambda name: _mean(tried[name]))  # of equals, the base
    gain, over_best = _gain(after, before), _gain(after, tried[best])
    verdict = _verdict(gain, over_best)
    found = {
        "before": Accuracy(tuple(before)).to_dict(),
        "after": Accuracy(tuple(after)).to_dict(),
        "gain": gain.to_dict(),
        "p_value": over_best.p_value if verdict != "hurts" else gain.p_value,
        "gained": gain.better,
        "lost": gain.worse,
        "baselines": {n: Accuracy(tuple(s)).to_dict() for n, s in tried.items() if n != BASE},
        "best_baseline": best,
        "gain_over_best": over_best.to_dict(),
        "verdict": verdict,
    }
    if labels is not None:
        found["balanced"] = {
            "before": round(balanced(before, labels), 4),
            "after": round(balanced(after, labels), 4),
            "labels": len(set(labels)),
        }
    if finished is not None:
        found["cut_off"] = {
            name: round(cut_off(ends), 4)
            for name, ends in zip(("before", "after"), finished, strict=True)
        }
    found["verdict_words"] = _words(found, before, after, over_best)
    return found


@dataclass(frozen=True)
class _Gain:
    """A paired gain: its mean and 95 % interval, the exact test, rows that changed."""

    mean: float
    low: float
    high: float
    p_value: float
    better: int
    worse: int

    @property
    def sure(self) -> bool:
        """Whether test and interval both say that there is a difference."""
        return self.p_value < SIGNIFICANT and (self.low > 0 or self.high < 0)

    def to_dict(self) -> dict[str, float]:
        return {name: round(getattr(self, name), 4) for name in ("mean", "low", "high")}

    def points(self) -> str:
        """``+39 points, 95 % interval +25 to +51``."""
        mean, low, high = (f"{100 * x:+.0f}" for x in (self.mean, self.low, self.high))
        return f"{mean} points, 95 % interval {low} to {high}"


def _gain(after: Sequence[float], before: Sequence[float]) -> _Gain:
    pairs = list(zip(after, before, strict=True))
    return _Gain(
        *paired_difference(after, before),
        float(f"{sign_test(after, before):.3g}"),
        sum(a > b for a, b in pairs),
        sum(a < b for a, b in pairs),
    )


def _verdict(gain: _Gain, over_best: _Gain) -> Verdict:
    if over_best.sure and over_best.low > 0:
        return "helps"
    return "hurts" if gain.sure and gain.high < 0 else "makes no difference"


def balanced(scores: Sequence[float], labels: Sequence[str]) -> float:
    """The mean over labels of the mean score of their rows: a constant answer gets 1 / labels."""
    by_label: dict[str, list[float]] = defaultdict(list)
    for score, label in zip(scores, labels, strict=True):
        by_label[label].append(score)
    return _mean([_mean(found) for found in by_label.values()])


def _mean(scores: Sequence[float]) -> float:
    return sum(scores) / max(1, len(scores))


# -- in words ------------------------------------------------------------------------------------


def _words(
    found: Mapping[str, Any], before: Sequence[float], after: Sequence[float], over_best: _Gain
) -> str:
    n, verdict = len(before), found["verdict"]
    graded = any(score not in (0, 1) for score in (*before, *after))
    became = ("better", "worse") if graded else ("right", "wrong")
    counts = (
        f"of {n} held-out rows, {found['gained']} became {became[0]} and {found['lost']} "
        f"{became[1]}"
    )
    gain = _Gain(**found["gain"], p_value=0.0, better=0, worse=0)
    figures = f"{_mean(before):.0%} before, {_mean(after):.0%} after: {gain.points()}"
    beats_base = found["best_baseline"] != BASE and gain.low > 0 and verdict != "helps"
    head = {
        "helps": "Helps",
        "hurts": "Hurts",
        "makes no difference": "Makes no difference that counts"
        if beats_base
        else f"Makes no difference that {n} rows can show",
    }[verdict]
    said = [f"{head}: {counts} ({figures})."]
    if flat := _flat(before, after):
        said.append(flat)
    if found["best_baseline"] != BASE:
        said.append(_against(found, over_best))
    return " ".join([*said, *_more(found)])


def _against(found: Mapping[str, Any], over_best: _Gain) -> str:
    """How it compares with the best of what costs nothing."""
    best = found["best_baseline"]
    share = found["baselines"][best]["accuracy"]
    if found["verdict"] == "helps":
        return f"It also beats {best} ({share:.0%}): {over_best.points()}."
    return f"It is not shown to beat {best}, which gets {share:.0%}: {over_best.points()}."


def _more(found: Mapping[str, Any]) -> list[str]:
    said = []
    if scores := found.get("balanced"):
        said.append(
            f"Every label counted alike (balanced accuracy of {scores['labels']} labels): "
            f"{scores['before']:.0%} before, {scores['after']:.0%} after."
        )
    cut = found.get("cut_off") or {}
    if any(cut.values()):
        said.append(
            f"{cut['before']:.0%} of the answers before and {cut['after']:.0%} after were cut off "
            "at the limit of their length, and count as wrong."
        )
    return said


def _flat(before: Sequence[float], after: Sequence[float]) -> str:
    """What to say, and to do, where all answers got the same; empty where they did not."""
    given = {*before, *after}
    if len(given) != 1:
        return ""
    score = given.pop()
    if score >= 1:
        advice = "the base is right everywhere, so there is nothing to learn: try harder rows"
    else:
        advice = (
            "look at the answers to the held-out rows; learn from the given answers first "
            "(next-token), choose a reward that also pays for a part, or begin with easier rows"
        )
    return f"No answer of any row differed in reward (all got {score:g}): {advice}."
