"""What tests of training share: an engine that can learn the toy task, and runs on it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from t2app import tasks
from t2app.engine import Engine
from t2app.tasks import Task
from t2app.training import experts
from t2app.training.runs import Run, Status
from t2app.training.settings import Settings
from tests.training.toy import SMALL, TASK, TEST


@pytest.fixture
def learner(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """An engine in which one token of four ends an answer; runs go to a folder of their own."""
    monkeypatch.setenv("T2APP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(tasks.TASKS, "toy", TASK)
    engine.ends = set(range(0, 300, 4))
    return engine


@pytest.fixture
def new_run(learner: Engine) -> Callable[..., Run]:
    """``new_run(name="toy", settings=SMALL)``: a run that has not begun."""

    def make(name: str = "toy", settings: Settings = SMALL, task: Task = TASK, **options) -> Run:
        options = {"size": TEST, **options}
        return Run.create(experts.spec_for(learner, task, name, settings, **options), task)

    return make


@pytest.fixture
def finish(learner: Engine) -> Callable[..., Status]:
    """``finish(run)``: train to the end, or continue; the run's last status."""

    def train(run: Run, **options: Any) -> Status:
        return experts.train_expert(learner, run.task(), run.spec(), run, **options)

    return train
