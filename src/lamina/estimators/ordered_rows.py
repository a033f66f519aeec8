"""Rows for the loop in the order that scikit-learn's perceptrons take them in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from lamina.core.random import Random
from lamina.training.distributed import World
from lamina.training.sources import ArraySource, Batch


class OrderedRows(ArraySource):
    """Rows shuffled by ``shuffler``, a NumPy RandomState, from epoch to epoch; without one, as they come.

    Each epoch shuffles the order of the one before, as scikit-learn does: with the same state the batches are the same.
    The order hangs on how often it was asked, so that runs over such rows cannot be resumed from a checkpoint.
    """

    def __init__(
        self,
        arrays: tuple[Any, ...],
        batch_size: int,
        device: torch.device,
        dtype: torch.dtype,
        shuffler: np.random.RandomState | None = None,
    ) -> None:
        super().__init__(arrays, batch_size, Random(0), device, dtype)
        self.shuffler = shuffler
        self._order = np.arange(self.n_rows)

    def order(self, epoch: int) -> np.ndarray:
        """Row numbers (n_rows,) of the next epoch."""
        if self.shuffler is not None:
            places = np.arange(self.n_rows)
            self.shuffler.shuffle(places)
            self._order = self._order[places]
        return self._order

    def batches(self, epoch: int, first: int, world: World) -> Iterator[Batch]:
        """As any source's; in one process and in memory without its bookkeeping."""
        if world.size > 1 or first or not all(isinstance(a, torch.Tensor) for a in self.arrays):
            yield from super().batches(epoch, first, world)
            return
        order = torch.from_numpy(self.order(epoch)).to(self.device)
        rows, *others = self.arrays
        columns = [a.index_select(0, order).split(self.batch_size) for a in others]  # one number or few per row
        for chosen, *values in zip(order.split(self.batch_size), *columns, strict=True):
            yield Batch((rows.index_select(0, chosen), *values), chosen, len(chosen))
