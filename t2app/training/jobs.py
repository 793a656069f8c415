"""Training in the background, one job after the other, whatever becomes of the page that asked.

A job is a run on disk. Each process has one worker thread for its own; runs of other processes
(another app, the command line) are listed with them, and can be stopped, too. Training leaves the
model to answers as ``engine.turns`` says. Not covered: how an expert is trained (``experts``).
"""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from t2app import data
from t2app.engine import Engine
from t2app.errors import T2Error
from t2app.tasks import Task
from t2app.training import runs
from t2app.training.experts import spec_for, train_expert
from t2app.training.loop import Progress
from t2app.training.outcome import HeldOut, changed_first
from t2app.training.runs import LIVE, Run, Spec, State, Status
from t2app.training.settings import Settings


@dataclass(frozen=True)
class Job:
    """A run as it was when asked for.

    ``phase`` says in words what goes on, ``done`` of ``total`` how far that is. ``curve`` has an
    entry for each step, the base's before them. ``expected`` are the seconds that the run was
    estimated to take before its first step. ``report`` is there once there is an expert, ``alarms``
    are those that hold after the last step.
    """

    id: str
    name: str
    file: str
    state: State
    phase: str
    done: int
    total: int
    stopping: bool
    settings: Settings
    objective: str | None
    why: str | None
    reward: str
    rows: dict[str, int]
    created: str
    seconds: float
    seconds_left: float | None
    expected: float | None
    curve: list[dict[str, Any]]
    report: dict[str, Any] | None
    error: str | None
    folder: Path
    alarms: list[dict[str, Any]] = field(default_factory=list)

    @property
    def log(self) -> Path:
        """What happened when, for people; there once the run has begun."""
        return self.folder / "log.txt"

    @property
    def rejected(self) -> Path:
        """The rows that could not be used, with reasons, as CSV."""
        return self.folder / "rejected.csv"

    @property
    def expert(self) -> Path | None:
        """The expert as this run wrote it, whatever has become of it in the library."""
        path = self.folder / "expert.safetensors"
        return path if self.report and path.exists() else None

    @property
    def can_stop(self) -> bool:
        """Whether it waits or runs and was not stopped yet."""
        return self.state in LIVE and not self.stopping

    @property
    def can_resume(self) -> bool:
        """Whether it ended before its last step."""
        return self.state in ("stopped", "failed", "interrupted")

    @property
    def can_delete(self) -> bool:
        """Whether nobody works on it."""
        return self.state not in LIVE

    def held_out(self) -> list[HeldOut]:
        """Held-out rows with both answers, changed ones first; none before there is a result."""
        found = Run(self.folder).get("held-out.json") or []
        return changed_first([HeldOut(**row) for row in found])


@dataclass(frozen=True)
class Comparison:
    """Runs side by side, by their ids: curves, what they were given, what they came to.

    ``differ`` has the settings that are not the same in all, with the value in each.
    """

    names: dict[str, str]
    curves: dict[str, list[dict[str, Any]]]
    differ: dict[str, dict[str, Any]] = field(default_factory=dict)
    same: dict[str, Any] = field(default_factory=dict)


class _Closed(Exception):
    """The worker ends; its run can be resumed."""


class Jobs:
    """The line of jobs on one model in this process, and every run of its base model."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._changed = threading.Condition()
        self._line: list[Run] = []
        self._current: Run | None = None
        self._worker: threading.Thread | None = None
        self._closing = False

    # -- asking for work ---------------------------------------------------------------------

    def submit(
        self,
        report: data.Report,
        *,
        name: str,
        settings: Settings | None = None,
        description: str | None = None,
        overwrite: bool = False,
    ) -> Job:
        """Put the training of an expert on checked rows at the end of the line.

        T2Error for too few rows, a bad name, and for one that is taken by an expert (without
        ``overwrite``) or by a job that has not ended.
        """
        task = data.build(report, description=description)
        return self._new(task, name, settings or Settings(), overwrite, report.rejected_csv())

    def submit_task(
        self, task: Task, *, name: str, settings: Settings | None = None, overwrite: bool = False
    ) -> Job:
        """The same for a task that is not made of checked rows, such as naming a category."""
        return self._new(task, name, settings or Settings(), overwrite, "")

    def again(
        self,
        run_id: str,
        *,
        name: str | None = None,
        settings: Settings | None = None,
        overwrite: bool = False,
    ) -> Job:
        """A new run on the same rows, with the same settings but for what is given."""
        run = runs.find(self._base, run_id)
        spec = run.spec()
        rejected = (run.folder / "rejected.csv").read_text("utf-8")
        return self._new(
            run.task(), name or spec.name, settings or spec.settings, overwrite, rejected
        )

    def resume(self, run_id: str) -> Job:
        """Put a run that ended early at the end of the line; it continues from its checkpoint."""
        run = runs.find(self._base, run_id)
        job = self._job(run)
        if not job.can_resume:
            raise T2Error(f"run {run_id} is {job.state}: there is nothing to resume")
        self._refuse_taken(job.name)
        run.hold()
        run.forget_stop()
        run.write(replace(run.status(), state="waiting", phase="waiting", error=None))
        return self._enqueue(run)

    def _new(
        self, task: Task, name: str, settings: Settings, overwrite: bool, rejected: str
    ) -> Job:
        spec = spec_for(self._engine, task, name, settings, overwrite=overwrite)
        self._refuse_taken(name)
        return self._enqueue(Run.create(spec, task, rejected))

    def _refuse_taken(self, name: str) -> None:
        for job in self.jobs():
            if job.name == name and job.state in LIVE:
                raise T2Error(f"expert {name!r} is being trained by run {job.id}: wait or stop it")

    def _enqueue(self, run: Run) -> Job:
        with self._changed:
            self._line.append(run)
            if self._worker is None:
                self._worker = threading.Thread(target=self._work, name="training", daemon=True)
                self._worker.start()
            self._changed.notify_all()
        return self._job(run)

    # -- asking about it ---------------------------------------------------------------------

    def jobs(self) -> list[Job]:
        """Every run of this base model, newest first."""
        return [self._job(run) for run in runs.all_runs(self._base)]

    def get(self, run_id: str) -> Job:
        """One run; T2Error where there is none."""
        return self._job(runs.find(self._base, run_id))

    def idle(self) -> bool:
        """Whether this process has no job that waits or runs."""
        with self._changed:
            return self._current is None and not self._line

    def compare(self, run_ids: Sequence[str]) -> Comparison:
        """Some runs side by side."""
        chosen = [self.get(run_id) for run_id in run_ids]
        given = {job.id: _given(job) for job in chosen}
        keys = list(dict.fromkeys(key for values in given.values() for key in values))
        columns = {key: {i: values.get(key) for i, values in given.items()} for key in keys}
        differ = {k: v for k, v in columns.items() if len({str(x) for x in v.values()}) > 1}
        return Comparison(
            names={job.id: job.name for job in chosen},
            curves={job.id: job.curve for job in chosen},
            differ=differ,
            same={k: next(iter(v.values())) for k, v in columns.items() if k not in differ},
        )

    def wait(self, run_id: str, seconds: float = float("inf")) -> Job:
        """The run once it neither waits nor runs, or after ``seconds``."""
        until = time.monotonic() + seconds
        while (job := self.get(run_id)).state in LIVE and time.monotonic() < until:
            time.sleep(0.05)
        return job

    # -- ending it ---------------------------------------------------------------------------

    def stop(self, run_id: str) -> Job:
        """Take a job out of the line, or have a running one finish its step and keep the best."""
        run = runs.find(self._base, run_id)
        with self._changed:
            waiting = next((r for r in self._line if r.folder == run.folder), None)
            if waiting is not None:
                self._line.remove(waiting)
        if waiting is not None:
            waiting.write(
                replace(
                    waiting.status(),
                    state="stopped",
                    phase="stopped",
                    error="taken out of the line before it began",
                )
            )
            waiting.release()
        elif run.status().state in LIVE:
            run.ask_to_stop()
        return self.get(run_id)

    def delete(self, run_id: str) -> None:
        """Remove a run with all its files, not the expert in the library."""
        run = runs.find(self._base, run_id)
        # A run that has just ended lets go of its lock a moment after it has said so.
        patience = time.monotonic() + 2
        while run.alive() and run.status().state not in LIVE and time.monotonic() < patience:
            time.sleep(0.02)
        if run.alive():
            raise T2Error(f"run {run_id} has not ended: stop it before it is deleted")
        run.delete()

    def close(self) -> None:
        """End the worker after what it is at; a run that has not ended can be resumed."""
        with self._changed:
            self._closing = True
            waiting, self._line = self._line, []
            self._changed.notify_all()
        for run in waiting:
            run.release()
        if self._worker is not None:
            self._worker.join()

    # -- working -----------------------------------------------------------------------------

    @property
    def _base(self) -> str:
        return self._engine.base.base

    def _work(self) -> None:
        while (run := self._next()) is not None:
            try:
                with self._engine.turns.background():
                    self._train(run)
            finally:
                run.release()
                with self._changed:
                    self._current = None

    def _next(self) -> Run | None:
        with self._changed:
            self._changed.wait_for(lambda: self._line or self._closing)
            if self._closing:
                return None
            self._current = self._line.pop(0)
            return self._current

    def _train(self, run: Run) -> None:
        """Whatever happens to a job ends the job, not the worker."""
        try:
            train_expert(
                self._engine,
                run.task(),
                run.spec(),
                run,
                watch=self._watch,
                stop=run.asked_to_stop,
            )
        except _Closed:
            return
        except T2Error as error:
            _fail(run, str(error))
        except Exception as error:
            run.tell(traceback.format_exc())
            _fail(run, f"unexpected {type(error).__name__}: {error}; its log says more")

    def _watch(self, status: Status, progress: Progress | None) -> None:
        if self._closing:
            raise _Closed

    def _job(self, run: Run) -> Job:
        try:
            return self._snapshot(run, run.spec(), run.status())
        except T2Error as error:
            return _damaged(run, str(error))

    def _snapshot(self, run: Run, spec: Spec, status: Status) -> Job:
        phase = status.phase
        if status.state == "waiting":
            ahead = self._ahead(run)
            phase = "waiting" if not ahead else f"waiting, {ahead} job{'s' * (ahead > 1)} before it"
        return Job(
            id=spec.id,
            name=spec.name,
            file=spec.file,
            state=status.state,
            phase=phase,
            done=status.done,
            total=status.total,
            stopping=status.state in LIVE and run.asked_to_stop(),
            settings=run.settings(),
            objective=status.objective,
            why=status.why,
            reward=spec.reward,
            rows=spec.rows,
            created=spec.created,
            seconds=status.seconds,
            seconds_left=status.seconds_left,
            expected=status.expected,
            curve=run.curve(),
            report=status.report,
            error=status.error,
            folder=run.folder,
            alarms=status.alarms,
        )

    def _ahead(self, run: Run) -> int:
        """How many jobs of this process come first."""
        with self._changed:
            folders = [waiting.folder for waiting in self._line]
            before = folders.index(run.folder) if run.folder in folders else 0
            return before + (self._current is not None)


def _fail(run: Run, line: str) -> None:
    status = run.status()
    if status.state in LIVE:
        run.write(replace(status, state="failed", phase="failed", seconds_left=None, error=line))


def _given(job: Job) -> dict[str, Any]:
    """What a run was given, by name."""
    return {
        "file": job.file,
        "reward": job.reward,
        **job.settings.to_dict(),
        "objective": job.objective or job.settings.objective,
    }


def _damaged(run: Run, error: str) -> Job:
    """A run whose files cannot be read: it can only be deleted."""
    return Job(
        id=run.folder.name,
        name="",
        file="",
        state="failed",
        phase="damaged",
        done=0,
        total=0,
        stopping=False,
        settings=Settings(),
        objective=None,
        why=None,
        reward="",
        rows={},
        created="",
        seconds=0.0,
        seconds_left=None,
        expected=None,
        curve=[],
        report=None,
        error=error,
        folder=run.folder,
    )
