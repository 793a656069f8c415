"""What ``torch.compile`` would gain in decoding: the base and a factored mix, compiled and not.

Run with ``python benchmarks/compiled.py``; prints one JSON object. ``--shape`` is ``tiny`` or one
of ``t2app bench``, of which the first ``--layers`` are taken. Compiling needs a cache of one size,
so ``fixed`` runs with one too; ``growing`` is what the app does. On a CPU it needs a C++ compiler.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, DynamicCache, StaticCache

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from t2app import config
from t2app.evaluation.bench.clock import interleaved
from t2app.evaluation.bench.shapes import SHAPES
from t2app.svd.cache import dense_weight
from t2app.svd.factor import factor
from t2app.svd.modules import adapted_modules
from t2app.svf.hooks import SVF

PROMPT, STEPS = 32, 32
Forward = Callable[..., object]


def make(shape: str, layers: int, factored: bool) -> torch.nn.Module:
    """A model of random weights in float32, with one mix or as it is.

    The mix is built into the layers: what the app asks at every layer, what is in effect for this
    request, would split the graph there. Packed copies of weights cannot be traced either.
    """
    of = AutoConfig.from_pretrained(config.TINY_DIR) if shape == "tiny" else SHAPES[shape]
    of = copy.deepcopy(of)
    of.num_hidden_layers = min(layers, of.num_hidden_layers)
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(of, dtype=torch.float32).eval().requires_grad_(False)
    factors = {n: factor(dense_weight(m)) for n, m in adapted_modules(model).items()}
    svf = SVF(model, factors, storage="dense")
    parts = svf.layout.split(torch.randn(svf.layout.total) * 0.1)
    for name, layer in svf.layers.items():
        run = partial(layer.corrected, delta=parts[name]) if factored else layer.plain
        layer.module.forward = run
    return model


def decode(
    model: torch.nn.Module, forward: Forward, batch: int, fixed: bool
) -> tuple[float, Tensor]:
    """Seconds a step behind a short prompt, and the last logits."""
    ids = torch.randint(5, 1000, (batch, PROMPT), generator=torch.Generator().manual_seed(1))
    length = PROMPT + STEPS
    cache = (
        StaticCache(model.config, max_cache_len=length)
        if fixed
        else DynamicCache(config=model.config)
    )
    with torch.no_grad():
        logits = model(input_ids=ids, cache=cache, logits_to_keep=1).logits
        began = time.perf_counter()
        for step in range(PROMPT, length):
            ids = logits[:, -1:].argmax(-1)
            at = torch.full((batch, 1), step)
            logits = forward(input_ids=ids, cache=cache, position_ids=at).logits
    return (time.perf_counter() - began) / STEPS, logits


def measure(shape: str, layers: int, batch: int, rounds: int) -> dict:
    """Milliseconds a step in every way, the seconds that compiling took, how far logits differ."""
    found: dict = {"shape": shape, "batch": batch}
    for name in ("base", "factored"):
        torch._dynamo.reset()
        model = make(shape, layers, name == "factored")
        found["layers"] = model.config.num_hidden_layers
        compiled = torch.compile(model.forward)
        began = time.perf_counter()
        _, ours = decode(model, compiled, batch, fixed=True)
        spent = time.perf_counter() - began
        _, theirs = decode(model, model.forward, batch, fixed=True)
        ways = {
            "growing": lambda m=model: decode(m, m.forward, batch, fixed=False)[0],
            "fixed": lambda m=model: decode(m, m.forward, batch, fixed=True)[0],
            "compiled": lambda m=model, c=compiled: decode(m, c, batch, fixed=True)[0],
        }
        times = interleaved(ways, rounds)
        found[name] = {
            "milliseconds": {way: round(1e3 * t["seconds"], 2) for way, t in times.items()},
            "compiling_seconds": round(spent, 1),
            "largest_difference": float((ours - theirs).abs().max()),
        }
    return found


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", default="tiny", choices=("tiny", *SHAPES))
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    rows = [measure(args.shape, args.layers, batch, args.rounds) for batch in (1, 16)]
    print(json.dumps({"threads": args.threads, "rows": rows}))


if __name__ == "__main__":
    main()
