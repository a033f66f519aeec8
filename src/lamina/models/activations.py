"""Activation functions by name, elementwise: what a unit of a deterministic layer answers to its field."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from lamina.core.errors import SettingError, nearest_names

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": torch.relu,
    "identity": lambda x: x,
    "softplus": functional.softplus,
    "elu": functional.elu,
    "silu": functional.silu,
    "gelu": functional.gelu,
}


def check_activation(activation: str, name: str = "activation") -> None:
    """Raise `SettingError`, with the nearest names, where there is no such activation."""
    if activation not in ACTIVATIONS:
        raise SettingError(f"{name} is {activation!r}; {nearest_names(activation, list(ACTIVATIONS))}")
