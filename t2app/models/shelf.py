"""Models that are on this computer already: of Hugging Face's cache, LM Studio, Ollama, and ours.

What they need is counted from the beginning of their files. Whatever cannot be used is listed with
the reason, since a list that leaves out what somebody sees in another program is a riddle. Not
covered: other folders; a path can be given for those.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import torch
from huggingface_hub import constants

from t2app.config import SMOLLM2
from t2app.errors import T2Error
from t2app.models import checkpoint, gguf, smollm2
from t2app.models.catalogue import Listed
from t2app.models.gguf import names
from t2app.models.gguf.header import Header

HUGGING_FACE, LM_STUDIO, OLLAMA, OURS = "Hugging Face cache", "LM Studio", "Ollama", "t2app"
# A weight in a block, by both ways to name it.
BLOCK = re.compile(r"(?:^blk|\.layers|\.h|\.blocks)\.\d+\..*weight$")
MODEL_LAYER = "application/vnd.ollama.image.model"
TEMPLATES = ("chat_template.jinja", "chat_template.json")


@dataclass(frozen=True)
class Found:
    """A model that is here. ``name`` is what ``--model`` takes, ``where`` whose it is.

    ``size`` in bytes on disk, ``listed`` what it needs; ``problem`` says why it cannot be used.
    """

    name: str
    title: str
    where: str
    size: int
    listed: Listed | None = None
    problem: str = ""

    def need(self, place: torch.device) -> int | None:
        """Bytes of memory that it takes on ``place`` as it is loaded there unasked."""
        if self.listed is None:
            return None
        kind = self.listed.precision("auto", "auto", place)
        return self.listed.need(kind, "auto", place).total


def found() -> list[Found]:
    """Every model that is found, ours first, then by size; those that cannot be used last."""
    there = [*_ours(), *_hugging_face(), *_lm_studio(), *_ollama()]
    once = {one.name: one for one in reversed(there)}
    return sorted(once.values(), key=lambda f: (bool(f.problem), f.where != OURS, f.size, f.title))


def _ours() -> Iterator[Found]:
    """SmolLM2, and what was converted from files that are gone."""
    for folder in gguf.folders():
        note = gguf.note_of(folder)
        if folder == smollm2.unpacked():
            yield _folder(SMOLLM2, note.label, OURS, folder)
        elif not Path(note.path).exists():
            yield _folder(str(folder), note.label, OURS, folder)


# -- other programs' folders -----------------------------------------------------------------------


def _hugging_face() -> Iterator[Found]:
    """The snapshots of the hub's cache: chat models in safetensors, and GGUF files."""
    for repository in sorted(Path(constants.HF_HUB_CACHE).glob("models--*")):
        name = "/".join(repository.name.removeprefix("models--").split("--", 1))
        folder = _snapshot(repository)
        if folder is None:
            continue
        if any(folder.glob("*.safetensors")) and _is_chat_model(folder):
            yield _folder(name, name, HUGGING_FACE, folder)
        files = [path.relative_to(folder).as_posix() for path in folder.rglob(f"*{names.SUFFIX}")]
        for file in names.models_among(files):
            yield _file(folder / file, f"{name}:{file}", f"{name}, {Path(file).name}", HUGGING_FACE)


def _snapshot(repository: Path) -> Path | None:
    """The newest of a repository: that of the branch main, where it is known."""
    snapshots = repository / "snapshots"
    try:
        main = snapshots / (repository / "refs" / "main").read_text(encoding="utf-8").strip()
        if main.is_dir():
            return main
    except (OSError, ValueError):
        pass
    return max(snapshots.glob("*"), key=lambda path: path.stat().st_mtime, default=None)


def _is_chat_model(folder: Path) -> bool:
    """Whether it says so: many a model in that cache writes no text, or holds no conversation."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        tokenizer = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
        kinds = config.get("architectures") or []
        speaks = any(str(kind).endswith(checkpoint.CAUSAL_SUFFIXES) for kind in kinds)
        told = tokenizer.get("chat_template") or any((folder / t).is_file() for t in TEMPLATES)
        return bool(speaks and told and not config.get("quantization_config"))
    except (OSError, ValueError, AttributeError):
        return False


def _lm_studio() -> Iterator[Found]:
    homes = [Path.home() / ".lmstudio", Path.home() / ".cache" / "lm-studio"]
    try:
        # Where the program's home was moved to.
        pointer = (Path.home() / ".lmstudio-home-pointer").read_text(encoding="utf-8").strip()
        homes.insert(0, Path(pointer))
    except (OSError, ValueError):
        pass
    for home in dict.fromkeys(homes):
        folder = home / "models"
        files = [path.relative_to(folder).as_posix() for path in folder.rglob(f"*{names.SUFFIX}")]
        for file in names.models_among(files):
            yield _file(folder / file, str(folder / file), names.stem(Path(file).name), LM_STUDIO)


def _ollama() -> Iterator[Found]:
    """Ollama's models: a manifest for each, which names the file by its content."""
    chosen = os.environ.get("OLLAMA_MODELS")
    # The second is that of Ollama as a service on Linux.
    homes = [Path.home() / ".ollama" / "models", Path("/usr/share/ollama/.ollama/models")]
    for home in [Path(chosen).expanduser()] if chosen else homes:
        for manifest in sorted(home.glob("manifests/**/*")):
            blob = _blob(manifest)
            path = home / "blobs" / blob.replace(":", "-") if blob else None
            if path is not None and path.is_file():
                yield _file(path, str(path), _ollama_name(home, manifest), OLLAMA)


def _blob(manifest: Path) -> str | None:
    """The digest of a model's weights."""
    try:
        layers = json.loads(manifest.read_text(encoding="utf-8"))["layers"]
        return next(layer["digest"] for layer in layers if layer["mediaType"] == MODEL_LAYER)
    except (OSError, ValueError, KeyError, TypeError, StopIteration):
        return None


def _ollama_name(home: Path, manifest: Path) -> str:
    """As Ollama writes it: ``llama3.2:1b``, ``someone/model:latest``."""
    *path, tag = manifest.relative_to(home / "manifests").parts
    ours = path[1:] if path and path[0] == "registry.ollama.ai" else path
    return f"{'/'.join(ours[1:] if ours[:1] == ['library'] else ours)}:{tag}"


# -- what they need --------------------------------------------------------------------------------


def _file(path: Path, name: str, title: str, where: str) -> Found:
    """A model in a GGUF file and its other parts."""
    try:
        parts = names.parts(path)
        size = sum(part.stat().st_size for part in parts)
        headers = [_header(part, part.stat().st_size, part.stat().st_mtime_ns) for part in parts]
        problem = gguf.unusable(headers[0]) or ""
        quantisation = names.quantisation(headers[0])
    except (T2Error, OSError) as error:
        size = path.stat().st_size if path.exists() else 0
        return Found(name, title, where, size, problem=str(error).removeprefix(f"{path} "))
    shapes = [(tensor.name, tensor.shape) for header in headers for tensor in header.tensors]
    if quantisation.lower() not in title.lower():
        title = f"{title} ({quantisation})"
    return Found(name, title, where, size, _counted(name, title, shapes, size), problem)


@lru_cache(maxsize=512)
def _header(path: Path, size: int, changed: int) -> Header:
    """Read once, as long as size and time of change stay the same."""
    # Without its lists: merges and token types of a large vocabulary take megabytes.
    read = gguf.read(path)
    short = {key: v for key, v in read.metadata.items() if not isinstance(v, list)}
    return replace(read, metadata=short)


def _folder(name: str, title: str, where: str, folder: Path) -> Found:
    """A model in safetensors."""
    shapes, size = [], 0
    try:
        for file in checkpoint.weight_files(folder):
            size += file.stat().st_size
            shapes += checkpoint.shapes(file)
    except (T2Error, OSError) as error:
        return Found(name, title, where, size, problem=str(error).removeprefix(f"{folder} "))
    return Found(name, title, where, size, _counted(name, title, shapes, size))


def _counted(
    name: str, title: str, shapes: Iterable[tuple[str, tuple[int, ...]]], size: int
) -> Listed:
    """Counts as in the catalogue: weights of blocks that are matrices are what experts adapt."""
    total = linear = numbers = 0
    for tensor, shape in shapes:
        count = 1
        for length in shape:
            count *= length
        total += count
        if len(shape) == 2 and BLOCK.search(tensor):
            linear += count
            numbers += min(shape) ** 2
    return Listed(name, title, total / 1e6, linear / 1e6, numbers / 1e6, size / 1e9)
