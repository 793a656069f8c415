"""The experts in one folder that fit one base model.

The folder is the truth: a file that appears, changes or vanishes is seen at the next call. Not
covered: training experts, or folders that other bases share.
"""

from __future__ import annotations

import logging
import os
import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from t2app import config
from t2app.errors import T2Error
from t2app.identity import DIGITS, same_weights, weights_of
from t2app.svf import expert as expert_file
from t2app.svf import foreign, kin, reference
from t2app.svf.expert import Expert
from t2app.svf.mixing import unknown_expert

SUFFIX = ".safetensors"
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,40}")
# An expert takes hours to train and one click to delete, so the last one of each name is kept here.
DELETED = ".deleted"
LONGEST_DESCRIPTION = 300
# Labels of the first pass that mean "no expert".
RESERVED = frozenset({"base", "other"})

Stamp = tuple[int, int, int]

log = logging.getLogger(__name__)


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


def free_name(text: str) -> str:
    """A name for an expert made from any text, such as that of a file."""
    name = re.sub(r"[^a-z0-9_-]+", "-", text.lower()).strip("-_")[:41].rstrip("-_") or "expert"
    return f"{name}-1" if name in RESERVED else name


def home(name: str, base: str, also: Iterable[str] = ()) -> Path:
    """The folder of the experts for the weights of ``base``, whatever the model is called now.

    One that holds experts for these weights; otherwise the folder called like the model, or, where
    that one holds another model's experts, a new one with the hash in its name.
    """
    known = (base, *also)
    own = config.experts_dir(name)
    found = {folder: _bases(folder) for folder in _folders(config.experts_root())}
    fitting = {
        folder: sum(any(same_weights(b, k) for k in known) for b in bases)
        for folder, bases in found.items()
    }
    best = max(fitting, key=lambda folder: (fitting[folder], folder == own), default=own)
    if fitting.get(best):
        others = [str(f) for f, count in fitting.items() if count and f != best]
        if others:
            log.warning("experts of %s are also in %s: import them", base, ", ".join(others))
        return best
    marked = own.with_name(f"{own.name}@{weights_of(base)[:DIGITS]}")
    return marked if marked.is_dir() or found.get(own) else own


def _folders(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []


def _bases(folder: Path) -> list[str]:
    """The base of each expert of a folder; files that are damaged say nothing."""
    bases = []
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        with suppress(T2Error):
            bases.append(expert_file.read_header(path)["base"])
    return bases


class Library:
    """Experts of ``folder`` that fit ``shapes`` (``r`` by module name) and ``base``.

    ``also`` are other names of the base's weights, ``tops`` its largest singular values (see
    ``expert.check_fits``).
    An expert goes by the name of its file. Safe to use from several threads.
    """

    def __init__(
        self,
        folder: Path,
        shapes: Mapping[str, int],
        base: str,
        also: Iterable[str] = (),
        tops: Mapping[str, float] | None = None,
    ) -> None:
        self.folder = Path(folder)
        self.shapes = dict(shapes)
        self.base = base
        self.also = tuple(also)
        self.tops = dict(tops or {})
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

    def note(self, expert: Expert) -> str | None:
        """What is to be known of an expert that was trained on another quantisation; else None."""
        known = any(same_weights(expert.base, name) for name in self.also)
        return None if known else kin.line(expert.header, self.base)

    def get(self, name: str) -> Expert:
        """The expert ``name``; ``T2Error`` that names close matches, or why the file is no good."""
        found = self._refresh()
        item = found.get(f"{name}{SUFFIX}")
        if isinstance(item, T2Error):
            raise T2Error(str(item))
        if item is None:
            raise T2Error(unknown_expert(name, self.experts()))
        return item

    def path(self, name: str) -> Path:
        """Where the file of expert ``name`` is, if there is one."""
        return self.folder / f"{name}{SUFFIX}"

    def has_file(self, name: str) -> bool:
        """Whether the name is taken, be it by a file that is damaged or does not fit."""
        return self.path(name).exists()

    def size(self, name: str) -> int:
        """Bytes of the file of expert ``name``; 0 if it has just gone."""
        try:
            return self.path(name).stat().st_size
        except OSError:
            return 0

    def fingerprint(self) -> str:
        """A text that changes whenever a file of the folder does."""
        self._refresh()
        with self._lock:
            stamps = sorted((file, stamp) for file, (stamp, _) in self._seen.items())
        return repr(stamps)

    def add(self, expert: Expert, overwrite: bool = False) -> Path:
        """Write ``expert`` into the folder and give its path.

        ``T2Error`` for a bad name, an expert that does not fit, or one that is there already.
        """
        path = self.path(check_name(expert.name))
        expert_file.check_fits(expert, self.shapes, self.base, self.also, self.tops)
        with self._lock:
            if path.exists() and not overwrite:
                raise T2Error(f"expert {expert.name!r} exists already: choose another name")
            expert_file.save(expert, path)
        return path

    def import_file(
        self,
        path: Path,
        sigma: Mapping[str, Tensor],
        name: str | None = None,
        overwrite: bool = False,
    ) -> Expert:
        """Take over an expert from a file: t2app's own, or the reference's ``.pt`` (``reference``).

        ``sigma`` holds the singular values (r,) of this base by module name, which only the latter
        needs. Without a ``name`` it keeps its own; a ``.pt`` is called like its file.
        """
        path = Path(path)
        if (other := foreign.as_expert(path)) is not None:
            raise other
        if path.suffix == SUFFIX:
            expert = expert_file.load(path)
        elif path.suffix == reference.SUFFIX:
            expert = reference.load(path, sigma, self.base, free_name(path.stem))
        else:
            raise T2Error(
                f"{path.name} is no file of an expert: choose one that ends in {SUFFIX} or "
                f"{reference.SUFFIX}"
            )
        expert = replace(expert, name=name or expert.name)
        self.add(expert, overwrite)
        return expert

    def export(self, name: str, path: Path, overwrite: bool = False) -> None:
        """Write expert ``name`` to a file; ``T2Error`` if that is there already."""
        expert = self.get(name)
        if Path(path).exists() and not overwrite:
            raise T2Error(f"{path} exists already: choose another file, or overwrite it")
        expert_file.save(expert, path)

    def rename(self, name: str, new: str) -> Path:
        """Call expert ``name`` ``new`` and give its path; ``T2Error`` if that name is taken."""
        expert = self.get(name)
        path = self.path(check_name(new))
        with self._lock, self._writing(f"rename expert {name!r}"):
            if path.exists():
                raise T2Error(f"expert {new!r} exists already: choose another name")
            # In this order: whatever happens between the two, the expert is there.
            expert_file.save(replace(expert, name=new), path)
            self.path(name).unlink(missing_ok=True)
        return path

    def describe(self, name: str, text: str) -> None:
        """Give expert ``name`` another description, which people and the first pass read."""
        line = " ".join(text.split())
        if not line:
            raise T2Error("the description is empty: say in a few words what the expert is for")
        if len(line) > LONGEST_DESCRIPTION:
            raise T2Error(
                f"the description has {len(line)} characters: use at most {LONGEST_DESCRIPTION}"
            )
        expert = self.get(name)
        with self._lock:
            if not self.path(name).exists():  # another page was quicker
                raise T2Error(f"expert {name!r} was deleted meanwhile: restore it first")
            changed = {**expert.header, "description": line}
            expert_file.save(replace(expert, header=changed), self.path(name))

    def delete(self, name: str) -> None:
        """Move the file of expert ``name``, also a damaged one, to where ``restore`` finds it.

        Of several deleted ones of a name the last is kept. ``T2Error`` if there is none.
        """
        if f"{name}{SUFFIX}" not in self._refresh():
            raise T2Error(unknown_expert(name, self.experts()))
        kept = self._deleted(name)
        with self._lock, self._writing(f"delete expert {name!r}"):
            kept.parent.mkdir(exist_ok=True)
            # Gone already: another page was quicker, and the wish is fulfilled.
            if self.path(name).exists():
                os.replace(self.path(name), kept)

    def restore(self, name: str) -> Path:
        """Bring a deleted expert back; ``T2Error`` if there is none or its name is taken."""
        path, kept = self.path(name), self._deleted(name)
        with self._lock, self._writing(f"restore expert {name!r}"):
            if not NAME.fullmatch(name) or not kept.exists():
                raise T2Error(f"no deleted expert is called {name!r}: check the name")
            if path.exists():
                raise T2Error(f"expert {name!r} exists already: rename or delete that one first")
            os.replace(kept, path)
        return path

    def _deleted(self, name: str) -> Path:
        return self.folder / DELETED / f"{name}{SUFFIX}"

    @contextmanager
    def _writing(self, what: str) -> Iterator[None]:
        """The file system's refusals as a line for people."""
        try:
            yield
        except OSError as error:
            raise T2Error(f"cannot {what}: {error.strerror or error}") from error

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
            expert_file.check_fits(found, self.shapes, self.base, self.also, self.tops)
        except T2Error as error:
            return error
        # In the order of the model, whatever that of the file.
        return replace(found, z={matrix: found.z[matrix] for matrix in self.shapes})
