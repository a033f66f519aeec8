"""Correlation that keeps a map's size, its adjoint, and max-pooling that remembers where its maxima were.

With odd filters, p = (kernel − 1) / 2 zeros beyond every border, and a step of ``stride`` places (docs/mathematics.md,
eq. 155 and 156)

    (W ⋆ x)_k(r) = Σ_c Σ_s W_kc(s) x_c(stride · r + s − p)          `correlate`
    (Wᵀ ⋆ y)_c(r) = Σ_k Σ_{s, t: stride · t + s − p = r} W_kc(s) y_k(t)     `adjoint`

so that ⟨W ⋆ x, y⟩ = ⟨x, Wᵀ ⋆ y⟩. A map of n places has ⌈n / stride⌉ after it, as many as blocks of that length.
Maps are (n, channels, *size) with one or two axes; filters (maps, channels, *kernel).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from lamina.units import pooling
from lamina.units.pooling import Sizes


def correlate(x: Tensor, filters: Tensor, stride: Sizes) -> Tensor:
    """W ⋆ x: (n, channels, *size), (maps, channels, *kernel) → (n, maps, *⌈size / stride⌉)."""
    function = functional.conv1d if filters.dim() == 3 else functional.conv2d
    return function(x, filters, stride=stride, padding=_reach(filters))


def adjoint(y: Tensor, filters: Tensor, stride: Sizes, size: Sizes) -> Tensor:
    """Wᵀ ⋆ y: (n, maps, *⌈size / stride⌉), (maps, channels, *kernel) → (n, channels, *size)."""
    left = tuple((n - 1) % s for n, s in zip(size, stride, strict=True))  # places beyond the last step
    function = functional.conv_transpose1d if filters.dim() == 3 else functional.conv_transpose2d
    return function(y, filters, stride=stride, padding=_reach(filters), output_padding=left)


def _reach(filters: Tensor) -> Sizes:
    return tuple((n - 1) // 2 for n in filters.shape[2:])


def max_pool(x: Tensor, blocks: Sizes) -> tuple[Tensor, Tensor]:
    """The largest value of every block, and its place in the block: (..., *size) → twice (..., *⌈size / blocks⌉)."""
    values, switches = pooling.to_blocks(x, blocks, -math.inf).max(0)
    return values, switches


def unpool(values: Tensor, switches: Tensor, blocks: Sizes, size: Sizes) -> Tensor:
    """Every value at its block's switch, zeros elsewhere: (..., *⌈size / blocks⌉) → (..., *size)."""
    cells = torch.zeros(math.prod(blocks), *values.shape, dtype=values.dtype, device=values.device)
    return pooling.from_blocks(cells.scatter(0, switches.unsqueeze(0), values.unsqueeze(0)), blocks, size)
