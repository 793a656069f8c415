"""Every task by every way to answer: base, each expert alone, each strategy, oracle, few-shot.

The figures of the docs come from here, as one JSON object and as a table. Problems are of the test
split: nothing was trained, chosen or searched on them. What is measured is kept (``memo``), so a
table that was interrupted continues, and a mix that two ways share runs once.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from t2app import __version__, adapt
from t2app.adapt import labels, router
from t2app.engine import Engine
from t2app.errors import T2Error
from t2app.evaluation import few_shot, figures, measure, results
from t2app.evaluation.measure import Accuracy
from t2app.evaluation.memo import Memo
from t2app.evaluation.stats import paired_difference
from t2app.tasks import BUILT_IN, KIND_OF, SISTERS, TASKS, Problem, Task

# Another one whenever a rule was chosen by what a table showed: 2026 decided how a first pass
# counts in few-shot search.
SEED = 2027
# How answers are judged; scores that were measured by an earlier rule are not taken again.
RULE = 2
# How first passes sort questions; what an earlier way chose is not taken again.
SORTING = 2
# Strategies that look at the question alone; True where the label is said aloud.
TWO_PASS = {
    "prompt": ("prompt", False),
    "prompt, said": ("prompt", True),
    "classifier": ("classifier", False),
    "prototype": ("prototype", False),
    "auto": ("auto", False),
}
STRATEGIES = (*TWO_PASS, *few_shot.VARIANTS)
# Without ``auto``, which decides like one of the others.
USUAL = (
    "prompt",
    "prompt, said",
    "classifier",
    "prototype",
    "few-shot 3",
    "few-shot 5",
    "few-shot 10",
    "few-shot 5, likelihood",
    "few-shot 5, paper",
)
KNOWN_TASKS = (*BUILT_IN, *SISTERS)
# Questions whose mix is kept one by one; of the others, only the mean.
SHOWN = 30

Report = Callable[[str], None]


@dataclass(frozen=True)
class Choice:
    """What a strategy made of one question."""

    label: str | None
    weights: dict[str, float]


def usual(engine: Engine) -> tuple[str, ...]:
    """``USUAL``, as far as this model has what they need."""
    sorts = router.find(engine.library.experts()) is not None
    return tuple(s for s in USUAL if sorts or s != "classifier")


def check(engine: Engine, tasks: Sequence[str], strategies: Sequence[str], n: int) -> None:
    """T2Error for everything that would stop the table halfway."""
    for task in tasks:
        if task not in KNOWN_TASKS:
            raise T2Error(f"unknown task {task!r}: choose from {', '.join(KNOWN_TASKS)}")
    for strategy in strategies:
        if strategy not in STRATEGIES:
            raise T2Error(
                f"strategy {strategy!r} cannot be measured: choose from {'; '.join(STRATEGIES)}"
            )
    if n < 1:
        raise T2Error(f"--n is {n}: it must be at least 1")
    experts = engine.library.experts()
    if "classifier" in strategies and router.find(experts) is None:
        raise T2Error(
            "strategy 'classifier' needs an expert that classifies: train one (python -m t2app "
            "train --task dispatch), or leave it out with --strategy"
        )
    if not any(labels.takes_part(e) for e in experts.values()):
        raise T2Error("there are no experts to measure for this model: train or import one first")


def run(
    engine: Engine,
    tasks: Sequence[str] = KNOWN_TASKS,
    strategies: Sequence[str] = USUAL,
    n: int = 500,
    *,
    memo: Memo | None = None,
    handwritten: Sequence[Mapping[str, str]] = (),
    report: Report = lambda _: None,
    keep: Callable[[dict[str, Any]], None] = lambda _: None,
) -> dict[str, Any]:
    """Measure everything on ``n`` fresh problems of each task.

    ``keep`` gets the table after each task. ``handwritten`` questions (``question`` and ``kind``)
    are classified only. Raises T2Error where something is missing, before anything is measured.
    """
    check(engine, tasks, strategies, n)
    began = time.perf_counter()
    bench = Bench(engine, memo or Memo(results.folder() / "measured"), report)
    two_pass = [s for s in strategies if s in TWO_PASS]
    report(f"expected: about {bench.expected(tasks, strategies, n) / 60:.0f} minutes")
    found: dict[str, Any] = {
        "model": engine.base.base,
        "n": n,
        "date": datetime.now(UTC).isoformat(timespec="minutes"),
        "machine": f"{engine.status()['device']}, {engine.base.precision}, "
        f"{torch.get_num_threads()} threads",
        "execution": engine.execution.choice,
        "factors": engine.svf.storage,
        "experts": results.digests(engine),
        "tasks": {},
        "classified": {s: {} for s in two_pass},
        "contributions": {s: {} for s in two_pass},
        "few_shot": {},
    }
    if handwritten:
        found["handwritten"] = bench.handwritten(handwritten, two_pass)
    table: dict[str, dict[str, Accuracy]] = {}
    for name in tasks:
        table[name] = bench.task(name, n, strategies, found)
        found["confusion"] = {s: _confusion(found["classified"][s]) for s in two_pass}
        kinds = {t: row for t, row in table.items() if t in BUILT_IN}
        found["mixed"] = _mixed(kinds, two_pass)
        found["seconds"] = round(time.perf_counter() - began)
        keep(found)
    return found


class Bench:
    """Measures with an engine; what was measured before is read."""

    def __init__(self, engine: Engine, memo: Memo, report: Report) -> None:
        self.engine, self.memo, self.report = engine, memo, report
        experts = engine.library.experts()
        self.experts = [name for name, e in experts.items() if labels.takes_part(e)]
        self._setting = {
            "base": engine.base.base,
            "precision": engine.base.precision,
            "device": engine.base.device.type,
            "version": __version__,
            **_unusual(engine),
        }
        self._vectors = results.digests(engine)
        # A first pass depends on names, descriptions and the questions that experts keep too.
        headers = {name: experts[name].header for name in self._vectors}
        self._first_pass = {
            name: [
                digest,
                *(headers[name].get(k) for k in ("description", "examples", "prototype")),
            ]
            for name, digest in self._vectors.items()
        }

    def task(
        self, name: str, n: int, strategies: Sequence[str], found: dict[str, Any]
    ) -> dict[str, Accuracy]:
        """One row of the table, with what belongs to it in other parts of ``found``."""
        task = TASKS[name]
        problems = task.problems("test", n, SEED)
        alone = {expert: {expert: 1.0} for expert in self.experts}
        row = {
            way: self.scores(task, problems, self.engine.delta(weights))
            for way, weights in {"base": {}, **alone}.items()
        }
        row["oracle"] = row.get(KIND_OF[name], row["base"])
        for strategy in (s for s in strategies if s in TWO_PASS):
            choices = self.choices(strategy, [p.question for p in problems])
            row[strategy] = self.mixed_scores(task, problems, choices, row)
            found["classified"][strategy][name] = _classified(name, choices)
            shares = figures.contributions([c.weights for c in choices])
            found["contributions"][strategy][name] = {**shares, "rows": shares["rows"][:SHOWN]}
        figure = {way: scores.to_dict() for way, scores in row.items()}
        for variant in (s for s in strategies if s in few_shot.VARIANTS):
            if KIND_OF[name] in self.experts:
                self.report(f"{name}: {variant}")
                figure[variant], means = self.few_shot(task, problems, variant)
                others = [s for s in strategies if s in row] or ["base"]
                best = max(others, key=lambda way: row[way].accuracy)
                against = {"best": best, **_difference(means, row[best].scores)}
                figure[variant]["against_best"] = against
        found["few_shot"][name] = {v: figure.pop(v) for v in few_shot.VARIANTS if v in figure}
        found["tasks"][name] = figure | {
            v: {key: f[key] for key in ("accuracy", "n", "ci95")}
            for v, f in found["few_shot"][name].items()
        }
        shown = (f"{way} {f['accuracy']:.1%}" for way, f in found["tasks"][name].items())
        self.report(f"{name}: {', '.join(shown)}")
        return row

    def scores(
        self, task: Task, problems: Sequence[Problem], delta: torch.Tensor | None
    ) -> Accuracy:
        """Accuracy of a mix for all problems, or of one for each."""
        asked = _asked(problems)
        decides = ["scores", RULE, self._setting, task.max_new_tokens, asked, _digest(delta)]
        made = self.memo.get(
            decides, lambda: measure.accuracy(self.engine, task, problems, delta).scores
        )
        return Accuracy(tuple(made))

    def choices(self, strategy: str, questions: Sequence[str]) -> list[Choice]:
        """The first pass of a strategy on every question."""
        name, said = TWO_PASS[strategy]

        def make() -> list[Any]:
            self.report(f"first pass: {strategy}, {len(questions)} questions")
            found = [adapt.choose(self.engine, q, name, generate=said) for q in questions]
            return [[a.label, a.weights] for a in found]

        decides = ["choices", SORTING, self._setting, strategy, self._first_pass, list(questions)]
        return [Choice(label, weights) for label, weights in self.memo.get(decides, make)]

    def mixed_scores(
        self,
        task: Task,
        problems: Sequence[Problem],
        choices: Sequence[Choice],
        row: Mapping[str, Accuracy],
    ) -> Accuracy:
        """Second passes, in one go; where one expert or the base has all, its answer is known."""
        scores = [self._known(c.weights, row, i) for i, c in enumerate(choices)]
        open_ = [i for i, score in enumerate(scores) if score is None]
        if open_:
            deltas = measure.stack(self.engine, [choices[i].weights for i in open_])
            new = self.scores(task, [problems[i] for i in open_], deltas)
            for i, score in zip(open_, new.scores, strict=True):
                scores[i] = score
        return Accuracy(tuple(scores))

    def _known(
        self, weights: Mapping[str, float], row: Mapping[str, Accuracy], at: int
    ) -> float | None:
        used = {name: w for name, w in weights.items() if w > 0}
        if not used:
            return row["base"].scores[at]
        whole = next(iter(used)) if list(used.values()) == [1.0] else None
        return row[whole].scores[at] if whole in row else None

    def few_shot(
        self, task: Task, problems: Sequence[Problem], variant: str
    ) -> tuple[dict[str, Any], list[float]]:
        """Searches on several draws of examples, each measured on ``problems``."""

        def search(shots, settings) -> dict[str, Any]:
            vectors = {name: self._vectors[name] for name in self.experts}
            decides = [
                "search",
                RULE,
                self._setting,
                vectors,
                asdict(settings),
                _asked(shots.shots),
            ]
            return self.memo.get(decides, lambda: few_shot.searched(self.engine, shots, settings))

        def score(result: dict[str, Any]) -> Accuracy:
            return self.scores(task, problems, few_shot.delta_of(self.engine, result))

        return few_shot.over(task, variant, search, score)

    def handwritten(
        self, rows: Sequence[Mapping[str, str]], strategies: Sequence[str]
    ) -> dict[str, Any]:
        """How often hand-written questions get the right label."""
        kinds = [row["kind"] for row in rows]
        found = {}
        for strategy in strategies:
            said = [c.label for c in self.choices(strategy, [row["question"] for row in rows])]
            right = Accuracy(tuple(float(a == b) for a, b in zip(kinds, said, strict=True)))
            found[strategy] = {**right.to_dict(), "confusion": figures.confusion(kinds, said)}
        return found

    def expected(self, tasks: Sequence[str], strategies: Sequence[str], n: int) -> float:
        """Seconds that the whole table will take if nothing of it is there; a rough guess.

        From answers to a batch of problems; a search counts as three generations, and of its draws
        one in two finds a mix that was not measured yet.
        """
        task = TASKS[tasks[0]]
        problems = task.problems("train", 64, "pace")
        began = time.perf_counter()
        measure.accuracy(self.engine, task, problems, None)
        answer = (time.perf_counter() - began) / len(problems)
        searches = [few_shot.VARIANTS[s][0] for s in strategies if s in few_shot.VARIANTS]
        passes = 1 + len(self.experts) + sum(s in TWO_PASS for s in strategies)
        rows = n * (passes + few_shot.DRAWS * len(searches) / 2)
        rows += few_shot.DRAWS * 3 * 32 * sum(searches)
        return len(tasks) * rows * answer


def _unusual(engine: Engine) -> dict[str, str]:
    """How mixes run and factors are kept, where that is not the usual way."""
    ways = {"execution": engine.execution.choice, "factors": engine.svf.storage}
    return {name: way for name, way in ways.items() if way not in ("auto", "dense")}


def _asked(problems: Sequence[Problem]) -> str:
    """A hash of what is asked and of what counts as right."""
    told = [[p.task, p.question, p.gold, p.steps, repr(p.hidden), *p.also] for p in problems]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()


def _digest(delta: torch.Tensor | None) -> str | None:
    """A hash of a mix; the base has none."""
    if delta is None or not delta.any():
        return None
    return hashlib.sha256(delta.cpu().contiguous().numpy().tobytes()).hexdigest()


def _classified(name: str, choices: Sequence[Choice]) -> dict[str, Any]:
    said = [str(c.label) for c in choices]
    right = Accuracy(tuple(float(label == KIND_OF[name]) for label in said))
    return {**right.to_dict(), "labels": {x: said.count(x) for x in sorted(set(said))}}


def _confusion(classified: Mapping[str, Any]) -> dict[str, Any]:
    """Kinds by labels, over all tasks so far."""
    pairs = [
        (KIND_OF[task], label)
        for task, figure in classified.items()
        for label, count in figure["labels"].items()
        for _ in range(count)
    ]
    return figures.confusion([kind for kind, _ in pairs], [label for _, label in pairs])


def _difference(after: Sequence[float], before: Sequence[float]) -> dict[str, Any]:
    mean, low, high = paired_difference(after, before)
    return {"mean": round(mean, 4), "ci95": [round(low, 4), round(high, 4)]}


def _mixed(table: Mapping[str, dict[str, Accuracy]], strategies: Sequence[str]) -> dict[str, Any]:
    """The stream of the built-in kinds in equal parts, with gain over base and gap to oracle."""
    if not table:
        return {}
    joined = {
        way: Accuracy(tuple(s for row in table.values() for s in row[way].scores))
        for way in ("base", "oracle", *strategies)
    }
    found: dict[str, Any] = {way: scores.to_dict() for way, scores in joined.items()}
    for strategy in strategies:
        for other, key in (("base", "gain_over_base"), ("oracle", "gap_to_oracle")):
            found[strategy][key] = _difference(joined[strategy].scores, joined[other].scores)
    return found


def markdown(grid: dict[str, Any]) -> str:
    """The tables of ``run`` for a document: percent, half the width of the 95 % interval."""
    rows = grid["tasks"]
    parts = [_table("task", _ways(rows), rows)]
    if grid.get("mixed"):
        parts.append(_table("mixed stream", list(grid["mixed"]), {"all kinds": grid["mixed"]}))
    against = {
        task: {way: figure["against_best"] for way, figure in row.items()}
        for task, row in grid["few_shot"].items()
        if row
    }
    if against:
        head = "against the best other strategy, points"
        parts.append(_table(head, _ways(against), against, _points))
    if grid.get("handwritten"):
        parts.append(_handwritten(grid["handwritten"]))
    return "\n\n".join(parts)


def _ways(rows: Mapping[str, Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(way for row in rows.values() for way in row))


def _handwritten(found: Mapping[str, Any]) -> str:
    """First pass right, by kind of question."""
    kinds = next(iter(found.values()))["confusion"]["kinds"]
    lines = ["| hand-written | " + " | ".join([*kinds, "together"]) + " |"]
    lines.append("|---" * (len(kinds) + 2) + "|")
    for strategy, figure in found.items():
        # A kind's own label has the same place as the kind.
        rows = enumerate(figure["confusion"]["counts"])
        right = (f"{counts[i]}/{sum(counts)}" for i, counts in rows)
        lines.append(f"| {strategy} | " + " | ".join([*right, _cell(figure)]) + " |")
    return "\n".join(lines)


def _table(
    head: str,
    ways: Sequence[str],
    rows: Mapping[str, Mapping[str, Any]],
    show: Callable[[dict[str, Any]], str] | None = None,
) -> str:
    show = show or _cell
    lines = [f"| {head} | " + " | ".join(ways) + " |", "|---" * (len(ways) + 1) + "|"]
    for name, row in rows.items():
        cells = (show(row[way]) if way in row else "" for way in ways)
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(figure: dict[str, Any]) -> str:
    low, high = figure["ci95"]
    return f"{100 * figure['accuracy']:.1f} ± {50 * (high - low):.1f}"


def _points(difference: dict[str, Any]) -> str:
    low, high = difference["ci95"]
    return f"{100 * difference['mean']:+.1f} ({100 * low:.1f} to {100 * high:.1f})"


def read_questions(path: Path) -> list[dict[str, str]]:
    """JSON Lines with ``question`` and ``kind``. Raises T2Error for anything else."""
    try:
        rows = [json.loads(line) for line in path.read_text("utf-8").splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        raise T2Error(f"cannot read questions from {path}: {error}") from error
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict) or not {"question", "kind"} <= set(row):
            raise T2Error(f"{path}, line {number}: it needs a question and a kind")
    return rows
