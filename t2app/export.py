"""A mix of experts as a plain Hugging Face checkpoint.

``W(z)`` in place of ``W``, computed in float32 from the original weights, everything else as it
was: ``transformers``, vLLM and others load it without this project. Not covered: quantising it.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from t2app import models
from t2app.engine import Engine
from t2app.errors import T2Error
from t2app.files import share
from t2app.models import BaseModel, Report
from t2app.models.loading import plain_bytes
from t2app.models.quiet import quiet
from t2app.svf.merged import write_into_model
from t2app.svf.mixing import Weights

CARD = """---
{base_model}tags: [t2app, transformer-squared, svf]
---

# {name}, adapted

The weights of `{base}` with a mix of experts written into them: {mix}.

An expert scales the singular values of every weight matrix by a vector `z` (Transformer²,
arXiv 2501.06252, section 3.1). This folder is a plain checkpoint; it was written by
`python -m t2app export`.
"""


def check_folder(folder: Path) -> None:
    """``T2Error`` unless ``folder`` can be made or is there and empty."""
    if folder.exists() and not folder.is_dir():
        raise T2Error(f"{folder} is a file: give a folder that is not there yet")
    if folder.is_dir() and any(folder.iterdir()):
        raise T2Error(f"{folder} is not empty: give a folder that is not there yet")


def write(
    model: str, weights: Weights, folder: Path, report: Report = lambda *_: None
) -> dict[str, Any]:
    """Write base ``model`` with the mix ``weights`` to ``folder``; what was written, for people.

    The folder appears whole or not at all. Raises T2Error for what ``models.load`` refuses, unknown
    experts, impossible weights, and a folder that is in use or cannot be written; before the model
    is loaded if the disk has no room for it.
    """
    check_folder(folder)
    _check_disk(plain_bytes(model), folder)
    # Its own copy of the model, since it is overwritten; on the CPU, which has the most room.
    base = models.load(model, "none", "cpu", report)
    engine = Engine(base, models.factors(base, report), storage="dense")
    delta = engine.delta(weights)
    if delta is None:
        engine.svf.remove()
    else:
        write_into_model(engine.svf, delta)
    kept = {name: share for name, share in weights.items() if share > 0}
    _save(base, kept, folder)
    return {
        "path": str(folder),
        "base": base.base,
        "weights": kept,
        "precision": base.precision,
        "megabytes": round(sum(f.stat().st_size for f in folder.iterdir()) / 1e6, 1),
    }


def _check_disk(size: int, folder: Path) -> None:
    """``T2Error`` unless there is room for ``size`` bytes where ``folder`` will be."""
    there = next(parent for parent in folder.absolute().parents if parent.exists())
    free = shutil.disk_usage(there).free
    if size > free:
        raise T2Error(
            f"the checkpoint takes {size / 1e9:.1f} GB and {folder.parent} has "
            f"{free / 1e9:.1f} GB free: choose another disk"
        )


def _save(base: BaseModel, weights: Mapping[str, float], folder: Path) -> None:
    """Everything under another name first."""
    size = sum(p.numel() * p.element_size() for p in base.model.parameters())
    work = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        # Again: others may have filled it meanwhile.
        _check_disk(size, folder)
        work = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        with quiet():
            base.model.save_pretrained(work)
        base.tokenizer.save_pretrained(work)
        (work / "README.md").write_text(_card(base, weights), encoding="utf-8")
        for path in (work, *work.iterdir()):
            share(path)
        if folder.is_dir():
            folder.rmdir()
        os.rename(work, folder)
    except OSError as error:
        raise T2Error(
            f"cannot write the checkpoint to {folder}: {error.strerror or error}; "
            "choose another place"
        ) from error
    finally:
        if work is not None:
            shutil.rmtree(work, ignore_errors=True)


def _card(base: BaseModel, weights: Mapping[str, float]) -> str:
    """README.md; its metadata name the base only by an id of the hub, as the hub demands."""
    mix = ", ".join(f"{name} {share:g}" for name, share in weights.items()) or "none"
    known = f"base_model: {base.name}\n" if "/" in base.name else ""
    return CARD.format(base_model=known, name=base.name, base=base.base, mix=mix)
