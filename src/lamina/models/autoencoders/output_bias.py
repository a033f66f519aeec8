"""Where output units start: at a field that alone gives the data's mean, so that the first steps need not find it."""

from __future__ import annotations

import torch
from torch import Tensor

MARGIN = 0.01  # a pixel that is never on would get a bias of −∞: means are kept so far from the ends of their range


def field_of_mean(output: str, mean: Tensor) -> Tensor:
    """The field at which ``output``, an activation's name, gives ``mean``; same shape. Zeros where it has no inverse.

    Of rectified outputs this matters most: one that starts below 0 for all rows has no slope and never learns.
    """
    if output == "identity":
        return mean
    if output == "relu":
        return mean.clamp(min=MARGIN)
    if output == "softplus":
        return torch.log(torch.expm1(mean.clamp(min=MARGIN)))
    if output == "sigmoid":
        return torch.logit(mean.clamp(MARGIN, 1 - MARGIN))
    if output == "tanh":
        return torch.atanh(mean.clamp(MARGIN - 1, 1 - MARGIN))
    return torch.zeros_like(mean)
