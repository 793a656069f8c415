"""Which matrices of a model are adapted. This is the only place that says so.

Every linear layer inside the repeated decoder blocks; never embeddings, the output head, or towers
for other inputs than text. Not covered: weights that a layer holds as one 3-D tensor (mixture of
experts); ``unadapted`` names them so that nobody is left to guess.
"""

from __future__ import annotations

from typing import Literal

from torch import nn
from transformers.pytorch_utils import Conv1D

from t2app.errors import T2Error


def _blocks(model: nn.Module) -> tuple[str, nn.ModuleList]:
    """Name and list of the repeated decoder blocks; ``T2Error`` if the model has none."""
    text_config = model.config.get_text_config(decoder=True)
    depth = text_config.num_hidden_layers
    inside = set(model.get_decoder().modules())
    for name, module in model.named_modules():
        if module in inside and isinstance(module, nn.ModuleList) and len(module) == depth:
            return name, module
    raise T2Error(
        f"{type(model).__name__} has no list of {depth} decoder blocks: "
        "choose a decoder-only transformer"
    )


def _is_linear(module: nn.Module) -> bool:
    # The quantised layers of bitsandbytes subclass nn.Linear; Conv1D is GPT-2's linear layer.
    return isinstance(module, nn.Linear | Conv1D)


def adapted_modules(model: nn.Module) -> dict[str, nn.Module]:
    """The adapted layers by live module name, in model order; ``T2Error`` if there are none."""
    prefix, blocks = _blocks(model)
    found = {
        f"{prefix}.{name}": module for name, module in blocks.named_modules() if _is_linear(module)
    }
    if not found:
        raise T2Error(f"{type(model).__name__} has no linear layer in its blocks: nothing to adapt")
    return found


def unadapted(model: nn.Module) -> list[str]:
    """Names of weights in the blocks that multiply like a matrix but are not adapted.

    Stacked experts, say, which are one tensor ``(experts, m, n)`` instead of linear layers.
    """
    prefix, blocks = _blocks(model)
    adapted = {f"{name}.weight" for name, module in blocks.named_modules() if _is_linear(module)}
    return [
        f"{prefix}.{name}"
        for name, parameter in blocks.named_parameters()
        if parameter.dim() >= 2 and name not in adapted
    ]


def kind_of(name: str) -> Literal["attention", "mlp"]:
    """Which half of its block an adapted matrix is in, by its name.

    What mixes positions counts as attention, also where a block has a recurrence instead.
    """
    marks = ("mlp", "feed_forward", "ffn", "fc1", "fc2")
    return "mlp" if any(mark in name for mark in marks) else "attention"


def module_shape(module: nn.Module) -> tuple[int, int]:
    """``(out_features m, in_features n)``, also where the stored weight is packed or transposed."""
    if isinstance(module, Conv1D):
        return module.nf, module.nx
    return module.out_features, module.in_features
