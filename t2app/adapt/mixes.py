"""Mixes that were found and kept: ordinary expert files whose header says what they are made of.

A saved mix holds the mixed vector itself, so it needs none of its parts any more. Strategy
``few-shot`` answers with one. No first pass chooses among them.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
import transformers

from t2app import __version__
from t2app.adapt.few_shot import Found, Settings, to_header
from t2app.adapt.result import Adaptation
from t2app.adapt.shots import Shots
from t2app.engine import Engine
from t2app.errors import T2Error
from t2app.svf.expert import Expert
from t2app.svf.mixing import unknown_expert

OBJECTIVE = "cem"


def is_mix(expert: Expert) -> bool:
    """Whether the expert is a saved mix."""
    return "mix" in expert.header


def mixes(experts: Mapping[str, Expert]) -> dict[str, Expert]:
    """Saved mixes by name, the newest first."""
    found = [(name, e) for name, e in experts.items() if is_mix(e)]
    return dict(sorted(found, key=lambda item: str(item[1].header.get("created")), reverse=True))


def choose(engine: Engine, name: str | None = None) -> Adaptation:
    """The mix ``name``, or the newest; raises T2Error where there is none."""
    known = mixes(engine.library.experts())
    if name is None and not known:
        raise T2Error(
            "strategy 'few-shot' needs a mix that was found on solved examples, and this model has "
            "none: find one (python -m t2app adapt SHOTS.csv --name NAME)"
        )
    if name is not None and name not in known:
        raise T2Error(unknown_expert(name, known).replace("expert", "mix"))
    chosen = name or next(iter(known))
    return Adaptation("few-shot", weights={chosen: 1.0}, why=known[chosen].description)


def save(
    engine: Engine,
    name: str,
    shots: Shots,
    found: Found,
    settings: Settings,
    *,
    report: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> Path:
    """Keep a mix under a name, as an expert file; ``report`` is what was measured of it.

    Raises T2Error for a bad name, and for one that is taken unless ``overwrite`` is set.
    """
    measured = (report or {}).get("rest") or (report or {}).get("examples") or {}
    header = {
        "description": f"{found.parts}: found on {len(shots.shots)} examples of {shots.task.name}",
        **engine.trained_on(),
        "task": shots.task.name,
        "objective": OBJECTIVE,
        "reward": shots.task.reward,
        "rows": {"examples": len(shots.shots), "rest": len(shots.rest)},
        "examples": [problem.question for problem in shots.shots],
        **{key: measured[key] for key in ("before", "after", "gain") if key in measured},
        **to_header(settings, found),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {
            "t2app": __version__,
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        },
    }
    z = {key: 1 + d.cpu().clone() for key, d in engine.svf.layout.split(found.delta).items()}
    return engine.library.add(Expert(name, z, header), overwrite=overwrite)
