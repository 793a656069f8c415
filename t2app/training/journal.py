"""How far a run is: its status, its log for people, and the alarms that its steps raise."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

from t2app.training import alarms, plan
from t2app.training.loop import Progress
from t2app.training.plan import Plan
from t2app.training.runs import Run, Status
from t2app.training.settings import OBJECTIVES

Watch = Callable[[Status, Progress | None], None]


class Journal:
    """Keeps the status of a run, on disk and for whoever watches."""

    def __init__(self, run: Run | None, watch: Watch) -> None:
        self._run, self._watch = run, watch
        kept = run.status() if run else Status()
        self._earlier, self._began = kept.seconds, time.perf_counter()
        self.status = replace(kept, state="running", error=None, report=None)
        self._measuring = 0.0  # seconds that the expert will take on the held-out rows
        self._until: float | None = None  # when it should all be done
        self._checked = 0.0  # when the check of other questions began
        self._pace: list[float] = []
        self._curve: list[dict[str, Any]] = run.curve() if run else []

    def seconds(self) -> float:
        """Spent on the run so far, before an interruption too."""
        return round(self._earlier + time.perf_counter() - self._began, 1)

    def phase(self, text: str, done: int = 0, total: int = 0) -> None:
        """What goes on now; of ``total`` things ``done`` are done."""
        if done == 0:
            self._tell(text)
        counted = f"{text}, {done}/{total}" if total else text
        self._note(None, phase=counted, done=done, total=total)

    def planned(self, found: Plan) -> None:
        """The objective was chosen, the time estimated."""
        self._tell(f"{OBJECTIVES[found.settings.objective]}. {found.why}")
        self._tell(f"expected: {found.words()}")
        self._until = time.perf_counter() + found.seconds
        self._note(
            None,
            objective=found.settings.objective,
            why=found.why,
            expected=round(self.seconds() + found.seconds, 1),
        )

    def measured(self, seconds: float) -> None:
        """How long the base took on the held-out rows: the expert will take longer."""
        self._measuring = plan.GROWTH * seconds

    def step(self, p: Progress) -> None:
        """A step was done."""
        self._tell(progress_line(p))
        self._curve.append(asdict(p))
        found = [alarm.to_dict() for alarm in alarms.now(self._curve)]
        for alarm in alarms.new(found, self.status.alarms):
            self._tell(f"alarm: {alarms.line(alarm)}")
        # The first of these is the base's validation; later steps tell the pace.
        self._pace = [*self._pace[-12:], time.perf_counter()]
        if len(self._pace) > 1:
            pace = (self._pace[-1] - self._pace[0]) / (len(self._pace) - 1)
            self._until = self._pace[-1] + pace * (p.steps - p.step) + self._measuring
        text = f"training, step {p.step}/{p.steps}"
        self._note(p, phase=text, done=p.step, total=p.steps, alarms=found)

    def checking(self, done: int, total: int) -> None:
        """Of ``total`` other questions ``done`` were put to the expert; the first tell the pace."""
        now = time.perf_counter()
        if done == 0:
            self._checked, self._until = now, None
        else:
            self._until = now + (now - self._checked) / done * (total - done)
        self.phase("checking other questions", done, total)

    def end(self, state: str, **changes: Any) -> Status:
        """The run is over."""
        if changes.get("report"):
            self._tell(changes["report"]["verdict_words"])
            for alarm in changes["report"]["alarms"]:
                self._tell(f"alarm: {alarms.line(alarm)}")
        self._tell(f"{state}{': ' + changes['error'] if changes.get('error') else ''}")
        self._until = None
        self._note(None, state=state, phase=state, **changes)
        return self.status

    def _tell(self, line: str) -> None:
        if self._run:
            self._run.tell(line)

    def _note(self, progress: Progress | None, **changes: Any) -> None:
        left = None if self._until is None else max(0.0, self._until - time.perf_counter())
        self.status = replace(
            self.status,
            seconds=self.seconds(),
            seconds_left=left and round(left, 1),
            **changes,
        )
        if self._run:
            self._run.write(self.status)
            self._watch(self.status, progress)


def progress_line(p: Progress) -> str:
    """A step in one line: what was measured in it."""
    parts = [f"step {p.step}/{p.steps}"]
    for text, value in (
        ("reward {:+.2f}", p.reward),
        ("KL {:z.3f} a token", p.kl),
        ("moved {:z.3f} an answer", p.move),
        ("loss {:.3f}", p.loss),
        ("same reward {:.0%}", p.same),
        ("cut off {:.0%}", p.cut),
        ("{:.1f} tokens", p.length),
        ("entropy {:.3f}", p.entropy),
        ("general KL {:.3f}", p.general),
        ("validation {:.1%}", p.validation),
    ):
        if value is not None:
            parts.append(text.format(value))
    if p.skipped:
        parts.append(f"{p.skipped} left out: gradient not finite")
    return "  ".join([*parts, f"best {p.best:.1%}", f"{p.seconds:.0f} s"])
