"""Speed, memory and accuracy of every way to run a mix, in one process on the same weights.

Plain base, packed base, factored, merged, unmerged LoRA (PEFT), and the reference's way, which
rebuilds every weight from U, S and V. All of them take turns, so that the ratios hold on a busy
machine too. Accuracy and factoring are those of the original weights, also on a quantised base. Not
covered: quality of answers (``grid``).
"""

from __future__ import annotations

import datetime
import importlib.metadata
import importlib.util
import platform
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from t2app import adapt
from t2app.engine import Engine
from t2app.errors import T2Error
from t2app.evaluation.bench import accuracy, block, size, variants
from t2app.evaluation.bench.clock import Timed, interleaved, timed
from t2app.evaluation.bench.variants import Variant
from t2app.svd.factor import factor
from t2app.svf.merged import Merged
from t2app.svf.mixing import mix

QUESTION = (
    "Tom has 12 apples and buys 3 boxes with 4 apples each. How many apples does he have now?"
)
PREFILL = 512
ROWS = 16
EXPERTS = 4

Note = Callable[[str], None]


def run(
    engine: Engine, rounds: int = 15, tokens: int = 64, note: Note = lambda line: None
) -> dict[str, Any]:
    """Everything that is measured, as JSON values; seconds are medians with their quartiles.

    ``tokens`` is the length of the answer that the first pass is compared with. Raises T2Error
    where the context has no room for it after the question.
    """
    room = engine.base.context - len(_prompt(engine))
    if tokens > room:
        raise T2Error(f"--tokens is {tokens}: {engine.base.name} has room for {room} at most")
    originals = block.originals(engine)
    torch.manual_seed(0)
    stacked = 0.1 * torch.randn(EXPERTS, engine.svf.layout.total, device=engine.base.device)
    rows = mix(stacked, torch.rand(ROWS, EXPERTS) / EXPERTS)
    one, few = rows[0], max(min(rounds, 3), rounds // 5)
    ways = _ways(engine, one)
    found: dict[str, Any] = {"about": _about(engine, rounds)}
    note("decoding, one row")
    found["decode_1"] = _compare({name: way.decode(16, 1) for name, way in ways.items()}, rounds)
    note("decoding, 16 rows")
    batch = {name: way.decode(8, ROWS) for name, way in ways.items()}
    batch["factored, 16 mixes"] = variants.factored(engine, rows).decode(8, ROWS)
    found["decode_16"] = _compare(batch, rounds)
    length = min(PREFILL, engine.base.context)
    note(f"prefill, {length} tokens")
    prefills = {n: timed(lambda way=way: way.prefill(length)) for n, way in ways.items()}
    found["prefill"] = {"tokens": length, **_compare(prefills, few)}
    del ways, batch, prefills
    note("switching a mix, factoring")
    found["switch"] = _switch(engine, stacked, originals, rounds)
    found["factor"] = _factoring(originals, few)
    note(f"first pass, answer of {tokens} tokens")
    found["first_pass"] = _first_pass(engine, one, rounds, tokens)
    note("accuracy, memory")
    errors = accuracy.relative_errors(engine, originals)
    found["relative_error"] = {name: round(error, 6) for name, error in errors.items()}
    found["megabytes"] = size.loaded(engine)
    found["nf4_at_8b"] = size.nf4_against_bfloat16()
    return found


def _ways(engine: Engine, delta: Tensor) -> dict[str, Variant]:
    """What takes turns. The reference's way decodes as the base does, with rebuilt weights.

    ``base`` is the model as ``transformers`` runs it; ``base, packed`` as the app does, where that
    is something else.
    """
    packed = {"base, packed": variants.adapted(engine, None)} if engine.svf.packed_bytes else {}
    ways = {
        "base": variants.plain(engine),
        **packed,
        "factored": variants.factored(engine, delta),
        "merged": variants.merged(engine, delta),
    }
    adapters = variants.lora(engine)
    return ways if adapters is None else {**ways, "LoRA r=16": adapters}


def _compare(actions: dict[str, Timed], rounds: int) -> dict[str, Any]:
    """Times, each with ``speed``: how fast it is compared with the base."""
    found = interleaved(actions, rounds)
    for times in found.values():
        times["speed"] = round(found["base"]["seconds"] / times["seconds"], 3)
    return found


def _switch(
    engine: Engine, stacked: Tensor, originals: Mapping[str, Tensor], rounds: int
) -> dict[str, Any]:
    """From four experts and their weights to a mix in effect."""
    svf, alpha = engine.svf, torch.full((EXPERTS,), 0.2)
    found = interleaved({"factored": timed(lambda: svf.factored(mix(stacked, alpha)))}, 5 * rounds)
    few = max(min(rounds, 3), rounds // 5)
    found |= interleaved({"merged": timed(lambda: Merged(svf, mix(stacked, alpha)))}, few)
    first = [_svd(weight) for weight in originals.values()]
    rebuild = interleaved({"": timed(lambda: [_rebuild(*parts) for parts in first])}, few)[""]
    # One block, times their number: all of them are alike.
    blocks = len(svf.layers) // len(first)
    found["reference"] = {name: value * blocks for name, value in rebuild.items()}
    found["times_faster"] = round(found["reference"]["seconds"] / found["factored"]["seconds"])
    return found


def _svd(weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What the reference computes for every matrix."""
    return torch.linalg.svd(weight.float(), full_matrices=False)


def _rebuild(u: Tensor, sigma: Tensor, vt: Tensor) -> Tensor:
    """Its weight for a ``z``, here without the diagonal matrix that it multiplies by."""
    z = torch.ones_like(sigma)
    return ((u * (sigma * z)) @ vt) * (sigma.sum() / (sigma * z).sum())


def _factoring(originals: Mapping[str, Tensor], rounds: int) -> dict[str, Any]:
    """Seconds for one block, and what the largest matrix takes in memory."""
    weights = originals.values()
    found = interleaved(
        {
            "one block": timed(lambda: [factor(weight) for weight in weights]),
            "one block, reference's svd": timed(lambda: [_svd(weight) for weight in weights]),
        },
        rounds,
    )
    ours, theirs = found["one block"], found["one block, reference's svd"]
    found["times_faster"] = round(theirs["seconds"] / ours["seconds"], 2)
    found["peak_extra_matrices"] = round(size.factoring_peak([w.shape for w in weights]), 2)
    return found


def _first_pass(engine: Engine, delta: Tensor, rounds: int, tokens: int) -> dict[str, Any]:
    """The first pass as the app does it, and the second as long as it is asked to be."""
    found = interleaved(
        {
            "first pass": timed(lambda: adapt.choose(engine, QUESTION)),
            "answer": timed(lambda: _answer(engine, delta, tokens)),
        },
        max(1, rounds // 3),
    )
    share = found["first pass"]["seconds"] / found["answer"]["seconds"]
    return {**found, "tokens": tokens, "share_of_answer": round(share, 4)}


def _prompt(engine: Engine) -> list[int]:
    return engine.prompt_ids([{"role": "user", "content": QUESTION}])


def _answer(engine: Engine, delta: Tensor, tokens: int) -> None:
    """Exactly ``tokens`` steps: an end token does not end a row here."""
    ends, engine.ends = engine.ends, set()
    try:
        for _ in engine.decode([_prompt(engine)], delta, max_new_tokens=tokens):
            pass
    finally:
        engine.ends = ends


def _about(engine: Engine, rounds: int) -> dict[str, Any]:
    """Where and with what it was measured."""
    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
        "model": engine.base.name,
        "precision": engine.base.precision,
        "factors": engine.svf.storage,
        "device": engine.status()["device"],
        "processor": processor(),
        "threads": torch.get_num_threads(),
        "rounds": rounds,
        "versions": {
            name: importlib.metadata.version(name)
            for name in ("torch", "transformers", "bitsandbytes", "peft")
            if importlib.util.find_spec(name) is not None
        },
    }


def processor() -> str:
    """Its name, as the system gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
