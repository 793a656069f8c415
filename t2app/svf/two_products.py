"""An adapted layer as two matrix products, for training: ``y = ((x A) * z) B + b``.

- a correction of the input:  ``A = V``, ``B = (W V)^T``
- a correction of the output: ``A = (U^T W)^T``, ``B = U^T``

The same function as the layer with its correction (``hooks``), up to rounding, in two products
where that takes three, and four in the backward pass where it takes six. ``A`` and ``B`` come from
the weight as it is stored, quantised or not, so nothing is quantised a second time. It needs memory
for one more copy of the weights (for two where they are bfloat16 and the products float32, see
``basis.training_dtype``), which is why only a training run keeps it, while it lasts. Limit: in
bfloat16 products (with AMX, on a GPU) ``(x A) * z`` is rounded, so that the forward pass does not
see changes of ``z`` below 0.4 %.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class TwoProducts:
    """``into`` is ``A^T`` (k, n), ``out`` is ``B^T`` (m, k), ``bias`` (m,) or None."""

    into: Tensor
    out: Tensor
    bias: Tensor | None

    @classmethod
    def of(
        cls,
        weight: Tensor,
        basis: Tensor,
        side: Literal["input", "output"],
        bias: Tensor | None,
        dtype: torch.dtype,
    ) -> TwoProducts:
        """From a weight (m, n) and the transposed basis (k, k) of its ``side``."""
        weight, basis = weight.float(), basis.float()
        if side == "input":
            into, out = basis, weight @ basis.T
        else:
            into, out = basis @ weight, basis.T
        return cls(into.to(dtype).contiguous(), out.to(dtype).contiguous(), bias)

    @property
    def nbytes(self) -> int:
        """Memory of the two matrices."""
        return self.into.nbytes + self.out.nbytes

    def __call__(self, x: Tensor, delta: Tensor) -> Tensor:
        """``W(z) x + b`` of ``x`` (..., n) with ``delta`` (k,), or (B, 1, k) for (B, T, n).

        ``z`` is in float32 whatever the products are in: in bfloat16 1.001 is 1.
        """
        y = _Scaled.apply(x.to(self.into.dtype), 1 + delta.float(), self.into, self.out)
        y = y.to(x.dtype)
        return y if self.bias is None else y + self.bias


class _Scaled(torch.autograd.Function):
    """``((x A) * z) B``; of all that is in between only ``x A`` is remembered."""

    @staticmethod
    def forward(ctx, x: Tensor, z: Tensor, into: Tensor, out: Tensor) -> Tensor:
        inner = functional.linear(x, into)
        ctx.save_for_backward(inner, z)
        ctx.matrices = into, out
        return functional.linear((inner * z).to(out.dtype), out)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        inner, z = ctx.saved_tensors
        into, out = ctx.matrices
        back = grad @ out
        grad_x = (back * z).to(into.dtype) @ into if ctx.needs_input_grad[0] else None
        grad_z = _summed(back, inner, z) if ctx.needs_input_grad[1] else None
        return grad_x, grad_z, None, None


def _summed(back: Tensor, inner: Tensor, z: Tensor) -> Tensor:
    """The gradient of ``z``: products (..., k) summed over all tokens it was used for, in fp32."""
    if z.dim() == 1:
        products = (back * inner).reshape(-1, z.shape[0])
        return products.sum(0, dtype=torch.float32).to(z.dtype)
    return (back * inner).sum(1, keepdim=True, dtype=torch.float32).to(z.dtype)
