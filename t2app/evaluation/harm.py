"""What an expert does to questions that are not its own, when it alone is always on.

It is put to the questions that the other experts of the model keep and to general ones that belong
to nobody. Two figures for each group: the share of greedy answers that are the base's, and the KL
divergence of expert from base for each token of the base's own answers. The first is what people
see, but a small change of the numbers can turn a greedy answer; the second tells how large the
change is. An answer that another expert would give to its own question is no change: two
experts may know the same. Not covered: whether a changed answer is worse, as nobody has said what
is right there.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from t2app.adapt import kept
from t2app.adapt.labels import takes_part
from t2app.config import cache_dir
from t2app.engine import Completion, Engine, Prompt
from t2app.engine.scoring import BASE
from t2app.errors import T2Error
from t2app.evaluation.memo import Memo
from t2app.evaluation.stats import interval_of_mean, wilson
from t2app.svf.expert import Expert
from t2app.tasks.rewards import normalise

Verdict = Literal["leaves alone", "unclear", "harms"]
Watch = Callable[[int, int], None]

GENERAL = "general questions"
# New tokens of an answer: enough to tell two answers apart, and what two cores can afford.
TOKENS = 32
# Tokens that are decoded behind the place where an answer departs from the base's, to see whether
# the text does so too. Few: on two cores, decoding costs more than everything else.
LOOK_AHEAD = 5
# What a changed answer may go with (see docs/LOG.md). Up to this many nats a token the two models
# are nearly the same, and greedy answers differ where the base was undecided.
MOST_KL = 0.1
# The share of answers below which a large KL does harm: where they stay, nobody sees a difference.
LEAST_SAME = 0.9
# Questions of other experts: of each, and of all together.
OF_EACH, OF_ALL = 32, 128
# Questions that are answered at a time: small enough to stop between.
CHUNK = 50
# Changed answers that are kept for people to see, and the longest text among them.
EXAMPLES, LONGEST = 3, 160
# Groups that are named in words.
MOST_NAMED = 3
VERSION = 1
HEADS = {
    "leaves alone": "Leaves other questions alone",
    "unclear": "Not clear whether it leaves other questions alone",
    "harms": "Harms other questions where it is always on",
}


class Stopped(Exception):
    """Stop was asked for before all was answered."""


@dataclass(frozen=True)
class Group:
    """What an expert does to ``n`` questions that belong together.

    ``same`` is the share of greedy answers that are the base's, ``kl`` the mean over questions of
    KL(expert || base) for each token of the base's answer, in nats; both with 95 % intervals.
    ``theirs`` counts the answers that are those of the expert whose questions these are; they count
    as the same, with a KL of 0. It is looked for only where the group would not be left alone.
    ``changed`` shows a few answers that changed most: ``question``, ``base``, ``expert``.
    """

    name: str
    n: int
    same: float
    same_ci95: tuple[float, float]
    kl: float
    kl_ci95: tuple[float, float]
    changed: tuple[dict[str, str], ...] = ()
    theirs: int = 0

    @property
    def verdict(self) -> Verdict:
        """Both figures must say, with the whole of their intervals, that the group is harmed.

        It is left alone where either of them says so.
        """
        if self.kl_ci95[0] > MOST_KL and self.same_ci95[1] < LEAST_SAME:
            return "harms"
        if self.kl_ci95[1] <= MOST_KL or self.same_ci95[0] >= LEAST_SAME:
            return "leaves alone"
        return "unclear"

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        values = asdict(self)
        pairs = {key: list(values[key]) for key in ("same_ci95", "kl_ci95", "changed")}
        return {**values, **pairs, "verdict": self.verdict}

    def words(self) -> str:
        """``general questions: 2 of 100 answers stay the base's (95 % interval 1 to 7 %), ...``."""
        low, high = (f"{100 * share:.0f}" for share in self.same_ci95)
        theirs = f" or are those of {self.name}" if self.theirs else ""
        same = f"{round(self.same * self.n)} of {self.n} answers stay the base's{theirs}"
        far = f"KL {self.kl:.3f} nats a token ({self.kl_ci95[0]:.3f} to {self.kl_ci95[1]:.3f})"
        return f"{self.name}: {same} (95 % interval {low} to {high} %), {far}"


def check(
    engine: Engine,
    expert: Expert,
    *,
    watch: Watch = lambda done, total: None,
    stop: Callable[[], bool] = lambda: False,
) -> dict[str, Any]:
    """Put an expert, alone, to questions that are not its own; the finding as JSON values.

    ``verdict``, ``words`` and ``groups``. Raises ``Stopped`` where ``stop`` says so in between.
    """
    began = time.perf_counter()
    delta = expert.delta(engine.svf.layout.names).to(engine.base.device)
    groups = []
    if delta.any():
        questions, others = questions_for(engine, expert), engine.library.experts()
        groups = measure(engine, delta, questions, others, watch=watch, stop=stop)
    verdicts = {group.verdict for group in groups}
    verdict = next((v for v in ("harms", "unclear") if v in verdicts), "leaves alone")
    return {
        "checked": True,
        "verdict": verdict,
        "words": _words(verdict, groups),
        "groups": [group.to_dict() for group in groups],
        "tokens": TOKENS,
        "seconds": round(time.perf_counter() - began, 1),
    }


def unchecked(why: str) -> dict[str, Any]:
    """What stands where ``check`` was not made, or not to its end."""
    return {"checked": False, "why": why, "words": f"Other questions were not checked: {why}."}


def harms(header: Mapping[str, Any]) -> bool:
    """Whether an expert was found to harm other questions; anybody may have written its header."""
    found = header.get("harm")
    return isinstance(found, dict) and found.get("verdict") == "harms"


def _words(verdict: Verdict, groups: Sequence[Group]) -> str:
    if not groups:
        return f"{HEADS[verdict]}: it is the base, unchanged."
    shown = [group for group in groups if verdict == "leaves alone" or group.verdict == verdict]
    said = [group.words() for group in shown[:MOST_NAMED]]
    if len(shown) > MOST_NAMED:
        said.append(f"and {len(shown) - MOST_NAMED} more")
    return f"{HEADS[verdict]}: {'; '.join(said)}."


# -- the questions -------------------------------------------------------------------------------


def questions_for(engine: Engine, expert: Expert) -> dict[str, list[str]]:
    """Questions that are none of the expert's, by group: those of other experts, general ones.

    Experts on the same rows, those that sort questions and saved mixes are no others.
    """
    others = {
        name: kept.examples(other)
        for name, other in engine.library.experts().items()
        if name != expert.name and takes_part(other) and not _same_rows(expert, other)
    }
    others = {name: asked for name, asked in others.items() if asked}
    each = min(OF_EACH, OF_ALL // max(1, len(others)))
    return {GENERAL: general(), **{name: asked[: max(1, each)] for name, asked in others.items()}}


def general() -> list[str]:
    """Hand-written questions of all kinds, which belong to no expert."""
    with kept.GENERAL.open(encoding="utf-8") as lines:
        return [json.loads(line)["question"] for line in lines]


def _same_rows(one: Expert, other: Expert) -> bool:
    """Whether two experts were trained on the same questions, as far as their files tell."""
    sources = [expert.header.get("dataset_sha256") for expert in (one, other)]
    mine, theirs = (set(kept.examples(expert)) for expert in (one, other))
    return (bool(sources[0]) and sources[0] == sources[1]) or bool(mine & theirs)


# -- measuring -----------------------------------------------------------------------------------


def measure(
    engine: Engine,
    delta: Tensor,
    questions: Mapping[str, Sequence[str]],
    others: Mapping[str, Expert] | None = None,
    *,
    watch: Watch = lambda done, total: None,
    stop: Callable[[], bool] = lambda: False,
) -> list[Group]:
    """Put the mix ``delta`` (R,) to each group of questions.

    ``others`` has the expert of each group that is one's. ``watch(done, total)`` counts questions.
    Raises ``Stopped`` where ``stop`` says so in between.
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
        if not rows:
            continue
        group, other = _group(engine, delta, name, rows), (others or {}).get(name)
        if other is not None and group.verdict != "leaves alone":
            group = _group(engine, delta, name, _as_theirs(engine, delta, other, rows))
        found.append(group)
    watch(total, total)
    return found


@dataclass(frozen=True)
class _Row:
    """A question, the base's answer to it, and what the expert makes of that."""

    question: str
    prompt: Prompt
    base: list[int]
    agreed: int
    kl: float
    same: bool
    theirs: bool = False


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
    base = _greedy(engine, prompts)
    agreed, kl = _compared(engine, delta, prompts, base)
    same = _same(engine, delta, prompts, base, agreed)
    rows = zip(asked, base, agreed, kl, same, strict=True)
    return [_Row(question, ids, *values) for (question, ids), *values in rows]


def _as_theirs(engine: Engine, delta: Tensor, other: Expert, rows: Sequence[_Row]) -> list[_Row]:
    """The rows, those marked that are answered as the expert does whose questions they are."""
    prompts = [row.prompt for row in rows]
    theirs = _greedy(engine, prompts, other)
    agreed = [count for count, _ in engine.agreed(prompts, theirs, delta)]
    same = _same(engine, delta, prompts, theirs, agreed)
    return [
        replace(row, theirs=True, kl=0.0) if found and not row.same else row
        for row, found in zip(rows, same, strict=True)
    ]


def _greedy(
    engine: Engine, prompts: Sequence[Prompt], expert: Expert | None = None
) -> list[list[int]]:
    """Greedy answers of the base or of an expert, kept on disk: they are asked for often."""
    base, delta, version = engine.base, None, ""
    if expert is not None:
        delta = engine.deltas([expert])[0]
        version = hashlib.sha256(delta.cpu().numpy().tobytes()).hexdigest()
    decides = [VERSION, base.base, base.precision, str(base.device.type), TOKENS, version]
    return Memo(cache_dir() / "harm").get(
        [*decides, list(prompts)],
        lambda: [c.token_ids for c in engine.generate(prompts, delta, max_new_tokens=TOKENS)],
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


def _same(
    engine: Engine,
    delta: Tensor,
    prompts: Sequence[Prompt],
    base: Sequence[Prompt],
    agreed: Sequence[int],
) -> list[bool]:
    """Whether the expert's greedy answers read like the base's.

    An answer is decoded on where its tokens depart, first for a few tokens; only one whose text
    does not depart by then is decoded to its end.
    """
    same = [count == len(ids) for count, ids in zip(agreed, base, strict=True)]
    open_ = [i for i, found in enumerate(same) if not found]
    for most in (LOOK_AHEAD, TOKENS):
        said = _said(engine, delta, [(prompts[i], base[i], agreed[i]) for i in open_], most)
        still = []
        for i, answer in zip(open_, said, strict=True):
            wanted, text = normalise(engine.text(base[i])), normalise(answer.text)
            ended = answer.finished or most == TOKENS
            same[i] = ended and text == wanted
            if not ended and wanted.startswith(text):
                still.append(i)
        open_ = still
    return same


def _said(
    engine: Engine, delta: Tensor, rows: Sequence[tuple[Prompt, Prompt, int]], most: int
) -> list[Completion]:
    """Greedy answers to (prompt, base's answer, tokens of it that the expert would say too).

    At most ``most`` tokens are decoded behind those, and the answer gets no longer than ``TOKENS``.
    """
    tails = engine.generate(
        [[*prompt, *base[:agreed]] for prompt, base, agreed in rows],
        delta,
        max_new_tokens=[max(1, min(most, TOKENS - agreed)) for _, _, agreed in rows],
    )
    return [
        engine.completion([*base[:agreed], *tail.token_ids], None)
        for (_, base, agreed), tail in zip(rows, tails, strict=True)
    ]


def _group(engine: Engine, delta: Tensor, name: str, rows: Sequence[_Row]) -> Group:
    same = sum(row.same or row.theirs for row in rows)
    low, high = wilson(same, len(rows))
    kl, kl_low, kl_high = interval_of_mean([row.kl for row in rows])
    other = (row for row in rows if not row.same and not row.theirs)
    most = sorted(other, key=lambda row: -row.kl)[:EXAMPLES]
    said = _said(engine, delta, [(row.prompt, row.base, row.agreed) for row in most], TOKENS)
    changed = [
        {"question": row.question, "base": engine.text(row.base), "expert": answer.text}
        for row, answer in zip(most, said, strict=True)
    ]
    return Group(
        name,
        len(rows),
        round(same / len(rows), 4),
        (round(low, 4), round(high, 4)),
        round(kl, 4),
        (round(max(0.0, kl_low), 4), round(kl_high, 4)),
        tuple({key: _cut(text) for key, text in row.items()} for row in changed),
        sum(row.theirs for row in rows),
    )


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
