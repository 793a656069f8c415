"""Two passes: choose a mix for the question, then answer with it in effect (paper, figure 1)."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from t2app import adapt
from t2app.adapt.result import Adaptation
from t2app.engine import Engine, Message, Prompt
from t2app.errors import T2Error
from t2app.tasks.closed import in_front

DEFAULT_LENGTH = 256
# An expert with more than this share of the mix decides how a question is asked.
MOST = 0.5


@dataclass(frozen=True)
class Answer:
    """An answer while it grows; ``base_text`` only where the base answers beside it."""

    text: str = ""
    base_text: str | None = None
    adaptation: Adaptation | None = None
    timings: dict[str, float] = field(default_factory=dict)
    tokens: int = 0
    done: bool = False

    @property
    def tokens_per_second(self) -> float:
        """Tokens of this answer for each second of the second pass; 0 before there are any."""
        seconds = self.timings.get("second_pass", 0.0)
        return self.tokens / seconds if seconds else 0.0


@dataclass(frozen=True)
class Begun:
    """A question after its first pass: what is left is to decode ``prompt`` under ``delta`` (R,).

    ``delta`` is None where the base answers; ``timings`` are ``first_pass`` and ``switch``.
    """

    prompt: Prompt
    adaptation: Adaptation
    delta: Tensor | None
    timings: dict[str, float]


def begin(
    engine: Engine,
    messages: Sequence[Message],
    *,
    strategy: str = adapt.DEFAULT,
    weights: Mapping[str, float] | None = None,
    generate_label: bool = False,
    mix: str | None = None,
    room: int = 0,
) -> Begun:
    """The first pass, which looks at the last message alone, and the prompt of the second.

    An expert that was told in training what to choose from is told here as well. With ``room``, a
    number of tokens to keep free for the answer, the oldest exchanges of a conversation that is too
    long are left out. Raises T2Error for a question that is empty or too long, and what
    ``adapt.choose`` raises.
    """
    question = messages[-1]["content"] if messages else ""
    if not question.strip():
        raise T2Error("the question is empty: write one")
    # Too long is said before the first pass takes its time.
    prompt = _prompt(engine, messages, room)
    adaptation = adapt.choose(
        engine, question, strategy, weights=weights, generate=generate_label, mix=mix
    )
    if told := _told(engine, adaptation.weights):
        adaptation = replace(adaptation, told=told)
        asked = {**messages[-1], "content": in_front(told, question)}
        prompt = _prompt(engine, [*messages[:-1], asked], room)
    began = time.perf_counter()
    delta = engine.delta(adaptation.weights)
    switch = time.perf_counter() - began
    return Begun(prompt, adaptation, delta, {"first_pass": adaptation.seconds, "switch": switch})


def stream(
    engine: Engine,
    messages: Sequence[Message],
    *,
    strategy: str = adapt.DEFAULT,
    weights: Mapping[str, float] | None = None,
    generate_label: bool = False,
    mix: str | None = None,
    compare: bool = False,
    temperature: float = 0.0,
    max_new_tokens: int = DEFAULT_LENGTH,
    seed: int | None = None,
) -> Iterator[Answer]:
    """Yield snapshots: one after the first pass, then the growing text, at last ``done``.

    The first pass is that of ``begin``. With ``compare``, base and mix answer in one batch, a row
    each, and read the same. Closing the iterator stops the model at once. Raises what ``begin``
    raises.
    """
    begun = begin(
        engine,
        messages,
        strategy=strategy,
        weights=weights,
        generate_label=generate_label,
        mix=mix,
        room=max_new_tokens,
    )
    prompt, delta = begun.prompt, begun.delta
    timings = {**begun.timings, "second_pass": 0.0}
    answer = Answer(base_text="" if compare else None, adaptation=begun.adaptation, timings=timings)
    yield answer
    # With nothing mixed the base says both: there is one answer to decode.
    prompts = [prompt, prompt] if compare and delta is not None else [prompt]
    if len(prompts) == 2:
        delta = torch.stack([delta, torch.zeros_like(delta)])
    # Both rows draw alike, so that luck makes no difference between them.
    seeds = [random.getrandbits(62) if seed is None else seed] * len(prompts)
    said: list[list[int]] = [[] for _ in prompts]
    growing = [engine.growing_text() for _ in prompts]
    began = time.perf_counter()
    for tokens in engine.decode(
        prompts, delta, max_new_tokens=max_new_tokens, temperature=temperature, seed=seeds
    ):
        for row, token in tokens.items():
            said[row].append(token)
            growing[row].add(token)
        seconds = time.perf_counter() - began
        texts = [text.text for text in growing]
        answer = replace(
            answer,
            text=texts[0],
            base_text=texts[-1] if compare else None,
            tokens=len(said[0]),
            timings={**timings, "second_pass": seconds},
        )
        yield answer
    texts = [engine.text(ids) for ids in said]
    yield replace(answer, text=texts[0], base_text=texts[-1] if compare else None, done=True)


def ask(engine: Engine, question: str, **options: object) -> Answer:
    """The whole answer to one question; options are those of ``stream``."""
    *_, last = stream(engine, [{"role": "user", "content": question}], **options)
    return last


def _told(engine: Engine, weights: Mapping[str, float]) -> str:
    """What the expert with most of the weight was told in training, such as its labels."""
    name = max(weights, key=weights.__getitem__, default=None)
    if name is None or weights[name] <= MOST:
        return ""
    told = engine.library.get(name).header.get("told")
    return told if isinstance(told, str) else ""


def _prompt(engine: Engine, messages: Sequence[Message], room: int) -> Prompt:
    """The prompt; with ``room`` for an answer the oldest exchanges of a long one are left out."""
    kept = list(messages)
    longest = engine.base.context - min(room, engine.base.context // 2)
    while room and len(kept) > 1:
        try:
            ids = engine.prompt_ids(kept)
        except T2Error:
            ids = None
        if ids is not None and len(ids) <= longest:
            return ids
        del kept[0]
        while len(kept) > 1 and kept[0]["role"] != "user":
            del kept[0]
    return engine.prompt_ids(kept)
