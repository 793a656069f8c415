"""The Hugging Face hub: asking it, downloading from it, and one line for whatever goes wrong."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
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

from t2app.errors import T2Error
from t2app.models.words import DOWNLOADING, Report, first_line, gigabytes

# Copies of the same weights in other formats.
IGNORED = ("consolidated*", "original/*", "onnx/*")


class Unreachable(Exception):
    """The hub cannot be asked at all: ``why``, in words that follow its name, and what to do."""

    def __init__(self, why: str, advice: str) -> None:
        super().__init__(f"{why}: {advice}, or give a folder")
        self.why = why


def files_of(name: str, patterns: list[str]) -> list[Any]:
    """What a repository has: names, sizes, and whether they would have to be downloaded.

    Raises T2Error, or ``Unreachable``.
    """
    return ask(name, allow_patterns=patterns, dry_run=True)


def downloaded(name: str, patterns: list[str]) -> Path | None:
    """The folder of what was downloaded before, if these files are there; nobody is asked.

    The client knows what else belongs to them, unless another program had put them there.
    """
    try:
        return Path(
            snapshot_download(
                name,
                allow_patterns=patterns,
                ignore_patterns=list(IGNORED),
                local_files_only=True,
            )
        )
    except Exception:  # the client raises nearly anything for what is not there
        return None


def download(
    name: str, patterns: list[str], missing: int, report: Report, revision: str | None = None
) -> Path:
    """Download what is missing, ``missing`` bytes, and give the folder; ``T2Error`` if that fails.

    Files that are whole are kept, so that the next try goes on after them.
    """
    report(DOWNLOADING, 0, missing)
    try:
        bar = _bar(partial(report, DOWNLOADING), missing)
        return Path(ask(name, revision=revision, allow_patterns=patterns, tqdm_class=bar))
    except Unreachable as error:
        raise T2Error(
            f"model {name!r} was not downloaded to its end: the Hugging Face hub {error.why}; "
            "try again, it goes on from there"
        ) from error


def ask(name: str, **request: Any) -> Any:
    """``snapshot_download``; raises T2Error, or ``Unreachable``."""
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
        return Unreachable("is not asked", "unset HF_HUB_OFFLINE")
    return Unreachable(f"cannot be reached ({first_line(error)})", "check the connection")


def check_disk(name: str, size: int) -> None:
    """``T2Error`` where the hub's cache has no room for ``size`` bytes."""
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
