"""A GGUF file as a plain folder of Hugging Face, made once and kept in the cache.

Everything that follows (factors, quantisation here, training) then works as for any model, and what
was packed never meets training: a layer holds the very numbers that the file stands for. The folder
appears whole or not at all. Not covered: where the file comes from (``models.source``).

Weights are kept in float16. Measured on SmolLM2 in Q4_1: unpacked numbers lose 0.019 % in float16
and 0.13 % in bfloat16, at the same size (docs/LOG.md). A file of bfloat16 stays that, and so does a
model with numbers beyond float16.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    GgufConfig,
    PreTrainedConfig,
    PreTrainedModel,
)

from t2app.config import cache_dir
from t2app.errors import T2Error
from t2app.files import share
from t2app.identity import DIGITS
from t2app.models import checkpoint, memory
from t2app.models.gguf import header as headers_of
from t2app.models.gguf import joining, names, rope, tokenizer
from t2app.models.gguf.header import Header
from t2app.models.quiet import quiet
from t2app.models.words import UNPACKING, Report, first_line, gigabytes

FORMAT = 1
NOTE = "t2app.json"
BFLOAT16 = 30  # the number of the type in a file
# Beside the weights: tokenizer, configuration.
OVERHEAD = 50 * 10**6
# Bytes for each number of a matrix while it is unpacked: in float32, as it comes and rearranged.
UNPACKED = 12


@dataclass(frozen=True)
class Note:
    """What a folder that was made of a GGUF file says of it.

    ``sha256`` is that of the file (of several, that of their digests), ``weights`` that of what
    was made of it; ``notes`` are lines for people.
    """

    path: str
    label: str
    quantisation: str
    sha256: str
    weights: str
    notes: tuple[str, ...] = ()


def note_of(folder: Path) -> Note | None:
    """What a folder says of the file that it was made of, if it was and is whole."""
    try:
        found = json.loads((folder / NOTE).read_text(encoding="utf-8"))
        if found.pop("format") != FORMAT:
            return None
        checkpoint.weight_files(folder)
        return Note(**{**found, "notes": tuple(found["notes"])})
    except (T2Error, OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def home() -> Path:
    """Where these folders are."""
    return cache_dir() / "models"


def folders(ending: str = "") -> list[Path]:
    """Those that are whole, sorted; all, or those whose names end in the start of a digest."""
    found = sorted(home().glob(f"*{ending}")) if home().is_dir() else []
    return [path for path in found if not path.name.startswith(".") and note_of(path)]


def converted(path: Path, report: Report) -> tuple[Path, Note]:
    """The folder made of a GGUF file (or of that and its other parts), and its note.

    ``report`` tells how far it is. ``T2Error`` for a file that cannot be used, and where there is
    no room for what becomes of it.
    """
    headers = [headers_of.read(part) for part in names.parts(path)]
    headers_of.check(headers)
    label = names.label(headers[0])
    sha256 = checkpoint.digest([header.path for header in headers])
    start = sha256[:DIGITS]
    try:
        home().mkdir(parents=True, exist_ok=True)
        # A second process waits here, then finds what the first one wrote.
        with FileLock(home() / f".{start}.lock"):
            if not (known := folders(f"-{start}")):
                known = [_made(headers, label, sha256, home() / f"{_safe(label)}-{start}", report)]
    except OSError as error:
        raise T2Error(
            f"cannot keep {label} in {home()}: {error.strerror or error}; set T2APP_CACHE to a "
            "folder with room"
        ) from error
    note = note_of(known[0])
    if note is None:
        raise T2Error(f"{known[0]} was changed meanwhile: try again")
    return known[0], note


def _safe(label: str) -> str:
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in label)


def _made(headers: Sequence[Header], label: str, sha256: str, folder: Path, report: Report) -> Path:
    """Convert into a folder beside ``folder``, then put it there. Holds the lock."""
    for old in home().glob(f".*-{sha256[:DIGITS]}.*.partial"):  # of runs that were killed
        shutil.rmtree(old, ignore_errors=True)
    work = Path(tempfile.mkdtemp(".partial", f".{folder.name}.", home()))
    try:
        _convert(headers, label, sha256, work, report)
        for file in (work, *work.iterdir()):
            share(file)
        shutil.rmtree(folder, ignore_errors=True)  # one that is not whole
        os.rename(work, folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return folder


def _convert(
    headers: Sequence[Header], label: str, sha256: str, work: Path, report: Report
) -> None:
    first = headers[0]
    _check_room(headers, label, work)
    count = sum(len(header.tensors) for header in headers)
    report(UNPACKING, 0, count)
    with tempfile.TemporaryDirectory(dir=work) as inner:
        file = _single(headers, Path(inner))
        with _one_line(first.path):
            whole = headers_of.read(file)
            config = AutoConfig.from_pretrained(file.parent, gguf_file=file.name)
            notes = [rope.carry_over(whole, config), tokenizer.write(file, whole, work)]
            config.save_pretrained(work)
            checkpoint.read_config(work)  # what is refused is refused before the weights are read
            model = _model(whole, config, report)
    # It is none any more, and save_pretrained would refuse.
    model.config.__dict__.pop("quantization_config", None)
    with quiet():
        model.save_pretrained(work)
    note = Note(
        path=str(first.path.absolute()),
        label=label,
        quantisation=names.quantisation(first),
        sha256=sha256,
        weights=checkpoint.digest(checkpoint.weight_files(work), remember=False),
        notes=tuple(filter(None, notes)),
    )
    (work / NOTE).write_text(json.dumps({"format": FORMAT, **asdict(note)}, indent=1))
    report(UNPACKING, count, count)


def _check_room(headers: Sequence[Header], label: str, work: Path) -> None:
    """``T2Error`` where memory or disk do not hold what becomes of the file."""
    tensors = [tensor for header in headers for tensor in header.tensors]
    size = 2 * sum(tensor.numel for tensor in tensors)
    joined = sum(tensor.nbytes for tensor in tensors) if len(headers) > 1 else 0
    free = shutil.disk_usage(work).free
    if size + joined + OVERHEAD > free:
        raise T2Error(
            f"{label} takes {gigabytes(size + joined)} unpacked and {home()} has "
            f"{gigabytes(free)} free: free some, or set T2APP_CACHE to another disk"
        )
    needed = size + UNPACKED * max(tensor.numel for tensor in tensors)
    room = memory.free(memory.CPU)
    if needed > room:
        raise T2Error(
            f"unpacking {label} takes {gigabytes(needed)} of memory and {gigabytes(room)} is free: "
            "choose a smaller model"
        )


def _single(headers: Sequence[Header], folder: Path) -> Path:
    """The model as one file whose name ends as transformers wants it."""
    path = headers[0].path.absolute()
    if len(headers) == 1 and path.suffix == names.SUFFIX:
        return path
    file = folder / f"model{names.SUFFIX}"
    if len(headers) > 1:
        joining.join(headers, file)
    else:
        try:
            os.symlink(path.resolve(), file)
        except OSError:  # Windows, without the right to make links
            os.link(path.resolve(), file)
    return file


@contextmanager
def _one_line(path: Path) -> Iterator[None]:
    """Whatever transformers raises, as one line."""
    try:
        with quiet():
            yield
    except (T2Error, OSError, MemoryError):
        raise
    except Exception as error:
        raise T2Error(f"cannot use {path}: {first_line(error)}; choose another model") from error


def _model(header: Header, config: PreTrainedConfig, report: Report) -> PreTrainedModel:
    """The model with its weights unpacked; ``T2Error`` if the file's numbers are not all its."""
    bfloat16 = any(tensor.kind == BFLOAT16 for tensor in header.tensors)
    for dtype in [torch.bfloat16] if bfloat16 else [torch.float16, torch.bfloat16]:
        with _counted(report):
            model, info = AutoModelForCausalLM.from_pretrained(
                header.path.parent,
                gguf_file=header.path.name,
                config=config,
                dtype=dtype,
                quantization_config=GgufConfig(dequantize=True),
                output_loading_info=True,
            )
        if all(bool(p.isfinite().all()) for p in model.parameters()):
            break
    else:
        raise T2Error(f"{header.path} holds numbers that are not finite: get another copy")
    if missing := sorted(info["missing_keys"]):
        raise T2Error(
            f"{header.path} lacks {len(missing)} weights of its model, first {missing[0]}: get it "
            "again"
        )
    _check_used(header, config, model)
    return model


def _check_used(header: Header, config: PreTrainedConfig, model: PreTrainedModel) -> None:
    """``T2Error`` where numbers of the file found no place: transformers drops them in silence."""
    layers = getattr(config, "num_hidden_layers", 0)
    stored = sum(
        tensor.numel
        for tensor in header.tensors
        if not tensor.name.startswith(rope.FREQUENCIES) and _layer(tensor.name) < layers
    )
    used = sum(p.numel() for p in model.parameters())
    if stored != used:
        raise T2Error(
            f"{header.path} holds {stored:,} numbers and transformers makes a model of {used:,} of "
            "it: give the folder or the Hugging Face id of the model that it was made from"
        )


def _layer(name: str) -> int:
    """The block of a tensor, else -1. Blocks beyond the last guess further tokens ahead."""
    first, _, rest = name.partition(".")
    number = rest.partition(".")[0]
    return int(number) if first == "blk" and number.isdigit() else -1


@contextmanager
def _counted(report: Report) -> Iterator[None]:
    """Inside, the bar of transformers' reader draws nothing and tells ``report`` instead."""
    from transformers import modeling_gguf_pytorch_utils as reader

    def counted(tensors: Sequence[Any], **_: Any) -> Iterator[Any]:
        for done, tensor in enumerate(tensors):
            report(UNPACKING, done, len(tensors))
            yield tensor

    # There is no switch for it.
    bar = reader.tqdm
    reader.tqdm = counted
    try:
        yield
    finally:
        reader.tqdm = bar
