"""Slopes of the activations: φ′(a) from the field a and the value h = φ(a), each elementwise.

Closed forms, differentiable themselves, so that a penalty of slopes has a gradient. A table beside
`lamina.models.activations.ACTIVATIONS`, with the same names.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from lamina.models.activations import LEAK


def _silu(a: Tensor, h: Tensor) -> Tensor:
    s = torch.sigmoid(a)
    return s * (1 + a * (1 - s))


def _gelu(a: Tensor, h: Tensor) -> Tensor:
    return (1 + torch.erf(a / math.sqrt(2))) / 2 + a * torch.exp(-(a**2) / 2) / math.sqrt(2 * math.pi)


SLOPES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "sigmoid": lambda a, h: h * (1 - h),
    "tanh": lambda a, h: 1 - h**2,
    "relu": lambda a, h: (a > 0).to(a.dtype),
    "identity": lambda a, h: torch.ones_like(a),
    "softplus": lambda a, h: torch.sigmoid(a),
    "elu": lambda a, h: torch.where(a > 0, torch.ones_like(a), torch.exp(a.clamp(max=0))),
    "silu": _silu,
    "gelu": _gelu,
    "leaky_relu": lambda a, h: torch.where(a > 0, torch.ones_like(a), torch.full_like(a, LEAK)),
    "scaled_tanh": lambda a, h: 2 / 3 * (1.7159 - h**2 / 1.7159),
}
