"""Memory: of what is loaded, and of Llama-3-8B's shape, counted on a model without numbers."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import psutil
import torch
from torch import Tensor

from t2app.engine import Engine
from t2app.evaluation.bench.shapes import SHAPES
from t2app.models import memory
from t2app.svd.factor import factor
from t2app.svd.modules import module_shape
from t2app.svf.merged import merged_bytes

LARGE = "llama-3-8b"
STORAGES = {"bfloat16": "dense", "int8": "int8", "NF4": "nf4"}


def loaded(engine: Engine) -> dict[str, float]:
    """Megabytes of the weights and of what each way to run a mix keeps beside them."""
    adapted = {id(layer.module.weight) for layer in engine.svf.layers.values()}
    shapes = [module_shape(layer.module) for layer in engine.svf.layers.values()]
    everything = torch.ones(engine.svf.layout.total)
    # The reference keeps U, S and V of every matrix in float32, embeddings and output head too.
    rest = [p for p in engine.model.parameters() if id(p) not in adapted and p.dim() == 2]
    matrices = [*shapes, *(p.shape for p in rest)]
    reference = sum(4 * min(m, n) * (m + n + 1) for m, n in matrices)
    found = {
        "weights": sum(_nbytes(p) for p in engine.model.parameters()),
        "factored: factors": engine.svf.nbytes,
        "packed copy of the weights": engine.svf.packed_bytes,
        "merged: one mix": merged_bytes(engine.svf, everything),
        "LoRA r=16": sum(16 * (m + n) for m, n in shapes) * engine.svf.dtype.itemsize,
        "reference: U, S, V": reference,
    }
    return {name: round(size / 1e6, 1) for name, size in found.items()}


def _nbytes(weight: Tensor) -> int:
    """With the scales of NF4; int8's, one a row, are too few to count."""
    state = getattr(weight, "quant_state", None)
    return weight.nbytes + (state.absmax.nbytes + state.state2.absmax.nbytes if state else 0)


def nf4_against_bfloat16() -> dict[str, Any]:
    """Llama-3-8B: an NF4 base with factors, as a share of the model in bfloat16."""
    bones = memory.skeleton(SHAPES[LARGE])
    whole = memory.need(bones, "bfloat16", None).weights
    gigabytes, share = {"bfloat16 model": whole / 1e9}, {}
    for name, storage in STORAGES.items():
        need = memory.need(bones, "nf4", storage, torch.device("cuda"))
        total = need.weights + need.factors
        gigabytes[f"NF4 base, factors in {name}"] = total / 1e9
        share[f"factors in {name}"] = total / whole
    return {
        "model": LARGE,
        "gigabytes": {name: round(value, 2) for name, value in gigabytes.items()},
        "share_of_bfloat16": {name: round(value, 3) for name, value in share.items()},
    }


def factoring_peak(shapes: Iterable[tuple[int, int]]) -> float:
    """Peak of the extra memory while matrices are factored one by one, as a multiple of the largest
    of them in float32.

    In a process of its own: here, memory that was used before would be used again unseen.
    """
    kinds = sorted({tuple(shape) for shape in shapes})
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn, max_tasks_per_child=1) as fresh:
        peak = max(fresh.map(_peak_bytes, *zip(*kinds, strict=True)))
    return peak / max(4 * m * n for m, n in kinds)


def _peak_bytes(m: int, n: int) -> int:
    """By how much the process grows; looked at every millisecond."""
    factor(torch.randn(8, 8))  # what the libraries take at their first use
    weight = torch.randn(m, n)
    process, peak, done = psutil.Process(), 0, threading.Event()
    before = process.memory_info().rss

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.001):
            peak = max(peak, process.memory_info().rss - before)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        factor(weight)
    finally:
        done.set()
        watcher.join()
    return peak
