"""Max-pooling that remembers where each maximum stood, and its inverse on the maxima.

Places are cut into blocks of ``pooling`` × ``pooling``, beginning at 0; border blocks are smaller where that does not
divide. Of each block the value of largest magnitude goes up, with its sign; its place is the block's *switch*.
`unpool` puts values back at their switches and 0 elsewhere: pool(unpool(p)) = p; unpool(pool(z)) is z at the maxima.

Source: Zeiler, Taylor, Fergus 2011.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from lamina.core.errors import DataError


def pool_with_switches(z: Tensor, pooling: int) -> tuple[Tensor, Tensor]:
    """Maxima of magnitude with their signs, and their places as row · width + column:
    (n, maps, height, width) → two of (n, maps, ⌈height/pooling⌉, ⌈width/pooling⌉), the second int64.

    Where several are equal, the first in the order of rows stands for the block.
    """
    height, width = z.shape[2:]
    padding = (0, -width % pooling, 0, -height % pooling)
    size = z.detach().abs()
    if any(padding):  # magnitudes are at least 0: a padded place never wins
        size = functional.pad(size, padding, value=-1.0)
    places = functional.max_pool2d(size, pooling, return_indices=True)[1]
    padded_width = size.shape[3]
    switches = places // padded_width * width + places % padded_width
    return z.flatten(2).gather(2, switches.flatten(2)).view(switches.shape), switches


def unpool(values: Tensor, switches: Tensor, size: tuple[int, int]) -> Tensor:
    """``values`` at their ``switches`` on maps of ``size``, 0 elsewhere: the adjoint of pooling with fixed switches."""
    if values.shape != switches.shape:
        raise DataError(
            f"the pooled values have shape {tuple(values.shape)} and the switches {tuple(switches.shape)}; expected "
            f"equal shapes: a switch for each value"
        )
    n, maps = values.shape[:2]
    out = torch.zeros(n, maps, size[0] * size[1], dtype=values.dtype, device=values.device)
    return out.scatter(2, switches.flatten(2), values.flatten(2)).view(n, maps, *size)
