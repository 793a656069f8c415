"""Answering one request, whatever its route: from prompts to pieces of text.

Iterators that run the model, for threads; they know nothing of HTTP. Closing one stops the model.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from t2app import adapt
from t2app.adapt import two_pass
from t2app.adapt.result import Adaptation
from t2app.engine import Engine, Message, Prompt
from t2app.server.errors import Refused
from t2app.server.names import Choice

Finish = Literal["stop", "length"]


@dataclass(frozen=True)
class Sampling:
    """How answers are drawn; ``count`` of them for each prompt, ``most`` tokens each."""

    most: int
    temperature: float = 0.0
    top_p: float = 1.0
    count: int = 1
    seed: int | None = None
    stops: tuple[str, ...] = ()
    logprobs: bool = False


@dataclass(frozen=True)
class Begun:
    """The first pass is over and ``rows`` answers begin; ``prompt_tokens`` of all prompts."""

    adaptations: list[Adaptation]
    rows: int
    prompt_tokens: int
    timings: dict[str, float]

    @property
    def block(self) -> dict[str, Any]:
        """``t2`` of the answer: what was mixed and why, of the first prompt."""
        found = self.adaptations[0]
        return {
            "label": found.label,
            "probabilities": found.probabilities,
            "weights": found.weights,
            "strategy": found.strategy,
            "why": found.why,
            "timings": self.timings,
        }


@dataclass(frozen=True)
class Token:
    """A token that was said, and its log-probability at temperature 1."""

    text: str
    logprob: float


@dataclass(frozen=True)
class Piece:
    """More of answer ``row``; ``finish`` says why it ends here."""

    row: int
    text: str
    tokens: list[Token]
    finish: Finish | None = None


@dataclass(frozen=True)
class Ended:
    """All answers are whole."""

    completion_tokens: int
    timings: dict[str, float]


Event = Begun | Piece | Ended


def chat(
    engine: Engine, choice: Choice, messages: Sequence[Message], sampling: Sampling
) -> Iterator[Event]:
    """Answers to a conversation, in two passes; T2Error for what ``two_pass.begin`` refuses.

    Nothing is left out of a conversation that is too long: that is refused.
    """
    _check_length(engine, len(engine.chat.prompt_ids(messages)), "messages")
    begun = two_pass.begin(engine, messages, strategy=choice.strategy, weights=choice.weights)
    yield Begun([begun.adaptation], sampling.count, len(begun.prompt), begun.timings)
    prompts = [begun.prompt] * sampling.count
    yield from _decoded(engine, prompts, begun.delta, sampling, begun.timings, engine.text)


def plain(
    engine: Engine, choice: Choice, prompts: Sequence[Prompt], sampling: Sampling
) -> Iterator[Event]:
    """Continuations of texts as they are, without the chat format; ``auto`` chooses for each."""
    for prompt in prompts:
        _check_length(engine, len(prompt), "prompt")
    began = time.perf_counter()
    adaptations = [_mix_for(engine, choice, prompt) for prompt in prompts]
    timings = {"first_pass": time.perf_counter() - began}
    rows = [prompt for prompt in prompts for _ in range(sampling.count)]
    yield Begun(adaptations, len(rows), sum(map(len, prompts)), timings)
    deltas = [engine.delta(a.weights) for a in adaptations for _ in range(sampling.count)]
    yield from _decoded(engine, rows, _stacked(deltas), sampling, timings, _text_of(engine))


def _mix_for(engine: Engine, choice: Choice, prompt: Prompt) -> Adaptation:
    text = _text_of(engine)(prompt)
    return adapt.choose(engine, text, choice.strategy, weights=choice.weights)


def _stacked(deltas: Sequence[Tensor | None]) -> Tensor | None:
    """One mix (R,) where all are the same, else one a row (B, R)."""
    some = next((delta for delta in deltas if delta is not None), None)
    if some is None:
        return None
    rows = [torch.zeros_like(some) if delta is None else delta for delta in deltas]
    return some if all(torch.equal(row, some) for row in rows) else torch.stack(rows)


def _text_of(engine: Engine) -> Callable[[Sequence[int]], str]:
    return lambda ids: engine.tokenizer.decode(ids, skip_special_tokens=True)


def _check_length(engine: Engine, tokens: int, param: str) -> None:
    if tokens > engine.longest_prompt:
        raise Refused(
            f"{param}: {tokens:,} tokens, and {engine.base.name} reads at most "
            f"{engine.longest_prompt:,}: shorten it",
            param=param,
            code="context_length_exceeded",
        )


def _decoded(
    engine: Engine,
    prompts: Sequence[Prompt],
    delta: Tensor | None,
    sampling: Sampling,
    timings: dict[str, float],
    text: Callable[[Sequence[int]], str],
) -> Iterator[Event]:
    """The pieces of all answers, and their end; stops early where all have said a stop text."""
    began = time.perf_counter()
    tally: dict[int, float] | None = {} if sampling.logprobs else None
    rows = [Row(i, engine, text, sampling.stops) for i in range(len(prompts))]
    steps = engine.decode(
        prompts,
        delta,
        max_new_tokens=sampling.most,
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        seed=random.getrandbits(62) if sampling.seed is None else sampling.seed,
        tally=tally,
    )
    with closing(steps):
        for tokens in steps:
            for i, token in tokens.items():
                if rows[i].finish is None:
                    yield from rows[i].says(token, None if tally is None else tally[i])
            if all(row.finish for row in rows):
                break
    for row in rows:
        yield from row.ends()
    seconds = time.perf_counter() - began
    yield Ended(sum(len(row.ids) for row in rows), {**timings, "second_pass": seconds})


@dataclass
class Row:
    """One answer while it grows. ``says`` and ``ends`` give what may be shown of it."""

    number: int
    engine: Engine
    text: Callable[[Sequence[int]], str]
    stops: tuple[str, ...]
    ids: list[int] = field(default_factory=list)
    shown: str = ""
    finish: Finish | None = None
    sum: float = 0.0

    def says(self, token: int, tally: float | None) -> Iterator[Piece]:
        """One token more; ``tally`` is the sum of the log-probabilities so far."""
        self.ids.append(token)
        tokens = []
        if tally is not None:
            tokens = [Token(self.engine.tokenizer.decode([token]), tally - self.sum)]
            self.sum = tally
        whole = self.text(self.ids)
        cut = _cut(whole, self.stops)
        if cut is not None:
            self.finish = "stop"
            yield self._piece(whole[:cut], tokens)
        elif tokens or self._settled(whole) > len(self.shown):
            yield self._piece(whole[: self._settled(whole)], tokens)

    def ends(self) -> Iterator[Piece]:
        """What was held back, and why it ends; nothing where it has ended already."""
        if self.finish is None:
            finished = self.engine.completion(self.ids, None).finished
            self.finish = "stop" if finished else "length"
            yield self._piece(self.text(self.ids), [])

    def _piece(self, whole: str, tokens: list[Token]) -> Piece:
        more = whole[len(self.shown) :] if whole.startswith(self.shown) else ""
        self.shown += more
        return Piece(self.number, more, tokens, self.finish)

    def _settled(self, whole: str) -> int:
        """Up to where the text can no longer turn out to be a stop or the end of the turn."""
        whole = whole.rstrip("\ufffd")  # a character whose last bytes are still to come
        held = max((_overlap(whole, stop) for stop in self.stops), default=0)
        return max(0, len(whole) - max(held, self.engine.chat.longest_end))


def _cut(text: str, stops: Sequence[str]) -> int | None:
    """Where the first stop text begins; None without one."""
    found = [at for stop in stops if (at := text.find(stop)) >= 0]
    return min(found, default=None)


def _overlap(text: str, stop: str) -> int:
    """How many characters at the end of ``text`` may be the beginning of ``stop``."""
    longest = min(len(text), len(stop) - 1)
    return next((n for n in range(longest, 0, -1) if text.endswith(stop[:n])), 0)
