"""Weights with one mix written into them, and when that is worth its price.

``W(z) = W + W V diag(delta) V^T`` (or ``W + U diag(delta) U^T W``) for every layer that the mix
changes, kept beside the frozen weights and used by the requests that ask for this very mix. The
model itself is never written to, so other requests cannot see it. Decoding then costs what the base
costs; the price is the time to write and one more copy of these weights. On a quantised base the
copy has 16 bits: rounding it to 4 or 8 again would add that error once more (huggingface/peft issue
2321). Not covered: rows with mixes of their own, gradients (both are always factored).
"""

from __future__ import annotations

import hashlib
import math
import threading
import weakref
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from t2app.errors import T2Error
from t2app.svd.cache import dense_weight
from t2app.svd.modules import module_shape
from t2app.svf.basis import can_pack, pack, packed_linear
from t2app.svf.hooks import SVF, Effect, Layer

EXECUTIONS = ("auto", "factored", "merged")


@torch.no_grad()
def merged_weight(layer: Layer, delta: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """``W(z)`` (m, n) of one layer for its part (r,) of delta, computed in ``dtype``.

    By default that of the layer's basis.
    """
    weight = full_weight(layer.module).to(dtype or layer.basis.dtype)
    qt = layer.basis.dense_transposed().to(weight)
    change = (qt.t() * delta.to(qt)) @ qt
    # One rounding for product and sum.
    left, right = (weight, change) if layer.side == "input" else (change, weight)
    return torch.addmm(weight, left, right)


def full_weight(module: nn.Module) -> Tensor:
    """The (m, n) weight that a layer computes with, expanded if it is quantised."""
    if module.weight.is_floating_point():
        return dense_weight(module)
    # Imports bitsandbytes, which a model in full precision does without.
    from transformers.integrations.bitsandbytes import dequantize_bnb_weight

    return dequantize_bnb_weight(module.weight, getattr(module, "state", None))


@torch.no_grad()
def write_into_model(svf: SVF, delta: Tensor) -> None:
    """Overwrite the weights of the model itself, computed in float32; ``svf`` comes off it.

    Only for a model in full precision that nobody else uses (``export``).
    """
    parts = svf.layout.split(delta)
    for name in svf.touched(delta):
        layer = svf.layers[name]
        # A view of the stored weight, transposed where the layer stores it so.
        stored = dense_weight(layer.module)
        stored.copy_(merged_weight(layer, parts[name], torch.float32))
    svf.remove()


class Merged:
    """One mix ``delta`` (R,), merged into a copy of the weights of the layers that it changes."""

    @torch.no_grad()
    def __init__(self, svf: SVF, delta: Tensor) -> None:
        parts = svf.layout.split(delta)
        self._weights = {}
        for name in svf.touched(delta):
            weight = merged_weight(svf.layers[name], parts[name])
            self._weights[name] = pack(weight) if can_pack(weight) else weight

    def __call__(self, layer: Layer, x: Tensor) -> Tensor:
        """Run ``layer`` on ``x`` (..., n)."""
        weight = self._weights.get(layer.name)
        if weight is None:
            return layer.plain(x)
        # Another type only where the model's own is emulated (``basis.product_dtype``).
        bias = None if layer.module.bias is None else layer.module.bias.to(weight.dtype)
        linear = functional.linear if weight.layout is torch.strided else packed_linear
        return linear(x.to(weight.dtype), weight, bias).to(x.dtype)


class Execution:
    """Chooses how a mix is executed, request by request, and shares merged weights between them.

    ``choice`` is ``factored``, ``merged`` or ``auto``, which is factored: weights of an answer's
    own mix serve that answer alone and hold everybody up while they are written. Measured on two
    CPU cores at Qwen2.5-0.5B's shape in float32: 7.3 s to merge, 57 ms gained at every token.
    ``free()`` tells how many bytes merged weights may take. Safe to use from several threads.
    """

    def __init__(
        self, svf: SVF, choice: str = "auto", free: Callable[[], float] = lambda: math.inf
    ) -> None:
        if choice not in EXECUTIONS:
            raise T2Error(f"unknown execution {choice!r}: choose from {', '.join(EXECUTIONS)}")
        self.choice = choice
        self._svf, self._free = svf, free
        self._lock = threading.Lock()
        # Every merged mix lives as long as a request uses it, the latest one longer.
        self._alive: weakref.WeakValueDictionary[bytes, Merged] = weakref.WeakValueDictionary()
        self._latest: Merged | None = None

    def effect(self, delta: Tensor | None) -> Effect | None:
        """What to put in effect for ``delta``, None, (R,) or (B, R).

        ``T2Error`` if the weights must be merged and there is no memory for them.
        """
        if delta is None or delta.dim() != 1 or delta.requires_grad or self.choice != "merged":
            return self._svf.factored(delta)
        return self._merged(delta) or self._svf.factored(delta)

    def _merged(self, delta: Tensor) -> Merged | None:
        key = hashlib.sha256(delta.float().cpu().numpy().tobytes()).digest()
        with self._lock:
            found = self._alive.get(key)
            if found is not None or not self._svf.touched(delta):
                return found
            self._latest = None  # may be all that is in the way
            needed, free = merged_bytes(self._svf, delta), self._free()
            if needed > free:
                raise T2Error(
                    f"merged weights need {needed / 2**30:.1f} GB of memory and there are "
                    f"{free / 2**30:.1f} GB to spare: use --execution factored"
                )
            self._latest = self._alive[key] = Merged(self._svf, delta)
            return self._latest


def merged_bytes(svf: SVF, delta: Tensor) -> int:
    """Memory that the merged weights of ``delta`` take."""
    numbers = sum(
        torch.Size(module_shape(svf.layers[name].module)).numel() for name in svf.touched(delta)
    )
    return numbers * svf.dtype.itemsize
