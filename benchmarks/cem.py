"""What makes a few-shot search fast: batches, answers that are left out, answers that are guessed.

Run with ``python benchmarks/cem.py``; prints one JSON object. Four ways to score the same
candidates on the same examples:

- ``search``: as the app does it;
- ``search_alone``: the same, but one mix after the other, its examples in a batch;
- ``batch``: every candidate answers everything step by step, a whole generation in one batch;
- ``alone``: the same, but one mix after the other, its examples in a batch, as in the reference.

Candidates that were scored before are scored by none of them. ``same`` says whether the fitness of
every candidate agrees wherever it is known. ``faster`` is how much faster the app is than
``alone``, over whole searches and in their first generations: medians over the runs.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from t2app.adapt import drafts, few_shot
from t2app.adapt.few_shot import Generation, Settings
from t2app.adapt.shots import Shots
from t2app.engine import Engine
from t2app.svf.mixing import mix
from t2app.tasks import TASKS

Weights = dict[str, float]
Score = Callable[[Engine, Shots, Sequence[Weights]], list[float]]
WAYS = ("search", "search_alone", "batch", "alone")


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


def _fitness(engine: Engine, shots: Shots, mixes: Tensor | None) -> list[float]:
    """Means over the examples, of one mix or of one for each row."""
    task, size = shots.task, len(shots.shots)
    rows = size if mixes is None or mixes.dim() == 1 else len(mixes)
    prompts = [engine.prompt_ids(task.messages(p)) for p in shots.shots] * (rows // size)
    done = engine.generate(
        prompts, mixes, max_new_tokens=task.max_new_tokens, batch_size=320, likelihoods=True
    )
    scores = task.score(list(shots.shots) * (rows // size), [c.text for c in done])
    return [sum(scores[i : i + size]) / size for i in range(0, rows, size)]


def searched(engine: Engine, shots: Shots, seed: int) -> tuple[list[Generation], list[float]]:
    """A whole search, and the seconds of each of its generations."""
    generations = list(few_shot.search(engine, shots, Settings(seed=seed)))
    ends = [0.0, *(g.seconds for g in generations)]
    return generations, [end - start for start, end in pairwise(ends)]


@contextmanager
def a_mix_at_a_time() -> Iterator[None]:
    """Within, a search answers with one mix after the other."""
    real = drafts.generate

    def generate(engine: Engine, prompts: list, guesses: list, mixes: Tensor, **limits: int):
        done = {}
        for mixed in mixes.unique(dim=0):
            rows = [i for i, mine in enumerate(mixes) if torch.equal(mine, mixed)]
            said = real(
                engine,
                [prompts[i] for i in rows],
                [guesses[i] for i in rows],
                mixes[rows],
                **limits,
            )
            done.update(zip(rows, said, strict=True))
        return [done[i] for i in range(len(prompts))]

    drafts.generate = generate
    try:
        yield
    finally:
        drafts.generate = real


def fresh(generations: Sequence[Generation]) -> Iterator[tuple[list[Weights], list[float | None]]]:
    """The candidates of each generation that were in none before, and their fitness."""
    known: set[tuple[float, ...]] = set()
    for g in generations:
        new = {tuple(c.values()): i for i, c in enumerate(g.population)}
        new = {key: i for key, i in new.items() if key not in known}
        known |= set(new)
        yield [g.population[i] for i in new.values()], [g.fitnesses[i] for i in new.values()]


def scored(
    engine: Engine, shots: Shots, generations: Sequence[Generation], score: Score
) -> tuple[list[float], bool]:
    """Seconds of each generation, and whether every fitness is what the search has found."""
    seconds, same = [], True
    for candidates, fitnesses in fresh(generations):
        began = time.perf_counter()
        found = score(engine, shots, candidates)
        seconds.append(time.perf_counter() - began)
        pairs = zip(found, fitnesses, strict=True)
        same = same and all(f is None or abs(f - other) < 1e-6 for other, f in pairs)
    return seconds, same


def measure(engine: Engine, name: str, size: int, runs: int) -> dict[str, Any]:
    """Seconds of whole searches in all ways, in turns."""
    task = TASKS[name]
    seconds: dict[str, list[list[float]]] = {way: [] for way in WAYS}
    same = True
    for run in range(runs):
        shots = Shots(task, tuple(task.problems("train", size, f"few-shot/{run}")))
        generations, times = searched(engine, shots, run)
        seconds["search"].append(times)
        with a_mix_at_a_time():
            again, times = searched(engine, shots, run)
        seconds["search_alone"].append(times)
        same = same and [g.mean for g in again] == [g.mean for g in generations]
        for way, score in (("batch", in_one_batch), ("alone", one_at_a_time)):
            times, agree = scored(engine, shots, generations, score)
            seconds[way].append(times)
            same = same and agree
        last = {way: [round(x, 1) for x in times[-1]] for way, times in seconds.items()}
        print(name, size, last, same, file=sys.stderr)
    return {
        "task": name,
        "examples": size,
        "generations": [len(times) for times in seconds["search"]],
        "seconds_a_generation": {
            way: round(sum(map(sum, times)) / sum(map(len, times)), 2)
            for way, times in seconds.items()
        },
        "faster": _ratio(seconds["alone"], seconds["search"], sum),
        "faster_first": _ratio(seconds["alone"], seconds["search"], lambda times: times[0]),
        "same": same,
    }


def _ratio(
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
