"""Models of known shapes with random weights, to measure speed without downloading anything.

Speed and memory depend on the shapes alone. Not covered: answers, which are noise here.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedConfig, Qwen2Config

from t2app.config import TINY_DIR
from t2app.engine import Engine
from t2app.errors import T2Error
from t2app.models import BaseModel, checkpoint, precision
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


def engine(shape: str, device: str = "auto", progress: Progress | None = None) -> Engine:
    """An engine on a random model of this shape, with random experts of every kind.

    In bfloat16, or on a CPU in what it computes fastest, as ``--quant auto`` would load it.
    The built-in model's tokenizer stands in for the missing one: its vocabulary is smaller, so
    texts come out longer. ``T2Error`` for an unknown shape.
    """
    if shape not in SHAPES:
        raise T2Error(f"unknown shape {shape!r}: choose from tiny, {', '.join(SHAPES)}")
    place = precision.device_named(device)
    kind = precision.fastest_on_cpu() if place.type == "cpu" else "bfloat16"
    torch.manual_seed(0)
    with torch.device(place):
        dtype = precision.compute_dtype(kind)
        model = AutoModelForCausalLM.from_config(SHAPES[shape], dtype=dtype)
    model.eval().requires_grad_(False)
    base = BaseModel(
        model=model,
        tokenizer=checkpoint.read_tokenizer(TINY_DIR),
        name=shape,
        base=f"{shape}@random",
        device=place,
        precision=kind,
        context=model.config.max_position_embeddings,
        folder=Path(shape),
    )
    made = Engine(base, factors(base, progress))
    made.library = Library(
        Path(tempfile.mkdtemp(prefix="t2app-bench-")), made.svf.layout.sizes, base.base
    )
    for expert in random_experts(made):
        made.library.add(expert)
    return made


def factors(base: BaseModel, progress: Progress | None = None) -> dict[str, Factor]:
    """Those of the first block, which stand for the others': blocks are alike in shape.

    So a mix is not ``W(z)`` in the other blocks, but costs what it would.
    """
    modules = adapted_modules(base.model)
    size = len(modules) // base.model.config.num_hidden_layers
    first = []
    for module in list(modules.values())[:size]:
        first.append(factor(dense_weight(module)))
        if progress is not None:
            progress(len(first), size)
    return {name: first[index % size] for index, name in enumerate(modules)}


def random_experts(made: Engine) -> list[Expert]:
    """One for each built-in task and one that classifies, ``z`` around 1."""
    experts = []
    for name in ("code", "dispatch", "math", "reasoning"):
        z = {key: 1 + 0.1 * torch.randn(size) for key, size in made.svf.layout.sizes.items()}
        description = TASKS[name].description if name in TASKS else "classifies"
        header = {"base": made.base.base, "task": name, "description": description}
        experts.append(Expert(name, z, header))
    return experts
