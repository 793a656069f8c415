"""One generation of few-shot adaptation: the whole population in one batch, and one at a time.

Run with ``python benchmarks/cem.py``; prints one JSON object. Both ways score the same candidates
(the first generation of a search) on the same examples; ``same`` says whether the fitness of every
one agrees. ``cpu`` is the ratio of processor time, which other work on the machine changes little.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from t2app.adapt import few_shot
from t2app.adapt.few_shot import Settings
from t2app.adapt.shots import Shots
from t2app.engine import Engine
from t2app.tasks import TASKS


def one_at_a_time(engine: Engine, shots: Shots, candidates: Sequence[dict[str, float]]) -> list:
    """Fitness of every candidate: set its mix, answer the examples in a batch, score, next."""
    task = shots.task
    prompts = [engine.prompt_ids(task.messages(p)) for p in shots.shots]
    found = []
    for candidate in candidates:
        done = engine.generate(
            prompts,
            engine.delta(candidate),
            max_new_tokens=task.max_new_tokens,
            likelihoods=True,
        )
        scores = task.score(list(shots.shots), [c.text for c in done])
        found.append(sum(scores) / len(scores))
    return found


def measure(engine: Engine, name: str, size: int, runs: int) -> dict:
    """Seconds of a generation in both ways, in turns."""
    task = TASKS[name]
    shots = Shots(task, tuple(task.problems("train", size, "few-shot/0")))
    batched, single, cpu, same = [], [], [], True
    for run in range(runs):
        settings = Settings(generations=1, seed=run)
        began, used = time.perf_counter(), time.process_time()
        [generation] = few_shot.search(engine, shots, settings)
        batched.append(time.perf_counter() - began)
        used_batched = time.process_time() - used
        began, used = time.perf_counter(), time.process_time()
        alone = one_at_a_time(engine, shots, generation.population)
        single.append(time.perf_counter() - began)
        cpu.append((time.process_time() - used) / used_batched)
        same = same and all(
            abs(a - b) < 1e-6 for a, b in zip(alone, generation.fitnesses, strict=True)
        )
    ratios = [s / b for s, b in zip(single, batched, strict=True)]
    return {
        "task": name,
        "examples": size,
        "batched_seconds": [round(x, 2) for x in batched],
        "one_at_a_time_seconds": [round(x, 2) for x in single],
        "ratio": round(statistics.median(ratios), 2),
        "cpu": round(statistics.median(cpu), 2),
        "same": same,
    }


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
