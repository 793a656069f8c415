"""Singular value fine-tuning on a frozen model, by correcting what goes in or comes out of a layer.

With ``W = U diag(sigma) V^T``, ``W(z) = U diag(sigma * z) V^T`` (paper, section 3.1) and
``delta = z - 1``, one side of the decomposition is enough:

- ``n <= m``: ``W(z) x = W (x + V (delta * V^T x))``, a correction of the input;
- ``m < n``:  ``W(z) x = y + U (delta * U^T y)`` with ``y = W x``, one of the output (without bias).

The stored weight is never read or written, so it may be quantised. Every adapted layer asks, each
time it runs, what is in effect for the request that runs it: nothing, a delta (``Factored``), or
weights with the mix written into them (``svf.merged``). Not covered: gradient checkpointing that
recomputes after the context was left.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from t2app.errors import T2Error
from t2app.svd.cache import dense_weight
from t2app.svd.factor import Factor
from t2app.svd.modules import adapted_modules, module_shape
from t2app.svf.basis import (
    PACK_FROM,
    Basis,
    can_pack,
    correct,
    keep,
    pack,
    packed_linear,
    product_dtype,
    training_dtype,
)
from t2app.svf.mixing import DeltaLayout
from t2app.svf.two_products import TwoProducts

# Tokens from which a product in float32 is faster than one in bfloat16 without AMX.
MANY_TOKENS = 128


class Layer:
    """An adapted layer: what it computes by itself (``plain``) and with a delta (``corrected``)."""

    def __init__(self, name: str, module: nn.Module, side: Literal["input", "output"]) -> None:
        self.name, self.module, self.side = name, module, side
        self.own_forward: Callable[[Tensor], Tensor] = module.forward
        self.place = module.weight.device
        self.basis: Basis
        self._packed: Tensor | None = None
        self._two_products: TwoProducts | None = None
        self._trainer: int | None = None

    def plain(self, x: Tensor) -> Tensor:
        """``W x + b``, as the layer itself computes it or from its packed copy."""
        if self._packed is None or torch.is_grad_enabled():
            return self.own_forward(x)
        return packed_linear(x, self._packed, self.module.bias)

    @torch.no_grad()
    def pack(self, room: float) -> int:
        """Keep a copy of a large frozen weight in the CPU's layout, if there is one and it takes no
        more than ``room`` bytes; the bytes it takes.
        """
        # Not a layer that somebody else has taken over already, such as accelerate.
        usual = type(self.module) in (nn.Linear, Conv1D) and "forward" not in vars(self.module)
        if not usual or not self.module.weight.is_floating_point():
            return 0
        weight = dense_weight(self.module)
        if weight.numel() < PACK_FROM or weight.nbytes > room or not can_pack(weight):
            return 0
        self._packed = pack(weight)
        return weight.nbytes

    @torch.no_grad()
    def train(self, room: float) -> int:
        """Keep the layer as two products while this thread trains it, if that takes no more than
        ``room`` bytes; the bytes it takes.
        """
        weight = dense_weight(self.module)
        dtype = training_dtype(self.basis.dtype, self.place)
        made = TwoProducts.of(
            weight, self.basis.dense_transposed(), self.side, self.module.bias, dtype
        )
        if made.nbytes > room:
            return 0
        self._two_products, self._trainer = made, threading.get_ident()
        return made.nbytes

    def end_training(self) -> None:
        """Let the two products go."""
        self._two_products = self._trainer = None

    def corrected(self, x: Tensor, delta: Tensor) -> Tensor:
        """``W(z) x + b``; shapes as in ``basis.correct``."""
        if self._two_products is not None and self._is_trained_on(x):
            return self._two_products(x, delta)
        if self.side == "input":
            return self.plain(correct(x, self.basis, delta))
        return correct(self.plain(x), self.basis, delta, offset=self.module.bias)

    def _is_trained_on(self, x: Tensor) -> bool:
        """Whether the two products run on ``x``: for gradients, and for what training measures
        where they are both faster and more exact than the layer itself.
        """
        if torch.is_grad_enabled():
            return True
        more_exact = self._two_products.into.dtype.itemsize > x.dtype.itemsize
        many = x.numel() >= MANY_TOKENS * x.shape[-1]
        return more_exact and many and self._trainer == threading.get_ident()


# What is in effect: runs a layer on its input.
Effect = Callable[[Layer, Tensor], Tensor]


class Factored:
    """A mix, or one for each row, as the part of delta that belongs to each layer.

    A layer whose part is zero for every row is left alone. ``flat`` is the whole delta, (R,) or
    (B, R), as the layers compute with it.
    """

    def __init__(self, parts: Mapping[str, Tensor], flat: Tensor) -> None:
        self.parts, self.flat = parts, flat

    def __call__(self, layer: Layer, x: Tensor) -> Tensor:
        """Run ``layer`` on ``x`` (..., n)."""
        part = self.parts.get(layer.name)
        return layer.plain(x) if part is None else layer.corrected(x, part)


class SVF:
    """Takes over every adapted layer of ``model``; without a mix in effect nothing is changed.

    ``factors`` are those of the original weights, keyed by live module name; ``dtype`` is that of
    the bases held beside their layers (by default see ``basis.product_dtype``), ``storage`` how
    they are kept (see ``basis``). ``auto`` spends up to ``room`` bytes on copies in the layout that
    a CPU computes in, first of the bases, then of the frozen weights. ``T2Error`` if factors do not
    fit.
    """

    def __init__(
        self,
        model: nn.Module,
        factors: Mapping[str, Factor],
        dtype: torch.dtype | None = None,
        storage: str = "auto",
        room: float = math.inf,
    ) -> None:
        modules = adapted_modules(model)
        _check_factors(modules, factors)
        self._places = {module.weight.device for module in modules.values()} or {model.device}
        self.dtype = dtype or product_dtype(model.dtype, min(self._places, key=str))
        self.storage = storage
        self.layout = DeltaLayout({name: factors[name].sigma.numel() for name in modules})
        numbers = sum(size**2 for size in self.layout.sizes.values())
        if storage == "auto" and 2 * numbers * self.dtype.itemsize > room:
            storage = "dense"
        self._ends = torch.tensor(list(self.layout.sizes.values())).cumsum(0) - 1
        self._active: ContextVar[Effect | None] = ContextVar("svf_effect", default=None)
        self._own_forward = {n for n, module in modules.items() if "forward" in vars(module)}
        self.layers: dict[str, Layer] = {}
        for name, module in modules.items():
            layer = Layer(name, module, factors[name].side)
            basis = factors[name].basis.to(layer.place, self.dtype)
            layer.basis = keep(basis, storage)
            self.layers[name] = layer
        # Memory that copies of the frozen weights take.
        self.packed_bytes = self._pack_weights(room - self.nbytes) if self.storage == "auto" else 0
        for layer in self.layers.values():
            layer.module.forward = _dispatch(layer, self._active)

    def _pack_weights(self, room: float) -> int:
        """Copies of the frozen weights in the CPU's layout, as far as they fit."""
        taken = 0
        for layer in self.layers.values():
            taken += layer.pack(room - taken)
        return taken

    @contextmanager
    def training_form(self, room: float) -> Iterator[None]:
        """Inside, gradients go through two products a layer where ``room`` bytes allow it.

        So do forward passes of many tokens in this thread, where the products are in float32 and
        the model is not. Those of other threads stay as they are.
        """
        try:
            taken = 0
            for layer in self.layers.values():
                taken += layer.train(room - taken)
            yield
        finally:
            for layer in self.layers.values():
                layer.end_training()

    @property
    def is_in_one_place(self) -> bool:
        """Whether all adapted layers are on one device."""
        return len(self._places) == 1

    @property
    def nbytes(self) -> int:
        """Memory that the bases take."""
        return sum(layer.basis.nbytes for layer in self.layers.values())

    def factored(self, delta: Tensor | None) -> Factored | None:
        """``delta``, (R,) or (B, R), made ready for ``using``; None where it is zero altogether.

        Worth keeping where many forward passes have the same delta.
        """
        if delta is None or not self.layers:
            return None
        flat = {place: delta.to(place, self.dtype) for place in self._places}
        split = {place: self.layout.split(whole) for place, whole in flat.items()}
        parts = {name: split[self.layers[name].place][name] for name in self.touched(delta)}
        if delta.dim() == 2:
            parts = {name: part.unsqueeze(1) for name, part in parts.items()}
        return Factored(parts, next(iter(flat.values()))) if parts else None

    def touched(self, delta: Tensor) -> list[str]:
        """Names of the layers that ``delta`` changes; all of them if it wants a gradient."""
        if delta.requires_grad or delta.shape[-1] != self.layout.total:
            return list(self.layout.names)
        used = (delta != 0).reshape(-1, self.layout.total).any(0).cpu().cumsum(0)[self._ends]
        counts = used.diff(prepend=used.new_zeros(1)).tolist()
        return [name for name, count in zip(self.layout.names, counts, strict=True) if count]

    @contextmanager
    def using(self, effect: Tensor | Effect | None) -> Iterator[None]:
        """Put a mix in effect for this thread's forward passes inside the ``with`` block.

        A delta, or what ``factored`` or ``merged.Merged`` made of one. ``None`` is the base model,
        bit for bit; ``(R,)`` one mix; ``(B, R)`` one for each row of the batch. A delta may require
        a gradient. The previous mix always comes back, also after an exception. Hold it around a
        forward pass only, never across a ``yield``: a generator shares the context of whoever
        resumes it.
        """
        if isinstance(effect, Tensor):
            effect = self.factored(effect)
        token = self._active.set(effect)
        try:
            yield
        finally:
            self._active.reset(token)

    def remove(self) -> None:
        """Give every layer its own forward back and let the bases go."""
        for name, layer in self.layers.items():
            if name in self._own_forward:
                layer.module.forward = layer.own_forward
            else:
                del layer.module.forward
        self.layers.clear()


def _dispatch(layer: Layer, active: ContextVar[Effect | None]) -> Callable[[Tensor], Tensor]:
    """The layer's new ``forward``. Unlike a hook it costs next to nothing where nothing is on."""

    def forward(x: Tensor) -> Tensor:
        effect = active.get()
        return layer.plain(x) if effect is None else effect(layer, x)

    return forward


def _check_factors(modules: Mapping[str, nn.Module], factors: Mapping[str, Factor]) -> None:
    for name, module in modules.items():
        if name not in factors:
            raise T2Error(f"no factors for {name}: they belong to another model; compute them anew")
        m, n = module_shape(module)
        expected = "input" if n <= m else "output"
        factor = factors[name]
        if factor.side != expected or factor.basis.shape != (min(m, n), min(m, n)):
            raise T2Error(f"factors for {name} do not fit its shape {m}x{n}: compute them anew")
