"""Decoding as callers see it: step by step for answers that are streamed, or as a whole."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from functools import partial
from typing import Any

from torch import Tensor

from t2app.engine import sizes
from t2app.engine.batch import Batch, Means
from t2app.engine.growing_text import GrowingText
from t2app.engine.remembered import name_of
from t2app.engine.requests import Completion, Prompt, Request, Stream
from t2app.engine.sampling import row_seeds
from t2app.engine.scheduler import Scheduler
from t2app.engine.turns import Turns
from t2app.errors import T2Error
from t2app.models import BaseModel
from t2app.models.chat import ChatFormat
from t2app.svf.hooks import SVF
from t2app.svf.merged import Execution

# Tokens that are scored in one pass, on a CPU and on a GPU. An answer in the chat waits for one
# pass of a training run at most, and on a CPU more tokens gain nothing.
TOKENS_AT_ONCE = (2048, 16384)


class Decoding:
    """The part of an engine that decodes; ``Engine`` sets what it works with."""

    base: BaseModel
    svf: SVF
    chat: ChatFormat
    ends: Collection[int]
    turns: Turns
    means: Means
    _schedulers: tuple[Scheduler, Scheduler]

    @property
    def execution(self) -> Execution:
        """How mixes are executed."""
        return self.means.execution

    def decode(
        self,
        prompts: Sequence[Prompt],
        delta: Tensor | None = None,
        *,
        max_new_tokens: int | Sequence[int] = 256,
        temperature: float = 0.0,
        top_p: float = 1.0,
        seed: int | Sequence[int] | None = None,
        tally: dict[int, float] | None = None,
    ) -> Iterator[dict[int, int]]:
        """Yield tokens as they come: ``{row: token}`` for every row that has its next one.

        Rows go on together; where there are more than fit at once, later ones begin later.
        ``delta`` is None, (R,) or (B, R), a mix for each row; so may ``max_new_tokens`` be, a
        number of 1 or more for each. Greedy at temperature 0; ``top_p`` draws among the likeliest
        tokens alone, as few as have that share of the probability. What a row draws depends on its
        own seed alone (one number stands for those that follow it), not on the rows beside it. All
        answers that are streamed are decoded in one batch. ``tally`` collects the sum of each row's
        log-probabilities, at temperature 1. Closing the generator stops at once. Raises T2Error
        where a prompt leaves no room or a mix does not fit the model.
        """
        drawn = {"temperature": temperature, "top_p": top_p, "likelihood": tally is not None}
        streams = self._streams(prompts, delta, max_new_tokens, seed, **drawn)
        scheduler = self._scheduler
        if self.turns.in_background:
            scheduler.run(self._batch(streams))
        else:
            if self.means.kind != "growing":
                for stream in streams:
                    stream.mix = name_of(stream.request.delta)
            scheduler.share(streams, lambda: self._batch([], shared=True))
        heard = dict.fromkeys(range(len(streams)), 0)  # tokens of each row that has not ended
        try:
            while heard:
                scheduler.until(partial(_any_has, [(streams[row], n) for row, n in heard.items()]))
                said = {
                    row: streams[row].token(n) for row, n in heard.items() if streams[row].has(n)
                }
                for row, token in said.items():
                    if token is None:
                        del heard[row]
                        continue
                    if tally is not None:
                        tally[row] = tally.get(row, 0.0) + streams[row].logprobs[heard[row]]
                    heard[row] += 1
                if found := {row: token for row, token in said.items() if token is not None}:
                    yield found
        finally:
            scheduler.leave(streams)

    def generate(
        self,
        prompts: Sequence[Prompt],
        delta: Tensor | None = None,
        *,
        max_new_tokens: int | Sequence[int] = 256,
        temperature: float = 0.0,
        seed: int | Sequence[int] | None = None,
        batch_size: int | None = None,
        likelihoods: bool = False,
    ) -> list[Completion]:
        """Complete every prompt, in a batch that nobody else shares.

        As many rows at once as memory allows, and ``batch_size`` at most; the next prompts join
        where rows have ended. A long prompt takes no room from the rows beside it. Raises as
        ``decode`` does.
        """
        drawn = {"temperature": temperature, "likelihood": likelihoods}
        streams = self._streams(prompts, delta, max_new_tokens, seed, **drawn)
        if not streams:
            return []
        # Like with like, the longest first: memory runs out early or not at all.
        by_length = sorted(streams, key=lambda stream: -len(stream.request.prompt))
        scheduler = self._scheduler
        scheduler.run(self._batch(by_length, batch_size))
        try:
            scheduler.until(lambda: all(s.done for s in streams) or any(s.error for s in streams))
        finally:
            scheduler.leave(streams)
        for stream in streams:
            stream.check()
        return [
            self.completion(stream.tokens, sum(stream.logprobs) if likelihoods else None)
            for stream in streams
        ]

    def _streams(
        self,
        prompts: Sequence[Prompt],
        delta: Tensor | None,
        limits: int | Sequence[int],
        seed: int | Sequence[int] | None,
        **options: Any,
    ) -> list[Stream]:
        """A stream for each prompt; T2Error for one that cannot be answered.

        ``options`` are those of ``Request`` that all have in common.
        """
        if delta is not None:
            delta = delta.detach()
            self.svf.layout.check(delta)
        one_mix = delta is None or delta.dim() == 1
        each = [limits] * len(prompts) if isinstance(limits, int) else limits
        seeds = row_seeds(seed, len(prompts))
        held = self.execution.effect(delta) if self.execution.choice == "merged" else None
        found = []
        for i, prompt in enumerate(prompts):
            room = self.base.context - len(prompt)
            if room < 1 or not prompt:
                raise T2Error(
                    f"a prompt has {len(prompt):,} tokens: {self.base.name} reads 1 to "
                    f"{self.base.context - 1:,}"
                )
            request = Request(
                prompt,
                delta if one_mix else delta[i],
                max(1, min(each[i], room)),
                self.ends,
                seed=seeds[i],
                **options,
            )
            stream = Stream(request, self.chat)
            stream.held = held
            found.append(stream)
        return found

    def _batch(
        self, streams: Sequence[Stream], most: int | None = None, *, shared: bool = False
    ) -> Batch:
        """A batch for these streams; one that is ``shared`` reads long prompts in short pieces."""
        longest = max(
            (len(stream.request.prompt) + stream.request.limit for stream in streams),
            default=self.base.context,
        )
        fit = sizes.rows_at_once(self.model, self.base.device, longest)
        cuda = self.base.device.type == "cuda"
        return Batch(
            self.means,
            streams,
            most=min(fit, most or fit),
            piece=(sizes.PIECE if shared else TOKENS_AT_ONCE)[cuda],
            patient=not shared,
        )

    @property
    def _scheduler(self) -> Scheduler:
        return self._schedulers[self.turns.in_background]

    def completion(self, ids: list[int], likelihood: float | None) -> Completion:
        """An answer of these tokens; ``likelihood`` is the sum of their log-probabilities."""
        finished = bool(ids) and (ids[-1] in self.ends or self.chat.says_end(ids))
        mean = None if likelihood is None or not ids else likelihood / len(ids)
        return Completion(ids, self.text(ids), finished, mean)

    def text(self, ids: Sequence[int]) -> str:
        """Tokens as a reader sees them: no special tokens, and no thought before the answer."""
        return self.chat.text(ids)

    def growing_text(self) -> GrowingText:
        """The same while an answer grows, token by token."""
        return GrowingText(self.chat, self.base.tokenizer)


def _any_has(wanted: Sequence[tuple[Stream, int]]) -> bool:
    """Whether some stream has its token of that number, or none will come."""
    return any(stream.has(number) for stream, number in wanted)
