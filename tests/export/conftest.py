"""A model in a folder, with two random experts, to be exported."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from t2app import config, models
from t2app.engine import Engine
from t2app.svf.expert import Expert

WEIGHTS = {"one": 0.6, "two": 0.3}


def experts_for(engine: Engine) -> None:
    for seed, name in enumerate(WEIGHTS):
        generator = torch.Generator().manual_seed(seed)
        z = {
            key: 1 + 0.5 * torch.randn(size, generator=generator)
            for key, size in engine.svf.layout.sizes.items()
        }
        engine.library.add(Expert(name, z, {"base": engine.base.base}))


@pytest.fixture
def base_folder(checkpoint, tmp_path, monkeypatch) -> Path:
    """A model with two random experts."""
    monkeypatch.setenv("T2APP_EXPERTS", str(tmp_path / "experts"))
    folder = Path(shutil.copytree(checkpoint, tmp_path / "base" / "small"))
    base = models.load(str(folder), "none", "cpu")
    engine = Engine(base, models.factors(base))
    experts_for(engine)
    return folder


@pytest.fixture
def base_engine(base_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """An engine on it, in float32, as the built-in model."""
    monkeypatch.setattr(config, "TINY_DIR", base_folder)
    base = models.load("tiny", "none", "cpu")
    return Engine(base, models.factors(base), storage="dense")
