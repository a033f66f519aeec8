"""Several processes as one: ``torchrun`` starts them, gradients are summed inside the loop.

Every process holds the same weights and takes its slice of each batch. Gradients are sums over the process's rows
divided by the number of rows of the whole batch, so a plain sum over processes is the gradient of the whole batch,
whatever the sizes of the slices.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lamina.core.random import Random, as_random


@dataclass(frozen=True)
class World:
    """This process's ``rank`` among ``size`` processes."""

    rank: int = 0
    size: int = 1

    @property
    def local_rank(self) -> int:
        """This process's number on its own machine, as ``torchrun`` gives it."""
        return int(os.environ.get("LOCAL_RANK", "0"))

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

    def any(self, flag: bool, device: torch.device) -> bool:
        """Whether ``flag`` holds on any process. All ask together and get one answer, so that none waits alone."""
        if self.size == 1:
            return flag
        count = torch.tensor([float(flag)], device=device)
        torch.distributed.all_reduce(count)
        return bool(count > 0)

    def take_first_(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by the first process's."""
        if self.size > 1:
            for tensor in tensors:
                torch.distributed.broadcast(tensor, 0)

    def random(self, random_state: int | Random | None, device: torch.device) -> Random:
        """`as_random`; where that draws a fresh seed, the first process's serves all."""
        random = as_random(random_state)
        if self.size == 1 or isinstance(random_state, (int, np.integer, Random)):
            return random
        seed = torch.tensor([random.seed], device=device)
        self.take_first_([seed])
        return Random(int(seed), random.names)

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
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
        distributed.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
    return World(distributed.get_rank(), distributed.get_world_size())
