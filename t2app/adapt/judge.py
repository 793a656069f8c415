"""What candidate mixes are worth on a few solved examples, a whole generation in few batches.

Every row of a batch has a mix of its own. Not covered: where candidates come from (``few_shot``),
and which of them need not answer everything (``race``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from t2app.adapt import drafts, race
from t2app.adapt.race import Cell
from t2app.adapt.shots import Shots
from t2app.engine import Engine, Prompt
from t2app.models import memory
from t2app.svf.mixing import mix
from t2app.tasks.judging import Answer, Said, judged

# A worse score than any: a candidate without a right answer has no likelihood to compare.
NEVER = -math.inf
# Fewer answers than this are not worth a pass of their own: 24 searches took 134, 144 and 170 s
# with 24, 48 and 96 on two cores. For a GPU the number was calculated, not measured.
ROWS_OF_A_ROUND = {"cpu": 32, "cuda": 160}
Key = bytes
T = TypeVar("T")


class Score(NamedTuple):
    """What a candidate is worth, compared from left to right.

    ``worth`` is its fitness with the first pass counted in; ``likelihood`` that of its right
    answers.
    """

    worth: float
    likelihood: float
    fitness: float


class Judge:
    """What both ways to judge have in common: the examples, and the mixes of candidates.

    ``stacked`` (K, R) are the experts, ``parts`` what of a vector shares its weights, ``rows`` the
    most at once; fewer where memory runs out.
    """

    def __init__(
        self, engine: Engine, shots: Shots, stacked: Tensor, parts: Sequence[slice], rows: int
    ) -> None:
        self._engine, self._task, self._problems = engine, shots.task, list(shots.shots)
        self._stacked, self._parts, self._rows = stacked, parts, rows
        self._prompts = [engine.prompt_ids(shots.task.messages(p)) for p in self._problems]
        self._golds = [engine.answer_ids(p.steps) for p in self._problems]

    def scores(self, candidates: Tensor) -> dict[int, Score]:
        """What ``candidates`` (P, L, K) are worth, by row; what is not there is out."""
        raise NotImplementedError

    def mixed(self, candidates: Tensor) -> Tensor:
        """One mix for each of ``candidates`` (P, L, K): (P, R)."""
        blocks = enumerate(self._parts)
        return torch.cat([mix(self._stacked[:, p], candidates[:, i]) for i, p in blocks], dim=1)

    def _fitting(self, work: Callable[[], T]) -> T:
        """The result of ``work``, with fewer rows at once where memory runs out."""
        while True:
            try:
                return work()
            except (MemoryError, RuntimeError) as error:
                if self._rows == 1 or not memory.ran_out(error):
                    raise
            # Outside the handler: there the traceback would still hold the tensors.
            self._rows = max(1, self._rows // 2)
            memory.release()


class ByAccuracy(Judge):
    """Fitness is the share of examples answered right; ties by the likelihood of right answers.

    ``prior`` (K + 1,) is what each expert and, last, the base is worth before any answer. Only what
    decides about the ``places`` best and the fittest is answered.
    """

    def __init__(
        self,
        engine: Engine,
        shots: Shots,
        stacked: Tensor,
        parts: Sequence[slice],
        rows: int,
        prior: Tensor,
        places: int,
    ) -> None:
        super().__init__(engine, shots, stacked, parts, rows)
        self._prior, self._places = prior, places
        self._round = ROWS_OF_A_ROUND.get(engine.base.device.type, ROWS_OF_A_ROUND["cuda"])
        # Score and likelihood of every answer: decoding is greedy, the same mix says the same.
        self._known: dict[tuple[Key, int], tuple[float, float]] = {}
        # Who has answered an example, and what: a candidate nearby often says the same.
        self._said: list[list[tuple[Tensor, Prompt]]] = [[] for _ in self._problems]

    def scores(self, candidates: Tensor) -> dict[int, Score]:
        """As of every judge; at least the ``places`` best are there."""
        keys, mixes, before = _keys(candidates), self.mixed(candidates), self._before(candidates)
        while cells := race.to_answer(
            before, self._right(keys), self._places, self._hardest(), self._round
        ):
            self._answer(candidates, keys, mixes, cells)
        scores = map(self._score, keys, before.tolist())
        return {i: score for i, score in enumerate(scores) if score is not None}

    def _before(self, candidates: Tensor) -> Tensor:
        """(P,): as parts of one whole, so that weights that are free do not count twice."""
        shares = normalised(candidates).mean(1)
        whole = torch.cat([shares, 1 - shares.sum(1, keepdim=True)], dim=1)
        return (whole @ self._prior).double()

    def _right(self, keys: Sequence[Key]) -> Tensor:
        """Scores that are known: (P, n), nan where there is no answer."""
        nothing = (math.nan, NEVER)
        shots = range(len(self._problems))
        rows = [[self._known.get((key, j), nothing)[0] for j in shots] for key in keys]
        return torch.tensor(rows, dtype=torch.float64)

    def _hardest(self) -> list[int]:
        """Examples, the hardest first: by what every candidate so far made of them."""
        seen = list(dict.fromkeys(key for key, _ in self._known))
        return race.order(self._right(seen)) if seen else list(range(len(self._problems)))

    def _answer(
        self, candidates: Tensor, keys: Sequence[Key], mixes: Tensor, cells: Sequence[Cell]
    ) -> None:
        """Candidates answer examples, those drawn twice once."""
        distinct = {(keys[i], j): (i, j) for i, j in cells}
        cells = list(distinct.values())
        expected = [self._expected(candidates[i], j) for i, j in cells]
        done = self._fitting(
            lambda: drafts.generate(
                self._engine,
                [self._prompts[j] for _, j in cells],
                expected,
                mixes[[i for i, _ in cells]],
                max_new_tokens=self._task.max_new_tokens,
                batch_size=self._rows,
            )
        )
        right = self._judged([j for _, j in cells], done)
        for place, (i, j), score, said in zip(distinct, cells, right, done, strict=True):
            self._known[place] = score, said.likelihood or 0.0
            self._said[j].append((candidates[i], said.token_ids))

    def _expected(self, candidate: Tensor, shot: int) -> Prompt:
        """What a candidate will probably say: as the nearest that has answered; at first, right."""
        if not self._said[shot]:
            return self._golds[shot]
        others, answers = zip(*self._said[shot], strict=True)
        distances = (torch.stack(others) - candidate).abs().sum((1, 2))
        return answers[int(distances.argmin())]

    def _judged(self, shots: Sequence[int], answers: Sequence[Said]) -> list[float]:
        """Scores of the answers; many candidates say the same, which is judged once."""
        said = [(j, Answer(a.text, a.finished)) for j, a in zip(shots, answers, strict=True)]
        once = list(dict.fromkeys(said))
        found = judged(self._task, [self._problems[j] for j, _ in once], [a for _, a in once])
        score = dict(zip(once, found, strict=True))
        return [score[one] for one in said]

    def _score(self, key: Key, before: float) -> Score | None:
        answers = [self._known.get((key, j)) for j in range(len(self._problems))]
        if None in answers:
            return None
        fitness = mean([score for score, _ in answers])
        likelihood = mean([likely for score, likely in answers if score > 0])
        return Score(fitness + before, likelihood, fitness)


class ByLikelihood(Judge):
    """Fitness is the mean log-probability of the tokens of the given answers, over the examples."""

    def __init__(
        self, engine: Engine, shots: Shots, stacked: Tensor, parts: Sequence[slice], rows: int
    ) -> None:
        super().__init__(engine, shots, stacked, parts, rows)
        self._known: dict[Key, Score] = {}

    def scores(self, candidates: Tensor) -> dict[int, Score]:
        """As of every judge; none is out."""
        keys = _keys(candidates)
        new = {key: i for i, key in enumerate(keys) if key not in self._known}
        if new:
            mixes = self.mixed(candidates[list(new.values())])
            found = self._fitting(lambda: self._likelihoods(mixes))
            self._known.update((k, Score(f, f, f)) for k, f in zip(new, found, strict=True))
        return {i: self._known[key] for i, key in enumerate(keys)}

    @torch.no_grad()
    def _likelihoods(self, mixes: Tensor) -> list[float]:
        n = len(self._problems)
        rows = [(mix, shot) for mix in range(len(mixes)) for shot in range(n)]
        prompts = [self._prompts[shot] for _, shot in rows]
        golds = [self._golds[shot] for _, shot in rows]
        means = [0.0] * len(rows)
        for part in self._engine.scoring_batches(
            prompts, golds, most_rows=self._rows, one_mix=False
        ):
            values, counted = self._engine.logprobs(
                [prompts[i] for i in part],
                [golds[i] for i in part],
                mixes[[rows[i][0] for i in part]],
            )
            for i, total, count in zip(
                part, values.sum(1).tolist(), counted.sum(1).tolist(), strict=True
            ):
                means[i] = total / count
        return [mean(means[i * n : (i + 1) * n]) for i in range(len(mixes))]


def normalised(alpha: Tensor) -> Tensor:
    """Weights of each layer that sum to more than 1, divided by their sum."""
    return alpha / alpha.sum(-1, keepdim=True).clamp(min=1)


def mean(values: Sequence[float]) -> float:
    """The mean; ``NEVER`` of nothing."""
    return sum(values) / len(values) if values else NEVER


def _keys(candidates: Tensor) -> list[Key]:
    return [candidate.numpy().tobytes() for candidate in candidates]
