"""What an expert does to questions that are not its own, when it alone is always on.

It is put to the questions that the other experts of the model keep and to general ones that belong
to nobody. Two figures for each group: the share of greedy answers that are the base's, and the KL
divergence of expert from base for each token of the base's own answers. The first is what people
see, but a small change of the numbers can turn a greedy answer; the second tells how large the
change is. Not covered: whether a changed answer is worse, as nobody has said what is right there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from t2app.adapt import prototype
from t2app.adapt.labels import takes_part
from t2app.config import cache_dir
from t2app.engine import Engine, Prompt
from t2app.errors import T2Error
from t2app.evaluation.memo import Memo
from t2app.evaluation.stats import interval_of_mean, wilson
from t2app.scoring import BASE
from t2app.svf.expert import Expert
from t2app.tasks.rewards import normalise
from t2app.tasks.text import short

Verdict = Literal["leaves alone", "changes some", "harms"]
Watch = Callable[[int, int], None]

GENERAL = "general questions"
# New tokens of an answer: enough to tell two answers apart, and what two cores can afford.
TOKENS = 48
# Questions of other experts: of each, and of all together.
OF_EACH, OF_ALL = 32, 128
# Questions that are answered at a time: small enough to stop between.
CHUNK = 25
EXAMPLES = 3
VERSION = 1


class Stopped(Exception):
    """Stop was asked for before all was answered."""


@dataclass(frozen=True)
class Group:
    """What an expert does to ``n`` questions that belong together.

    ``same`` is the share of greedy answers that are the base's, ``kl`` the mean over questions of
    KL(expert || base) for each token of the base's answer, in nats; both with 95 % intervals.
    ``changed`` shows a few answers that changed most: ``question``, ``base``, ``expert``.
    """

    name: str
    n: int
    same: float
    same_ci95: tuple[float, float]
    kl: float
    kl_ci95: tuple[float, float]
    changed: tuple[dict[str, str], ...] = ()


# -- the questions -------------------------------------------------------------------------------


def questions_for(engine: Engine, expert: Expert) -> dict[str, list[str]]:
    """Questions that are none of the expert's, by group: those of other experts, general ones.

    Experts on the same rows, those that sort questions and saved mixes are no others.
    """
    others = {
        name: prototype.examples(other)
        for name, other in engine.library.experts().items()
        if name != expert.name and takes_part(other) and not _same_rows(expert, other)
    }
    others = {name: asked for name, asked in others.items() if asked}
    each = min(OF_EACH, OF_ALL // max(1, len(others)))
    return {**{name: asked[: max(1, each)] for name, asked in others.items()}, GENERAL: general()}


def general() -> list[str]:
    """Hand-written questions of all kinds, which belong to no expert."""
    with prototype.GENERAL.open(encoding="utf-8") as lines:
        return [json.loads(line)["question"] for line in lines]


def _same_rows(one: Expert, other: Expert) -> bool:
    """Whether two experts were trained on the same questions, as far as their files tell."""
    sources = [expert.header.get("dataset_sha256") for expert in (one, other)]
    mine, theirs = (set(prototype.examples(expert)) for expert in (one, other))
    return (bool(sources[0]) and sources[0] == sources[1]) or bool(mine & theirs)


# -- measuring -----------------------------------------------------------------------------------


def measure(
    engine: Engine,
    delta: Tensor,
    questions: Mapping[str, Sequence[str]],
    *,
    watch: Watch = lambda done, total: None,
    stop: Callable[[], bool] = lambda: False,
) -> list[Group]:
    """Put the mix ``delta`` (R,) to each group of questions.

    ``watch(done, total)`` counts questions. Raises ``Stopped`` where ``stop`` says so in between.
    """
    prompts = {name: _prompts(engine, asked) for name, asked in questions.items()}
    total, done = sum(map(len, prompts.values())), 0
    found = []
    for name, asked in prompts.items():
        rows: list[_Row] = []
        for start in range(0, len(asked), CHUNK):
            if stop():
                raise Stopped
            watch(done + start, total)
            rows += _answered(engine, delta, asked[start : start + CHUNK])
        done += len(asked)
        if rows:
            found.append(_group(name, rows))
    watch(total, total)
    return found


@dataclass(frozen=True)
class _Row:
    question: str
    base: str
    expert: str
    kl: float

    @property
    def same(self) -> bool:
        return normalise(self.base) == normalise(self.expert)


def _prompts(engine: Engine, questions: Sequence[str]) -> list[tuple[str, Prompt]]:
    """Each question with its token ids; those that the model has no room for are left out."""
    found = []
    for question in questions:
        try:
            found.append((question, engine.prompt_ids([{"role": "user", "content": question}])))
        except T2Error:
            continue
    return found


def _answered(engine: Engine, delta: Tensor, asked: Sequence[tuple[str, Prompt]]) -> list[_Row]:
    prompts = [ids for _, ids in asked]
    base = _of_base(engine, prompts)
    agreed, kl = _compared(engine, delta, prompts, base)
    said = _of_expert(engine, delta, prompts, base, agreed)
    return [
        _Row(question, engine.text(base[i]), engine.text(said[i]), kl[i])
        for i, (question, _) in enumerate(asked)
    ]


def _of_base(engine: Engine, prompts: Sequence[Prompt]) -> list[list[int]]:
    """The base's greedy answers, kept on disk: they are the same for every expert."""
    base = engine.base
    decides = [VERSION, base.base, base.precision, str(base.device.type), TOKENS, list(prompts)]
    return Memo(cache_dir() / "harm").get(
        decides,
        lambda: [c.token_ids for c in engine.generate(prompts, max_new_tokens=TOKENS)],
    )


@torch.no_grad()
def _compared(
    engine: Engine, delta: Tensor, prompts: Sequence[Prompt], base: Sequence[Prompt]
) -> tuple[list[int], list[float]]:
    """How many tokens of each base answer the expert would say too; the mean KL of its tokens."""
    agreed, kl = [0] * len(prompts), [0.0] * len(prompts)
    for part in engine.scoring_batches(prompts, base):
        rows = [prompts[i] for i in part], [base[i] for i in part]
        scores = engine.score(*rows, delta, reference=BASE)
        same = ((scores.top | ~scores.mask).cumprod(-1).bool() & scores.mask).sum(1).tolist()
        means = (scores.kl.sum(1) / scores.mask.sum(1).clamp(min=1)).clamp(min=0).tolist()
        for i, count, mean in zip(part, same, means, strict=True):
            agreed[i], kl[i] = count, mean
    return agreed, kl


def _of_expert(
    engine: Engine,
    delta: Tensor,
    prompts: Sequence[Prompt],
    base: Sequence[Prompt],
    agreed: Sequence[int],
) -> list[list[int]]:
    """The expert's greedy answers: only what comes after it first departs is decoded."""
    said = [list(ids) for ids in base]
    other = [i for i, count in enumerate(agreed) if count < len(base[i])]
    heads = {i: list(base[i][: agreed[i]]) for i in other}
    tails = engine.generate(
        [[*prompts[i], *heads[i]] for i in other],
        delta,
        max_new_tokens=[TOKENS - agreed[i] for i in other],
    )
    for i, tail in zip(other, tails, strict=True):
        said[i] = [*heads[i], *tail.token_ids]
    return said


def _group(name: str, rows: Sequence[_Row]) -> Group:
    same = sum(row.same for row in rows)
    low, high = wilson(same, len(rows))
    kl, kl_low, kl_high = interval_of_mean([row.kl for row in rows])
    changed = sorted((row for row in rows if not row.same), key=lambda row: -row.kl)[:EXAMPLES]
    return Group(
        name,
        len(rows),
        round(same / len(rows), 4),
        (round(low, 4), round(high, 4)),
        round(kl, 4),
        (round(max(0.0, kl_low), 4), round(kl_high, 4)),
        tuple(
            {"question": short(r.question), "base": short(r.base), "expert": short(r.expert)}
            for r in changed
        ),
    )
