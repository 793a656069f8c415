"""How a model's numbers are kept, and the one place that knows bitsandbytes.

NF4 and int8 through bitsandbytes, or plain bfloat16 and float32. Not covered: how the factors are
kept (``t2app.svf.basis``).
"""

from __future__ import annotations

import importlib.util
import logging
import time
from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional
from transformers import BitsAndBytesConfig, PreTrainedModel

from t2app import config as paths
from t2app.errors import T2Error

QUANTS = ("auto", "nf4", "int8", "none")
QUANTISED = ("nf4", "int8")
# Bytes for each weight: 4 bits, and for each 64 of them a scale of 8 bits whose own scales, one
# for each 256, have 32.
NF4_BYTES = 0.5 + (1 + 4 / 256) / 64


def device_named(name: str) -> torch.device:
    """``auto`` is the GPU if there is one; ``T2Error`` for what does not exist."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        place = torch.device(name)
    except RuntimeError:
        place = None
    if place is None or place.type not in ("cpu", "cuda"):
        raise T2Error(f"unknown device {name!r}: choose auto, cpu, cuda or one GPU (cuda:1)")
    if place.type == "cuda" and not torch.cuda.is_available():
        raise T2Error(f"device {name!r} was asked for but no CUDA GPU is usable: choose cpu")
    if place.type == "cuda" and (place.index or 0) >= torch.cuda.device_count():
        raise T2Error(f"device {name!r} does not exist: there are {torch.cuda.device_count()}")
    return place


def choose(
    label: str, quant: str, place: torch.device, fits: Callable[[str], bool] = lambda _: True
) -> str:
    """``float32``, ``bfloat16``, ``nf4`` or ``int8`` for a model called ``label``.

    ``auto`` is NF4 on a GPU. On a CPU, where NF4 takes more time than it saves, it is what runs
    fastest there, and NF4 only where nothing else ``fits`` into memory.
    """
    if quant not in QUANTS:
        raise T2Error(f"unknown quantisation {quant!r}: choose from {', '.join(QUANTS)}")
    plain = str(plain_dtype(label)).removeprefix("torch.")
    installed = importlib.util.find_spec("bitsandbytes") is not None
    if quant == "none" or (quant == "auto" and label == paths.TINY):
        return plain
    if quant != "auto":
        if not installed:
            raise T2Error(
                f"{quant} needs bitsandbytes: pip install bitsandbytes, or use --quant none"
            )
        return quant
    if place.type == "cpu":
        plain = next((kind for kind in dict.fromkeys((fastest_on_cpu(), plain)) if fits(kind)), "")
        if plain:
            return plain
    return "nf4" if installed else "bfloat16"


def plain_dtype(label: str) -> torch.dtype:
    """Of the weights when they are not quantised; float32 for the built-in model."""
    return torch.float32 if label == paths.TINY else torch.bfloat16


def compute_dtype(precision: str) -> torch.dtype:
    """Of what is not quantised."""
    return torch.float32 if precision == "float32" else torch.bfloat16


def weight_bytes(precision: str) -> float:
    """Bytes for each weight of a linear layer; int8's scales, one a row, are too few to count."""
    return {"nf4": NF4_BYTES, "int8": 1.0}.get(precision, compute_dtype(precision).itemsize)


@lru_cache(maxsize=1)
def fastest_on_cpu() -> str:
    """bfloat16, unless this processor is clearly faster in float32: measured in some 0.2 s.

    Half the bytes win while tokens are decoded one by one, but a processor without instructions for
    bfloat16 may take 100 times as long to read a prompt in it.
    """
    threads = torch.get_num_threads()
    # On one thread, and the shortest of many: other work on this machine must not decide.
    torch.set_num_threads(1)
    try:
        slower = _seconds(torch.bfloat16) > 1.5 * _seconds(torch.float32)
    finally:
        torch.set_num_threads(threads)
    return "float32" if slower else "bfloat16"


def _seconds(dtype: torch.dtype) -> float:
    """Time of the products of one layer for a short request: a prompt, then one token at a time."""
    weight = torch.ones(1024, 1024, dtype=dtype)
    prompt, answer = 64, 64
    return _product(prompt, weight, 2) + answer * _product(1, weight, 30)


def _product(rows: int, weight: Tensor, repeats: int) -> float:
    x = torch.ones(rows, weight.shape[1], dtype=weight.dtype)
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        functional.linear(x, weight)
        times.append(time.perf_counter() - began)
    return min(times)


def quantisation(precision: str) -> BitsAndBytesConfig | None:
    """NF4 with double quantisation and bfloat16 arithmetic, int8, or None."""
    if precision == "nf4":
        return BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.bfloat16,
        )
    if precision != "int8":
        return None
    # It says at every single product that it rounds the input.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    return BitsAndBytesConfig(load_in_8bit=True)


def keep_unpacked(model: PreTrainedModel) -> None:
    """Stop bitsandbytes from repacking 4-bit weights at the first evaluation on a CPU.

    On processors with AVX512-BF16 it reorders the weight in place for a faster product that has no
    gradient: whatever runs through it afterwards passes none on to delta, without an error.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
