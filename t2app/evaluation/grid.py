"""Every task by every way to answer: base, each expert alone, each strategy, oracle.

The figures of the model card and of the docs come from here, as one JSON object and as tables.
Problems are of the test split: nothing was trained or chosen on them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from t2app.engine import Engine
from t2app.evaluation import measure
from t2app.evaluation.measure import Accuracy
from t2app.evaluation.stats import paired_difference
from t2app.tasks import BUILT_IN, KIND_OF, SISTERS, TASKS

SEED = 2026
TWO_PASS = ("prompt", "classifier")


def run(
    engine: Engine,
    tasks: Sequence[str] = (*BUILT_IN, *SISTERS),
    strategies: Sequence[str] = TWO_PASS,
    n: int = 500,
    report: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Measure everything on ``n`` fresh problems of each task.

    The value of ``mixed`` is the stream of the built-in kinds in equal parts: base, each strategy
    and the oracle, with the paired gain over the base and the gap to the oracle.
    """
    experts = [name for name, e in engine.library.experts().items() if e.task != "dispatch"]
    table: dict[str, dict[str, Accuracy]] = {}
    classified: dict[str, dict[str, Any]] = {}
    for name in tasks:
        task = TASKS[name]
        problems = task.problems("test", n, SEED)
        row = {"base": measure.accuracy(engine, task, problems, None)}
        for expert in experts:
            row[expert] = measure.accuracy(engine, task, problems, engine.delta({expert: 1.0}))
        row["oracle"] = row.get(KIND_OF[name], row["base"])
        for strategy in strategies:
            report(f"{name}: {strategy}, {len(problems)} problems")
            adapted = measure.strategy(engine, task, problems, strategy)
            row[strategy] = adapted.scores
            right = tuple(float(label == KIND_OF[name]) for label in adapted.labels)
            classified.setdefault(strategy, {})[name] = {
                **Accuracy(right).to_dict(),
                "labels": {
                    x: adapted.labels.count(x) for x in sorted({str(y) for y in adapted.labels})
                },
            }
        table[name] = row
        report(f"{name}: " + ", ".join(f"{k} {v.accuracy:.1%}" for k, v in row.items()))
    return {
        "model": engine.base.base,
        "n": n,
        "tasks": {name: {k: v.to_dict() for k, v in row.items()} for name, row in table.items()},
        "classified": classified,
        "mixed": _mixed({t: row for t, row in table.items() if t in BUILT_IN}, strategies),
    }


def _mixed(table: dict[str, dict[str, Accuracy]], strategies: Sequence[str]) -> dict[str, Any]:
    if not table:
        return {}
    joined = {
        way: Accuracy(tuple(s for row in table.values() for s in row[way].scores))
        for way in ("base", "oracle", *strategies)
    }
    found: dict[str, Any] = {way: scores.to_dict() for way, scores in joined.items()}
    for strategy in strategies:
        for other, key in (("base", "gain_over_base"), ("oracle", "gap_to_oracle")):
            mean, low, high = paired_difference(joined[strategy].scores, joined[other].scores)
            found[strategy][key] = {"mean": round(mean, 4), "ci95": [round(low, 4), round(high, 4)]}
    return found


def markdown(grid: dict[str, Any]) -> str:
    """The table of ``run`` for a document: accuracy in percent, half the width of its interval."""
    ways = list(next(iter(grid["tasks"].values())))
    lines = ["| task | " + " | ".join(ways) + " |", "|---" * (len(ways) + 1) + "|"]
    for task, row in grid["tasks"].items():
        lines.append(f"| {task} | " + " | ".join(_cell(row[w]) for w in ways) + " |")
    return "\n".join(lines)


def _cell(figure: dict[str, Any]) -> str:
    low, high = figure["ci95"]
    return f"{100 * figure['accuracy']:.1f} ± {50 * (high - low):.1f}"
