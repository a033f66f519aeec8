"""Small numerical functions that stay exact where the obvious formula over- or underflows."""

from __future__ import annotations

import torch
from torch import Tensor


def log1pexp(x: Tensor) -> Tensor:
    """log(1 + exp x), elementwise, as log(e^x + e^0): exact for any x (softplus by threshold is not), slope σ(x)."""
    return torch.logaddexp(x, x.new_zeros(()))


def bernoulli_entropy(mean: Tensor) -> Tensor:
    """Entropy in nats of Bernoulli variables with the given means, elementwise; 0 log 0 = 0."""
    return -(torch.xlogy(mean, mean) + torch.xlogy(1 - mean, 1 - mean))


def logit(p: Tensor, margin: float) -> Tensor:
    """log p/(1−p) with p first clamped to [margin, 1 − margin]."""
    p = p.clamp(margin, 1 - margin)
    return torch.log(p) - torch.log1p(-p)
