"""What few-shot adaptation gains: for one search, and over several draws of examples."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import torch

from t2app.adapt import few_shot
from t2app.adapt.few_shot import Found, Settings
from t2app.adapt.shots import MOST_SHOTS, Shots
from t2app.engine import Engine
from t2app.evaluation import measure
from t2app.evaluation.measure import Accuracy
from t2app.evaluation.stats import over_draws, paired_difference
from t2app.svf.mixing import mix
from t2app.tasks import Task

# Rows that are answered between two looks at the figures.
PART = 64
DRAWS = 5
# As with the problems of the table (``grid.SEED``), the draws that decided a rule are not those
# that measure it.
SEED = 2
# How many examples, and how the search judges: rows of the comparison.
VARIANTS: dict[str, tuple[int, Settings]] = {
    "few-shot 3": (3, Settings()),
    "few-shot 5": (5, Settings()),
    "few-shot 10": (10, Settings()),
    "few-shot 5, likelihood": (5, Settings(fitness="likelihood")),
    "few-shot 5, paper": (5, Settings(prior=0.0)),
    "few-shot 5, free": (5, Settings(normalised=False)),
    "few-shot 5, per layer": (5, Settings(per_layer=True)),
}


@dataclass(frozen=True)
class Measured:
    """What a mix is worth by the ``done`` rows of ``total`` that were answered so far.

    ``report`` has figures for the ``examples`` and for the ``rest``; None where there is nothing.
    """

    report: dict[str, Any]
    done: int
    total: int


def measuring(engine: Engine, shots: Shots, found: Found) -> Iterator[Measured]:
    """Base and mix on the examples, then on the rest: figures that grow, part by part."""
    total = len(shots.shots) + len(shots.rest)
    report: dict[str, Any] = {"examples": None, "rest": None}
    done = 0
    for name, problems in (("examples", shots.shots), ("rest", shots.rest)):
        before, after = Accuracy(()), Accuracy(())
        for start in range(0, len(problems), PART):
            part = problems[start : start + PART]
            before = _more(before, measure.accuracy(engine, shots.task, part, None))
            after = _more(after, measure.accuracy(engine, shots.task, part, found.delta))
            done += len(part)
            report = {**report, name: _figures(before, after)}
            yield Measured(report, done, total)


def measure_found(engine: Engine, shots: Shots, found: Found) -> dict[str, Any]:
    """The last report of ``measuring``."""
    *_, last = measuring(engine, shots, found)
    return last.report


def _more(left: Accuracy, right: Accuracy) -> Accuracy:
    return Accuracy(left.scores + right.scores)


def _figures(before: Accuracy, after: Accuracy) -> dict[str, Any]:
    """Accuracy of the base and of the mix on the same problems, and the paired gain."""
    mean, low, high = paired_difference(after.scores, before.scores)
    return {
        "before": before.to_dict(),
        "after": after.to_dict(),
        "gain": {"mean": round(mean, 4), "ci95": [round(low, 4), round(high, 4)]},
    }


def draw_shots(task: Task, size: int, draw: int) -> Shots:
    """``size`` examples of the training split; those of a larger size hold those of a smaller."""
    problems = task.problems("train", max(size, MOST_SHOTS), f"few-shot/{SEED}/{draw}")
    return Shots(task, tuple(problems[:size]))


def searched(engine: Engine, shots: Shots, settings: Settings) -> dict[str, Any]:
    """The result of a search as JSON values."""
    *_, last = few_shot.search(engine, shots, settings)
    return {
        "experts": list(last.found.experts),
        "alpha": [[round(a, 6) for a in row] for row in last.found.alpha],
        "weights": {n: round(w, 4) for n, w in last.found.weights.items()},
        "fitness": round(last.found.fitness, 4),
        "generations": last.number,
        "why": last.why,
        "seconds": round(last.seconds, 1),
    }


def delta_of(engine: Engine, result: dict[str, Any]) -> torch.Tensor:
    """The mix (R,) of a result of ``searched``."""
    experts = engine.library.experts()
    stacked = engine.deltas(experts[name] for name in result["experts"])
    alpha = torch.tensor(result["alpha"])
    parts = few_shot.blocks(engine.svf.layout, per_layer=len(alpha) > 1)
    return torch.cat([mix(stacked[:, p], a) for p, a in zip(parts, alpha, strict=True)])


def over(
    task: Task,
    variant: str,
    search: Callable[[Shots, Settings], dict[str, Any]],
    score: Callable[[dict[str, Any]], Accuracy],
) -> tuple[dict[str, Any], list[float]]:
    """``DRAWS`` searches of a variant, each measured; also the mean score of each problem."""
    size, settings = VARIANTS[variant]
    results, scores = [], []
    for draw in range(DRAWS):
        result = search(draw_shots(task, size, draw), settings)
        found = score(result)
        results.append({**result, "accuracy": round(found.accuracy, 4)})
        scores.append(found.scores)
    mean, low, high = over_draws(scores)
    figures = {
        "accuracy": round(mean, 4),
        "n": len(scores[0]),
        "ci95": [round(low, 4), round(high, 4)],
        "settings": asdict(settings),
        "examples": size,
        "draws": results,
    }
    return figures, [sum(column) / DRAWS for column in zip(*scores, strict=True)]
