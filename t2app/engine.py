"""The only thing that runs the model: prompts in, tokens, probabilities and hidden states out.

A mix of experts is an argument of every call and in effect for single forward passes only, so any
number of threads may ask at once. ``decode`` is a loop of its own instead of ``generate``: a
generator stops at once when it is closed, without a thread, gives each row its own mix, and drops
the rows that have ended. Not covered: how a mix is chosen (``adapt``), what is asked (``tasks``).
"""

from __future__ import annotations

import copy
import hashlib
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psutil
import torch
from torch import Tensor
from transformers import Cache, DynamicCache

from t2app import config, models
from t2app.errors import T2Error
from t2app.models import BaseModel, Report, memory
from t2app.models.words import first_line
from t2app.scoring import BASE, Head, Reference, Scorer, TokenScores
from t2app.svd.factor import Factor
from t2app.svf import kin, library
from t2app.svf.expert import Expert
from t2app.svf.hooks import SVF, Effect
from t2app.svf.library import Library
from t2app.svf.merged import Execution
from t2app.svf.mixing import check_weights, mix
from t2app.turns import Turns

Message = Mapping[str, str]
Prompt = list[int]

# The fewest tokens worth answering with; a prompt that leaves less room is refused.
ROOM_FOR_ANSWER = 16
PREFIXES_KEPT = 8
# Tokens that are scored in one pass, on a CPU and on a GPU. An answer in the chat waits for one
# pass of a training run at most, and on a CPU more tokens gain nothing.
TOKENS_AT_ONCE = (2048, 16384)
# Stands for the token of a row whose logits are not finite.
NOT_FINITE = -1
# The share of the free memory that speed may cost.
MAY_TAKE = 0.7


@dataclass(frozen=True)
class Completion:
    """What the model said to one prompt: the sampled ids (the end token too) and their text.

    ``likelihood`` is the mean log-probability of these tokens; None unless it was asked for.
    """

    token_ids: list[int]
    text: str
    finished: bool
    likelihood: float | None = None


class Engine:
    """A base model with its factors and the experts that fit it.

    ``execution`` is ``auto``, ``factored`` or ``merged`` (see ``svf.merged``); ``storage`` says how
    the factors are kept (see ``svf.basis``).
    """

    def __init__(
        self,
        base: BaseModel,
        factors: Mapping[str, Factor],
        execution: str = "auto",
        storage: str = "auto",
    ) -> None:
        self.base = base
        self.model = base.model
        self.tokenizer = base.tokenizer
        self.svf = SVF(base.model, factors, storage=storage, room=self._room())
        self.execution = Execution(self.svf, execution, self._room)
        self.scorer = Scorer(Head.on(base.model), self.svf.using, base.tokenizer.pad_token_id)
        self.turns = Turns()
        # Singular values (r,) by module name: small, and all that is looked at after the start.
        self.sigma = {name: factor.sigma.cpu() for name, factor in factors.items()}
        experts = library.home(base.name, base.base, base.also)
        tops = kin.tops(self.sigma)
        self.library = Library(experts, self.svf.layout.sizes, base.base, base.also, tops)
        self._deltas: dict[str, tuple[Expert, Tensor]] = {}
        self._prefixes: OrderedDict[tuple, Cache] = OrderedDict()
        self.chat = base.chat
        self.ends = set(base.chat.ends)

    @classmethod
    def load(
        cls,
        model: str = config.TINY,
        quant: str = "auto",
        device: str = "auto",
        report: Report = lambda *_: None,
        execution: str = "auto",
        storage: str = "auto",
    ) -> Engine:
        """Load a base model and its factors; ``report(stage, done, total)`` tells how far it is."""
        base = models.load(model, quant, device, report, storage)
        engine = cls(base, models.factors(base, report), execution, storage)
        engine.warm_up()
        return engine

    def warm_up(self) -> None:
        """Say two tokens; ``T2Error`` where the model cannot be run as an engine runs it."""
        try:
            self.generate(
                [self.prompt_ids([{"role": "user", "content": "hello"}])], max_new_tokens=2
            )
        except (T2Error, MemoryError, torch.OutOfMemoryError):
            raise
        except Exception as error:
            if memory.ran_out(error):
                raise
            raise T2Error(
                f"{self.base.name} cannot be run here: {first_line(error)}; choose another model"
            ) from error

    def _room(self) -> float:
        """Bytes that may be taken beside the model; the rest is for conversations."""
        return memory.free(self.base.device) * MAY_TAKE

    # -- prompts -----------------------------------------------------------------------------

    def prompt_ids(self, messages: Sequence[Message]) -> Prompt:
        """The conversation in the model's chat format, up to where its answer begins.

        Raises T2Error where the model's context leaves no room for an answer, and what
        ``ChatFormat.prompt_ids`` raises.
        """
        ids = self.chat.prompt_ids(messages)
        if len(ids) > self.longest_prompt:
            raise T2Error(
                f"the question is too long: {len(ids):,} tokens, and {self.base.name} reads at "
                f"most {self.longest_prompt:,}; shorten it"
            )
        return ids

    @property
    def longest_prompt(self) -> int:
        """The most tokens that a conversation may have."""
        return self.base.context - ROOM_FOR_ANSWER

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """Tokens of a conversation in the model's chat format, however long."""
        return len(self.chat.prompt_ids(messages))

    def answer_ids(self, text: str) -> Prompt:
        """An answer as the model would say it, with the end of its turn."""
        return self.chat.answer_ids(text)

    # -- experts -----------------------------------------------------------------------------

    def delta(self, weights: Mapping[str, float] | None) -> Tensor | None:
        """The mix ``sum_k alpha_k delta_k`` (R,) of experts by name; None (the base) without any.

        Raises T2Error for unknown experts and impossible weights.
        """
        if not weights:
            return None
        known = self.library.experts()
        active = {name: w for name, w in check_weights(weights, known).items() if w > 0}
        if not active:
            return None
        return mix(self.deltas(known[name] for name in active), torch.tensor(list(active.values())))

    def deltas(self, experts: Iterable[Expert]) -> Tensor:
        """``z - 1`` of experts of the library, stacked: (K, R)."""
        return torch.stack([self._delta_of(expert) for expert in experts])

    def _delta_of(self, expert: Expert) -> Tensor:
        known = self._deltas.get(expert.name)
        if known is None or known[0] is not expert:
            known = (expert, expert.delta(self.svf.layout.names).to(self.base.device))
            self._deltas[expert.name] = known
        return known[1]

    def trained_on(self) -> dict[str, Any]:
        """What the header of an expert that is made here says of the model."""
        return {
            "base": self.base.base,
            "weights": self.base.quantisation or "original",
            kin.HEADER: self.library.tops,
        }

    # -- running -----------------------------------------------------------------------------

    def decode(
        self,
        prompts: Sequence[Prompt],
        delta: Tensor | None = None,
        *,
        max_new_tokens: int | Sequence[int] = 256,
        temperature: float = 0.0,
        seed: int | Sequence[int] | None = None,
        tally: dict[int, float] | None = None,
    ) -> Iterator[dict[int, int]]:
        """Yield, step by step, the next token of every prompt that has not ended: ``{row: token}``.

        ``delta`` is None, (R,) or (B, R), a mix for each row; so may ``max_new_tokens`` be, a
        number of 1 or more for each. Greedy at temperature 0. What a row draws depends on its own
        seed alone (one number stands for those that follow it), not on the rows beside it.
        ``tally`` collects the sum of each row's log-probabilities, at temperature 1. Closing the
        generator stops at once.
        """
        rows = list(range(len(prompts)))
        ids, mask = self._left_pad(prompts)
        limits = _for_each(max_new_tokens, len(prompts))
        steps = max(0, min(max(limits), self.base.context - mask.shape[1]))
        draws = _draws(_row_seeds(seed, len(prompts)), len(prompts), steps).to(self.base.device)
        cache = DynamicCache(config=self.model.config)
        effect = self.execution.effect(delta)
        ended = self._text_ends(len(prompts))
        for step in range(steps):
            logits = self._forward(ids, mask, cache, effect)
            tokens = _pick(logits, temperature, draws[:, step])
            said = tokens.tolist()
            if NOT_FINITE in said:
                raise T2Error(
                    f"{self.base.name} gave numbers that are not finite: the answer ends here; "
                    "load the model in another precision, or leave out the expert that is in effect"
                )
            if tally is not None:
                chosen = logits.gather(1, tokens[:, None])[:, 0] - logits.logsumexp(1)
                for row, value in zip(rows, chosen.tolist(), strict=True):
                    tally[row] = tally.get(row, 0.0) + value
            yield dict(zip(rows, said, strict=True))
            alive = [
                i
                for i, (row, token) in enumerate(zip(rows, said, strict=True))
                if token not in self.ends and step + 1 < limits[row] and not ended(row, token)
            ]
            if not alive or step + 1 == steps:
                return
            if len(alive) < len(rows):
                keep = torch.tensor(alive, device=tokens.device)
                rows = [rows[i] for i in alive]
                tokens, mask, draws = tokens[keep], mask[keep], draws[keep]
                cache.batch_select_indices(keep)
                if delta is not None and delta.dim() == 2:
                    delta = delta[keep]
                    effect = self.execution.effect(delta)
            if self.execution.changes_at(step + 1):
                effect = self.execution.effect(delta, step + 1)
            ids = tokens[:, None]
            mask = torch.nn.functional.pad(mask, (0, 1), value=1)

    def _text_ends(self, rows: int) -> Callable[[int, int], bool]:
        """Whether a row has now said the text that ends its turn, where that is no token."""
        longest = self.chat.longest_end
        last: list[deque[int]] = [deque(maxlen=longest) for _ in range(rows)]

        def ended(row: int, token: int) -> bool:
            last[row].append(token)
            return longest > 0 and self.chat.says_end(list(last[row]))

        return ended

    def generate(
        self,
        prompts: Sequence[Prompt],
        delta: Tensor | None = None,
        *,
        max_new_tokens: int | Sequence[int] = 256,
        temperature: float = 0.0,
        seed: int | Sequence[int] | None = None,
        batch_size: int = 64,
        likelihoods: bool = False,
    ) -> list[Completion]:
        """Complete every prompt, ``batch_size`` at a time, prompts of like length together.

        A long prompt leaves little room for answers; it takes none from the rows beside it.
        """
        done: dict[int, Completion] = {}
        seeds = _row_seeds(seed, len(prompts))
        limits = _for_each(max_new_tokens, len(prompts))
        for part in self._parts(prompts, limits, batch_size):
            mixes = delta[part] if delta is not None and delta.dim() == 2 else delta
            said: list[list[int]] = [[] for _ in part]
            tally: dict[int, float] | None = {} if likelihoods else None
            for tokens in self.decode(
                [prompts[i] for i in part],
                mixes,
                max_new_tokens=[limits[i] for i in part],
                temperature=temperature,
                seed=None if seeds is None else [seeds[i] for i in part],
                tally=tally,
            ):
                for row, token in tokens.items():
                    said[row].append(token)
            for row, i in enumerate(part):
                done[i] = self.completion(said[row], None if tally is None else tally.get(row))
        return [done[i] for i in range(len(prompts))]

    def _parts(
        self, prompts: Sequence[Prompt], limits: Sequence[int], batch_size: int
    ) -> Iterator[list[int]]:
        """Prompts by length in groups that have as much room for an answer as each alone."""
        part: list[int] = []
        longest = 0  # answer in the group
        for i in sorted(range(len(prompts)), key=lambda i: len(prompts[i])):
            room = self.base.context - len(prompts[i])
            if part and (len(part) == batch_size or room < longest):
                yield part
                part, longest = [], 0
            part.append(i)
            longest = max(longest, min(limits[i], room))
        if part:
            yield part

    def completion(self, ids: list[int], likelihood: float | None) -> Completion:
        """An answer of these tokens; ``likelihood`` is the sum of their log-probabilities."""
        finished = bool(ids) and (ids[-1] in self.ends or self.chat.says_end(ids))
        mean = None if likelihood is None or not ids else likelihood / len(ids)
        return Completion(ids, self.text(ids), finished, mean)

    def text(self, ids: Sequence[int]) -> str:
        """Tokens as a reader sees them: no special tokens, and no thought before the answer."""
        return self.chat.text(ids)

    def score(
        self,
        prompts: Sequence[Prompt],
        completions: Sequence[Prompt],
        delta: Tensor | None = None,
        **options: Any,
    ) -> TokenScores:
        """Scores of given tokens under a mix; see ``scoring.Scorer.score``."""
        with self.turns.turn():
            return self.scorer.score(prompts, completions, delta, **options)

    def logprobs(
        self,
        prompts: Sequence[Prompt],
        completions: Sequence[Prompt],
        delta: Tensor | None = None,
        temperature: float = 1.0,
    ) -> tuple[Tensor, Tensor]:
        """Log-probability of every token of every completion (B, T) in fp32, and its mask (B, T).

        Left-aligned; differentiable in ``delta``. They were sampled at ``temperature``.
        """
        found = self.score(prompts, completions, delta, temperature=temperature)
        return found.logprobs, found.mask

    @torch.no_grad()
    def divergence(
        self,
        prompts: Sequence[Prompt],
        completions: Sequence[Prompt],
        delta: Tensor | None,
        reference: Reference = BASE,
    ) -> Tensor:
        """KL(mix || reference) of each completion (B,): the mean over its tokens, in nats.

        Exact over the vocabulary at each token; the reference is another mix, or the base.
        """
        found: dict[int, float] = {}
        one_mix = delta is None or delta.dim() == 1
        for part in self.scoring_batches(prompts, completions, one_mix=one_mix):
            mixes = delta if one_mix else delta[part]
            scores = self.score(
                [prompts[i] for i in part],
                [completions[i] for i in part],
                mixes,
                reference=reference,
            )
            counts = scores.mask.sum(1).clamp(min=1)
            found.update(zip(part, (scores.kl.sum(1) / counts).tolist(), strict=True))
        return torch.tensor([found[i] for i in range(len(prompts))])

    @torch.no_grad()
    def agreed(
        self,
        prompts: Sequence[Prompt],
        drafts: Sequence[Prompt],
        delta: Tensor | None = None,
        most_rows: int | None = None,
    ) -> list[tuple[int, float]]:
        """How many tokens of each draft greedy decoding would begin with, and how likely they are.

        The second is the sum of their log-probabilities, at temperature 1.
        """
        found: dict[int, tuple[int, float]] = {}
        one_mix = delta is None or delta.dim() == 1
        for part in self.scoring_batches(prompts, drafts, most_rows=most_rows, one_mix=one_mix):
            mixes = delta if one_mix else delta[part]
            scores = self.score([prompts[i] for i in part], [drafts[i] for i in part], mixes)
            same = (scores.top | ~scores.mask).cumprod(-1).bool() & scores.mask
            sums = zip(same.sum(1).tolist(), (scores.logprobs * same).sum(1).tolist(), strict=True)
            found.update(zip(part, sums, strict=True))
        return [found[i] for i in range(len(drafts))]

    def scoring_batches(
        self,
        prompts: Sequence[Prompt],
        completions: Sequence[Prompt],
        chosen: Iterable[int] | None = None,
        most_rows: int | None = None,
        one_mix: bool = True,
    ) -> Iterator[list[int]]:
        """The rows (or the ``chosen`` ones) in groups of like length to score at a time.

        The longest come first: memory runs out early or not at all. The sizes follow from the
        device, never from what is free right now, so that a training run repeats itself. A
        beginning that all prompts share counts once, where there is one mix for all rows.
        """
        shared = self.scorer.shared_beginning(prompts) if one_mix else 0
        sizes = [len(p) + len(c) - shared for p, c in zip(prompts, completions, strict=True)]
        rows = range(len(sizes)) if chosen is None else chosen
        most = TOKENS_AT_ONCE[self.base.device.type == "cuda"]
        group: list[int] = []
        for i in sorted(rows, key=lambda i: (sizes[i], i), reverse=True):
            full = len(group) == most_rows
            if group and (full or shared + (len(group) + 1) * sizes[group[0]] > most):
                yield group
                group = []
            group.append(i)
        if group:
            yield group

    @contextmanager
    def training_form(self) -> Iterator[None]:
        """Inside, layers are trained as two products where memory allows (``svf.two_products``)."""
        with self.svf.training_form(self._room()):
            yield

    def read(
        self,
        prompts: Sequence[Prompt],
        delta: Tensor | None = None,
        depth: float = 1.0,
        behind: Sequence[int] | None = None,
    ) -> Tensor:
        """Hidden states of each prompt, (B, 2, hidden): the last token's, and the mean.

        See ``Scorer.read``.
        """
        with self.turns.turn():
            return self.scorer.read(prompts, delta, depth, behind)

    @torch.no_grad()
    def label_probabilities(
        self, messages: Sequence[Message], labels: Sequence[str], delta: Tensor | None = None
    ) -> dict[str, float]:
        """Probability of each label as the answer, given that it is one of them; no decoding.

        One prefill behind the cached part before the last message. Where two labels begin with the
        same token, one short pass more decides between them: the probability of a label is the
        product over its tokens, each among the tokens that some label allows there.
        """
        prompt = self.prompt_ids(messages)
        prefix = self.shared_prefix(messages, prompt)
        cache = self._prefix_cache(prompt[:prefix], delta)
        root = self._extend(prompt[prefix:], prefix, cache, delta)
        spelled = {label: self.answer_ids(label) for label in labels}

        def walk(path: list[int], candidates: list[str], share: float) -> dict[str, float]:
            if len(candidates) == 1:
                return {candidates[0]: share}
            logits = (
                root if not path else self._extend(path, len(prompt), copy.deepcopy(cache), delta)
            )
            children: dict[int, list[str]] = {}
            for label in candidates:
                children.setdefault(spelled[label][len(path)], []).append(label)
            shares = logits[list(children)].double().softmax(0).tolist()
            found: dict[str, float] = {}
            for (token, below), part in zip(children.items(), shares, strict=True):
                found |= walk([*path, token], below, share * part)
            return found

        found = walk([], list(labels), 1.0)
        return {label: found[label] for label in labels}

    def shared_prefix(self, messages: Sequence[Message], prompt: Prompt) -> int:
        """How many tokens come before the last message's text, whatever that text is."""
        other = self.prompt_ids([*messages[:-1], {"role": messages[-1]["role"], "content": "\n"}])
        same = 0
        while same < min(len(prompt), len(other)) - 1 and prompt[same] == other[same]:
            same += 1
        return same

    def _prefix_cache(self, prefix: Prompt, delta: Tensor | None) -> Cache:
        """A copy of the keys and values of ``prefix``, computed once for each mix."""
        key = (
            tuple(prefix),
            None if delta is None else hashlib.sha256(delta.cpu().numpy().tobytes()).digest(),
        )
        found = self._prefixes.get(key)
        if found is None:
            found = DynamicCache(config=self.model.config)
            if prefix:
                self._extend(prefix, 0, found, delta)
            self._prefixes[key] = found
            while len(self._prefixes) > PREFIXES_KEPT:
                self._prefixes.popitem(last=False)
        return copy.deepcopy(found)

    def _extend(self, ids: Prompt, past: int, cache: Cache, delta: Tensor | None) -> Tensor:
        """Run one row on top of ``cache`` (which grows) and give the next token's logits (V,)."""
        mask = torch.ones(1, past + len(ids), dtype=torch.long, device=self.base.device)
        return self._forward(torch.tensor([ids], device=self.base.device), mask, cache, delta)[0]

    @torch.no_grad()
    def _forward(
        self, ids: Tensor, mask: Tensor, cache: Cache, effect: Tensor | Effect | None
    ) -> Tensor:
        return self._logits(ids, mask, cache, effect, keep=1)[:, -1].float()

    def _logits(
        self,
        ids: Tensor,
        mask: Tensor,
        cache: Cache | None,
        effect: Tensor | Effect | None,
        keep: int,
    ) -> Tensor:
        with self.turns.turn(), self.svf.using(effect):
            return self.model(
                input_ids=ids,
                attention_mask=mask,
                position_ids=_positions(mask)[:, -ids.shape[1] :],
                cache=cache,
                use_cache=cache is not None,
                logits_to_keep=keep,
            ).logits

    def _left_pad(self, rows: Sequence[Prompt]) -> tuple[Tensor, Tensor]:
        width = max(len(row) for row in rows)
        pad = self.tokenizer.pad_token_id
        ids = torch.tensor(
            [[pad] * (width - len(row)) + row for row in rows], device=self.base.device
        )
        mask = torch.tensor(
            [[0] * (width - len(row)) + [1] * len(row) for row in rows], device=self.base.device
        )
        return ids, mask

    def status(self) -> dict[str, Any]:
        """Model, device, precision, memory in use (MB), context, execution, for people to read."""
        cuda = self.base.device.type == "cuda"
        used = (
            sum(map(torch.cuda.memory_allocated, memory.gpus(self.base.place or self.base.device)))
            if cuda
            else psutil.Process().memory_info().rss
        )
        return {
            "model": self.base.name,
            "device": torch.cuda.get_device_name(self.base.device) if cuda else "CPU",
            "precision": self.base.precision,
            "memory_mb": round(used / 2**20),
            "context": self.base.context,
            "execution": self.execution.choice,
        }


def _positions(mask: Tensor) -> Tensor:
    """Positions that start at 0 with the first token that is not padding."""
    return (mask.cumsum(-1) - 1).clamp(min=0)


def _for_each(value: int | Sequence[int], rows: int) -> Sequence[int]:
    return [value] * rows if isinstance(value, int) else value


def _row_seeds(seed: int | Sequence[int] | None, rows: int) -> Sequence[int] | None:
    """A seed for each row; None stays None."""
    return [seed + i for i in range(rows)] if isinstance(seed, int) else seed


def _draws(seeds: Sequence[int] | None, rows: int, steps: int) -> Tensor:
    """Uniform numbers (rows, steps), drawn on the CPU: the same ones for every device."""
    if seeds is None:
        return torch.rand(rows, steps)
    generator = torch.Generator()
    # Any whole number is a seed, also one that needs more than 64 bits.
    drawn = [torch.rand(steps, generator=generator.manual_seed(s % 2**63)) for s in seeds]
    return torch.stack(drawn)


def _pick(logits: Tensor, temperature: float, draw: Tensor) -> Tensor:
    """Greedy at temperature 0, else the token at which ``draw`` (B,) falls: (B, V) to (B,).

    ``NOT_FINITE`` for a row that holds NaN, or infinity as its largest value.
    """
    highest, likeliest = logits.max(-1)
    broken = ~highest.isfinite()
    if temperature <= 0:
        return likeliest.masked_fill(broken, NOT_FINITE)
    # From 0 downwards and not below 1e-6, so that no temperature overflows.
    scaled = (logits - highest[:, None]) / max(temperature, 1e-6)
    heights = scaled.softmax(-1).cumsum(-1)
    top = heights[:, -1:]
    # Below the top also after rounding, so that no token of probability 0 is ever picked.
    at = torch.minimum(draw[:, None] * top, torch.nextafter(top, torch.zeros_like(top)))
    drawn = torch.searchsorted(heights, at, right=True)[:, 0]
    return drawn.masked_fill(broken, NOT_FINITE)
