"""What measurements have left behind for a base model, for pages that show it.

The newest of ``docs/results`` (measured for the built-in model) and of the cache (measured here).
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from t2app.config import ROOT, cache_dir
from t2app.engine import Engine
from t2app.evaluation.figures import BASE
from t2app.identity import same_weights

SHIPPED = ROOT / "docs" / "results"


def folder() -> Path:
    """Where results are kept that were measured here."""
    return cache_dir() / "results"


def path(engine: Engine) -> Path:
    """Where the table of this base is written unless another place is named."""
    return folder() / f"{engine.base.base.replace('/', '--')}.json"


def digests(engine: Engine) -> dict[str, str]:
    """What tells two versions of an expert apart: a hash of its vectors, by name."""
    experts = engine.library.experts()
    deltas = engine.deltas(experts.values()).cpu() if experts else ()
    return {
        name: hashlib.sha256(delta.numpy().tobytes()).hexdigest()[:16]
        for name, delta in zip(experts, deltas, strict=True)
    }


def load(engine: Engine) -> dict[str, Any] | None:
    """The newest table for these weights, as ``grid.run`` gives it; None where there is none."""
    found = []
    for file in [*sorted(SHIPPED.glob("*.json")), *sorted(folder().glob("*.json"))]:
        try:
            value = json.loads(file.read_text())
        except (OSError, ValueError):
            continue
        if not isinstance(value, dict) or "tasks" not in value:
            continue
        if same_weights(str(value.get("model")), engine.base.base):
            found.append(value)
    return max(found, key=lambda value: str(value.get("date")), default=None)


def cross_effects(engine: Engine) -> dict[str, Any] | None:
    """What each expert alone does to each task: accuracies, with those of the base.

    Only for experts whose vectors are still the ones that were measured; None where there is
    nothing.
    """
    found = load(engine)
    if found is None:
        return None
    measured, now = found.get("experts") or {}, digests(engine)
    same = [name for name, digest in now.items() if measured.get(name) == digest]
    tasks = found["tasks"]
    experts = {
        name: {task: row[name] for task, row in tasks.items() if name in row} for name in same
    }
    return {
        "tasks": list(tasks),
        BASE: {task: row[BASE] for task, row in tasks.items()},
        "experts": {name: row for name, row in experts.items() if row},
        "date": found.get("date"),
    }
