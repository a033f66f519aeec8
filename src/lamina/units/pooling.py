"""Probabilistic max-pooling (Lee, Grosse, Ranganath, Ng 2009, section 3.3): of a block of units at most one is on.

The last dimensions of a map are places (length, or height and width), everything before them is batch and filters. The
places are cut into blocks of ``pooling`` places along each axis, beginning at 0; where the size does not divide, the
last block along that axis is smaller, so that every unit belongs to exactly one block. A block with the fields f_i has
one state more than units:

    p(unit i on) = e^{f_i} / (1 + Σ_j e^{f_j}),      p(all off) = 1 / (1 + Σ_j e^{f_j})    (docs/mathematics.md, eq. 51)

and its *pooled unit* is on where one of the block is. Blocks of one unit are Bernoulli units.

`to_blocks` brings the units of a block together: (..., *size) → (cells, ..., *blocks). ``pooling`` has one number per
axis.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from lamina.core.random import Random

Sizes = tuple[int, ...]


def count_blocks(size: Sizes, pooling: Sizes) -> Sizes:
    """Blocks along each axis of a map of ``size`` places: ⌈size / pooling⌉."""
    return tuple(-(-n // p) for n, p in zip(size, pooling, strict=True))


def to_blocks(x: Tensor, pooling: Sizes, fill: float) -> Tensor:
    """(..., *size) → (cells, ..., *blocks), cells = Π pooling; the places that a border block lacks hold ``fill``."""
    if math.prod(pooling) == 1:
        return x.unsqueeze(0)
    axes = len(pooling)
    lead, size = x.shape[: x.dim() - axes], tuple(x.shape[x.dim() - axes :])
    blocks = count_blocks(size, pooling)
    short = [b * p - n for n, p, b in zip(size, pooling, blocks, strict=True)]
    if any(short):
        x = functional.pad(x, [n for missing in reversed(short) for n in (0, missing)], value=fill)
    x = x.reshape(*lead, *(n for pair in zip(blocks, pooling, strict=True) for n in pair))
    first = len(lead)
    within = [first + 2 * axis + 1 for axis in range(axes)]
    between = [first + 2 * axis for axis in range(axes)]
    return x.permute(*within, *range(first), *between).reshape(math.prod(pooling), *lead, *blocks)


def from_blocks(cells: Tensor, pooling: Sizes, size: Sizes) -> Tensor:
    """The inverse of `to_blocks`: (cells, ..., *blocks) → (..., *size)."""
    if math.prod(pooling) == 1:
        return cells[0]
    axes = len(pooling)
    lead, blocks = cells.shape[1 : cells.dim() - axes], cells.shape[cells.dim() - axes :]
    x = cells.reshape(*pooling, *lead, *blocks)
    pairs = [place for axis in range(axes) for place in (axes + len(lead) + axis, axis)]
    x = x.permute(*range(axes, axes + len(lead)), *pairs)
    x = x.reshape(*lead, *(b * p for b, p in zip(blocks, pooling, strict=True)))
    for axis, n in enumerate(size, start=len(lead)):
        x = x.narrow(axis, 0, n)
    return x


def log_partition(field: Tensor, pooling: Sizes) -> Tensor:
    """log(1 + Σ_i e^{f_i}) of every block: (..., *size) → (..., *blocks)."""
    cells = to_blocks(field, pooling, -math.inf)
    top = cells.detach().amax(0).clamp_(min=0)
    return torch.log(torch.exp(cells - top).sum(0) + torch.exp(-top)) + top


def means(field: Tensor, pooling: Sizes) -> tuple[Tensor, Tensor]:
    """p(unit on) (..., *size) and p(pooled unit on) (..., *blocks) given the fields (..., *size)."""
    cells = to_blocks(field, pooling, -math.inf)
    top = cells.detach().amax(0).clamp_(min=0)
    weights = (cells - top).exp_()
    on = weights.sum(0)
    total = on + torch.exp(-top)
    return from_blocks(weights / total, pooling, _size(field, pooling)), on / total


def draw(mean: Tensor, pooling: Sizes, random: Random) -> tuple[Tensor, Tensor]:
    """States of units (..., *size) and of pooled units (..., *blocks), given p(unit on) (..., *size).

    One uniform number u per block: unit i is on where p_1 + … + p_{i−1} ≤ u < p_1 + … + p_i.
    """
    cells = to_blocks(mean, pooling, 0.0)
    u = random.uniform(cells.shape[1:], mean.dtype, mean.device)
    states = torch.empty_like(cells)
    reached = torch.zeros_like(u)
    before = torch.zeros_like(u, dtype=torch.bool)
    for cell, state in zip(cells, states, strict=True):
        on = reached.add_(cell) > u
        state.copy_(on ^ before)  # the sums only grow, so `before` implies `on`
        before = on
    return from_blocks(states, pooling, _size(mean, pooling)), before.to(mean.dtype)


def pool(h: Tensor, pooling: Sizes) -> Tensor:
    """Pooled units from their blocks' units, states or means (..., *size): the sum over a block, (..., *blocks)."""
    return to_blocks(h, pooling, 0.0).sum(0)


def repeat(pooled: Tensor, pooling: Sizes, size: Sizes) -> Tensor:
    """Every block's value at all of its places: (..., *blocks) → (..., *size)."""
    return from_blocks(pooled.unsqueeze(0).expand(math.prod(pooling), *pooled.shape), pooling, size)


def spread(pooled: Tensor, pooling: Sizes, size: Sizes) -> Tensor:
    """Every block's value divided evenly among its places: (..., *blocks) → (..., *size).

    This is E[h | p] where all units of a block have the same field.
    """
    units = pool(pooled.new_ones(size), pooling)  # how many places each block has
    return repeat(pooled / units, pooling, size)


def _size(x: Tensor, pooling: Sizes) -> Sizes:
    return tuple(x.shape[x.dim() - len(pooling) :])
