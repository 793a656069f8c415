"""From a task to an expert in the library: measure the base, train, measure again, write it."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
import transformers

from t2app import __version__
from t2app.config import cache_dir
from t2app.engine import Engine
from t2app.errors import T2Error
from t2app.evaluation import measure
from t2app.evaluation.stats import paired_difference
from t2app.svf.expert import Expert
from t2app.svf.library import check_name
from t2app.tasks import Task
from t2app.training import reinforce
from t2app.training.reinforce import Progress, Settings
from t2app.training.runs import Run

TEST_SEED = "report"


def train_expert(
    engine: Engine,
    task: Task,
    name: str,
    settings: Settings,
    *,
    test: int = 500,
    overwrite: bool = False,
    phase: Callable[[str], None] = lambda _: None,
    progress: Callable[[Progress], None] = lambda _: None,
) -> dict[str, Any]:
    """Train an expert with RL on a task and put it into the library; returns its report.

    An unfinished run of the same name and settings is continued. Ctrl-C keeps the best so far.
    Accuracies are on ``test`` problems that were neither trained on nor chosen by.
    """
    check_name(name)
    if name in engine.library.experts() and not overwrite:
        raise T2Error(f"expert {name!r} exists already: choose another --name, or --overwrite")
    run = Run(run_folder(engine, name), _identity(engine, task, settings))
    began = time.perf_counter()
    problems = task.problems("test", test, TEST_SEED)
    phase(f"measuring the base on {len(problems)} problems")
    before = measure.accuracy(engine, task, problems, None)
    phase(f"training, {settings.steps} steps")
    best = _best(engine, task, settings, run, progress)
    phase(f"measuring the expert on {len(problems)} problems")
    after = measure.accuracy(engine, task, problems, best)
    report = {
        "expert": name,
        "objective": "rl",
        "reward": task.reward,
        "rows": _rows(task, settings),
        "before": before.to_dict(),
        "after": after.to_dict(),
        "gain": dict(
            zip(
                ("mean", "low", "high"), paired_difference(after.scores, before.scores), strict=True
            )
        ),
        "seconds": round(time.perf_counter() - began, 1),
    }
    expert = Expert(name, _vectors(engine, best), header(engine, task, settings, report, run))
    path = engine.library.add(expert, overwrite=overwrite)
    run.finish()
    return {**report, "path": str(path)}


def _identity(engine: Engine, task: Task, settings: Settings) -> dict[str, Any]:
    """What a run has to have in common with one that it continues."""
    return {
        "task": task.name,
        "base": engine.base.base,
        "reward": task.reward,
        "dataset_sha256": _dataset_sha256(task, settings),
        "reading": task.dataset.reading if task.dataset else None,
        **asdict(settings),
    }


def _dataset_sha256(task: Task, settings: Settings) -> str:
    """Of the file; where problems are generated, of all that decides them."""
    if task.dataset:
        return task.dataset.sha256
    return hashlib.sha256(f"{task.name}/{settings.seed}/{__version__}".encode()).hexdigest()


def _rows(task: Task, settings: Settings) -> dict[str, int]:
    """Rows of the file; where problems are generated, as many as are drawn."""
    if task.dataset:
        return dict(task.dataset.rows)
    return {
        "train": settings.steps * settings.prompts,
        "validation": settings.validation,
        "rejected": 0,
    }


def run_folder(engine: Engine, name: str) -> Path:
    """Where a run keeps its checkpoint."""
    return cache_dir() / "runs" / engine.base.base.replace("/", "--") / name


def _best(
    engine: Engine, task: Task, settings: Settings, run: Run, progress: Callable[[Progress], None]
) -> torch.Tensor:
    try:
        for step in reinforce.train(engine, task, settings, run):
            progress(step)
    except KeyboardInterrupt:
        if run.load() is None:
            raise T2Error(
                "stopped before the first validation: there is nothing to keep yet"
            ) from None
    saved = run.load()
    assert saved is not None, "a finished run has a checkpoint"
    return saved["best_delta"]


def _vectors(engine: Engine, delta: torch.Tensor) -> dict[str, torch.Tensor]:
    return {
        name: 1 + d.detach().cpu().clone() for name, d in engine.svf.layout.split(delta).items()
    }


def header(
    engine: Engine, task: Task, settings: Settings, report: dict[str, Any], run: Run
) -> dict[str, Any]:
    """Everything about the expert that its file carries; enough to train it again."""
    examples = [p.question for p in task.problems("train", 4, "examples")]
    return {
        "description": task.description,
        "base": engine.base.base,
        "task": task.name,
        "objective": report["objective"],
        "reward": report["reward"],
        "seed": settings.seed,
        "settings": asdict(settings),
        "dataset_sha256": _dataset_sha256(task, settings),
        "reading": task.dataset.reading if task.dataset else None,
        "rows": report["rows"],
        "before": report["before"],
        "after": report["after"],
        "gain": report["gain"],
        "seconds": report["seconds"],
        "curve": run.curve(),
        "examples": examples,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {
            "t2app": __version__,
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        },
    }
