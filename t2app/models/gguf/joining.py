"""A model in several GGUF files as one file, which is all that transformers reads.

The metadata are those of the first part as they stand; the table of tensors is written anew.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from t2app.models.gguf.header import ALIGNMENT, MAGIC, Header, Tensor

COPIED = 1 << 24  # bytes at a time


def join(headers: Sequence[Header], path: Path) -> None:
    """Write the parts' tensors behind each other into ``path``. Raises OSError."""
    first = headers[0]
    alignment = int(first.metadata.get("general.alignment", ALIGNMENT))
    tensors = [(header, tensor) for header in headers for tensor in header.tensors]
    with path.open("wb") as target:
        target.write(MAGIC + struct.pack("<IQQ", 3, len(tensors), len(first.metadata)))
        start, end = first.fields
        _copy(first.path, start, end - start, target)
        offset = 0
        for _, tensor in tensors:
            target.write(_entry(tensor, offset))
            offset += _padded(tensor.nbytes, alignment)
        target.write(bytes(-target.tell() % alignment))
        for header, tensor in tensors:
            _copy(header.path, header.data + tensor.offset, tensor.nbytes, target)
            target.write(bytes(_padded(tensor.nbytes, alignment) - tensor.nbytes))


def _entry(tensor: Tensor, offset: int) -> bytes:
    name = tensor.name.encode()
    shape = tensor.shape[::-1]
    return (
        struct.pack("<Q", len(name))
        + name
        + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, tensor.kind, offset)
    )


def _padded(size: int, alignment: int) -> int:
    return -(-size // alignment) * alignment


def _copy(path: Path, start: int, size: int, target: BinaryIO) -> None:
    with path.open("rb") as source:
        source.seek(start)
        while size > 0:
            data = source.read(min(size, COPIED))
            if not data:
                raise OSError(f"{path} ends too early")
            target.write(data)
            size -= len(data)
