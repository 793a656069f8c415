"""Factors on disk, so that a model is factored once.

One folder a model, ``<cache>/factors/<key>/``: a safetensors file for each adapted matrix and a
``manifest.json`` with the size and SHA-256 of each, written last. Until then the folder has another
name and a journal in place of the manifest, so a run that is killed leaves nothing that looks
finished and the next one goes on where it was. A cache that is truncated or was changed is computed
again. Not covered: clearing old entries.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from t2app.config import cache_dir
from t2app.errors import T2Error
from t2app.files import share
from t2app.svd.factor import Factor, factor

Progress = Callable[[int, int], None]
Shapes = Mapping[str, tuple[int, int]]
Entry = dict[str, Any]

FORMAT = 1
MANIFEST = "manifest.json"
JOURNAL = "journal.jsonl"
# Beside the numbers themselves: headers of the files, and the manifest.
OVERHEAD = 10**6
log = logging.getLogger(__name__)


def load_or_compute(
    shapes: Shapes,
    key: str,
    read: Callable[[str], Tensor],
    dtype: torch.dtype,
    progress: Progress | None = None,
) -> dict[str, Factor]:
    """Factors of the matrices ``shapes`` names, from the cache when it holds them, on the CPU.

    ``key`` names the exact weights, matrices and ``dtype`` (that of the bases). ``read(name)``
    gives the original ``(m, n)`` matrix, asked for one after the other and only while computing,
    as is ``progress(done, total)``. ``T2Error`` if the disk is full or cannot be written to.
    """
    folder = cache_dir() / "factors" / key.replace("/", "--").replace(os.sep, "--")
    found = _load(folder, key, shapes)
    if found is not None:
        return found
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        # A second process waits here, then finds what the first one wrote.
        with FileLock(folder.parent / f".{folder.name}.lock"):
            found = _load(folder, key, shapes)
            if found is None:
                _compute(folder, key, shapes, read, dtype, progress)
                found = _load(folder, key, shapes)
            if found is None:
                raise OSError("what was written there cannot be read back")
            return found
    except OSError as error:
        raise T2Error(
            f"cannot keep factors in {folder.parent}: {error.strerror or error}; "
            "set T2APP_CACHE to a folder with room"
        ) from error


def dense_weight(module: nn.Module) -> Tensor:
    """The ``(m, n)`` weight of a layer that is not quantised."""
    if not module.weight.is_floating_point():
        raise ValueError("a quantised weight must not be factored; pass the original weights")
    return module.weight.t() if isinstance(module, Conv1D) else module.weight


def disk_bytes(shapes: Shapes, dtype: torch.dtype) -> int:
    """Size of the cache of these matrices."""
    ranks = [min(shape) for shape in shapes.values()]
    return sum(rank * rank * dtype.itemsize + rank * 4 for rank in ranks) + OVERHEAD


def _compute(
    folder: Path,
    key: str,
    shapes: Shapes,
    read: Callable[[str], Tensor],
    dtype: torch.dtype,
    progress: Progress | None,
) -> None:
    """Factor every matrix that an earlier run did not, then put the folder in place.

    Holds the lock.
    """
    work = folder.parent / f".{folder.name}.partial"
    work.mkdir(exist_ok=True)
    entries = _resume(work, key, shapes)
    left = {name: shape for name, shape in shapes.items() if name not in entries}
    _check_disk(work, disk_bytes(left, dtype))
    with (work / JOURNAL).open("a", encoding="utf-8") as journal:
        for index, name in enumerate(shapes):
            if name not in left:
                continue
            value = factor(read(name), dtype)
            entries[name] = _write(work / f"{index:05d}.safetensors", value)
            journal.write(json.dumps({"key": key, "name": name, "entry": entries[name]}) + "\n")
            journal.flush()
            if progress is not None:
                progress(len(entries), len(shapes))
    manifest = {"format": FORMAT, "key": key, "matrices": entries}
    (work / MANIFEST).write_text(json.dumps(manifest, indent=1))
    if folder.exists():
        shutil.rmtree(folder)
    os.rename(work, folder)
    (folder / JOURNAL).unlink(missing_ok=True)


def _resume(work: Path, key: str, shapes: Shapes) -> dict[str, Entry]:
    """What an earlier run wrote and is still whole, from its journal."""
    try:
        lines = (work / JOURNAL).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return {}
    entries = {}
    for line in lines:
        try:
            note = json.loads(line)
            name = note["name"]
            if note["key"] == key:
                _read(work, note["entry"], shapes[name])
                entries[name] = note["entry"]
        except (OSError, ValueError, KeyError, TypeError, SafetensorError):
            continue  # the line or the file that was being written when the run was killed
    if entries:
        log.info("going on after %d of %d matrices", len(entries), len(shapes))
    return entries


def _check_disk(folder: Path, size: int) -> None:
    free = shutil.disk_usage(folder).free
    if size > free:
        raise T2Error(
            f"the factors take {size / 1e9:.1f} GB and {folder.parent} has {free / 1e9:.1f} GB "
            "free: free some, or set T2APP_CACHE to another disk"
        )


def _write(path: Path, value: Factor) -> Entry:
    """Write under another name first: a file that is there is whole."""
    new = path.with_suffix(".new")
    save_file({"basis": value.basis.cpu(), "sigma": value.sigma.cpu()}, new)
    share(new)
    os.replace(new, path)
    return {
        "file": path.name,
        "side": value.side,
        "bytes": path.stat().st_size,
        "changed": path.stat().st_mtime_ns,
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


def _read(folder: Path, entry: Entry, shape: tuple[int, int]) -> Factor:
    path = folder / Path(entry["file"]).name
    state = path.stat()
    # Gigabytes are not read twice at every start: size and time tell, the hash where they do not.
    same_time = state.st_mtime_ns == entry.get("changed")
    if state.st_size != entry["bytes"] or not (same_time or _sha256(path) == entry["sha256"]):
        raise ValueError(f"{path.name} was changed")
    tensors = load_file(path)
    k = min(shape)
    if tensors["basis"].shape != (k, k) or tensors["sigma"].shape != (k,):
        raise ValueError(f"{path.name} has other shapes")
    return Factor(entry["side"], tensors["basis"], tensors["sigma"])
