"""The original weights of a model, one matrix at a time, whatever the loaded model keeps of them.

Read from the checkpoint's safetensors under the names that transformers gives them while loading
(the same functions do the renaming). Where transformers computes a layer from several tensors
(splits or fuses them), only the loaded model has the matrix: then it is taken from there, or from a
second copy of the model in bfloat16 if that one is quantised.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

from safetensors import safe_open
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.core_model_loading import WeightConverter, WeightRenaming, rename_source_key
from transformers.pytorch_utils import Conv1D

from t2app.svd.cache import dense_weight
from t2app.svd.modules import adapted_modules, module_shape

log = logging.getLogger(__name__)


class Originals:
    """``originals(name)`` is the full-precision ``(m, n)`` matrix of an adapted module.

    ``skeleton`` is the model without numbers and not quantised; ``tensors`` tells the file of each
    tensor of the checkpoint; ``whole()`` gives a model that has every matrix in its layers, and is
    asked only if the checkpoint lacks one.
    """

    def __init__(
        self,
        skeleton: PreTrainedModel,
        tensors: dict[str, Path],
        whole: Callable[[], PreTrainedModel],
    ) -> None:
        self._modules = adapted_modules(skeleton)
        self._tensors = tensors
        self._keys = checkpoint_keys(skeleton, tensors)
        self._whole_model = whole
        self.through_model = [name for name in self._modules if name not in self._keys]
        if self.through_model:
            log.warning(
                "%d matrices are stored in another form than the model uses, first %s: they are "
                "taken from the loaded model",
                len(self.through_model),
                self.through_model[0],
            )

    def __call__(self, name: str) -> Tensor:
        """The matrix (m, n) of the module of this name, on the CPU or where the model is."""
        key = self._keys.get(name)
        if key is None:
            return dense_weight(self._whole.get_submodule(name))
        with safe_open(self._tensors[key], framework="pt") as file:
            tensor = file.get_tensor(key)
        return tensor.t() if isinstance(self._modules[name], Conv1D) else tensor

    @cached_property
    def _whole(self) -> PreTrainedModel:
        return self._whole_model()


def checkpoint_keys(skeleton: PreTrainedModel, tensors: dict[str, Path]) -> dict[str, str]:
    """Tensor of the checkpoint that is the weight of each adapted module, by module name.

    Modules whose weight is no tensor of the checkpoint as it stands are left out.
    """
    transforms = get_model_conversion_mapping(skeleton)
    renamings = [t for t in transforms if isinstance(t, WeightRenaming)]
    converters = [t for t in transforms if isinstance(t, WeightConverter)]
    parameters = skeleton.state_dict()
    modules = adapted_modules(skeleton)
    shapes = {name: _stored_shape(module) for name, module in modules.items()}
    found = {}
    for key, path in tensors.items():
        name, pattern = rename_source_key(
            key, renamings, converters, skeleton.base_model_prefix, parameters
        )
        if name not in parameters and key in parameters:
            name, pattern = key, None
        module = name.removesuffix(".weight")
        if pattern is None and module in shapes and name != module:
            with safe_open(path, framework="pt") as file:
                if tuple(file.get_slice(key).get_shape()) == shapes[module]:
                    found[module] = key
    return found


def _stored_shape(module: nn.Module) -> tuple[int, int]:
    """GPT-2's ``Conv1D`` stores its matrix transposed."""
    m, n = module_shape(module)
    return (n, m) if isinstance(module, Conv1D) else (m, n)
