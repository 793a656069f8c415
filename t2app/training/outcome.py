"""What training came to: the same held-out rows before and after, in figures and in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from t2app.evaluation.measure import Accuracy
from t2app.evaluation.stats import paired_difference, sign_test

Verdict = Literal["helps", "makes no difference", "hurts"]
SIGNIFICANT = 0.05


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


def judge(before: Sequence[float], after: Sequence[float]) -> dict[str, Any]:
    """Accuracies, paired gain with its 95 % interval, exact test and verdict, as JSON values.

    An expert helps where both say so: the test is significant at 5 % and the interval above 0. One
    of them alone errs where rows are few or scores are graded.
    """
    mean, low, high = paired_difference(after, before)
    p = sign_test(after, before)
    gained = sum(a > b for a, b in zip(after, before, strict=True))
    lost = sum(a < b for a, b in zip(after, before, strict=True))
    verdict: Verdict = "makes no difference"
    if p < SIGNIFICANT and (low > 0 or high < 0):
        verdict = "helps" if low > 0 else "hurts"
    return {
        "before": Accuracy(tuple(before)).to_dict(),
        "after": Accuracy(tuple(after)).to_dict(),
        "gain": {"mean": round(mean, 4), "low": round(low, 4), "high": round(high, 4)},
        "p_value": float(f"{p:.3g}"),
        "gained": gained,
        "lost": lost,
        "verdict": verdict,
        "verdict_words": _words(verdict, before, after, gained, lost, (mean, low, high)),
    }


def _words(
    verdict: Verdict,
    before: Sequence[float],
    after: Sequence[float],
    gained: int,
    lost: int,
    gain: tuple[float, float, float],
) -> str:
    n = len(before)
    graded = any(score not in (0, 1) for score in (*before, *after))
    became = ("better", "worse") if graded else ("right", "wrong")
    counts = f"of {n} held-out rows, {gained} became {became[0]} and {lost} {became[1]}"
    mean, low, high = (f"{100 * x:+.0f}" for x in gain)
    figures = (
        f"{sum(before) / n:.0%} before, {sum(after) / n:.0%} after: {mean} points, "
        f"95 % interval {low} to {high}"
    )
    if verdict == "makes no difference":
        return f"Makes no difference that {n} rows can show: {counts} ({figures})."
    return f"{verdict.capitalize()}: {counts} ({figures})."
