"""Several processes as one: ``torchrun`` starts them, gradients are summed inside the loop.

Every process holds the same weights and takes its slice of each batch. Gradients are sums over the process's rows
divided by the number of rows of the whole batch, so a plain sum over processes is the gradient of the whole batch,
whatever the sizes of the slices.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class World:
    """This process's ``rank`` among ``size`` processes."""

    rank: int = 0
    size: int = 1

    def slice(self, n: int) -> slice:
        """This process's part of ``n`` things: contiguous, sizes differing by at most one."""
        return slice(n * self.rank // self.size, n * (self.rank + 1) // self.size)

    def sum_(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its sum over the processes, through one flat buffer per type."""
        if self.size == 1:
            return
        by_type: dict[torch.dtype, list[Tensor]] = {}
        for tensor in tensors:
            by_type.setdefault(tensor.dtype, []).append(tensor)
        for group in by_type.values():
            flat = torch.cat([t.reshape(-1) for t in group])
            torch.distributed.all_reduce(flat)
            for tensor, part in zip(group, flat.split([t.numel() for t in group]), strict=True):
                tensor.copy_(part.view_as(tensor))

    def barrier(self) -> None:
        if self.size > 1:
            torch.distributed.barrier()


def world() -> World:
    """The world that ``torchrun`` made, joined on first use; a world of one outside it."""
    distributed = torch.distributed
    if not distributed.is_available():
        return World()
    if not distributed.is_initialized():
        if int(os.environ.get("WORLD_SIZE", "1")) < 2:
            return World()
        distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    return World(distributed.get_rank(), distributed.get_world_size())
