"""Where a model comes from: built in, a local folder, or a snapshot from the Hugging Face hub.

From the hub the small files come first, so that a model that cannot be used is refused before
gigabytes were fetched; disk space is checked before the rest. Pickled weights are never fetched.
Not covered: what is in the files (``checkpoint``).
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from huggingface_hub import constants, snapshot_download
from huggingface_hub.errors import (
    DryRunError,
    GatedRepoError,
    HFValidationError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)
from tqdm.auto import tqdm

from t2app import config as paths
from t2app.errors import T2Error
from t2app.models.words import DOWNLOADING, first_line, gigabytes
from t2app.svf import foreign

# What is being done, how much of it is done, how much there is: bytes, or matrices.
Report = Callable[[str, int, int], None]

SMALL = ("*.json", "*.txt", "*.model", "*.jinja")
WEIGHTS = "*.safetensors"
GGUF = "*.gguf"
# Copies of the same weights in other formats.
IGNORED = ("consolidated*", "original/*", "onnx/*")


@dataclass(frozen=True)
class Source:
    """A model's folder, of which only the small files need be there until ``fetch``.

    ``label`` is the name it goes by, ``revision`` that of the hub (None for a folder), ``missing``
    the bytes of weights that are still to be downloaded.
    """

    folder: Path
    label: str
    revision: str | None = None
    missing: int = 0

    def fetch(self, report: Report) -> None:
        """Download the weights, if they are not there yet; ``T2Error`` if that fails."""
        if not self.missing:
            return
        report(DOWNLOADING, 0, self.missing)
        _ask_hub(
            self.label,
            revision=self.revision,
            allow_patterns=[WEIGHTS],
            tqdm_class=_bar(partial(report, DOWNLOADING), self.missing),
        )


def locate(name: str) -> Source:
    """The model called ``"tiny"``, a local folder or a hub id; ``T2Error`` if there is none."""
    folder = Path(name).expanduser()
    if name == paths.TINY or (name and folder.resolve() == paths.TINY_DIR.resolve()):
        if not paths.TINY_DIR.is_dir():
            raise T2Error(f"no built-in model in {paths.TINY_DIR}: run python -m t2app pretrain")
        return Source(paths.TINY_DIR, paths.TINY)
    if name.strip() and folder.is_dir():
        # Only one model is called tiny.
        label = folder.resolve().name
        label = f"{label}-folder" if label == paths.TINY else label
        return _in_hub_cache(folder) or Source(folder, label)
    if name.strip() and folder.exists():
        raise foreign.as_model(folder) or T2Error(
            f"{name!r} is not a folder: give the folder that holds config.json"
        )
    if not name.strip() or name.startswith((".", "~", "/")) or "\\" in name or name.count("/") > 1:
        raise T2Error(f"no model folder {name!r}: give tiny, a folder or a Hugging Face model id")
    return _from_hub(name)


def _in_hub_cache(folder: Path) -> Source | None:
    """The model of the hub that a folder is a download of, as its path in the hub's cache says."""
    *_, repository, kind, revision = ("", "", *folder.resolve().parts)
    owner, _, model = repository.removeprefix("models--").partition("--")
    if kind != "snapshots" or not repository.startswith("models--"):
        return None
    return Source(folder, f"{owner}/{model}" if model else owner, revision)


def _from_hub(name: str) -> Source:
    """The newest snapshot, or without a network the one that was downloaded before."""
    try:
        files = _ask_hub(name, allow_patterns=[*SMALL, WEIGHTS, GGUF], dry_run=True)
    except _Unreachable as error:
        return _downloaded(name, error)
    weights = [file for file in files if file.filename.endswith(".safetensors")]
    if not weights and any(file.filename.endswith(".gguf") for file in files):
        raise T2Error(
            f"model {name!r} is GGUF, weights packed for llama.cpp, and experts need the original "
            "ones: give the model that it was made from"
        )
    if not weights:
        raise T2Error(
            f"model {name!r} has no safetensors weights: pickled ones can run code when they are "
            "loaded, so they are refused; choose another copy of the model"
        )
    missing = sum(file.file_size for file in weights if file.will_download)
    _check_disk(name, missing)
    folder = Path(_ask_hub(name, allow_patterns=list(SMALL)))
    return Source(folder, name, folder.name, missing)


def _downloaded(name: str, error: Exception) -> Source:
    """What was downloaded before, else the reason why there is no more of it."""
    try:
        folder = snapshot_download(name, allow_patterns=[*SMALL, WEIGHTS], local_files_only=True)
    except Exception:
        raise T2Error(
            f"model {name!r} is no local folder, and the Hugging Face hub {error}"
        ) from error
    return Source(Path(folder), name, Path(folder).name)


class _Unreachable(Exception):
    """The hub cannot be asked at all."""


def _ask_hub(name: str, **request: Any) -> Any:
    """``snapshot_download``, with one clear line for everything that can go wrong."""
    try:
        # Its own bars would run through ours; those of downloads are handed in.
        request.setdefault("tqdm_class", _bar(lambda done, total: None, 0))
        return snapshot_download(name, ignore_patterns=list(IGNORED), **request)
    except Exception as error:
        # The client passes on whatever its network stack raises, with no common class.
        cause = error.__cause__ if isinstance(error, DryRunError) and error.__cause__ else error
        raise _explained(name, cause) from error


def _explained(name: str, error: BaseException) -> Exception:
    if isinstance(error, GatedRepoError):
        return T2Error(
            f"model {name!r} is gated: accept its licence on huggingface.co, then hf auth login"
        )
    if isinstance(error, RepositoryNotFoundError):
        return T2Error(f"no model {name!r} on the Hugging Face hub: check the spelling")
    if isinstance(error, HFValidationError):
        return T2Error(f"{name!r} is no name of a model: give a folder or an id like org/model")
    if isinstance(error, OSError) and error.errno is not None:
        return T2Error(f"cannot write model {name!r} to {constants.HF_HUB_CACHE}: {error.strerror}")
    if isinstance(error, OfflineModeIsEnabled):
        return _Unreachable("is not asked: unset HF_HUB_OFFLINE, or give a folder")
    return _Unreachable(
        f"cannot be reached ({first_line(error)}): check the connection, or give a folder"
    )


def _check_disk(name: str, size: int) -> None:
    folder = Path(constants.HF_HUB_CACHE)
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if size > free:
        raise T2Error(
            f"model {name!r} needs {gigabytes(size)} of disk for its download and {folder} has "
            f"{gigabytes(free)}: free some, or set HF_HOME to another disk"
        )


def _bar(progress: Callable[[int, int], None], total: int) -> type[tqdm]:
    """A progress bar that draws nothing and hands on how many bytes have come, now and then.

    The hub's client makes several; the one that counts the bytes of files is in ``B``.
    """

    class Bar(tqdm):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            self._counts = kwargs.get("unit") == "B" and kwargs.get("desc") != "Downloading bytes"
            self._came, self._told = 0, 0.0
            kwargs.pop("name", None)
            super().__init__(*args, **{**kwargs, "disable": True})

        def update(self, n: float | None = 1) -> bool | None:
            if self._counts:
                self._came += int(n or 0)
                if time.monotonic() - self._told > 0.2:
                    self._told = time.monotonic()
                    progress(min(self._came, total), total)
            return super().update(n)

    return Bar
