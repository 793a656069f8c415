"""Factors on disk, so that a model is factored once.

One folder a model, ``<cache>/factors/<key>/``: a safetensors file for each adapted matrix and a
``manifest.json`` with the size and SHA-256 of each. The folder is written under another name and
renamed when whole, so a run that is killed leaves nothing that looks finished; a cache that is
truncated or was changed is computed again. Not covered: clearing old entries.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from filelock import FileLock
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from t2app.config import cache_dir
from t2app.errors import T2Error
from t2app.svd.factor import Factor, factor
from t2app.svd.modules import adapted_modules, module_shape

Progress = Callable[[int, int], None]
Shapes = dict[str, tuple[int, int]]

FORMAT = 1
MANIFEST = "manifest.json"
log = logging.getLogger(__name__)


def load_or_compute(
    model: nn.Module,
    key: str,
    progress: Progress | None = None,
    weights: Callable[[str], Tensor] | None = None,
) -> dict[str, Factor]:
    """Factors of every adapted matrix of ``model``, from the cache when it holds them, on the CPU.

    ``key`` names the exact weights (model, revision, dtype). ``weights(name)`` gives the original
    ``(m, n)`` matrix of a module; without it the module's own weight is taken, which must not be
    quantised. ``progress(done, total)`` is called while computing. ``T2Error`` if the cache folder
    cannot be written.
    """
    modules = adapted_modules(model)
    shapes = {name: module_shape(module) for name, module in modules.items()}
    folder = cache_dir() / "factors" / key.replace("/", "--").replace(os.sep, "--")
    found = _load(folder, key, shapes)
    if found is not None:
        return found
    read = weights or (lambda name: dense_weight(modules[name]))
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        # A second process waits here and then finds the work done; the lock dies with its holder.
        with FileLock(f"{folder}.lock"):
            found = _load(folder, key, shapes)
            return found if found is not None else _compute(folder, key, shapes, read, progress)
    except OSError as error:
        raise T2Error(
            f"cannot write the factors to {folder.parent}: {error.strerror or error}; "
            "make room there or set T2APP_CACHE to another folder"
        ) from error


def dense_weight(module: nn.Module) -> Tensor:
    """The ``(m, n)`` weight of a layer that is not quantised."""
    if not module.weight.is_floating_point():
        raise ValueError("a quantised weight must not be factored; pass the original weights")
    return module.weight.t() if isinstance(module, Conv1D) else module.weight


def _compute(
    folder: Path,
    key: str,
    shapes: Shapes,
    read: Callable[[str], Tensor],
    progress: Progress | None,
) -> dict[str, Factor]:
    """Factor every matrix into a folder of another name, then put it in place. Holds the lock."""
    for left in folder.parent.glob(f".{folder.name}.*"):
        shutil.rmtree(left, ignore_errors=True)
    work = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        entries, factors = {}, {}
        for index, name in enumerate(shapes):
            factors[name] = _to_cpu(factor(read(name)))
            entries[name] = _write(work / f"{index:05d}.safetensors", factors[name])
            if progress is not None:
                progress(index + 1, len(shapes))
        manifest = {"format": FORMAT, "key": key, "matrices": entries}
        (work / MANIFEST).write_text(json.dumps(manifest, indent=1))
        if folder.exists():
            shutil.rmtree(folder)
        os.rename(work, folder)
        return factors
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _to_cpu(value: Factor) -> Factor:
    return Factor(value.side, value.basis.cpu(), value.sigma.cpu())


def _write(path: Path, value: Factor) -> dict[str, Any]:
    save_file({"basis": value.basis, "sigma": value.sigma}, path)
    return {
        "file": path.name,
        "side": value.side,
        "bytes": path.stat().st_size,
        "sha256": _sha256(path),
    }


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _load(folder: Path, key: str, shapes: Shapes) -> dict[str, Factor] | None:
    """The cached factors, or None when there are none or they are not exactly what was written."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        if (manifest["format"], manifest["key"]) != (FORMAT, key):
            raise ValueError("written for something else")
        entries = manifest["matrices"]
        if set(entries) != set(shapes):
            raise ValueError("holds other matrices")
        return {name: _read(folder, entries[name], shapes[name]) for name in shapes}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError) as error:
        log.warning("computing the factors in %s again: %s", folder, error)
        return None


def _read(folder: Path, entry: dict[str, Any], shape: tuple[int, int]) -> Factor:
    path = folder / Path(entry["file"]).name
    if path.stat().st_size != entry["bytes"] or _sha256(path) != entry["sha256"]:
        raise ValueError(f"{path.name} was changed")
    tensors = load_file(path)
    k = min(shape)
    if tensors["basis"].shape != (k, k) or tensors["sigma"].shape != (k,):
        raise ValueError(f"{path.name} has other shapes")
    return Factor(entry["side"], tensors["basis"], tensors["sigma"])
