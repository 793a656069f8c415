"""Answers that are chosen among a few: labels that repeat, or the options of a question.

The model is told what it can choose from. So the base is measured fairly, and since every answer
that can be right is known, training scores those instead of sampling (``training.exact``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from t2app.tasks.text import normalise

if TYPE_CHECKING:
    from t2app.tasks.base import Problem

# Labels of the whole file, the letters of a row's options, or the texts of its options.
Format = Literal["labels", "letters", "texts"]

LETTER = "Answer with the letter of the right option."
TEXT = "Answer with the text of the right option."


@dataclass(frozen=True)
class Closed:
    """What can be answered, and how the model is told.

    ``labels`` are those of the file, in a fixed order; empty where every row has its own options.
    ``tell`` puts ``instruction`` in front of each question.
    """

    format: Format
    labels: tuple[str, ...] = ()
    tell: bool = True

    @property
    def instruction(self) -> str:
        """What the model is told; empty where it is not."""
        if not self.tell:
            return ""
        if self.format == "labels":
            separator = "; " if any("," in label for label in self.labels) else ", "
            return f"Answer with one of: {separator.join(self.labels)}."
        return LETTER if self.format == "letters" else TEXT

    def choices(self, problem: Problem) -> list[str]:
        """Everything that can be answered to a problem, as it is to be said."""
        if self.format == "labels":
            return list(self.labels)
        at = 0 if self.format == "letters" else 1
        return [option[at] for option in problem.hidden]

    def right(self, problem: Problem) -> str:
        """The right one of ``choices``."""
        if self.format == "texts":
            return dict(problem.hidden)[problem.gold]
        if self.format == "letters":
            return problem.gold
        wanted = normalise(problem.gold)
        return next(label for label in self.labels if normalise(label) == wanted)

    def formats(self) -> tuple[Format, ...]:
        """The ways of answering that there are, the usual one first."""
        return ("labels",) if self.format == "labels" else ("letters", "texts")

    def answered_by(self, way: Format) -> Closed:
        """The same choices, answered in another way."""
        return replace(self, format=way)

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {"format": self.format, "labels": list(self.labels), "tell": self.tell}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Closed:
        """From ``to_dict``."""
        return cls(values["format"], tuple(values["labels"]), values["tell"])


def in_front(instruction: str, question: str) -> str:
    """The question as it is asked, behind what the model is told.

    In front, so that the beginning of all questions is the same and is computed once.
    """
    return f"{instruction}\n\n{question}" if instruction else question


def of_rows(
    labels: Sequence[str] | None, options: Sequence[Sequence[tuple[str, str]]], tell: bool
) -> Closed | None:
    """The choices of some rows; None where answers are free, or only some rows have options."""
    if labels:
        return Closed("labels", tuple(labels), tell)
    if options and all(len(row) > 1 for row in options):
        return Closed("letters", (), tell)
    return None
