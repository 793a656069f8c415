"""A mix of experts as a plain Hugging Face checkpoint.

``W(z)`` in place of ``W``, computed in float32 from the original weights, everything else as it
was: ``transformers``, vLLM and others load it without this project. Not covered: quantising it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from t2app import models
from t2app.engine import Engine
from t2app.export.folder import check_disk, check_folder, megabytes, whole
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


def write(
    model: str, weights: Weights, folder: Path, report: Report = lambda *_: None
) -> dict[str, Any]:
    """Write base ``model`` with the mix ``weights`` to ``folder``; what was written, for people.

    The folder appears whole or not at all. Raises T2Error for what ``models.load`` refuses, unknown
    experts, impossible weights, and a folder that is in use or cannot be written; before the model
    is loaded if the disk has no room for it.
    """
    check_folder(folder)
    check_disk(plain_bytes(model), folder)
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
        "megabytes": megabytes(folder),
    }


def _save(base: BaseModel, weights: Mapping[str, float], folder: Path) -> None:
    size = sum(p.numel() * p.element_size() for p in base.model.parameters())
    with whole(folder, size) as work:
        with quiet():
            base.model.save_pretrained(work)
        base.tokenizer.save_pretrained(work)
        (work / "README.md").write_text(_card(base, weights), encoding="utf-8")


def _card(base: BaseModel, weights: Mapping[str, float]) -> str:
    """README.md; its metadata name the base only by an id of the hub, as the hub demands."""
    mix = ", ".join(f"{name} {share:g}" for name, share in weights.items()) or "none"
    known = f"base_model: {base.name}\n" if "/" in base.name else ""
    return CARD.format(base_model=known, name=base.name, base=base.base, mix=mix)
