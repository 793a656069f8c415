"""One expert trained by several processes (``accelerate launch``, ``torchrun``), data-parallel.

Every process holds the whole model and the same vectors; rows are dealt out, scores and the small
gradient are brought together. Only the main process prints and writes. What a row's answers draw
depends on the row alone, so N processes train the expert that one trains, but for rounding.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch import distributed as dist

from t2app.models import memory

T = TypeVar("T")
U = TypeVar("U")


def is_main() -> bool:
    """Whether this process prints and writes, as its launcher's environment tells."""
    return os.environ.get("RANK", "0") == "0"


def choose_device() -> None:
    """A GPU of its own for each process of this machine; before the model is loaded."""
    own = memory.own_gpu()
    if own is not None and torch.cuda.is_available() and own < torch.cuda.device_count():
        torch.cuda.set_device(own)


class World:
    """The processes that train together; one, unless a launcher started more."""

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank, self.size = rank, size

    @classmethod
    def join(cls, device: torch.device) -> World:
        """The processes of this launch, as the launcher's environment tells."""
        if int(os.environ.get("WORLD_SIZE", "1")) < 2:
            return cls()
        if not dist.is_initialized():
            dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
        return cls(dist.get_rank(), dist.get_world_size())

    def leave(self) -> None:
        """Let the others go."""
        if self.size > 1 and dist.is_initialized():
            dist.destroy_process_group()

    @property
    def main(self) -> bool:
        """Whether this process prints and writes."""
        return self.rank == 0

    def spread(self, work: Callable[[list[T]], Sequence[U]], items: Sequence[T]) -> list[U]:
        """``work`` on a share of the items in each process; every result, in order, in each."""
        mine = list(items[self.rank :: self.size])
        done = list(work(mine)) if mine else []
        if self.size == 1:
            return done
        parts: list[Any] = [None] * self.size
        dist.all_gather_object(parts, done)
        return [parts[i % self.size][i // self.size] for i in range(len(items))]

    def add(self, tensor: Tensor) -> None:
        """The sum over all processes, in place in each."""
        if self.size > 1:
            # nccl moves nothing that is not on a GPU.
            moved = tensor.cuda() if dist.get_backend() == "nccl" else tensor
            dist.all_reduce(moved)
            tensor.copy_(moved)

    def agree(self, value: T) -> T:
        """What the main process has."""
        if self.size == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box)
        return box[0]
