"""Results of measurements on disk, each under everything that decides it.

So a table that was interrupted continues, several processes may share the work, and nothing is
measured twice. Not covered: changes to the program between two versions; ``fresh`` ignores what is
there.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from t2app.files import share

_NUMBERS = re.compile(r"\[\n[-\d.,eE\s]+\]")


class Memo:
    """A folder with a JSON file for each result."""

    def __init__(self, folder: Path, fresh: bool = False) -> None:
        self.folder = folder
        self._fresh = fresh
        self._made: set[Path] = set()

    def get(self, decides: Any, make: Callable[[], Any]) -> Any:
        """The result for ``decides`` (JSON values), read or else made and kept."""
        key = hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()
        path = self.folder / f"{key[:32]}.json"
        if not self._fresh or path in self._made:
            try:
                return json.loads(path.read_text())
            except (OSError, ValueError):
                pass  # not there yet, or cut off
        result = make()
        write(path, result)
        self._made.add(path)
        return result


def write(path: Path, value: Any, indent: int | None = None) -> None:
    """Replace a JSON file in one step; a list of numbers stays on one line."""
    text = _NUMBERS.sub(lambda found: " ".join(found[0].split()), json.dumps(value, indent=indent))
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, work = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    with os.fdopen(handle, "w") as file:
        file.write(text)
    share(Path(work))
    os.replace(work, path)
