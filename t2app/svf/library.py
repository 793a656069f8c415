"""The experts in one folder that fit one base model.

The folder is the truth: a file that appears, changes or vanishes is seen at the next call. Not
covered: training experts, or folders that other bases share.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from t2app.errors import T2Error
from t2app.svf import expert as expert_file
from t2app.svf.expert import Expert
from t2app.svf.mixing import unknown_expert

SUFFIX = ".safetensors"
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,40}")
# Labels of the first pass that mean "no expert".
RESERVED = frozenset({"base", "other"})

Stamp = tuple[int, int, int]


def check_name(name: str) -> str:
    """``name`` if an expert may be called so, else ``T2Error``."""
    if name in RESERVED:
        raise T2Error(f"an expert cannot be called {name!r}: that means the base model")
    if not NAME.fullmatch(name):
        raise T2Error(
            f"{name!r} is not a name for an expert: use up to 41 of a-z, 0-9, - and _, "
            "starting with a letter or digit"
        )
    return name


class Library:
    """Experts of ``folder`` that fit ``shapes`` (``r`` by module name) and ``base``.

    An expert goes by the name of its file. Safe to use from several threads.
    """

    def __init__(self, folder: Path, shapes: Mapping[str, int], base: str) -> None:
        self.folder = Path(folder)
        self.shapes = dict(shapes)
        self.base = base
        self._lock = threading.Lock()
        self._seen: dict[str, tuple[Stamp, Expert | T2Error]] = {}

    def experts(self) -> dict[str, Expert]:
        """Every expert that fits, by name, sorted."""
        found = self._refresh()
        return {Path(file).stem: item for file, item in found.items() if isinstance(item, Expert)}

    def problems(self) -> dict[str, str]:
        """For every file that is damaged or does not fit: its name and the reason, one line."""
        found = self._refresh()
        return {file: str(item) for file, item in found.items() if isinstance(item, T2Error)}

    def get(self, name: str) -> Expert:
        """The expert ``name``; ``T2Error`` that names close matches, or why the file is no good."""
        found = self._refresh()
        item = found.get(f"{name}{SUFFIX}")
        if isinstance(item, T2Error):
            raise T2Error(str(item))
        if item is None:
            raise T2Error(unknown_expert(name, self.experts()))
        return item

    def add(self, expert: Expert, overwrite: bool = False) -> Path:
        """Write ``expert`` into the folder and give its path.

        ``T2Error`` for a bad name, an expert that does not fit, or one that is there already.
        """
        path = self.folder / f"{check_name(expert.name)}{SUFFIX}"
        expert_file.check_fits(expert, self.shapes, self.base)
        with self._lock:
            if path.exists() and not overwrite:
                raise T2Error(f"expert {expert.name!r} exists already: choose another name")
            expert_file.save(expert, path)
        return path

    def delete(self, name: str) -> None:
        """Remove the file of expert ``name``, also a damaged one; ``T2Error`` if there is none."""
        if f"{name}{SUFFIX}" not in self._refresh():
            raise T2Error(unknown_expert(name, self.experts()))
        try:
            (self.folder / f"{name}{SUFFIX}").unlink(missing_ok=True)
        except OSError as error:
            raise T2Error(f"cannot delete expert {name!r}: {error.strerror or error}") from error

    def _refresh(self) -> dict[str, Expert | T2Error]:
        """Read what is new or changed since the last call; forget what is gone."""
        with self._lock:
            seen = {}
            for path in sorted(self.folder.glob(f"*{SUFFIX}")):
                try:
                    stat = path.stat()
                except OSError:
                    continue  # deleted between listing and looking
                stamp = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
                known = self._seen.get(path.name)
                same = known is not None and known[0] == stamp
                seen[path.name] = known if same else (stamp, self._read(path))
            self._seen = seen
            return {file: item for file, (_, item) in seen.items()}

    def _read(self, path: Path) -> Expert | T2Error:
        try:
            # Whoever renames the file renames the expert.
            found = replace(expert_file.load(path), name=check_name(path.stem))
            expert_file.check_fits(found, self.shapes, self.base)
        except T2Error as error:
            return error
        return found
