"""Loading a base model, and the factors of its original weights.

The built-in model, a local folder, a GGUF file or a Hugging Face hub id, in full precision or
quantised, on one device or spread over several GPUs. Everything that can be refused is refused
before the weights are read. Not covered: other checkpoints that are quantised already, pickled
weights, models that need code from their repository.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import (
    AutoModelForCausalLM,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from t2app import config as paths
from t2app.errors import T2Error
from t2app.identity import identity, weights_of
from t2app.models import checkpoint, memory, precision, source
from t2app.models.chat import ChatFormat
from t2app.models.originals import Originals
from t2app.models.quiet import quiet
from t2app.models.source import Source
from t2app.models.words import FACTORING, READING, Report, first_line, gigabytes
from t2app.svd.cache import load_or_compute
from t2app.svd.factor import Factor, working_bytes
from t2app.svd.modules import adapted_modules, module_shape, unadapted

log = logging.getLogger(__name__)

# For models that name no limit: linear attention and relative positions have none.
CONTEXT = 4096
NO_CONTEXT = f"its files name no longest context: {CONTEXT:,} tokens are assumed"


@dataclass(frozen=True)
class BaseModel:
    """A frozen model, ready to run, and what identifies it.

    ``base`` names the exact weights: ``NAME@`` and the start of their SHA-256, where NAME is the
    hub id if that is known; experts carry it. ``also`` are other names of these weights that older
    experts carry: the revision of the hub. ``context`` is the longest sequence in tokens;
    ``device`` where its input goes; ``skipped`` names the weights in its blocks that experts cannot
    adapt; ``notes`` are lines for people about its chat format and context; ``place`` is what it
    was loaded for, where ``cuda`` without a number means all GPUs. ``quantisation`` is that of the
    GGUF file that the weights come from, None for original ones.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    chat: ChatFormat
    name: str
    base: str
    device: torch.device
    precision: str
    context: int
    folder: Path
    also: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    place: torch.device | None = None
    quantisation: str | None = None


def load(
    name: str = paths.TINY,
    quant: str = "auto",
    device: str = "auto",
    report: Report = lambda *_: None,
    storage: str = "auto",
) -> BaseModel:
    """Load a model by a name that ``source.locate`` takes; ``T2Error`` says what is wrong with it.

    ``quant``: ``auto`` is NF4 on a GPU; on a CPU the fastest that fits into memory. ``none`` is
    bfloat16, float32 for the built-in model. ``device``: ``auto`` is the GPU if there is one; a
    model that one GPU cannot hold is spread over all of them, but for one of several processes.
    ``report(stage, done, total)`` tells how far it is. ``storage``: how factors will be kept beside
    the weights, for their memory.
    """
    place = _place(device)
    found = source.locate(name, report, place)
    with _one_line(found.label):
        config = checkpoint.read_config(found.folder)
        tokenizer = checkpoint.read_tokenizer(found.folder)
        bones = memory.skeleton(config)
        rows = bones.get_input_embeddings().weight.shape[0]
        chat = checkpoint.read_chat(found.folder, found.label, config, tokenizer, rows)
        context = checkpoint.context_of(config, tokenizer)
        adapted_modules(bones)
    kind = _precision(found.label, quant, place, bones, storage)
    found.fetch(report)
    files = checkpoint.weight_files(found.folder)
    checkpoint.read_headers(files)
    report(READING, 0, 0)
    model = _model(found.folder, config, kind, place, memory.need(bones, kind, storage, place))
    skipped = kinds_of(unadapted(model))
    notes = (*chat.notes, *([] if context else [NO_CONTEXT]), *found.notes)
    for note in (*([f"experts cannot adapt {'; '.join(skipped)}"] if skipped else []), *notes):
        log.warning("%s: %s", found.label, note)
    return BaseModel(
        model=model,
        tokenizer=tokenizer,
        chat=chat,
        name=found.label,
        base=identity(found.label, _digest(found, files)),
        also=(found.revision,) if found.revision else (),
        device=next(model.get_input_embeddings().parameters()).device,
        precision=kind,
        context=context or CONTEXT,
        folder=found.folder,
        skipped=skipped,
        notes=notes,
        place=place,
        quantisation=found.note.quantisation if found.note else None,
    )


def _digest(found: Source, files: list[Path]) -> str:
    """SHA-256 that stands for the weights: of the GGUF file, where they are still those of it.

    A newer program may convert it otherwise; it is the same model all the same.
    """
    own = checkpoint.digest(files)
    return found.note.sha256 if found.note and found.note.weights == own else own


def plain_bytes(name: str) -> int:
    """Bytes of a model's weights unquantised, from its configuration: nothing large is fetched."""
    found = source.locate(name)
    bones = memory.skeleton(checkpoint.read_config(found.folder))
    kind = str(precision.plain_dtype(found.label)).removeprefix("torch.")
    return memory.need(bones, kind, None).weights


def factors(base: BaseModel, report: Report = lambda *_: None) -> dict[str, Factor]:
    """Factors of the original weights, never of quantised ones, from the cache if it has them.

    The same for every precision of one model, so that an expert trained on NF4 also fits bfloat16.
    ``T2Error`` if there is no room for them, or the cache cannot be written.
    """
    files = checkpoint.weight_files(base.folder)
    bones = memory.skeleton(checkpoint.read_config(base.folder))
    shapes = {name: module_shape(module) for name, module in adapted_modules(bones).items()}
    originals = Originals(bones, checkpoint.read_headers(files), lambda: _whole(base))
    kept = precision.plain_dtype(base.name)
    began = False

    def read(name: str) -> torch.Tensor:
        nonlocal began
        if not began:
            _check_work(base, shapes)
            began = True
        return originals(name).to(base.device)

    return load_or_compute(
        shapes,
        # By the weights alone, whatever the model is called now.
        f"{weights_of(base.base)}-{str(kept).removeprefix('torch.')}-{_shape_digest(shapes)}",
        read,
        kept,
        lambda done, total: report(FACTORING, done, total),
    )


def _shape_digest(shapes: dict[str, tuple[int, int]]) -> str:
    """Stands for which matrices are adapted."""
    return hashlib.sha256(repr(sorted(shapes.items())).encode()).hexdigest()[:8]


def _check_work(base: BaseModel, shapes: dict[str, tuple[int, int]]) -> None:
    """``T2Error``, before the first matrix, if there is no memory to factor the largest."""
    largest = max(shapes.values(), key=lambda shape: working_bytes(*shape))
    wanted, there = working_bytes(*largest), memory.free(base.device)
    if wanted > there:
        raise T2Error(
            f"factoring {base.name} takes {gigabytes(wanted)} for a matrix of "
            f"{largest[0]}x{largest[1]} and {gigabytes(there)} is free: choose a smaller model"
        )


def _whole(base: BaseModel) -> PreTrainedModel:
    """A model whose layers hold the original matrices: the loaded one unless it is quantised."""
    if base.precision not in precision.QUANTISED:
        return base.model
    config = checkpoint.read_config(base.folder)
    cpu = torch.device("cpu")
    memory.check(base.name, memory.need(memory.skeleton(config), "bfloat16", None), cpu)
    return _from_pretrained(base.folder, config, "bfloat16", {"": cpu})


def _place(device: str) -> torch.device:
    """The device of that name; for one of several processes, ``cuda`` is its own GPU alone."""
    place, own = precision.device_named(device), memory.own_gpu()
    if place.type != "cuda" or place.index is not None or own is None:
        return place
    if own >= (count := torch.cuda.device_count()):
        raise T2Error(
            f"process {own + 1} on this computer has no GPU of its own: there are {count}; start "
            f"at most {count} here"
        )
    return torch.device("cuda", own)


def _precision(
    label: str, quant: str, place: torch.device, bones: PreTrainedModel, storage: str
) -> str:
    """The precision to load in, which fits; ``T2Error`` if none does."""

    def wanted(kind: str) -> memory.Need:
        return memory.need(bones, kind, storage, place)

    room = memory.free(place)
    kind = precision.choose(label, quant, place, lambda kind: wanted(kind).total <= room)
    memory.check(label, wanted(kind), place)
    if quant == "auto" and label != paths.TINY and (kind == "nf4") != (place.type == "cuda"):
        reason = "its size" if kind == "nf4" else "bitsandbytes, which is not installed"
        log.warning("%s is loaded in %s because of %s", label, kind, reason)
    return kind


def kinds_of(names: list[str]) -> tuple[str, ...]:
    """Names of weights, those of all blocks in one: ``mlp.experts.down_proj (24 x)``."""
    kinds = Counter(re.sub(r"\.\d+(?=\.)", ".*", name) for name in names)
    return tuple(f"{name} ({count} x)" for name, count in kinds.items())


def _model(
    folder: Path, config: PreTrainedConfig, kind: str, place: torch.device, wanted: memory.Need
) -> PreTrainedModel:
    """The frozen model in evaluation mode."""
    model = _from_pretrained(folder, config, kind, **_places(place, wanted))
    model.eval().requires_grad_(False)
    adapted_modules(model)
    if kind in precision.QUANTISED and place.type == "cpu":
        precision.keep_unpacked(model)
    return model


def _places(place: torch.device, wanted: memory.Need) -> dict[str, object]:
    """``device_map`` and ``max_memory`` of ``from_pretrained``."""
    if place.type == "cuda" and place.index is None:
        frees = [torch.cuda.mem_get_info(index)[0] for index in memory.gpus(place)]
        shares = memory.spread(wanted, frees)
        if shares is not None:
            return {"device_map": "balanced", "max_memory": shares}
    return {"device_map": {"": place}}


def _from_pretrained(
    folder: Path, config: PreTrainedConfig, kind: str, device_map: object, **extra: object
) -> PreTrainedModel:
    """``AutoModelForCausalLM.from_pretrained``; any failure, missing weights too, is one line."""
    quantisation = precision.quantisation(kind)
    if quantisation is not None:
        extra["quantization_config"] = quantisation
    try:
        with quiet():
            model, info = AutoModelForCausalLM.from_pretrained(
                folder,
                config=config,
                dtype=precision.compute_dtype(kind),
                device_map=device_map,
                use_safetensors=True,
                local_files_only=True,
                output_loading_info=True,
                **extra,
            )
    except torch.OutOfMemoryError as error:
        raise T2Error(f"{folder} does not fit: choose a smaller model or nf4") from error
    except Exception as error:
        # transformers raises nearly any exception for weights that do not match the configuration.
        raise T2Error(f"cannot load {folder}: {first_line(error)}") from error
    missing = sorted(info["missing_keys"])
    if missing:
        raise T2Error(
            f"{folder} lacks {len(missing)} weights of its model, first {missing[0]}: get it again"
        )
    return model


@contextmanager
def _one_line(label: str) -> Iterator[None]:
    """Whatever a configuration, a tokenizer or a template raises, as one line."""
    try:
        yield
    except T2Error:
        raise
    except Exception as error:
        raise T2Error(f"cannot use {label}: {first_line(error)}; choose another model") from error
