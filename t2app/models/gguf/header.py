"""What a GGUF file says of itself: architecture, tensors, and whether it is of use here.

Only the beginning is read, in a moment; the reader of the package ``gguf`` takes seconds, which is
too long for a list of files. Whatever makes a file useless here is said in one line before its
weights are touched. Not covered: making a model of it (``convert``).
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from t2app.errors import T2Error
from t2app.models.words import gigabytes

MAGIC = b"GGUF"
VERSIONS = (2, 3)
# The numbers of the format's types: fixed sizes in the notation of ``struct``, text, lists.
FIXED = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
TEXT, LIST = 8, 9
ALIGNMENT = 32
# Not of transformers' list: what is no language model, or no name of an architecture.
OTHER_USES = ("general", "tokenizer", "t5", "umt5", "t5encoder")
TEMPLATE = "tokenizer.chat_template"


@dataclass(frozen=True)
class Tensor:
    """A tensor of the file: its shape in torch's order, the number of its type, where it begins.

    ``offset`` counts from the start of the file's data.
    """

    name: str
    shape: tuple[int, ...]
    kind: int
    offset: int

    @property
    def numel(self) -> int:
        """How many numbers it holds."""
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        """What it takes in the file; ``T2Error`` for a type that is not known here."""
        block, size = _sizes(self)
        return self.numel // block * size


@dataclass(frozen=True)
class Header:
    """The beginning of a file. ``metadata`` has lists of numbers, of lists of text their lengths.

    ``fields`` and ``data`` are where the metadata begin and the tensors' bytes do.
    """

    path: Path
    metadata: dict[str, Any]
    tensors: tuple[Tensor, ...]
    fields: tuple[int, int]
    data: int

    @property
    def architecture(self) -> str:
        """As llama.cpp calls it: ``llama``, ``qwen2``."""
        return str(self.metadata.get("general.architecture", ""))

    @property
    def parts(self) -> int:
        """How many files the model is split into."""
        return int(self.metadata.get("split.count", 0)) or 1

    def about(self, key: str) -> Any:
        """A value of the architecture's own: ``about("context_length")``."""
        return self.metadata.get(f"{self.architecture}.{key}")


def is_gguf(path: Path) -> bool:
    """Whether a file begins as a GGUF does, whatever it is called."""
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def read(path: Path) -> Header:
    """The beginning of a file; ``T2Error`` if it is not GGUF, or ends too early for that."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _Reader(path, data).header()
    except (struct.error, IndexError, ValueError, OverflowError, UnicodeDecodeError) as error:
        # ValueError: an empty file cannot be mapped.
        raise T2Error(f"{path} is cut off or damaged: get it again") from error
    except OSError as error:
        raise T2Error(f"cannot read {path}: {error.strerror or error}") from error


class _Reader:
    """Walks over the bytes."""

    def __init__(self, path: Path, data: mmap.mmap) -> None:
        self._path, self._data, self._at = path, data, 0

    def header(self) -> Header:
        if self._data[:4] != MAGIC:
            raise T2Error(f"{self._path} is not a GGUF file: get it again")
        version, tensors, fields = struct.unpack_from("<IQQ", self._data, 4)
        if version not in VERSIONS:
            raise T2Error(
                f"{self._path} is GGUF of version {version if version < 2**16 else 'big-endian'}, "
                f"and {VERSIONS[0]} and {VERSIONS[1]} can be read: get a newer copy"
            )
        start = self._at = 24
        metadata = {}
        for _ in range(fields):
            key = self._text()
            metadata[key] = self._value(self._number("I"))
        end = self._at
        table = tuple(self._tensor() for _ in range(tensors))
        alignment = int(metadata.get("general.alignment", ALIGNMENT))
        data = -(-self._at // alignment) * alignment
        return Header(self._path, metadata, table, (start, end), data)

    def _number(self, kind: str) -> Any:
        (value,) = struct.unpack_from(f"<{kind}", self._data, self._at)
        self._at += struct.calcsize(f"<{kind}")
        return value

    def _text(self) -> str:
        length = self._number("Q")
        text = self._data[self._at : self._at + length]
        if len(text) != length:
            raise IndexError("the file ends within a text")
        self._at += length
        return text.decode("utf-8", "replace")

    def _value(self, kind: int) -> Any:
        if kind in FIXED:
            return self._number(FIXED[kind])
        if kind == TEXT:
            return self._text()
        if kind != LIST:
            raise ValueError(f"no such type: {kind}")
        inner, length = self._number("I"), self._number("Q")
        if inner in FIXED:
            values = struct.unpack_from(f"<{length}{FIXED[inner]}", self._data, self._at)
            self._at += struct.calcsize(f"<{length}{FIXED[inner]}")
            return list(values)
        for _ in range(length):
            # Vocabularies: stepped over, which is most of the time that this takes.
            if inner != TEXT:
                self._value(inner)
                continue
            (size,) = struct.unpack_from("<Q", self._data, self._at)
            self._at += 8 + size
        return length

    def _tensor(self) -> Tensor:
        name, count = self._text(), self._number("I")
        dimensions = tuple(self._number("Q") for _ in range(count))
        return Tensor(name, dimensions[::-1], self._number("I"), self._number("Q"))


def _sizes(tensor: Tensor) -> tuple[int, int]:
    """Numbers in a block of a type, and its bytes."""
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

    try:
        return GGML_QUANT_SIZES[GGMLQuantizationType(tensor.kind)]
    except (ValueError, KeyError):
        raise T2Error(
            f"{tensor.name} is of type {tensor.kind}, which the package gguf does not know: update "
            "it (pip install --upgrade gguf), or get another quantisation"
        ) from None


# -- is it of use? ---------------------------------------------------------------------------------


def check(headers: Sequence[Header]) -> None:
    """``T2Error`` unless the parts make a whole chat model that can be read here."""
    first = headers[0]
    reason = unusable(first)
    if reason:
        raise T2Error(f"{first.path} {reason}")
    for header in headers:
        ends = (header.data + tensor.offset + tensor.nbytes for tensor in header.tensors)
        size, whole = header.path.stat().st_size, max(ends, default=header.data)
        if size < whole:
            raise T2Error(
                f"{header.path} is cut off: {gigabytes(size)} of {gigabytes(whole)}; get it again"
            )


def unusable(header: Header) -> str | None:
    """Why a file is no chat model that can be used here, in words that follow its name."""
    kind = str(header.metadata.get("general.type", "model"))
    if kind == "adapter":
        return (
            "is a LoRA adapter and no whole model: merge it into its model (llama-export-lora) "
            "and give the result"
        )
    if kind in ("mmproj", "imatrix") or header.architecture == "clip":
        what = "reads pictures for a model" if kind != "imatrix" else "tells how to quantise one"
        return f"{what} and is none: give the file of the model that lies beside it"
    if not _supported(header.architecture):
        return (
            f"is of architecture {header.architecture!r}, which transformers cannot read from "
            "GGUF: give the folder or the Hugging Face id of the model that it was made from"
        )
    if not header.metadata.get(TEMPLATE):
        return (
            "has no chat template in it: choose an instruction-tuned (chat) model, or another "
            "conversion of it"
        )
    return None


def _supported(architecture: str) -> bool:
    from transformers.integrations.gguf import GGUF_ARCHS
    from transformers.modeling_gguf_pytorch_utils import GGUF_SUPPORTED_ARCHITECTURES

    known = {*GGUF_SUPPORTED_ARCHITECTURES, *GGUF_ARCHS} - set(OTHER_USES)
    return _plain(architecture) in map(_plain, known)


def _plain(name: str) -> str:
    """Both sides of the list spell ``qwen2moe`` and ``gpt-oss`` in their own way."""
    return name.replace("-", "").replace("_", "")
