"""An expert and its file.

A safetensors file: one float32 vector ``z`` of shape ``(r,)`` for each adapted matrix, named by the
live module and ordered by falling singular value; everything about the expert is in the file's
``__metadata__``. Text stays as it is there, any other value is JSON. Not covered: folders of
experts (``library``) and other people's formats.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from t2app.errors import T2Error
from t2app.files import share
from t2app.identity import same_weights
from t2app.svf import foreign, kin

EXPERT_FORMAT = "t2app-expert"
FORMAT_VERSION = 1

# Written by ``save`` and checked by ``load``; not part of ``Expert.header``.
ENVELOPE = ("format", "format_version", "name", "sha256")
MAX_HEADER_BYTES = 100_000_000


@dataclass(frozen=True)
class Expert:
    """One vector ``z`` (r,) in float32 for each adapted matrix, and what is known about them.

    ``header`` holds JSON values: ``base`` (the model it was trained on), ``description``, ``task``,
    ``objective``, ``reward``, ``seed``, ``dataset_sha256``, ``rows``, ``before``, ``after``,
    ``created``, ``versions``, ``examples``, ``prototype`` and whatever else a strategy needs;
    ``weights`` (the quantisation that the base comes from, or ``original``) and ``sigma_max``
    (see ``kin``).
    """

    name: str
    z: dict[str, Tensor]
    header: dict[str, Any] = field(default_factory=dict)

    @property
    def description(self) -> str:
        """One line for people and for the first pass."""
        return str(self.header.get("description") or "")

    @property
    def base(self) -> str:
        """The model, with its revision or content hash, that the expert was trained on."""
        return str(self.header.get("base") or "")

    @property
    def task(self) -> str:
        """Name of the task it was trained on; empty if none."""
        return str(self.header.get("task") or "")

    def delta(self, names: Iterable[str]) -> Tensor:
        """``z - 1`` of the named matrices, in that order, as one flat vector ``(R,)``."""
        return torch.cat([self.z[name] for name in names]) - 1


def save(expert: Expert, path: Path) -> None:
    """Write ``expert`` to ``path`` in one step: readers see the old file or the whole new one.

    ``T2Error`` if the folder cannot be written, or a value is not a finite number.
    """
    broken = next((name for name, v in expert.z.items() if not bool(v.isfinite().all())), None)
    if broken:
        raise T2Error(
            f"expert {expert.name!r} is not written: its vector for {broken} holds values that are "
            "not finite numbers; train it again"
        )
    z = {name: vector.detach().cpu().float().contiguous() for name, vector in expert.z.items()}
    values = {
        **expert.header,
        "format": EXPERT_FORMAT,
        "format_version": FORMAT_VERSION,
        "name": expert.name,
        "sha256": _digest(z),
    }
    data = save_tensors(z, metadata={key: _encode(value) for key, value in values.items()})
    path = Path(path)
    work = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, work = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        share(Path(work))
        os.replace(work, path)
    except OSError as error:
        if work is not None:
            Path(work).unlink(missing_ok=True)
        reason = error.strerror or error
        raise T2Error(
            f"cannot write the expert to {path}: {reason}; choose another place"
        ) from error


def load(path: Path) -> Expert:
    """Read an expert; ``T2Error`` if the file is missing, damaged, of another kind or version."""
    path = Path(path)
    # Read once: header and vectors must come from the same file even if it is being replaced.
    data = _read(path)
    header = _header(path, data)
    try:
        z = load_tensors(data)
    except (SafetensorError, ValueError, KeyError) as error:  # KeyError: types unknown to torch
        raise T2Error(f"{path} is damaged or was not written to its end: get it again") from error
    _check_vectors(path, z, header.get("sha256"))
    rest = {key: value for key, value in header.items() if key not in ENVELOPE}
    return Expert(str(header["name"]), z, rest)


def read_header(path: Path) -> dict[str, Any]:
    """Everything the header says, without reading a tensor; ``T2Error`` as for ``load``."""
    path = Path(path)
    return _header(path, _read(path, header_only=True))


def check_fits(
    expert: Expert,
    shapes: Mapping[str, int],
    base: str,
    also: Iterable[str] = (),
    tops: Mapping[str, float] | None = None,
) -> None:
    """``T2Error`` naming what differs, unless base, names and sizes (``r`` by name) all agree.

    Bases agree where their weights do, whatever their names, and where they are quantisations of
    one model (``kin``, to which ``tops`` are given). ``also`` are other names of the base's
    weights, such as the revision of the hub that older experts carry.
    """
    label = f"expert {expert.name!r}"
    same = any(same_weights(expert.base, known) for known in (base, *also))
    if not same and not kin.is_kin(expert.header, base, tops or {}):
        raise T2Error(f"{label} was made for {expert.base}, not for {base}: load that model")
    missing = [name for name in shapes if name not in expert.z]
    if missing:
        raise T2Error(f"{label} lacks {len(missing)} matrices of this model, first {missing[0]}")
    extra = [name for name in expert.z if name not in shapes]
    if extra:
        raise T2Error(f"{label} has {len(extra)} matrices this model lacks, first {extra[0]}")
    for name, size in shapes.items():
        found = expert.z[name].numel()
        if found != size:
            raise T2Error(f"{label} has {found} values for {name}, this model needs {size}")


def _read(path: Path, header_only: bool = False) -> bytes:
    """The bytes of a safetensors file: 8 of length, that many of JSON, then the tensors."""
    try:
        with path.open("rb") as file:
            start = file.read(8)
            length = int.from_bytes(start, "little")
            if length > MAX_HEADER_BYTES:
                return start
            return start + (file.read(length) if header_only else file.read())
    except FileNotFoundError:
        raise T2Error(f"no expert file at {path}: check the name") from None
    except OSError as error:
        raise T2Error(f"cannot read {path}: {error.strerror or error}") from error


def _header(path: Path, data: bytes) -> dict[str, Any]:
    """The file's ``__metadata__``, checked, its values decoded."""
    metadata = _metadata(path, data)
    if metadata.get("format") != EXPERT_FORMAT:
        raise foreign.as_expert(path) or T2Error(
            f"{path} is not an expert file: its header lacks format={EXPERT_FORMAT}"
        )
    header = {key: _decode(value) for key, value in metadata.items()}
    version = header.get("format_version")
    if version != FORMAT_VERSION:
        raise T2Error(
            f"{path} has format version {version}, this program reads {FORMAT_VERSION}: "
            "update t2app or export the expert again"
        )
    if not isinstance(header.get("base"), str) or not header["base"]:
        raise T2Error(f"{path} does not say which base model it belongs to: export it again")
    header.setdefault("name", path.stem)
    return header


def _metadata(path: Path, data: bytes) -> dict[str, str]:
    try:
        length = int.from_bytes(data[:8], "little")
        metadata = json.loads(data[8 : 8 + length]).get("__metadata__") or {}
        return {str(key): str(value) for key, value in metadata.items()}
    except (ValueError, AttributeError, RecursionError):
        raise T2Error(f"{path} is damaged or not a safetensors file: get it again") from None


def _check_vectors(path: Path, z: Mapping[str, Tensor], digest: Any) -> None:
    if not z:
        raise T2Error(f"{path} holds no vectors: train or export the expert again")
    for name, vector in z.items():
        if vector.dim() != 1 or vector.dtype != torch.float32:
            shape = tuple(vector.shape)
            raise T2Error(f"{path}: {name} must be a float32 vector, not {vector.dtype} {shape}")
        if not torch.isfinite(vector).all():
            raise T2Error(f"{path}: {name} holds NaN or infinity; train or export it again")
    # Files made by other programs need not carry the digest; where it is there, it must be right.
    if digest is not None and digest != _digest(z):
        raise T2Error(f"{path} was changed after it was written (SHA-256 differs): get it again")


def _digest(z: Mapping[str, Tensor]) -> str:
    """SHA-256 over names and little-endian values, independent of the order in the file."""
    digest = hashlib.sha256()
    for name in sorted(z):
        digest.update(name.encode() + b"\0")
        digest.update(z[name].numpy().astype("<f4").tobytes())
    return digest.hexdigest()


def _encode(value: Any) -> str:
    """JSON, except that text which is not JSON by itself stays readable as it is."""
    if isinstance(value, str) and not _is_json(value):
        return value
    return json.dumps(value, ensure_ascii=False)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _decode(text: str) -> Any:
    return json.loads(text) if _is_json(text) else text
