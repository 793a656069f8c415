"""What tests of the pages share: an engine that runs can be trained on, and their queues."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from t2app.engine import Engine
from t2app.ui.train_queues import Queues


@pytest.fixture
def learner(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """An engine whose answers end soon; runs go to a folder of their own."""
    monkeypatch.setenv("T2APP_CACHE", str(tmp_path / "cache"))
    engine.ends = set(range(0, 300, 4))
    return engine


@pytest.fixture
def queues(learner: Engine) -> Iterator[Queues]:
    """The lines of jobs of an app."""
    queues = Queues()
    yield queues
    queues.of(learner).close()
