"""The same weights run in different ways: plain, with a mix, with LoRA adapters."""

from __future__ import annotations

import copy
import importlib.util
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import DynamicCache, PreTrainedModel

from t2app.engine import Engine
from t2app.evaluation.bench.clock import Timed, now
from t2app.svf.hooks import Effect, Layer
from t2app.svf.merged import Merged

RANK = 16


@dataclass(frozen=True)
class Variant:
    """A model, and what is in effect while it runs."""

    model: PreTrainedModel
    context: Callable[[], AbstractContextManager]

    @torch.no_grad()
    def prefill(self, length: int, batch: int = 1) -> tuple[Tensor, DynamicCache]:
        """Read ``batch`` prompts of ``length`` random tokens; the next tokens (B, 1), the cache."""
        words = self.model.get_input_embeddings().num_embeddings
        ids = torch.randint(0, words, (batch, length), device=self.model.device)
        cache = DynamicCache(config=self.model.config)
        return self._step(ids, cache), cache

    def decode(self, tokens: int, batch: int, prompt: int = 32) -> Timed:
        """Seconds of one step, the mean over ``tokens`` of them behind a short prompt."""

        @torch.no_grad()
        def run() -> float:
            ids, cache = self.prefill(prompt, batch)
            began = now()
            for _ in range(tokens):
                ids = self._step(ids, cache)
            return (now() - began) / tokens

        return run

    def _step(self, ids: Tensor, cache: DynamicCache) -> Tensor:
        with self.context():
            logits = self.model(input_ids=ids, cache=cache, use_cache=True, logits_to_keep=1).logits
        return logits[:, -1:].argmax(-1)


def plain(engine: Engine) -> Variant:
    """The model as ``transformers`` runs it, without any of our code in its layers."""
    return Variant(shared_copy(engine), nullcontext)


def shared_copy(engine: Engine) -> PreTrainedModel:
    """Another model object on the same weights, its layers' own forwards in place."""
    other = copy.deepcopy(engine.model, _same(engine.model))
    for name in engine.svf.layers:
        del other.get_submodule(name).forward
    return other


def without_bias(layer: Layer) -> Layer:
    """Another layer on the same weight and basis, without a bias and without a packed copy."""
    module = copy.deepcopy(layer.module, _same(layer.module))
    del module.forward
    module.bias = None
    other = Layer(layer.name, module, layer.side)
    other.basis = layer.basis
    return other


def _same(module: nn.Module) -> dict[int, object]:
    """What a copy shares with ``module``, as ``deepcopy`` wants it: everything large."""
    # An int8 layer keeps its weight and scales in a state too, and takes them from the parameter
    # at its first pass: with a state for each copy, the others would find none.
    states = [part.state for part in module.modules() if hasattr(part, "state")]
    return {id(thing): thing for thing in (*module.parameters(), *states)}


def adapted(engine: Engine, effect: Effect | None) -> Variant:
    """The engine's model with a mix in effect."""
    return Variant(engine.model, lambda: engine.svf.using(effect))


def factored(engine: Engine, delta: Tensor) -> Variant:
    """One mix (R,), or one for each row (B, R), beside the weights."""
    return adapted(engine, engine.svf.factored(delta))


def merged(engine: Engine, delta: Tensor) -> Variant:
    """One mix (R,) written into a copy of the weights."""
    return adapted(engine, Merged(engine.svf, delta))


def lora(engine: Engine) -> Variant | None:
    """Unmerged LoRA adapters of rank 16 on the same layers, by PEFT; None where that is missing."""
    if importlib.util.find_spec("peft") is None:
        return None
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(r=RANK, target_modules=list(engine.svf.layers), task_type="CAUSAL_LM")
    model = get_peft_model(shared_copy(engine), config, autocast_adapter_dtype=False)
    for name, parameter in model.named_parameters():
        if "lora_" in name:  # in the type that is fastest beside these weights, as our bases
            parameter.data = parameter.data.to(engine.svf.dtype)
    return Variant(model.eval().requires_grad_(False), nullcontext)
