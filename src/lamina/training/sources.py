"""Where batches come from: arrays, memory maps larger than memory, or any iterable of batches.

A source yields `Batch` objects: this process's rows of one batch, already on the device and in the model's type, with
the row numbers in the whole data. The order is a function of (seed, epoch) alone, so that a resumed run sees what an
unbroken one would have seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lamina.core.checks import check_matrix
from lamina.core.errors import DataError, SettingError
from lamina.core.random import Random
from lamina.training.distributed import World

IN_MEMORY = 2 << 30  # bytes: arrays up to this size are converted once and kept on the device
BLOCK = 256  # rows read together from a memory map
POOL = 256 << 20  # bytes: blocks are shuffled over the whole file, rows within pools of this size


@dataclass(frozen=True)
class Batch:
    """``values``: one tensor (n, ...) per array of the data; ``rows`` (n,) int64 on the device; ``total``: rows of
    the batch over all processes (what a mean divides by)."""

    values: tuple[Tensor, ...]
    rows: Tensor
    total: int


class ArraySource:
    """Rows of one or several arrays of equal length, shuffled anew in each epoch."""

    def __init__(
        self,
        arrays: tuple[Any, ...],
        batch_size: int,
        random: Random,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        lengths = {len(a) for a in arrays}
        if len(lengths) != 1:
            raise DataError(f"the arrays have {sorted(lengths)} rows; expected equal numbers of rows")
        self.n_rows = lengths.pop()
        if self.n_rows == 0:
            raise DataError("the data have 0 rows; expected at least one: is the file or filter empty?")
        self.batch_size, self.random, self.device, self.dtype = batch_size, random, device, dtype
        self.arrays = tuple(self._resident(a) for a in arrays)
        self.pool_rows = self._pool_rows()

    def _resident(self, array: Any) -> Any:
        """The array as a tensor on the device if it may live in memory, else as it is, to be read batch by batch."""
        if isinstance(array, Tensor):
            return _finite(_to_tensor(array.detach(), self.device, self.dtype))
        mapped = isinstance(array, np.memmap)
        if mapped or array.size * 4 > IN_MEMORY:
            return array
        kind = torch.int64 if array.dtype.kind in "iu" and array.ndim == 1 else self.dtype
        return _finite(torch.tensor(np.ascontiguousarray(array)).to(self.device, kind))

    def _pool_rows(self) -> int:
        streamed = [a for a in self.arrays if not isinstance(a, Tensor)]
        if not streamed:
            return self.n_rows
        row_bytes = sum(a[:1].nbytes for a in streamed)
        return max(BLOCK, POOL // max(1, row_bytes) // BLOCK * BLOCK)

    @property
    def n_batches(self) -> int:
        return -(-self.n_rows // self.batch_size)

    def order(self, epoch: int) -> np.ndarray:
        """Row numbers (n_rows,) in the order of this epoch: blocks shuffled, then rows within pools of blocks."""
        generator = self.random.child("order", epoch).numpy()
        if self.pool_rows >= self.n_rows:
            return generator.permutation(self.n_rows)
        starts = generator.permutation(-(-self.n_rows // BLOCK)) * BLOCK
        order = (starts[:, None] + np.arange(BLOCK)).reshape(-1)
        order = order[order < self.n_rows]
        for start in range(0, self.n_rows, self.pool_rows):
            generator.shuffle(order[start : start + self.pool_rows])
        return order

    def batches(self, epoch: int, first: int, world: World) -> Iterator[Batch]:
        """Batches ``first``, ``first`` + 1, ... of ``epoch``."""
        order = torch.from_numpy(self.order(epoch))
        on_device = order.to(self.device)
        for k in range(first, self.n_batches):
            total = min(self.batch_size, self.n_rows - k * self.batch_size)
            mine = world.slice(total)
            span = slice(k * self.batch_size + mine.start, k * self.batch_size + mine.stop)
            rows = on_device[span]
            yield Batch(tuple(self._take(a, rows, order[span]) for a in self.arrays), rows, total)

    def _take(self, array: Any, rows: Tensor, on_host: Tensor) -> Tensor:
        if isinstance(array, Tensor):
            return array.index_select(0, rows)
        return _to_tensor(np.asarray(array[on_host.numpy()]), self.device, self.dtype)

    def spread(self, n: int) -> tuple[Tensor, ...]:
        """``n`` evenly spaced rows of every array (all, in order, where there are fewer), for checks and monitors."""
        n = min(n, self.n_rows)
        rows = torch.arange(n) * self.n_rows // n
        return tuple(self._take(a, rows.to(self.device), rows) for a in self.arrays)


class IterableSource:
    """Batches from an iterable that can be gone through once per epoch, in the order it gives.

    ``batches_of()`` must return a fresh iterator each time: a list, a DataLoader, or a function that makes a
    generator; a generator itself ends with the first epoch and is refused.
    """

    n_batches: int | None = None
    n_rows: int | None = None

    def __init__(self, data: Iterable | Callable[[], Iterable], device: torch.device, dtype: torch.dtype) -> None:
        if isinstance(data, Iterator):
            raise SettingError(
                "the data are an iterator, which ends with the first epoch; expected something that can be gone "
                "through again: pass a list of batches or a function that makes the iterator"
            )
        self.data, self.device, self.dtype = data, device, dtype

    def batches(self, epoch: int, first: int, world: World) -> Iterator[Batch]:
        start = k = 0
        for item in self.data() if callable(self.data) else self.data:
            arrays = item if isinstance(item, (tuple, list)) else (item,)
            total = len(arrays[0])
            if total == 0:
                continue
            if k >= first:
                mine = world.slice(total)
                rows = torch.arange(start + mine.start, start + mine.stop, device=self.device)
                yield Batch(tuple(_to_tensor(a[mine], self.device, self.dtype) for a in arrays), rows, total)
            start, k = start + total, k + 1
        if start == 0:
            raise DataError("the iterable gave 0 rows; expected at least one batch: was it used up before?")

    def spread(self, n: int) -> tuple[Tensor, ...]:
        """The first ``n`` rows of the first batches, for monitors, validation and initial values."""
        taken: list[tuple[Tensor, ...]] = []
        rows = 0
        for batch in self.batches(0, 0, World()):
            taken.append(batch.values)
            rows += batch.total
            if rows >= n:
                break
        return tuple(torch.cat(values)[:n] for values in zip(*taken, strict=True))


Source = ArraySource | IterableSource


def _finite(tensor: Tensor) -> Tensor:
    """``tensor`` itself; `DataError` naming rows and columns where it holds NaN or infinity."""
    if tensor.is_floating_point() and not bool(torch.isfinite(tensor.sum())):  # one pass for good data
        check_matrix(tensor.reshape(len(tensor), -1).cpu().numpy(), name="the data")
    return tensor


def _to_tensor(array: Any, device: torch.device, dtype: torch.dtype) -> Tensor:
    tensor = array if isinstance(array, Tensor) else torch.from_numpy(np.require(array, requirements=["C", "W"]))
    return tensor.to(device, torch.int64 if tensor.dim() == 1 and not tensor.is_floating_point() else dtype)


def as_source(data: Any, batch_size: int, random: Random, device: torch.device, dtype: torch.dtype) -> Source:
    """A source for what `fit` takes: an array, a tuple of arrays of equal length, or an iterable of batches."""
    if isinstance(data, (ArraySource, IterableSource)):
        return data
    arrays = data if isinstance(data, tuple) else (data,)
    if all(hasattr(a, "shape") and hasattr(a, "dtype") for a in arrays):
        return ArraySource(arrays, batch_size, random, device, dtype)
    if callable(data) or isinstance(data, Iterable):
        return IterableSource(data, device, dtype)
    raise DataError(
        f"the data are a {type(data).__name__}; expected an array (rows, features), a tuple of arrays, or an iterable "
        f"of batches"
    )
