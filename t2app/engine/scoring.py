"""What the model makes of given tokens: log-probabilities, exact KL divergences, hidden states.

Rows are padded on the right and go through the decoder without an attention mask or positions:
under a causal mask no real token sees the padding. That is faster than left padding with a mask,
and it keeps clear of attention kernels whose backward pass gives NaN when they are handed an
explicit mask (pytorch issue 196678). Logits exist for a few hundred tokens at a time only, and are
computed a second time in the backward pass, so neither a large vocabulary nor a long answer decides
how many rows fit. Not covered: decoding (``engine``).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention
from torch.overrides import TorchFunctionMode
from torch.utils.checkpoint import checkpoint
from transformers import Cache, DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer

Prompt = list[int]

# Logits that exist at once: 2**25 are 128 MB in float32.
CHUNK_LOGITS = 2**25


# A beginning that all prompts share is computed once; a shorter one is not worth a pass of its own.
FEWEST_SHARED = 8


class Base:
    """Stands for the base model where a reference policy is asked for."""


BASE = Base()
# A policy to compare with: a mix (R,) or (B, R), or the base.
Reference = Tensor | Base


@dataclass(frozen=True)
class TokenScores:
    """Scores of the tokens of B completions, left-aligned, float32, 0 beyond each one's end.

    ``logprobs`` (B, T) are those of the chosen tokens, ``kl`` (B, T) is KL(policy || reference)
    over the whole vocabulary before each token (None without a reference). ``entropy`` (B, T) is
    that of the policy and ``top`` (B, T) says whether the token is the likeliest one, both without
    a gradient. ``mask`` (B, T) marks the tokens that are there. Nats throughout.
    """

    logprobs: Tensor
    mask: Tensor
    entropy: Tensor
    top: Tensor
    kl: Tensor | None = None

    @property
    def tokens(self) -> int:
        """How many tokens were scored."""
        return int(self.mask.sum())


class Head:
    """Everything a causal language model does after its decoder: output head, scaling, capping.

    ``logits(hidden)`` runs the model's own ``forward`` with the decoder left out, so that no family
    needs a rule of its own.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        self._model = model
        self._decoder = model.get_decoder()
        self._given: ContextVar[Tensor | None] = ContextVar("given_hidden", default=None)
        self._output: type[Any] | None = None
        self._own = self._decoder.forward
        self._decoder.forward = self._forward

    @classmethod
    def on(cls, model: PreTrainedModel) -> Head:
        """The head of a model; the same one for everybody who asks."""
        there = getattr(model.get_decoder().forward, "__self__", None)
        return there if isinstance(there, cls) else cls(model)

    def __deepcopy__(self, memo: dict[int, Any]) -> Head:
        """The head of a copy of the model."""
        made = memo[id(self)] = object.__new__(Head)
        made._model, made._decoder, made._own = (
            copy.deepcopy(part, memo) for part in (self._model, self._decoder, self._own)
        )
        made._given = ContextVar("given_hidden", default=None)
        made._output = self._output
        return made

    @property
    def device(self) -> torch.device:
        """Where token ids go in."""
        return self._model.get_input_embeddings().weight.device

    @property
    def vocabulary(self) -> int:
        """How many logits there are for a token."""
        return self._model.get_output_embeddings().weight.shape[0]

    def hidden(self, ids: Tensor, depth: float = 1.0) -> Tensor:
        """Hidden states (B, T, hidden) of right-padded ids (B, T) after a share of the layers.

        The last ones at ``depth`` 1, and where a model does not give those in between.
        """
        between = {"output_hidden_states": True} if depth < 1 else {}
        with _attention_for(ids):
            found = self._decoder(input_ids=ids, use_cache=False, **between)
        states = found.hidden_states if between else None
        if not states:
            return found.last_hidden_state
        return states[math.ceil(depth * (len(states) - 1))]

    @property
    def shareable(self) -> bool:
        """Whether rows can go on from one beginning: keys and values alone carry what was read."""
        kinds = DynamicCache(config=self._model.config).layers
        return bool(kinds) and all(type(layer) is DynamicLayer for layer in kinds)

    def hidden_behind(self, beginning: Tensor, rest: Tensor) -> Tensor:
        """Last hidden states (B, T, hidden) of ``rest`` (B, T) behind one ``beginning`` (1, S)."""
        cache = DynamicCache(config=self._model.config)
        with _attention_for(rest):
            self._decoder(input_ids=beginning, cache=cache, use_cache=True)
            cache.batch_repeat_interleave(len(rest))
            return self._decoder(input_ids=rest, cache=cache, use_cache=True).last_hidden_state

    def next_logits(self, input_ids: Tensor, **inputs: Any) -> Tensor:
        """Logits (B, V) in float32 of the token that follows ids (B, T)."""
        hidden = self._decoder(input_ids=input_ids, **inputs).last_hidden_state
        return self.logits(hidden[:, -1])

    def hidden_after(self, ids: Tensor, cache: Cache) -> Tensor:
        """Last hidden states (B, T, hidden) of ids (B, T) behind what ``cache`` holds; it grows."""
        return self._decoder(input_ids=ids, cache=cache, use_cache=True).last_hidden_state

    def logits(self, hidden: Tensor) -> Tensor:
        """Logits (N, V) in float32 of hidden states (N, hidden).

        They are copied out of what they may be a slice of: torch multiplies each row of a slice
        with a copy of the output head of its own (SmolLM2, 48 rows: 2.7 GB, a fifth of the pass).
        """
        token = self._given.set(hidden.contiguous()[None])
        try:
            ids = torch.zeros(1, hidden.shape[0], dtype=torch.long, device=hidden.device)
            return self._model(input_ids=ids, use_cache=False).logits[0].float()
        finally:
            self._given.reset(token)

    def _forward(self, *args: Any, **kwargs: Any) -> Any:
        given = self._given.get()
        if given is not None and self._output is not None:
            return self._output(last_hidden_state=given)
        out = self._own(*args, **kwargs)
        self._output = type(out)
        return out


class Scorer:
    """Scores completions under a mix; ``using(delta)`` puts one into effect for a forward pass."""

    def __init__(self, head: Head, using: Callable[[Tensor | None], Any], pad: int) -> None:
        self._head, self._using, self._pad = head, using, pad

    @property
    def vocabulary(self) -> int:
        """How many logits there are for a token."""
        return self._head.vocabulary

    def score(
        self,
        prompts: Sequence[Prompt],
        completions: Sequence[Prompt],
        delta: Tensor | None = None,
        *,
        temperature: float = 1.0,
        reference: Reference | None = None,
    ) -> TokenScores:
        """Score every token of every completion; differentiable in ``delta`` (R,) or (B, R).

        ``reference`` is the policy that the KL is taken to. The ids are those that were sampled,
        never text that was encoded again.
        """
        device = self._head.device
        chosen = torch.tensor([t for c in completions for t in c], dtype=torch.long, device=device)
        hidden = self._before_tokens(prompts, completions, delta)
        there = None
        if reference is not None:
            there = self._of_reference(prompts, completions, reference)
        values = self._by_chunks(hidden, chosen, there, temperature)
        counts = [len(c) for c in completions]
        logprobs, entropy, top, kl = (_unflatten(v, counts) for v in values)
        mask = _unflatten(torch.ones_like(chosen, dtype=torch.bool), counts)
        kl = kl if reference is not None else None
        return TokenScores(logprobs, mask, entropy, top, kl)

    @torch.no_grad()
    def among(
        self,
        prompts: Sequence[Prompt],
        allowed: Sequence[Sequence[int]],
        delta: Tensor | None = None,
    ) -> list[list[float]]:
        """Log-probability of each allowed next token of each prompt, given that it is allowed."""
        hidden = self._before_tokens(prompts, [[self._pad]] * len(prompts), delta)
        groups = _padded(allowed, hidden.device)
        found: list[list[float]] = []
        size = max(1, CHUNK_LOGITS // self._head.vocabulary)
        for states, ids in zip(hidden.split(size), groups.split(size), strict=True):
            logits = self._head.logits(states).gather(-1, ids.clamp(min=0))
            found += logits.masked_fill(ids < 0, -torch.inf).log_softmax(-1).tolist()
        return [row[: len(ids)] for row, ids in zip(found, allowed, strict=True)]

    def shared_beginning(self, prompts: Sequence[Prompt]) -> int:
        """How many tokens at the beginning of all prompts are computed once."""
        return shared_beginning(prompts) if self._head.shareable else 0

    @torch.no_grad()
    def read(
        self,
        prompts: Sequence[Prompt],
        delta: Tensor | None = None,
        depth: float = 1.0,
        behind: Sequence[int] | None = None,
    ) -> Tensor:
        """Hidden states of each prompt, (B, 2, hidden) in float32: the last token's, and the mean.

        The mean leaves out the first ``behind`` tokens of each prompt (at least one is taken).
        ``depth`` is the share of the layers that have run, rounded up; at 1 the states are those
        that the output head gets.
        """
        with self._using(delta):
            hidden = self._head.hidden(self._right_pad(prompts), depth)
        starts = behind or [0] * len(prompts)
        found = []
        for row, prompt, start in zip(hidden, prompts, starts, strict=True):
            states = row[: len(prompt)].float()
            found.append(torch.stack([states[-1], states[min(start, len(prompt) - 1) :].mean(0)]))
        return torch.stack(found)

    def _before_tokens(
        self, prompts: Sequence[Prompt], completions: Sequence[Prompt], delta: Tensor | None
    ) -> Tensor:
        """Hidden states (N, hidden) that predict the N tokens of all completions."""
        rows = [p + c for p, c in zip(prompts, completions, strict=True)]
        one_mix = delta is None or delta.dim() == 1
        shared = self.shared_beginning(prompts) if one_mix else 0
        with self._using(delta):
            if not shared:
                hidden = self._head.hidden(self._right_pad(rows))
                return hidden[_positions(prompts, completions, hidden.device)]
            beginning = self._right_pad([rows[0][:shared]])
            rest = self._right_pad([row[shared:] for row in rows])
            hidden = self._head.hidden_behind(beginning, rest)
        return hidden[_positions([p[shared:] for p in prompts], completions, hidden.device)]

    @torch.no_grad()
    def _of_reference(
        self, prompts: Sequence[Prompt], completions: Sequence[Prompt], reference: Reference
    ) -> Tensor:
        delta = None if isinstance(reference, Base) else reference
        return self._before_tokens(prompts, completions, delta)

    def _right_pad(self, rows: Sequence[Prompt]) -> Tensor:
        width = max(1, *map(len, rows))
        padded = [row + [self._pad] * (width - len(row)) for row in rows]
        return torch.tensor(padded, dtype=torch.long, device=self._head.device)

    def _by_chunks(
        self,
        hidden: Tensor,
        chosen: Tensor,
        reference: Tensor | None,
        temperature: float,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Log-probability, entropy, top and KL (N,) of N tokens, a chunk of logits at a time."""
        size = max(1, CHUNK_LOGITS // self._head.vocabulary)
        found = []
        for start in range(0, len(chosen), size):
            part = slice(start, start + size)
            found.append(
                checkpoint(
                    self._tokens,
                    hidden[part],
                    chosen[part],
                    None if reference is None else reference[part],
                    temperature,
                    use_reentrant=False,
                )
            )
        if not found:
            nothing = hidden.new_zeros(0, dtype=torch.float32)
            return nothing, nothing, nothing.bool(), nothing
        return tuple(torch.cat(column) for column in zip(*found, strict=True))

    def _tokens(
        self,
        hidden: Tensor,
        chosen: Tensor,
        reference: Tensor | None,
        temperature: float,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        logits = self._head.logits(hidden) / temperature
        logs = logits.log_softmax(-1)
        picked = logs.gather(-1, chosen[:, None])[:, 0]
        shares = logs.exp()
        entropy = -_expected(shares.detach(), logs.detach())
        top = logits.detach().argmax(-1) == chosen
        if reference is None:
            return picked, entropy, top, torch.zeros_like(picked)
        with torch.no_grad():
            there = (self._head.logits(reference) / temperature).log_softmax(-1)
        return picked, entropy, top, _expected(shares, logs - there)


class _Float32Attention(TorchFunctionMode):
    """Attention in float32, whatever the model computes in.

    On a CPU the backward pass of attention in bfloat16 takes about as long as the rest of the model
    (SmolLM2, 96 tokens a row: 37 ms a layer, 13 in float32).
    """

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if function is not scaled_dot_product_attention:
            return function(*args, **kwargs)
        dtype = args[0].dtype
        args = [_as_float(value) for value in args]
        kwargs = {name: _as_float(value) for name, value in kwargs.items()}
        return function(*args, **kwargs).to(dtype)


def _as_float(value: Any) -> Any:
    is_number = isinstance(value, Tensor) and value.is_floating_point()
    return value.float() if is_number else value


@contextmanager
def _attention_for(ids: Tensor) -> Iterator[None]:
    """The attention kernels that a backward pass can rely on; any without a gradient."""
    if not torch.is_grad_enabled():
        yield
    elif ids.device.type == "cpu":
        with _Float32Attention():
            yield
    else:
        # cuDNN's is left out: where a sliding window hands it a mask, its backward pass can give
        # NaN (pytorch issue 196678).
        others = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
        with sdpa_kernel(others):
            yield


def _expected(shares: Tensor, values: Tensor) -> Tensor:
    """``sum_v shares_v values_v`` (N,), where a token of probability 0 counts nothing."""
    return (shares * values.masked_fill(shares == 0, 0.0)).sum(-1)


def shared_beginning(prompts: Sequence[Prompt]) -> int:
    """Tokens that all prompts begin with, where it is worth while; 0 elsewhere.

    Each prompt keeps its last token: the state behind it predicts the first of the completion.
    """
    if len(prompts) < 2:
        return 0
    first, last = min(prompts), max(prompts)
    most = min(map(len, prompts)) - 1
    same = next((i for i in range(most) if first[i] != last[i]), most)
    return same if same >= FEWEST_SHARED else 0


def _positions(
    prompts: Sequence[Prompt], completions: Sequence[Prompt], device: torch.device
) -> tuple[Tensor, Tensor]:
    """Row and column of the hidden state that predicts each token of each completion."""
    rows = [i for i, c in enumerate(completions) for _ in c]
    columns = [
        len(p) - 1 + j for p, c in zip(prompts, completions, strict=True) for j in range(len(c))
    ]
    return torch.tensor(rows, device=device).long(), torch.tensor(columns, device=device).long()


def _padded(groups: Sequence[Sequence[int]], device: torch.device) -> Tensor:
    """Groups of ids as a tensor (N, longest), -1 where there is none."""
    width = max(1, *map(len, groups)) if groups else 1
    rows = [[*group, *[-1] * (width - len(group))] for group in groups]
    return torch.tensor(rows, dtype=torch.long, device=device)


def _unflatten(values: Tensor, counts: Sequence[int]) -> Tensor:
    """Values of all tokens (N,) as rows (B, T), zero beyond each row's count."""
    width = max(1, *counts) if counts else 1
    parts = [
        torch.nn.functional.pad(part, (0, width - len(part))) for part in values.split(list(counts))
    ]
    return torch.stack(parts)
