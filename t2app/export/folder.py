"""Folders that appear whole or not at all, on a disk that has room for them."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from t2app.errors import T2Error
from t2app.files import share


def check_folder(folder: Path) -> None:
    """``T2Error`` unless ``folder`` can be made or is there and empty."""
    if folder.exists() and not folder.is_dir():
        raise T2Error(f"{folder} is a file: give a folder that is not there yet")
    if folder.is_dir() and any(folder.iterdir()):
        raise T2Error(f"{folder} is not empty: give a folder that is not there yet")


def check_disk(size: int, folder: Path, what: str = "checkpoint") -> None:
    """``T2Error`` unless there is room for ``size`` bytes where ``folder`` will be."""
    there = next(parent for parent in folder.absolute().parents if parent.exists())
    free = shutil.disk_usage(there).free
    if size > free:
        raise T2Error(
            f"the {what} takes {size / 1e9:.1f} GB and {folder.parent} has "
            f"{free / 1e9:.1f} GB free: choose another disk"
        )


@contextmanager
def whole(folder: Path, size: int, what: str = "checkpoint") -> Iterator[Path]:
    """A folder to fill with ``size`` bytes, which becomes ``folder`` at the end.

    Raises T2Error if the disk has no room, or where it cannot be written.
    """
    work = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        # Again: others may have filled it meanwhile.
        check_disk(size, folder, what)
        work = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        yield work
        for path in (work, *work.iterdir()):
            share(path)
        if folder.is_dir():
            folder.rmdir()
        os.rename(work, folder)
    except OSError as error:
        raise T2Error(
            f"cannot write the {what} to {folder}: {error.strerror or error}; choose another place"
        ) from error
    finally:
        if work is not None:
            shutil.rmtree(work, ignore_errors=True)


def megabytes(folder: Path) -> float:
    """What is in it, for people."""
    return round(sum(f.stat().st_size for f in folder.iterdir()) / 1e6, 1)
