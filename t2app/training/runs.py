"""A training run on disk: what it trains, how far it is, its log, its last checkpoint.

Files that change replace each other in one step, so a run that is killed at any moment is whole and
loses at most what came after its last checkpoint. A process that works on a run holds its lock, so
anyone else can tell a live run from one whose process is gone. Not covered: the expert in the
library, which is a file of its own.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, is_dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import torch
from filelock import FileLock, Timeout

from t2app.config import cache_dir
from t2app.data.task import RowsTask
from t2app.errors import T2Error
from t2app.identity import folders_for
from t2app.tasks import TASKS, Task
from t2app.training.settings import Settings

State = Literal["waiting", "running", "finished", "stopped", "failed", "interrupted"]
LIVE = ("waiting", "running")
ID = re.compile(r"\d{8}-\d{6}-[a-z0-9_-]{1,41}-[0-9a-f]{4}")
# Seconds to wait for a lock that somebody may just be looking at.
PATIENCE = 2.0


@dataclass(frozen=True)
class Spec:
    """What a run trains; it never changes. ``rows`` counts those of each split.

    ``size`` is how many held-out problems it is measured on, at most.
    """

    id: str
    name: str
    file: str
    base: str
    reward: str
    rows: dict[str, int]
    dataset_sha256: str
    settings: Settings
    overwrite: bool
    created: str
    size: int


@dataclass(frozen=True)
class Status:
    """How far a run is.

    ``objective`` is the one that was chosen, ``why`` the reason; ``expected`` are the seconds that
    the whole run was estimated to take before its first step. ``alarms`` are those that hold after
    its last step (``training.alarms``).
    """

    state: State = "waiting"
    phase: str = "waiting"
    done: int = 0
    total: int = 0
    seconds: float = 0.0
    seconds_left: float | None = None
    expected: float | None = None
    objective: str | None = None
    why: str | None = None
    error: str | None = None
    report: dict[str, Any] | None = None
    alarms: list[dict[str, Any]] = field(default_factory=list)


def folders_of(base: str) -> list[Path]:
    """Where the runs of a base model are; the first is for new ones."""
    return folders_for(cache_dir() / "runs", base)


def new_id(name: str) -> str:
    """When, for which expert, and four digits against two in one second."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{name}-{secrets.token_hex(2)}"


class Run:
    """One run's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = FileLock(folder / "lock", thread_local=False)

    # -- beginning and end -------------------------------------------------------------------

    @classmethod
    def create(cls, spec: Spec, task: Task, rejected: str = "") -> Run:
        """A new folder, complete at once, its lock held by this process."""
        parent = folders_of(spec.base)[0]
        try:
            parent.mkdir(parents=True, exist_ok=True)
            work = Path(tempfile.mkdtemp(prefix=".new-", dir=parent))
            values = {**asdict(spec), "settings": spec.settings.to_dict()}
            (work / "run.json").write_text(json.dumps(values, indent=2), "utf-8")
            (work / "task.json").write_text(json.dumps(packed(task)), "utf-8")
            (work / "rejected.csv").write_text(rejected, "utf-8")
            run = cls(work)
            run.write(Status())
            os.replace(work, parent / spec.id)
        except OSError as error:
            raise T2Error(
                f"cannot write the run to {parent}: {error.strerror or error}; "
                "T2APP_CACHE names another folder"
            ) from error
        run = cls(parent / spec.id)
        run.hold()
        return run

    def hold(self) -> None:
        """Take the run for this process; T2Error where another one works on it."""
        try:
            self._lock.acquire(timeout=PATIENCE)
        except Timeout:
            raise T2Error(f"run {self.folder.name} is being worked on by another process") from None

    def release(self) -> None:
        """Let go of the run."""
        self._lock.release()

    def alive(self) -> bool:
        """Whether some process holds the run."""
        if self._lock.is_locked:
            return True
        other = FileLock(self.folder / "lock", thread_local=False)
        try:
            with other.acquire(timeout=0):
                return False
        except (Timeout, OSError):
            return self.folder.exists()

    def delete(self) -> None:
        """Remove the folder, in one step as others see it."""
        gone = self.folder.with_name(f".gone-{self.folder.name}")
        try:
            os.replace(self.folder, gone)
        except OSError as error:
            raise T2Error(f"cannot delete {self.folder}: {error.strerror or error}") from error
        self._lock.release()
        shutil.rmtree(gone, ignore_errors=True)

    # -- what it is --------------------------------------------------------------------------

    def spec(self) -> Spec:
        """What it trains. T2Error where the folder is damaged."""
        values = self._read("run.json")
        return Spec(**{**values, "settings": Settings.from_dict(values["settings"])})

    def task(self) -> Task:
        """The rows as they were when the run was made."""
        return unpacked(self._read("task.json"))

    def status(self) -> Status:
        """How far it is; ``interrupted`` where its process is gone."""
        status = Status(**self._read("status.json"))
        if status.state in LIVE and not self.alive():
            return replace(status, state="interrupted", phase="interrupted")
        return status

    def write(self, status: Status) -> None:
        """Replace the status."""
        self.put("status.json", asdict(status))

    # -- stopping ----------------------------------------------------------------------------

    def ask_to_stop(self) -> None:
        """Tell the process that works on it, whichever that is."""
        (self.folder / "stop").touch()

    def asked_to_stop(self) -> bool:
        """Whether it was told."""
        return (self.folder / "stop").exists()

    def forget_stop(self) -> None:
        """Before it goes on."""
        (self.folder / "stop").unlink(missing_ok=True)

    # -- what it leaves behind ---------------------------------------------------------------

    def load(self) -> dict[str, Any] | None:
        """The last checkpoint; None at the beginning. Raises T2Error if it is damaged."""
        path = self.folder / "checkpoint.pt"
        if not path.exists():
            return None
        try:
            return torch.load(path, weights_only=True, map_location="cpu")
        except Exception as error:
            raise T2Error(f"{path} is damaged: delete this run and begin anew") from error

    def save(self, state: Mapping[str, Any]) -> None:
        """Replace the checkpoint in one step."""
        part = self.folder / "checkpoint.part"
        torch.save(dict(state), part)
        os.replace(part, self.folder / "checkpoint.pt")

    def log(self, record: Any) -> None:
        """Add a step to the curve."""
        values = asdict(record) if is_dataclass(record) else dict(record)
        with (self.folder / "curve.jsonl").open("a") as file:
            file.write(json.dumps(values) + "\n")

    def curve(self) -> list[dict[str, Any]]:
        """Every step; of those that were repeated after a kill, the last."""
        path = self.folder / "curve.jsonl"
        by_step: dict[int, dict[str, Any]] = {}
        for line in path.read_text().splitlines() if path.exists() else ():
            try:
                record = json.loads(line)
            except ValueError:
                continue  # the half-written last line of a run that was killed
            by_step[record["step"]] = record
        return [by_step[step] for step in sorted(by_step)]

    def settings(self) -> Settings:
        """Those it is trained with: as planned, where it was planned already."""
        kept = self.get("plan.json")
        return Settings.from_dict(kept["settings"]) if kept else self.spec().settings

    def tell(self, line: str) -> None:
        """Add a line to the log for people."""
        with (self.folder / "log.txt").open("a", encoding="utf-8") as file:
            file.write(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} {line}\n")

    def get(self, file: str) -> Any:
        """The value in one of its JSON files; None where there is none yet."""
        return self._read(file) if (self.folder / file).exists() else None

    def put(self, file: str, value: Any) -> None:
        """Replace one of its JSON files in one step."""
        part = self.folder / f".{file}.part"
        part.write_text(json.dumps(value), "utf-8")
        os.replace(part, self.folder / file)

    def _read(self, file: str) -> dict[str, Any]:
        path = self.folder / file
        try:
            return json.loads(path.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise T2Error(f"{path} is missing or damaged: delete this run") from error


def packed(task: Task) -> dict[str, Any]:
    """A task as JSON values: its rows, or the name of a built-in one."""
    return task.to_dict() if isinstance(task, RowsTask) else {"task": task.name}


def unpacked(values: Mapping[str, Any]) -> Task:
    """The task of ``packed``."""
    return TASKS[values["task"]] if "task" in values else RowsTask.from_dict(values)


def all_runs(base: str) -> list[Run]:
    """The runs of a base model that are whole, newest first."""
    found = [
        path
        for parent in folders_of(base)
        if parent.exists()
        for path in parent.iterdir()
        if ID.fullmatch(path.name)
    ]
    return [Run(path) for path in sorted(found, key=lambda path: path.name, reverse=True)]


def find(base: str, run_id: str) -> Run:
    """A run by its id; T2Error without one."""
    for parent in folders_of(base) if ID.fullmatch(run_id) else ():
        if (parent / run_id / "run.json").exists():
            return Run(parent / run_id)
    raise T2Error(f"there is no run {run_id!r}: it may have been deleted")
