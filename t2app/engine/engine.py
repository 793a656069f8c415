"""An engine: prompts in, tokens, probabilities and hidden states out.

A mix of experts is an argument of every call and in effect for single forward passes only, so any
number of threads may ask at once. Not covered: how a mix is chosen (``adapt``), what is asked
(``tasks``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import psutil
import torch
from torch import Tensor

from t2app import config, models
from t2app.engine.batch import Means
from t2app.engine.decoding import TOKENS_AT_ONCE, Decoding
from t2app.engine.labels import Labels
from t2app.engine.passes import Passes
from t2app.engine.requests import Prompt
from t2app.engine.scheduler import Scheduler
from t2app.engine.scoring import BASE, Head, Reference, Scorer, TokenScores
from t2app.engine.slots import fit_slots
from t2app.engine.turns import Turns
from t2app.errors import T2Error
from t2app.models import BaseModel, Report, memory
from t2app.models.words import first_line
from t2app.svd.factor import Factor
from t2app.svf import kin, library
from t2app.svf.expert import Expert
from t2app.svf.hooks import SVF
from t2app.svf.library import Library
from t2app.svf.merged import Execution
from t2app.svf.mixing import check_weights, mix

Message = Mapping[str, str]

# The fewest tokens worth answering with; a prompt that leaves less room is refused.
ROOM_FOR_ANSWER = 16
# The share of the free memory that speed may cost.
MAY_TAKE = 0.7


class Engine(Decoding):
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
        self.turns = Turns(partial(_settle, base.device))
        self._schedulers = (Scheduler(self.turns), Scheduler(self.turns))
        head = Head.on(base.model)
        self.scorer = Scorer(head, self.svf.using, base.tokenizer.pad_token_id)
        self.passes = Passes(base.model, self.svf, head, base.tokenizer.pad_token_id)
        self.labels = Labels(self.passes, self.turns)
        # Singular values (r,) by module name: small, and all that is looked at after the start.
        self.sigma = {name: factor.sigma.cpu() for name, factor in factors.items()}
        experts = library.home(base.name, base.base, base.also)
        tops = kin.tops(self.sigma)
        self.library = Library(experts, self.svf.layout.sizes, base.base, base.also, tops)
        self._deltas: dict[str, tuple[Expert, Tensor]] = {}
        self.chat = base.chat
        self.ends = set(base.chat.ends)
        way = Execution(self.svf, execution, self._room)
        self.means = Means(self.passes, way, self._kind(), base.name)

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

    def _kind(self) -> str:
        """How keys and values are kept."""
        if not fit_slots(self.passes):
            return "growing"
        one_gpu = self.base.device.type == "cuda" and self.svf.is_in_one_place
        return "fixed" if one_gpu else "slots"

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

    # -- scoring -----------------------------------------------------------------------------

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

    def among(
        self,
        prompts: Sequence[Prompt],
        allowed: Sequence[Sequence[int]],
        delta: Tensor | None = None,
    ) -> list[list[float]]:
        """Log-probability of each allowed next token of each prompt, given that it is allowed.

        ``delta`` is one mix (R,) for all prompts, or None.
        """
        found: dict[int, list[float]] = {}
        for part in self.scoring_batches(prompts, [[0]] * len(prompts)):
            rows = [prompts[i] for i in part], [allowed[i] for i in part]
            with self.turns.turn():
                found.update(zip(part, self.scorer.among(*rows, delta), strict=True))
        return [found[i] for i in range(len(prompts))]

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

    def label_probabilities(
        self, messages: Sequence[Message], labels: Sequence[str], delta: Tensor | None = None
    ) -> dict[str, float]:
        """Probability of each label as the answer, given that it is one of them; no decoding.

        See ``Labels.probabilities``.
        """
        prompt = self.prompt_ids(messages)
        spelled = {label: self.answer_ids(label) for label in labels}
        prefix = self.shared_prefix(messages, prompt)
        return self.labels.probabilities(prompt, prefix, spelled, delta)

    def shared_prefix(self, messages: Sequence[Message], prompt: Prompt) -> int:
        """How many tokens come before the last message's text, whatever that text is."""
        other = self.prompt_ids([*messages[:-1], {"role": messages[-1]["role"], "content": "\n"}])
        same = 0
        while same < min(len(prompt), len(other)) - 1 and prompt[same] == other[same]:
            same += 1
        return same

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


def _settle(device: torch.device) -> None:
    """Wait until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
