"""How GGUF files are called: their quantisation, several parts of one model, which one is meant."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from t2app.errors import T2Error
from t2app.identity import QUANTISATION
from t2app.models.gguf.header import Header

SUFFIX = ".gguf"
PART = re.compile(r"(.+)-(\d{5})-of-(\d{5})")
# Files beside a model: what reads pictures for it, and what its quantisation was tuned on.
BESIDE = re.compile(r"mmproj|imatrix", re.IGNORECASE)
# Ollama's files, which are called by their content.
BLOB = re.compile(r"sha256-[0-9a-f]{64}")


def quantisation(header: Header) -> str:
    """``Q4_K_M``: what the file says, else the type that most of its bytes have."""
    from gguf import GGMLQuantizationType, LlamaFileType

    try:
        named = LlamaFileType(header.metadata["general.file_type"]).name
        if named != "GUESSED":
            return named.removeprefix("MOSTLY_").removeprefix("ALL_")
    except (KeyError, ValueError):
        pass
    sizes = Counter()
    for tensor in header.tensors:
        sizes[tensor.kind] += tensor.nbytes
    return GGMLQuantizationType(sizes.most_common(1)[0][0]).name if sizes else "unknown"


def stem(name: str) -> str:
    """A file's name without its ending and its number among several."""
    bare = name.removesuffix(SUFFIX)
    return part[1] if (part := PART.fullmatch(bare)) else bare


def quantisation_named(name: str) -> str:
    """The quantisation that a file's name ends in, in capitals; empty if there is none."""
    found = QUANTISATION.search(stem(name))
    return found[1].upper() if found else ""


def label(header: Header) -> str:
    """What a model is called: its file's name, ending in ``-Q4_K_M``."""
    kind, bare = quantisation(header), stem(header.path.name)
    if BLOB.fullmatch(header.path.name):  # a file of Ollama
        bare = str(header.metadata.get("general.name") or header.architecture).replace(" ", "-")
    return f"{QUANTISATION.sub('', bare)}-{quantisation_named(header.path.name) or kind}"


def models_among(names: Iterable[str]) -> list[str]:
    """Of names of files those of models, sorted; of one in parts the first."""
    return sorted(
        name
        for name in names
        if name.endswith(SUFFIX)
        and not BESIDE.search(Path(name).name)
        and _number_of(name) in (None, 1)
    )


def _number_of(name: str) -> int | None:
    part = PART.fullmatch(Path(name).name.removesuffix(SUFFIX))
    return int(part[2]) if part else None


def parts_named(name: str) -> list[str]:
    """Names of all parts of a model, from that of one; a path in front stays."""
    folder, _, file = name.rpartition("/")
    part = PART.fullmatch(file.removesuffix(SUFFIX))
    if part is None:
        return [name]
    front = f"{folder}/" if folder else ""
    count = int(part[3])
    return [f"{front}{part[1]}-{i:05}-of-{count:05}{SUFFIX}" for i in range(1, count + 1)]


def parts(path: Path) -> list[Path]:
    """All files of a model, from any of them; ``T2Error`` that names what is missing."""
    found = [path.with_name(name) for name in parts_named(path.name)]
    missing = [part.name for part in found if not part.is_file()]
    if missing:
        raise T2Error(
            f"{path} is one of {len(found)} parts and {missing[0]} is missing: put all parts into "
            "one folder"
        )
    return found


def choose(names: Iterable[str], wanted: str, where: str) -> str:
    """The file of a repository that ``wanted`` means: its name, or a quantisation.

    Empty means the only one. ``T2Error`` that lists what there is.
    """
    files = models_among(names)
    fitting = [f for f in files if wanted.lower() in ("", *_called(f))]
    if len(fitting) == 1 or (fitting and wanted):
        return min(fitting, key=lambda name: (len(name), name))
    offered = ", ".join(dict.fromkeys(quantisation_named(f) or Path(f).name for f in files))
    if not files:
        raise T2Error(f"{where} has no GGUF file of a model: choose another")
    if wanted:
        raise T2Error(f"{where} has no {wanted!r}: choose from {offered}")
    raise T2Error(f"{where} has {len(files)} GGUF models: choose one ({offered})")


def _called(name: str) -> tuple[str, ...]:
    """What a file can be asked for by, in small letters."""
    file = Path(name).name
    return (name.lower(), file.lower(), stem(file).lower(), quantisation_named(file).lower())
