"""How the orthonormal basis of a factor is kept beside its layer, and the two products with it.

``x Q`` and ``h Q^T`` are all that SVF asks of a basis ``Q`` (k, k). Four ways to keep it:

- dense, in any floating-point type;
- packed, for bfloat16 on a CPU that has it: both directions in the layout that oneDNN computes in,
  which saves rearranging the matrix at every product (the same numbers, 1.4 to 1.9 times faster,
  twice the memory);
- int8, one scale for each singular vector (half the memory of bfloat16);
- NF4, one scale for each 64 numbers (0.27 of it).

The last two are expanded for every product. Not covered: the decomposition itself (``svd``).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from t2app.errors import T2Error

STORAGES = ("auto", "dense", "int8", "nf4")

# The 16 levels of NormalFloat4: QLoRA (arXiv 2305.14314), appendix E.
NF4_LEVELS = (
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635,
    -0.18477343022823334, -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725,
    0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941,
    0.7229568362236023, 1.0,
)  # fmt: skip
NF4_BLOCK = 64
# Numbers from which a frozen weight, or any matrix in float32, is packed: 896 x 896 gains, those of
# the built-in model are too small.
PACK_FROM = 2**19


class Basis:
    """An orthonormal ``Q`` (k, k), singular vectors in columns, kept as ``dense`` gives it back."""

    dtype: torch.dtype

    def dense_transposed(self) -> Tensor:
        """``Q^T`` (k, k) in ``dtype``: one singular vector a row."""
        raise NotImplementedError

    def into(self, x: Tensor) -> Tensor:
        """``x Q``: coordinates of ``x`` (..., k) along the singular vectors."""
        return functional.linear(x, self.dense_transposed())

    def back(self, h: Tensor) -> Tensor:
        """``h Q^T``: the vector (..., k) that has the coordinates ``h``."""
        return h @ self.dense_transposed()

    def onto(self, x: Tensor, h: Tensor) -> Tensor:
        """``x + h Q^T``."""
        k = x.shape[-1]
        rows = torch.addmm(x.reshape(-1, k), h.reshape(-1, k), self.dense_transposed())
        return rows.view(x.shape)

    @property
    def nbytes(self) -> int:
        """Memory it takes."""
        raise NotImplementedError


class _Dense(Basis):
    """Kept as it is, transposed: rows stream from memory faster than columns."""

    def __init__(self, q: Tensor) -> None:
        self.dtype = q.dtype
        self._qt = q.t().contiguous()

    def dense_transposed(self) -> Tensor:
        return self._qt

    @property
    def nbytes(self) -> int:
        return self._qt.nbytes


class _Packed(Basis):
    """Both directions in oneDNN's layout; ``can_pack`` says where there is one.

    Not for float32: there the matrix is still in the processor's cache when the second product
    asks for it, which is worth more than the layout.
    """

    def __init__(self, q: Tensor) -> None:
        self.dtype = q.dtype
        self._into = pack(q.t().contiguous())
        self._back = pack(q)
        self._nbytes = 2 * q.nbytes

    def dense_transposed(self) -> Tensor:
        return self._into.to_dense()

    def into(self, x: Tensor) -> Tensor:
        return packed_linear(x, self._into)

    def back(self, h: Tensor) -> Tensor:
        return packed_linear(h, self._back)

    def onto(self, x: Tensor, h: Tensor) -> Tensor:
        # Product and sum are rounded once together.
        return torch.ops.mkldnn._linear_pointwise.binary(h, x, self._back, None, "add")

    @property
    def nbytes(self) -> int:
        return self._nbytes


class _Int8(Basis):
    """Whole numbers from -127 to 127 and one scale for each singular vector."""

    def __init__(self, q: Tensor) -> None:
        self.dtype = q.dtype
        qt = q.t().float()
        scale = qt.abs().amax(1, keepdim=True).clamp_min(1e-12) / 127
        self._scale = scale.to(q.dtype)
        self._levels = (qt / self._scale.float()).round().clamp(-127, 127).to(torch.int8)

    def dense_transposed(self) -> Tensor:
        return self._levels.to(self.dtype) * self._scale

    @property
    def nbytes(self) -> int:
        return self._levels.nbytes + self._scale.nbytes


class _NF4(Basis):
    """Two of 16 levels a byte and one scale for each 64 numbers of a singular vector."""

    def __init__(self, q: Tensor) -> None:
        self.dtype, self._shape = q.dtype, q.t().shape
        padded = functional.pad(q.t().float(), (0, -self._shape[1] % NF4_BLOCK))
        blocks = padded.reshape(-1, NF4_BLOCK).contiguous()
        scale = blocks.abs().amax(1, keepdim=True).clamp_min(1e-12)
        self._scale = scale.half()
        self._levels = torch.tensor(NF4_LEVELS, device=q.device, dtype=q.dtype)
        levels = self._levels.float()
        # Half-way between neighbours: a number goes to the nearest level.
        borders = (levels[1:] + levels[:-1]) / 2
        codes = torch.bucketize(blocks / self._scale.float(), borders).to(torch.uint8)
        self._codes = codes[:, 0::2] << 4 | codes[:, 1::2]

    def dense_transposed(self) -> Tensor:
        codes = torch.stack((self._codes >> 4, self._codes & 15), dim=-1).flatten(1)
        values = self._levels[codes.int()] * self._scale.to(self.dtype)
        rows, width = self._shape
        return values.view(rows, -1)[:, :width]

    @property
    def nbytes(self) -> int:
        return self._codes.nbytes + self._scale.nbytes


def keep(q: Tensor, storage: str = "auto") -> Basis:
    """Keep ``q`` (k, k) as ``storage`` says; ``auto`` packs it where that can be done."""
    if storage not in STORAGES:
        raise T2Error(f"unknown way to keep factors {storage!r}: choose from {', '.join(STORAGES)}")
    if storage == "int8":
        return _Int8(q)
    if storage == "nf4":
        return _NF4(q)
    packed = storage == "auto" and q.dtype == torch.bfloat16 and can_pack(q)
    return _Packed(q) if packed else _Dense(q)


def rounded(weight: Tensor, storage: str) -> Tensor:
    """What is left of any matrix (m, n) that is kept in ``int8`` or ``nf4``, scaled by rows."""
    return keep(weight.t(), storage).dense_transposed()


def bytes_per_number(storage: str, dtype: torch.dtype) -> float:
    """Memory for each number of a basis computed with in ``dtype``, without a packed copy."""
    return {"int8": 1.0, "nf4": 0.5 + 2 / NF4_BLOCK}.get(storage, dtype.itemsize)


def product_dtype(dtype: torch.dtype, place: torch.device) -> torch.dtype:
    """What bases are computed with for a model in ``dtype`` on ``place``: mostly the same.

    float32 for bfloat16 on a processor without instructions for it, which may take 100 times as
    long for some products in it.
    """
    emulated = dtype == torch.bfloat16 and place.type == "cpu" and not has_bfloat16_products()
    return torch.float32 if emulated else dtype


def training_dtype(dtype: torch.dtype, place: torch.device) -> torch.dtype:
    """What the products of many tokens are computed with while bases in ``dtype`` are trained.

    float32 on a processor without AMX: for many rows it is faster there than bfloat16, though the
    processor may have instructions for that (AVX512-BF16, 480 rows: 1.8 times; docs/LOG.md).
    """
    without_amx = place.type == "cpu" and not torch.cpu._is_amx_tile_supported()
    return torch.float32 if without_amx else dtype


def has_bfloat16_products() -> bool:
    """Whether this processor multiplies bfloat16 by itself."""
    return torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()


def can_pack(weight: Tensor) -> bool:
    """Whether oneDNN has a layout of its own for this matrix, and a faster product.

    On a CPU, bfloat16 where the processor has it (the same numbers bit for bit), and large matrices
    in float32 (the same up to rounding: another library, another order of sums).
    """
    if weight.device.type != "cpu":
        return False
    if weight.dtype == torch.bfloat16:
        return has_bfloat16_products()
    large = weight.dtype == torch.float32 and weight.numel() >= PACK_FROM
    return large and torch.backends.mkldnn.is_available()


def pack(weight: Tensor) -> Tensor:
    """``weight`` (m, n) in oneDNN's layout, for ``packed_linear``; ``to_dense`` gives it back."""
    # What torch.compile does to the weights of a frozen model. The 1 is the batch size to plan for.
    return torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), 1)


def packed_linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``x W^T + b`` for a packed ``weight``; without a gradient."""
    return torch.ops.mkldnn._linear_pointwise.default(x, weight, bias, "none", [], "")


class _Into(torch.autograd.Function):
    """``x Q`` with a gradient, for every way to keep Q: nothing but Q itself is remembered."""

    @staticmethod
    def forward(ctx, x: Tensor, basis: Basis) -> Tensor:
        ctx.basis = basis
        return basis.into(x)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None]:
        return ctx.basis.back(grad), None


class _Onto(torch.autograd.Function):
    """``x + h Q^T`` with a gradient."""

    @staticmethod
    def forward(ctx, x: Tensor, h: Tensor, basis: Basis) -> Tensor:
        ctx.basis = basis
        return basis.onto(x, h)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        return grad, ctx.basis.into(grad), None


def correct(x: Tensor, basis: Basis, delta: Tensor, offset: Tensor | None = None) -> Tensor:
    """``x + Q (delta * Q^T (x - offset))``, computed in the type of the basis.

    ``x`` is ``(..., k)``, ``delta`` ``(k,)``, or ``(B, 1, k)`` with ``x`` of shape ``(B, T, k)``.
    ``T2Error`` if the batch sizes differ.
    """
    if delta.dim() == 3 and (x.dim() != 3 or x.shape[0] != delta.shape[0]):
        raise T2Error(
            f"delta holds {delta.shape[0]} rows but a layer got input of shape "
            f"{tuple(x.shape)}: give one row for each sequence of the batch"
        )
    if x.dtype != basis.dtype:
        offset = None if offset is None else offset.to(basis.dtype)
        return correct(x.to(basis.dtype), basis, delta, offset).to(x.dtype)
    inner = x if offset is None else x - offset
    if torch.is_grad_enabled():
        return _Onto.apply(x, _Into.apply(inner, basis) * delta, basis)
    return basis.onto(x, basis.into(inner) * delta)
