"""The files to try that come with the app.

Rows were drawn from the training side of the built-in tasks, so that no expert trained on them has
seen a question that the built-in tasks are measured by. ``secret-codes.csv`` cannot be learned: its
answers do not follow from its questions.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from t2app.config import ASSETS

FOLDER = ASSETS / "examples"


@dataclass(frozen=True)
class ExampleFile:
    """A file with what to call it and what is in it, for people."""

    file: str
    title: str
    description: str

    @property
    def path(self) -> Path:
        """Where it is."""
        return FOLDER / self.file


EXAMPLES = (
    ExampleFile("word-problems.csv", "Word problems", "Stories with numbers; a number answers."),
    ExampleFile("two-step-sums.csv", "Two-step sums", "Sums in words; separated by semicolons."),
    ExampleFile("everyday-quiz.csv", "Everyday quiz", "Multiple choice with options A to D."),
    ExampleFile("python-functions.csv", "Python functions", "Descriptions, with tests to pass."),
    ExampleFile("small-talk.csv", "Small talk", "Greetings and jokes with a fixed reply each."),
    ExampleFile(
        "secret-codes.csv", "Secret codes", "Random passwords: nothing here can be learned."
    ),
)
