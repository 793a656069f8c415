"""How a GGUF file stretches a model's rotary positions, for a configuration that lacks it.

transformers reads the base frequency of most architectures and drops the rest: Llama 3.1 and 3.2
would run with frequencies that they were not trained on. Not covered: kinds that differ from
layer to layer; those are told.
"""

from __future__ import annotations

import copy

import numpy as np
import torch
from transformers import PreTrainedConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from t2app.models.gguf.header import Header, Tensor

# A factor for each frequency, as Llama 3.1 has them. Its other values are in no file: they are the
# same for all its models, and are checked against the factors.
FACTORS = "rope_freqs.weight"
LLAMA3 = {
    "rope_type": "llama3",
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}
# Tensors that hold frequencies and no weights.
FREQUENCIES = ("rope_freqs", "rope_factors")
TOLERANCE = 1e-3


def carry_over(header: Header, config: PreTrainedConfig) -> str | None:
    """Put what the file says into ``config``; a line for people where that cannot be done."""
    present = getattr(config, "rope_parameters", None)
    if not isinstance(present, dict) or present.get("rope_type", "default") != "default":
        return None  # none, one for each kind of layer, or carried over already
    kind = header.about("rope.scaling.type")
    factors = next((t for t in header.tensors if t.name == FACTORS), None)
    wanted = None
    if factors is not None:
        wanted = _llama3(header, factors, config)
    elif kind in ("linear", "yarn"):
        wanted = _scaled(header, kind)
    elif kind in (None, "none") and not any(t.name.startswith("rope_") for t in header.tensors):
        return None
    if wanted is None:
        return (
            f"its file stretches rotary positions ({kind or 'by factors'}) in a way that is not "
            "carried over: long texts are answered worse"
        )
    config.rope_parameters = {**present, **wanted}
    return None


def _llama3(header: Header, tensor: Tensor, config: PreTrainedConfig) -> dict | None:
    """The parameters that give exactly these factors."""
    start = header.data + tensor.offset
    stored = np.memmap(header.path, np.float32, "r", offset=start, shape=tensor.shape)
    factors = torch.from_numpy(np.array(stored))
    tried = copy.deepcopy(config)
    wanted = {**LLAMA3, "factor": round(factors.max().item(), 4)}
    tried.rope_parameters = {**config.rope_parameters, **wanted}
    stretched, _ = ROPE_INIT_FUNCTIONS["llama3"](tried, torch.device("cpu"))
    theta, size = config.rope_parameters["rope_theta"], 2 * len(factors)
    plain = 1.0 / theta ** (torch.arange(0, size, 2).float() / size)
    same = len(stretched) == len(plain) and bool(
        ((plain / factors - stretched).abs() <= TOLERANCE * stretched).all()
    )
    return wanted if same else None


def _scaled(header: Header, kind: str) -> dict | None:
    factor = header.about("rope.scaling.factor")
    original = header.about("rope.scaling.original_context_length")
    if not factor or (kind == "yarn" and not original):
        return None
    wanted = {"rope_type": kind, "factor": float(factor)}
    return {**wanted, "original_max_position_embeddings": int(original)} if original else wanted
