"""Models of known shapes with random weights, to measure speed without downloading anything.

Speed and memory depend on the shapes alone. Not covered: answers, which are noise here.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    LlamaConfig,
    PreTrainedConfig,
    PreTrainedModel,
    Qwen2Config,
)
from transformers.utils import logging

from t2app.config import TINY_DIR
from t2app.engine import Engine
from t2app.errors import T2Error
from t2app.models import BaseModel, checkpoint, memory, precision
from t2app.models.chat import ChatFormat
from t2app.svd.cache import Progress, dense_weight
from t2app.svd.factor import Factor, factor
from t2app.svd.modules import adapted_modules
from t2app.svf.expert import Expert
from t2app.svf.library import Library
from t2app.tasks import TASKS

# From the models' own config.json.
SHAPES: dict[str, PreTrainedConfig] = {
    "qwen2.5-0.5b": Qwen2Config(
        vocab_size=151_936,
        hidden_size=896,
        intermediate_size=4_864,
        num_hidden_layers=24,
        num_attention_heads=14,
        num_key_value_heads=2,
        tie_word_embeddings=True,
    ),
    "llama-3.2-1b": LlamaConfig(
        vocab_size=128_256,
        hidden_size=2_048,
        intermediate_size=8_192,
        num_hidden_layers=16,
        num_attention_heads=32,
        num_key_value_heads=8,
        tie_word_embeddings=True,
    ),
    "llama-3-8b": LlamaConfig(
        vocab_size=128_256,
        hidden_size=4_096,
        intermediate_size=14_336,
        num_hidden_layers=32,
        num_attention_heads=32,
        num_key_value_heads=8,
        tie_word_embeddings=False,
    ),
}


@dataclass(frozen=True)
class RandomBase(BaseModel):
    """A model of random weights; ``originals`` are those of its first block, never quantised."""

    originals: Mapping[str, Tensor] = field(default_factory=dict)


def engine(
    shape: str,
    device: str = "auto",
    progress: Progress | None = None,
    quant: str = "auto",
    storage: str = "auto",
) -> Engine:
    """An engine on a random model of this shape, with random experts of every kind.

    ``quant``, ``device`` and ``storage`` (of the factors) as for ``Engine.load``, but on one GPU at
    most. The built-in model's tokenizer stands in for the missing one: its vocabulary is smaller,
    so texts come out longer. ``T2Error`` for an unknown shape and one that does not fit.
    """
    if shape not in SHAPES:
        raise T2Error(f"unknown shape {shape!r}: choose from tiny, {', '.join(SHAPES)}")
    place = precision.device_named(device)
    if place == torch.device("cuda"):
        place = torch.device("cuda", 0)
    base = _base(shape, _precision(shape, quant, place, storage), place)
    made = Engine(base, factors(base, progress), storage=storage)
    made.library = Library(
        Path(tempfile.mkdtemp(prefix="t2app-bench-")), made.svf.layout.sizes, base.base
    )
    for expert in random_experts(made):
        made.library.add(expert)
    return made


def _precision(shape: str, quant: str, place: torch.device, storage: str) -> str:
    """What ``quant`` means here; ``T2Error``, before anything is made, if there is no room."""
    bones, room = memory.skeleton(SHAPES[shape]), memory.free(place)

    def wanted(kind: str) -> memory.Need:
        need = memory.need(bones, kind, storage, place)
        if kind not in precision.QUANTISED:
            return need
        # It is made in bfloat16 first, all of it.
        whole = memory.need(bones, "bfloat16", None).weights
        return memory.Need(need.weights + whole, need.factors)

    kind = precision.choose(shape, quant, place, lambda kind: wanted(kind).total <= room)
    memory.check(shape, wanted(kind), place)
    return kind


def _base(shape: str, kind: str, place: torch.device) -> RandomBase:
    """The frozen model, quantised as a checkpoint that is loaded would be."""
    torch.manual_seed(0)
    with torch.device(place):
        dtype = precision.compute_dtype(kind)
        model = AutoModelForCausalLM.from_config(SHAPES[shape], dtype=dtype)
    modules = adapted_modules(model)
    first = list(modules)[: len(modules) // model.config.num_hidden_layers]
    originals = {name: dense_weight(modules[name]).detach() for name in first}
    if kind in precision.QUANTISED:
        model = _quantised(model, SHAPES[shape], kind, place)
        del modules
        memory.release()
    model.eval().requires_grad_(False)
    tokenizer = checkpoint.read_tokenizer(TINY_DIR)
    return RandomBase(
        model=model,
        tokenizer=tokenizer,
        chat=ChatFormat(tokenizer, shape),
        name=shape,
        base=f"{shape}@random",
        device=place,
        precision=kind,
        context=model.config.max_position_embeddings,
        folder=Path(shape),
        originals=originals,
    )


def _quantised(
    model: PreTrainedModel, config: PreTrainedConfig, kind: str, place: torch.device
) -> PreTrainedModel:
    """Another model of these weights, quantised by ``from_pretrained`` as ``models.load`` does."""
    bar = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        made = type(model).from_pretrained(
            None,
            config=copy.deepcopy(config),
            state_dict=model.state_dict(),
            dtype=precision.compute_dtype(kind),
            device_map={"": place},
            quantization_config=precision.quantisation(kind),
        )
    finally:
        if bar:
            logging.enable_progress_bar()
    if place.type == "cpu":
        precision.keep_unpacked(made)
    return made


def factors(base: RandomBase, progress: Progress | None = None) -> dict[str, Factor]:
    """Those of the first block, which stand for the others': blocks are alike in shape.

    So a mix is not ``W(z)`` in the other blocks, but costs what it would.
    """
    first = []
    for weight in base.originals.values():
        first.append(factor(weight))
        if progress is not None:
            progress(len(first), len(base.originals))
    names = adapted_modules(base.model)
    return {name: first[index % len(first)] for index, name in enumerate(names)}


def random_experts(made: Engine) -> list[Expert]:
    """One for each built-in task and one that classifies, ``z`` around 1."""
    experts = []
    for name in ("code", "dispatch", "math", "reasoning"):
        z = {key: 1 + 0.1 * torch.randn(size) for key, size in made.svf.layout.sizes.items()}
        description = TASKS[name].description if name in TASKS else "classifies"
        header = {"base": made.base.base, "task": name, "description": description}
        experts.append(Expert(name, z, header))
    return experts
