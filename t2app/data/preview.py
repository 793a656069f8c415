"""One row as it will be asked and answered: the conversation itself, for people to look at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from t2app.data.building import short
from t2app.tasks.base import Problem, Task

LONGEST = 400  # characters of a turn on the command line
ALSO_SHOWN = 5


@dataclass(frozen=True)
class Preview:
    """The turns of a row, the answer last, and what else is right.

    ``number`` is the row's in its file, 0 where it has none; ``tests`` judge where programs are
    asked for.
    """

    number: int
    messages: tuple[dict[str, str], ...]
    also: tuple[str, ...] = ()
    tests: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        found: dict[str, Any] = {"row": self.number or None, "messages": list(self.messages)}
        if self.also:
            found["also"] = list(self.also)
        if self.tests is not None:
            found["tests"] = self.tests
        return found

    def lines(self) -> list[str]:
        """For a terminal; long turns are cut."""
        row = f"row {self.number}" if self.number else "a row"
        found = [f"{row}, as it will be asked and answered:"]
        for message in self.messages:
            found += _indented(f"{message['role']}: {message['content']}")
        if self.also:
            more = (
                "" if len(self.also) <= ALSO_SHOWN else f" and {len(self.also) - ALSO_SHOWN} more"
            )
            listed = ", ".join(short(text) for text in self.also[:ALSO_SHOWN])
            found.append(f"  also right: {listed}{more}")
        if self.tests is not None:
            found += _indented(f"tests: {self.tests}")
        return found


def preview(task: Task, problem: Problem) -> Preview:
    """How a task asks and answers one of its problems."""
    tested = task.reward == "code"
    answer = problem.steps if tested else task.answer(problem) or problem.gold
    messages = [*task.messages(problem), {"role": "assistant", "content": answer}]
    return Preview(problem.number, tuple(messages), problem.also, problem.gold if tested else None)


def _indented(text: str) -> list[str]:
    shown = text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
    return [f"  {line}" for line in shown.splitlines()]
