"""Activation functions by name: what a unit of a deterministic layer answers to its field.

Elementwise functions stand in `ACTIVATIONS`. Two more kinds of unit need more than one number per field, so that only
networks that keep a place for it know them (`NETWORK_ACTIVATIONS`): ``prelu`` learns its slope below 0, and ``maxout``
answers with the largest of several fields.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from lamina.core.errors import SettingError, nearest_names

LEAK = 0.01  # slope of a leaky rectified unit below 0 (Maas, Hannun, Ng 2013)
PRELU_START = 0.25  # slope below 0 that a parametric one starts from (He et al. 2015)

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": torch.relu,
    "identity": lambda x: x,
    "softplus": functional.softplus,
    "elu": functional.elu,
    "silu": functional.silu,
    "gelu": functional.gelu,
    "leaky_relu": lambda x: functional.leaky_relu(x, LEAK),
    "scaled_tanh": lambda x: 1.7159 * torch.tanh(x * (2 / 3)),  # ±1 ↦ ±1, where its curvature is largest (LeCun 1989)
}

NETWORK_ACTIVATIONS = (*ACTIVATIONS, "prelu", "maxout")


def check_activation(activation: str, name: str = "activation") -> None:
    """Raise `SettingError`, with the nearest names, where there is no such elementwise activation."""
    if activation not in ACTIVATIONS:
        raise SettingError(f"{name} is {activation!r}; {nearest_names(activation, list(ACTIVATIONS))}")


def check_network_activation(activation: str, name: str = "activation") -> None:
    """The same where ``prelu`` and ``maxout`` are known too."""
    if activation not in NETWORK_ACTIVATIONS:
        raise SettingError(f"{name} is {activation!r}; {nearest_names(activation, list(NETWORK_ACTIVATIONS))}")


def prelu(x: Tensor, a: Tensor) -> Tensor:
    """max(x, 0) + a min(x, 0): fields (..., n) and slopes (n,) → (..., n) (He et al. 2015)."""
    return x.clamp(min=0) + a * x.clamp(max=0)


def maxout(x: Tensor, pieces: int) -> Tensor:
    """Unit j is the largest of the fields j·pieces … (j+1)·pieces − 1: (..., n·pieces) → (..., n).

    A convex function of what the fields are affine in, made of as many pieces (Goodfellow et al. 2013): max(x, 0) and
    |x| with two, any convex function in the limit. Of equal fields one takes the whole slope.
    """
    return x.unflatten(-1, (-1, pieces)).max(-1).values
