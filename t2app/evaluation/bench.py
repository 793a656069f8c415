"""Speed of what this project adds, measured in one process on the same weights.

Medians of repeated runs; ratios are what to compare between machines. Not covered: memory of large
models and merged execution.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from t2app import adapt
from t2app.engine import Engine, Prompt
from t2app.errors import T2Error
from t2app.svd.cache import dense_weight
from t2app.svd.modules import adapted_modules

QUESTION = (
    "Tom has 12 apples and buys 3 boxes with 4 apples each. How many apples does he have now?"
)


def median_seconds(action: Callable[[], object], runs: int, warm_up: int = 2) -> float:
    """Median wall time of ``action`` after some runs that do not count."""
    times = []
    for _ in range(warm_up + runs):
        began = time.perf_counter()
        action()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        times.append(time.perf_counter() - began)
    return statistics.median(times[warm_up:])


def run(engine: Engine, runs: int = 15, tokens: int = 64) -> dict[str, Any]:
    """First pass, switching and decoding: seconds, tokens per second and ratios to the base.

    Raises T2Error where the context has no room for ``tokens`` after the question.
    """
    room = engine.base.context - len(_prompt(engine))
    if tokens > room:
        raise T2Error(f"--tokens is {tokens}: {engine.base.name} has room for {room} at most")
    torch.manual_seed(0)
    mixes = torch.randn(16, engine.svf.layout.total, device=engine.base.device) * 0.1
    base, one, many = None, mixes[0], mixes
    decode = {
        "base, batch 1": (1, base),
        "factored, batch 1": (1, one),
        "base, batch 16": (16, base),
        "factored, batch 16, one mix": (16, one),
        "factored, batch 16, 16 mixes": (16, many),
    }
    per_second = {
        name: batch
        * tokens
        / median_seconds(lambda b=batch, d=delta: _decode(engine, b, d, tokens), runs)
        for name, (batch, delta) in decode.items()
    }
    first = median_seconds(lambda: adapt.choose(engine, QUESTION, _first_pass(engine)), runs)
    weights = dict.fromkeys(list(engine.library.experts())[:4], 0.2)
    switch = (
        median_seconds(lambda: engine.svf.layout.split(engine.delta(weights)), 50)
        if weights
        else None
    )
    rebuild = median_seconds(_rebuilder(engine), max(3, runs // 5), warm_up=1)
    answer = tokens / per_second["factored, batch 1"]
    return {
        "model": engine.base.name,
        "device": str(engine.base.device),
        "precision": engine.base.precision,
        "threads": torch.get_num_threads(),
        "tokens_per_second": {name: round(value, 1) for name, value in per_second.items()},
        "ratio_to_base": {
            "factored, batch 1": round(
                per_second["factored, batch 1"] / per_second["base, batch 1"], 3
            ),
            "factored, batch 16": round(
                per_second["factored, batch 16, one mix"] / per_second["base, batch 16"], 3
            ),
            "16 mixes to one": round(
                per_second["factored, batch 16, 16 mixes"]
                / per_second["factored, batch 16, one mix"],
                3,
            ),
        },
        "first_pass_seconds": round(first, 5),
        f"first_pass_share_of_{tokens}_token_answer": round(first / (first + answer), 4),
        "switch_seconds": None if switch is None else round(switch, 6),
        "rebuild_all_weights_seconds": round(rebuild, 5),
    }


def _prompt(engine: Engine) -> Prompt:
    return engine.prompt_ids([{"role": "user", "content": QUESTION}])


def _first_pass(engine: Engine) -> str:
    classifies = any(e.task == "dispatch" for e in engine.library.experts().values())
    return "classifier" if classifies else "prompt"


def _decode(engine: Engine, batch: int, delta: Tensor | None, tokens: int) -> None:
    """Exactly ``tokens`` steps: an end token does not end a row here."""
    prompt = _prompt(engine)
    ends, engine.ends = engine.ends, set()
    try:
        for _ in engine.decode([prompt] * batch, delta, max_new_tokens=tokens):
            pass
    finally:
        engine.ends = ends


def _rebuilder(engine: Engine) -> Callable[[], None]:
    """The reference's way to switch: every weight again from U, S and V."""
    parts = []
    for module in adapted_modules(engine.model).values():
        if not module.weight.is_floating_point():
            continue
        u, s, vt = torch.linalg.svd(dense_weight(module).float(), full_matrices=False)
        parts.append((u, s, vt))

    def rebuild() -> None:
        for u, s, vt in parts:
            (u * (s * 1.01)) @ vt

    return rebuild
