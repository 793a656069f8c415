"""Singular value fine-tuning on a frozen model, by correcting what goes in or comes out of a layer.

With ``W = U diag(sigma) V^T``, ``W(z) = U diag(sigma * z) V^T`` (paper, section 3.1) and
``delta = z - 1``, one side of the decomposition is enough:

- ``n <= m``: ``W(z) x = W (x + V (delta * V^T x))``, a forward pre-hook;
- ``m < n``:  ``W(z) x = y + U (delta * U^T y)`` with ``y = W x``, a forward hook (bias left out).

The stored weight is never read or written, so it may be quantised. Not covered: merging a mix into
the weights, and gradient checkpointing that recomputes after the context was left.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from t2app.errors import T2Error
from t2app.svd.factor import Factor
from t2app.svd.modules import adapted_modules, module_shape
from t2app.svf.mixing import DeltaLayout

Active = dict[str, Tensor]


def correct(x: Tensor, basis: Tensor, delta: Tensor, offset: Tensor | None = None) -> Tensor:
    """``x + Q (delta * Q^T (x - offset))`` for the orthonormal ``basis`` Q.

    ``x`` is ``(..., k)``, ``basis`` ``(k, k)`` with vectors in columns, ``delta`` ``(k,)``, or
    ``(B, k)`` with ``x`` of shape ``(B, T, k)``. ``T2Error`` if the batch sizes differ.
    """
    if delta.dim() == 2:
        if x.dim() != 3 or x.shape[0] != delta.shape[0]:
            raise T2Error(
                f"delta holds {delta.shape[0]} rows but a layer got input of shape "
                f"{tuple(x.shape)}: give one row for each sequence of the batch"
            )
        delta = delta.unsqueeze(1)
    basis, delta = basis.to(x.dtype), delta.to(x.dtype)
    inner = x if offset is None else x - offset.to(x.dtype)
    # Measured against addmm on reshaped tensors: up to 30 % faster for one token, else equal.
    return x + functional.linear((inner @ basis) * delta, basis)


class SVF:
    """Hooks on every adapted matrix of ``model``, idle until ``using`` puts a delta in effect.

    ``factors`` are those of the original weights, keyed by live module name; ``dtype`` is that of
    the bases held beside the model (the model's own by default). ``T2Error`` if they do not fit.
    """

    def __init__(
        self, model: nn.Module, factors: Mapping[str, Factor], dtype: torch.dtype | None = None
    ) -> None:
        modules = adapted_modules(model)
        _check_factors(modules, factors)
        self._dtype = dtype or getattr(model, "dtype", torch.float32)
        self._device = next(iter(modules.values())).weight.device
        self.layout = DeltaLayout({name: factors[name].sigma.numel() for name in modules})
        self._active: ContextVar[Active | None] = ContextVar("svf_delta", default=None)
        self._handles = []
        for name, module in modules.items():
            side = factors[name].side
            basis = factors[name].basis.to(self._device, self._dtype)
            if side == "input":
                hook = partial(self._before, name, basis)
                self._handles.append(module.register_forward_pre_hook(hook))
            else:
                hook = partial(self._after, name, basis)
                self._handles.append(module.register_forward_hook(hook))

    @contextmanager
    def using(self, delta: Tensor | None) -> Iterator[None]:
        """Put ``delta`` in effect for this thread's forward passes inside the ``with`` block.

        ``None`` is the base model, bit for bit; ``(R,)`` one mix; ``(B, R)`` one for each row of
        the batch. It may require a gradient. The previous delta always comes back, also after an
        exception. Hold it around a forward pass only, never across a ``yield``: a generator shares
        the context of whoever resumes it.
        """
        active = None
        if delta is not None:
            # Once here rather than in every layer of every pass.
            active = self.layout.split(delta.to(self._device, self._dtype))
        token = self._active.set(active)
        try:
            yield
        finally:
            self._active.reset(token)

    def remove(self) -> None:
        """Take every hook off the model and let the bases go."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def _before(
        self, name: str, basis: Tensor, module: nn.Module, args: tuple[Tensor, ...]
    ) -> tuple[Tensor, ...] | None:
        active = self._active.get()
        if active is None:
            return None
        return (correct(args[0], basis, active[name]), *args[1:])

    def _after(
        self, name: str, basis: Tensor, module: nn.Module, args: tuple[Tensor, ...], output: Tensor
    ) -> Tensor | None:
        active = self._active.get()
        if active is None:
            return None
        return correct(output, basis, active[name], offset=module.bias)


def _check_factors(modules: Mapping[str, nn.Module], factors: Mapping[str, Factor]) -> None:
    for name, module in modules.items():
        if name not in factors:
            raise T2Error(f"no factors for {name}: they belong to another model; compute them anew")
        m, n = module_shape(module)
        expected = "input" if n <= m else "output"
        factor = factors[name]
        if factor.side != expected or factor.basis.shape != (min(m, n), min(m, n)):
            raise T2Error(f"factors for {name} do not fit its shape {m}x{n}: compute them anew")
