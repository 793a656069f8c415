"""Few-shot adaptation: search the mix that does best on a few solved examples (section 3.2, C).

The cross-entropy method over the weights of the experts, as in the paper and its code: population
32, elite 0.2, at most 100 generations, weights between 0 and 1, ties broken by how likely the model
finds its own right answers. The population is scored in batches, every row with a mix of its own
(``judge``); what cannot be among the elite any more is not answered (``race``).

Unlike in the paper, what a first pass makes of the examples counts as a few examples more
(``Settings.prior``): a handful that the base happens to solve too cannot tell it from the expert
that is right far more often on others. Not covered: reading examples (``shots``), keeping a mix
(``mixes``).
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import groupby
from typing import Any

import torch
from torch import Tensor

from t2app.adapt import cem, labels, prototype
from t2app.adapt.judge import NEVER, ByAccuracy, ByLikelihood, Judge, Score, mean, normalised
from t2app.adapt.shots import Shots
from t2app.engine import Engine
from t2app.errors import T2Error
from t2app.svf.compare import place
from t2app.svf.expert import Expert
from t2app.svf.mixing import DeltaLayout, unknown_expert
from t2app.tasks import dispatch

FITNESS = {
    "accuracy": "examples answered right; ties by how likely the model finds its right answers",
    "likelihood": "how likely the model finds the given answers, in one forward pass; only for "
    "answers that show their steps",
}
# A mix has to be worth so much more to count as better.
LEAST_GAIN = 1e-3


@dataclass(frozen=True)
class Settings:
    """What decides the result. The first three and the range of the weights are the paper's.

    ``normalised``: weights that sum to more than 1 are divided by their sum, and the base has the
    rest; without, each is between 0 and 1 by itself, so the base's share may be negative.
    ``per_layer``: a weight for each expert in each layer. The search ends early when every spread
    is below ``tolerance``, or after ``patience`` generations without a better fitness; where every
    example is answered right, one more settles ties. ``prior`` is how many solved examples the
    first pass (strategy ``prototype``) counts for, where fitness is ``accuracy``; 0 as in the
    paper. ``batch`` is the most rows at once.
    """

    population: int = 32
    elite: float = 0.2
    generations: int = 100
    normalised: bool = True
    per_layer: bool = False
    fitness: str = "accuracy"
    patience: int = 3
    tolerance: float = 0.05
    prior: float = 2.0
    batch: int = 320
    seed: int = 0

    def __post_init__(self) -> None:
        if self.fitness not in FITNESS:
            raise T2Error(f"unknown fitness {self.fitness!r}: choose from {', '.join(FITNESS)}")
        for name, least in (("population", 4), ("generations", 1), ("patience", 1), ("batch", 1)):
            if getattr(self, name) < least:
                raise T2Error(f"{name} is {getattr(self, name)}: it must be at least {least}")
        if not 0 < self.elite <= 1:
            raise T2Error(f"elite is {self.elite}: it must be above 0 and at most 1")
        if not 0 <= self.prior < math.inf:
            raise T2Error(f"prior is {self.prior}: it must be a number of examples, 0 or more")
        if not 0 <= self.tolerance < 1:
            raise T2Error(f"tolerance is {self.tolerance}: it must be between 0 and 1")

    @property
    def elites(self) -> int:
        """How many candidates make the next distribution; a spread needs two."""
        return max(2, int(self.elite * self.population))


@dataclass(frozen=True)
class Found:
    """A mix and what it is worth.

    ``alpha`` has a row for each layer (one, where a weight counts for all) and a column for each of
    ``experts``; ``delta`` (R,) is the mix itself. ``likelihood`` is the mean log-probability of its
    right answers; None where it has none.
    """

    experts: tuple[str, ...]
    alpha: tuple[tuple[float, ...], ...]
    delta: Tensor = field(repr=False, compare=False)
    fitness: float
    likelihood: float | None

    @property
    def weights(self) -> dict[str, float]:
        """Mean weight of each expert over the layers; what is missing to 1 is the base's."""
        columns = zip(*self.alpha, strict=True)
        return {n: sum(c) / len(c) for n, c in zip(self.experts, columns, strict=True)}

    @property
    def parts(self) -> str:
        """The weights, for people: ``math 0.62, code 0.10, base 0.28``."""
        rest = 1 - sum(self.weights.values())
        shown = {**self.weights, "base": rest}
        return ", ".join(f"{n} {w:.2f}" for n, w in shown.items() if abs(w) >= 0.005)


@dataclass(frozen=True)
class Generation:
    """One generation: every candidate with its fitness, what became of the distribution.

    Weights are by expert, means over the layers. A fitness is None where the candidate was out
    before it had answered everything; ``elite_fitness`` is the mean of the best, which make the
    next distribution. ``found`` is the best mix so far; one that the first pass speaks against may
    be fitter, up to ``fittest``. ``why`` says why the search ends here, and is None while it goes
    on.
    """

    number: int
    limit: int
    mean: dict[str, float]
    spread: dict[str, float]
    population: tuple[dict[str, float], ...]
    fitnesses: tuple[float | None, ...]
    elite_fitness: float
    found: Found
    fittest: float
    why: str | None
    seconds: float

    @property
    def best_fitness(self) -> float:
        """Of the best candidate so far."""
        return self.found.fitness

    def to_dict(self) -> dict[str, Any]:
        """As JSON values, without the single candidates."""
        return {
            "generation": self.number,
            "mean": self.mean,
            "spread": self.spread,
            "fitness": {"best": self.best_fitness, "elite": self.elite_fitness},
            "weights": self.found.weights,
            "seconds": round(self.seconds, 2),
        }


def search(
    engine: Engine,
    shots: Shots,
    settings: Settings | None = None,
    experts: Sequence[str] | None = None,
) -> Iterator[Generation]:
    """Yield a record for each generation; the last one says why it is the last.

    ``experts`` are the names to mix (all that take part in a first pass by default); their vectors
    are read at the start, so one that is deleted meanwhile does no harm. Closing the iterator stops
    the search. Raises T2Error where there is no expert to mix, and where likelihood is to judge
    examples that have only tests.
    """
    settings = settings or Settings()
    if settings.fitness == "likelihood" and not all(p.steps.strip() for p in shots.shots):
        raise T2Error(
            f"{shots.task.name}: likelihood goes by given answers, and these examples have only "
            "tests; go by right answers (accuracy)"
        )
    chosen = _experts(engine, experts)
    return _generations(engine, shots, settings, chosen, engine.deltas(chosen.values()))


def notes(
    engine: Engine, settings: Settings, experts: Sequence[str] | None = None
) -> tuple[str, ...]:
    """Lines for people about a search to come: what of its settings cannot count.

    Raises T2Error where there is no expert to mix.
    """
    names = unknown(engine, _experts(engine, experts))
    if settings.fitness != "accuracy" or not settings.prior or not names:
        return ()
    listed = ", ".join(names)
    return (f"A first pass cannot name {listed}, so it does not count: the examples alone decide.",)


def unknown(engine: Engine, experts: Mapping[str, Expert]) -> list[str]:
    """Experts that no first pass can name: without example questions, saved mixes and the like.

    Where one of these is to be mixed, ``Settings.prior`` counts for nothing.
    """
    without = set(prototype.missing(engine))
    return [n for n, e in experts.items() if n in without or not labels.takes_part(e)]


def blocks(layout: DeltaLayout, per_layer: bool) -> list[slice]:
    """The parts of a flat vector that share their weights: all of it, or each layer."""
    if not per_layer:
        return [slice(0, layout.total)]
    found, start = [], 0
    for _, names in groupby(layout.names, key=lambda name: place(name)[0]):
        size = sum(layout.sizes[name] for name in names)
        found.append(slice(start, start + size))
        start += size
    return found


def _experts(engine: Engine, names: Sequence[str] | None) -> dict[str, Expert]:
    known = engine.library.experts()
    if names is None:
        names = [name for name, expert in known.items() if labels.takes_part(expert)]
    for name in names:
        if name not in known:
            raise T2Error(unknown_expert(name, known))
    if not names:
        raise T2Error("there are no experts to mix for this model: train or import one first")
    return {name: known[name] for name in names}


def _generations(
    engine: Engine, shots: Shots, settings: Settings, experts: dict[str, Expert], stacked: Tensor
) -> Iterator[Generation]:
    began = time.perf_counter()
    parts = blocks(engine.svf.layout, settings.per_layer)
    judge = _judge(engine, shots, settings, experts, stacked, parts)
    generator = torch.Generator().manual_seed(settings.seed % 2**63)
    names, shape = tuple(experts), (len(parts), len(experts))
    distribution = cem.begin(shape, 1 / len(experts))
    best: tuple[Score, Tensor] | None = None
    improved, fittest = 0, NEVER
    for number in range(1, settings.generations + 1):
        starts = _starts(shape) if best is None else best[1][None]
        drawn = cem.draw(distribution, settings.population, generator)
        drawn[: len(starts)] = starts[: settings.population]
        candidates = normalised(drawn) if settings.normalised else drawn
        scores = judge.scores(candidates)
        elite = sorted(scores, key=scores.__getitem__, reverse=True)[: settings.elites]
        first = scores[elite[0]]
        if best is None or first.worth > best[0].worth + LEAST_GAIN:
            improved = number
        if best is None or first > best[0]:
            best = first, candidates[elite[0]]
        fittest = max(fittest, *(score.fitness for score in scores.values()))
        distribution = cem.update(candidates[elite])
        why = _why(settings, number, improved, best[0].fitness, distribution)
        yield Generation(
            number,
            settings.generations,
            _by_name(names, distribution.mean),
            _by_name(names, distribution.spread),
            tuple(_by_name(names, candidate) for candidate in candidates),
            tuple(scores[i].fitness if i in scores else None for i in range(len(candidates))),
            mean([scores[i].fitness for i in elite]),
            _found(names, *best, judge.mixed(best[1][None])[0]),
            fittest,
            why,
            time.perf_counter() - began,
        )
        if why:
            return


def _judge(
    engine: Engine,
    shots: Shots,
    settings: Settings,
    experts: Mapping[str, Expert],
    stacked: Tensor,
    parts: Sequence[slice],
) -> Judge:
    given = (engine, shots, stacked, parts, settings.batch)
    if settings.fitness == "likelihood":
        return ByLikelihood(*given)
    return ByAccuracy(*given, _prior(engine, shots, settings, experts), settings.elites)


def _prior(
    engine: Engine, shots: Shots, settings: Settings, experts: Mapping[str, Expert]
) -> Tensor:
    """What each expert and, last, the base have before any example is answered (K + 1,).

    Their probability by a first pass, mean over the examples, in units of fitness. Zeros where it
    knows nothing of an expert: then it must not speak for the others. What it gives to experts that
    are not to be mixed is left out.
    """
    nothing = torch.zeros(len(experts) + 1)
    if not settings.prior or unknown(engine, experts):
        return nothing
    total: Counter[str] = Counter()
    for problem in shots.shots:
        total.update(prototype.choose(engine, problem.question).probabilities)
    means = torch.tensor([total[name] for name in (*experts, dispatch.OTHER)]) / len(shots.shots)
    return means * settings.prior / len(shots.shots)


def _starts(shape: tuple[int, int]) -> Tensor:
    """What the first generation tries besides random mixes: equal parts, the base, each expert.

    So the mix that is found is never worse on the examples than the best of these.
    """
    layers, experts = shape
    rows = torch.cat(
        [torch.full((1, experts), 1 / experts), torch.zeros(1, experts), torch.eye(experts)]
    )
    return rows[:, None].expand(-1, layers, -1)


def _why(
    settings: Settings, number: int, improved: int, best: float, distribution: cem.Distribution
) -> str | None:
    """The reason to end, if there is one."""
    if settings.fitness == "accuracy" and best == 1 and number > improved:
        return "every example is answered right"
    if distribution.spread.max() < settings.tolerance:
        return "the weights have settled"
    if number - improved >= settings.patience:
        return f"no better mix in the last {settings.patience} generations"
    if number == settings.generations:
        return f"all {number} generations are done"
    return None


def _by_name(names: Sequence[str], values: Tensor) -> dict[str, float]:
    """(L, K) as the mean over layers of each expert."""
    return {n: round(v, 6) for n, v in zip(names, values.mean(0).tolist(), strict=True)}


def _found(names: tuple[str, ...], score: Score, alpha: Tensor, delta: Tensor) -> Found:
    rows = tuple(tuple(row) for row in alpha.tolist())
    likelihood = None if score.likelihood == NEVER else score.likelihood
    return Found(names, rows, delta, score.fitness, likelihood)


def to_header(settings: Settings, found: Found) -> dict[str, Any]:
    """What the file of a saved mix says about the search."""
    return {
        "mix": {
            "experts": list(found.experts),
            "alpha": [[round(a, 6) for a in row] for row in found.alpha],
            "weights": {n: round(w, 6) for n, w in found.weights.items()},
            "fitness": found.fitness,
        },
        "settings": asdict(settings),
        "seed": settings.seed,
    }
