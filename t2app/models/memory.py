"""How much memory a model takes, and how much there is: asked before anything is loaded.

Counted from the configuration alone, on a model without numbers (``skeleton``). Not covered: the
memory of long conversations and of training, which grows with the batch.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch
from torch import nn
from transformers import AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel
from transformers.pytorch_utils import Conv1D

from t2app.errors import T2Error
from t2app.models.precision import QUANTISED, compute_dtype, weight_bytes
from t2app.models.words import first_line, gigabytes
from t2app.svd.modules import adapted_modules, module_shape
from t2app.svf.basis import bytes_per_number, product_dtype

# What else a model takes: the libraries' own memory, and a short conversation.
SPARE = 300 * 10**6
CPU = torch.device("cpu")
GROUPS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current"))


@dataclass(frozen=True)
class Need:
    """Bytes of a model's weights and of the factors beside them."""

    weights: int
    factors: int

    @property
    def total(self) -> int:
        """With some to spare."""
        return self.weights + self.factors + SPARE


def ran_out(error: BaseException) -> bool:
    """Whether an error says that there is not enough memory."""
    # Without a GPU, torch has no error of its own for it.
    kinds = (torch.OutOfMemoryError, MemoryError)
    said = ("not enough memory", "can't allocate memory")
    return isinstance(error, kinds) or any(words in str(error) for words in said)


def release() -> None:
    """Give memory that nothing uses any more back to the system."""
    # Modules and their hooks refer to each other: only the collector finds them.
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def skeleton(config: PreTrainedConfig) -> PreTrainedModel:
    """The model of a configuration, without numbers; ``T2Error`` if that makes no model."""
    try:
        with torch.device("meta"):
            return AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    except Exception as error:
        # A configuration that contradicts itself surfaces as nearly any exception.
        raise T2Error(f"cannot build {config.model_type}: {first_line(error)}") from error


def need(
    model: PreTrainedModel, precision: str, storage: str | None = "auto", place: torch.device = CPU
) -> Need:
    """What ``model`` (a skeleton will do) needs in ``precision`` on ``place``.

    ``storage`` says how its factors are kept (see ``svf.basis``), without packed copies, which are
    made only where there is room; None: no factors.
    """
    own = compute_dtype(precision).itemsize
    weights = float(sum(p.numel() for p in model.parameters()) * own)
    if precision in QUANTISED:
        # bitsandbytes takes every linear layer but the output head.
        head = model.get_output_embeddings()
        linear = [m for m in model.modules() if isinstance(m, nn.Linear | Conv1D) and m is not head]
        weights -= sum(m.weight.numel() for m in linear) * (own - weight_bytes(precision))
    numbers = sum(min(module_shape(m)) ** 2 for m in adapted_modules(model).values())
    each = 0.0 if storage is None else factor_bytes(precision, storage, place)
    return Need(int(weights), int(numbers * each))


def factor_bytes(precision: str, storage: str, place: torch.device) -> float:
    """Memory for each number of a factor beside a model in ``precision`` on ``place``."""
    return bytes_per_number(storage, product_dtype(compute_dtype(precision), place))


def free(place: torch.device) -> int:
    """Bytes that can still be used on ``place``; of all GPUs together for ``cuda``."""
    if place.type == "cuda":
        return sum(torch.cuda.mem_get_info(index)[0] for index in gpus(place))
    return min(psutil.virtual_memory().available, _left_of_group())


def total(place: torch.device) -> int:
    """Bytes that ``place`` has; of all GPUs together for ``cuda``."""
    if place.type == "cuda":
        return sum(torch.cuda.mem_get_info(index)[1] for index in gpus(place))
    whole = psutil.virtual_memory().total
    limit = _number(GROUPS[0])
    return whole if limit is None else min(whole, limit)


def gpus(place: torch.device) -> list[int]:
    """Numbers of the GPUs that ``place`` means: one, or all for ``cuda``."""
    return list(range(torch.cuda.device_count())) if place.index is None else [place.index]


def own_gpu() -> int | None:
    """Number of this process's GPU where a launcher started several processes, else None."""
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        return None
    # A launcher may show each process its own GPU only, which is then the first.
    several = torch.cuda.device_count() > 1
    return int(os.environ.get("LOCAL_RANK", "0")) if several else 0


def _left_of_group() -> float:
    """What the container that this runs in may still take."""
    limit, used = map(_number, GROUPS)
    return float("inf") if limit is None or used is None else max(0, limit - used)


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):  # no such group, or "max": no limit
        return None


def check(label: str, wanted: Need, place: torch.device) -> None:
    """``T2Error``, before anything is loaded, where the model does not fit."""
    there = free(place)
    if wanted.total > there:
        where = "the GPU" if place.type == "cuda" else "memory"
        raise T2Error(
            f"{label} needs {gigabytes(wanted.total)} ({gigabytes(wanted.weights)} for its "
            f"weights, {gigabytes(wanted.factors)} for its factors) and {where} has "
            f"{gigabytes(there)} free: unload the model that is loaded, or choose --quant nf4, "
            "--factors nf4 or a smaller model"
        )


def spread(wanted: Need, frees: Sequence[int]) -> dict[int, int] | None:
    """Bytes to use at most on each GPU, or None where the first holds everything.

    The factors lie beside their layers and take room in proportion to them, so layers are shared
    out evenly, and each GPU may be filled with weights to the share that they have of the whole.
    """
    if not frees or wanted.total <= frees[0]:
        return None
    share = wanted.weights / (wanted.weights + wanted.factors)
    return {index: int((room - SPARE) * share) for index, room in enumerate(frees)}
