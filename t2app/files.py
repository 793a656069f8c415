"""Rights of files that are meant for others too, and writing them whole."""

from __future__ import annotations

import os
import tempfile
import threading
from pathlib import Path

_lock = threading.Lock()


def share(path: Path) -> None:
    """Give a file or folder the rights of any new one: others may read it unless umask forbids.

    ``tempfile`` and safetensors make theirs for their owner alone.
    """
    os.chmod(path, (0o777 if path.is_dir() else 0o666) & ~_umask())


def _umask() -> int:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1], 8) for line in lines if line.startswith("Umask:"))
    except (OSError, StopIteration, ValueError):
        # Elsewhere it can only be read by setting it, for a moment to the strictest.
        with _lock:
            mask = os.umask(0o077)
            os.umask(mask)
        return mask


def replace_with(path: Path, data: bytes) -> None:
    """Write a file in one step: readers see the old one or the whole new one. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, work = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        share(Path(work))
        os.replace(work, path)
    except OSError:
        Path(work).unlink(missing_ok=True)
        raise
