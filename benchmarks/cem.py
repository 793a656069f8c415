"""Few-shot searches three ways: as they are, in one batch a generation, and a mix at a time.

Run with ``python benchmarks/cem.py``; prints one JSON object. All three score the same candidates
on the same examples; ``same`` says whether the fitness of every one agrees where it is known. The
second way is every candidate of a generation in one batch, answering everything; the third sets
one mix after the other, with its examples in a batch, as the reference does. Candidates that were
scored before are scored by none of them. ``ratio`` is the third against the first, over the whole
search; ``ratio_first`` that of its first generation; ``batch_alone`` the third against the second.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from t2app.adapt import few_shot
from t2app.adapt.few_shot import Settings
from t2app.adapt.shots import Shots
from t2app.engine import Engine
from t2app.svf.mixing import mix
from t2app.tasks import TASKS

Weights = dict[str, float]


def in_one_batch(engine: Engine, shots: Shots, candidates: Sequence[Weights]) -> list[float]:
    """Fitness of every candidate: all of them answer all examples at once."""
    names = list(candidates[0])
    stacked = engine.deltas(engine.library.get(name) for name in names)
    alphas = torch.tensor([[c[name] for name in names] for c in candidates])
    size = len(shots.shots)
    return _fitness(engine, shots, mix(stacked, alphas).repeat_interleave(size, dim=0))


def one_at_a_time(engine: Engine, shots: Shots, candidates: Sequence[Weights]) -> list[float]:
    """Fitness of every candidate: set its mix, answer the examples in a batch, score, next."""
    found = []
    for candidate in candidates:
        found += _fitness(engine, shots, engine.delta(candidate))
    return found


def _fitness(engine: Engine, shots: Shots, mixes: torch.Tensor | None) -> list[float]:
    """Means over the examples, of one mix or of one for each row."""
    task, size = shots.task, len(shots.shots)
    rows = size if mixes is None or mixes.dim() == 1 else len(mixes)
    prompts = [engine.prompt_ids(task.messages(p)) for p in shots.shots] * (rows // size)
    done = engine.generate(
        prompts, mixes, max_new_tokens=task.max_new_tokens, batch_size=320, likelihoods=True
    )
    scores = task.score(list(shots.shots) * (rows // size), [c.text for c in done])
    return [sum(scores[i : i + size]) / size for i in range(0, rows, size)]


def measure(engine: Engine, name: str, size: int, runs: int) -> dict[str, Any]:
    """Seconds of whole searches in all three ways, in turns."""
    task = TASKS[name]
    seconds: dict[str, list[list[float]]] = {"search": [], "batch": [], "alone": []}
    same = True
    for run in range(runs):
        shots = Shots(task, tuple(task.problems("train", size, f"few-shot/{run}")))
        generations = list(few_shot.search(engine, shots, Settings(seed=run)))
        ends = [0.0, *(g.seconds for g in generations)]
        seconds["search"].append([end - start for start, end in pairwise(ends)])
        known: set[tuple] = set()
        for way in ("batch", "alone"):
            seconds[way].append([])
        for g in generations:
            new = {tuple(c.values()): i for i, c in enumerate(g.population)}
            new = {key: i for key, i in new.items() if key not in known}
            known |= set(new)
            drawn = [g.population[i] for i in new.values()]
            for way, score in (("batch", in_one_batch), ("alone", one_at_a_time)):
                began = time.perf_counter()
                found = score(engine, shots, drawn)
                seconds[way][-1].append(time.perf_counter() - began)
                expected = [g.fitnesses[i] for i in new.values()]
                same = same and all(
                    e is None or abs(e - f) < 1e-6 for e, f in zip(expected, found, strict=True)
                )
        print(name, size, {k: [round(x, 1) for x in v[-1]] for k, v in seconds.items()}, same,
              file=sys.stderr)  # fmt: skip
    return {
        "task": name,
        "examples": size,
        "generations": [len(s) for s in seconds["search"]],
        **{
            f"{way}_seconds_a_generation": round(sum(map(sum, s)) / sum(map(len, s)), 2)
            for way, s in seconds.items()
        },
        "ratio": _median_ratio(seconds["alone"], seconds["search"], sum),
        "ratio_first": _median_ratio(seconds["alone"], seconds["search"], lambda s: s[0]),
        "batch_alone": _median_ratio(seconds["alone"], seconds["batch"], sum),
        "same": same,
    }


def _median_ratio(
    slow: list[list[float]], fast: list[list[float]], of: Callable[[list[float]], float]
) -> float:
    return round(statistics.median(of(s) / of(f) for s, f in zip(slow, fast, strict=True)), 2)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--task", action="append")
    parser.add_argument("--examples", type=int, action="append")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    engine = Engine.load()
    rows = [
        measure(engine, name, size, args.runs)
        for name in args.task or ("math", "code", "reasoning")
        for size in args.examples or (3, 5, 10)
    ]
    print(json.dumps({"threads": args.threads, "population": 32, "rows": rows}))


if __name__ == "__main__":
    main()
