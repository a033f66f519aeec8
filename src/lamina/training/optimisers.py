"""Optimisers by name: PyTorch's own, with weight decay that spares biases."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from lamina.core.errors import SettingError, nearest_names

NAMES = ["sgd", "nesterov", "adam"]


def make(
    name: str, parameters: Iterable[nn.Parameter], weight_decay: float, device: torch.device
) -> torch.optim.Optimizer:
    """The optimiser ``name`` over ``parameters``: those with two or more dimensions decay, biases do not.

    SGD's velocity is u ← μu + g, θ ← θ − εu, with g including weight decay λθ; Adam's decay is decoupled (AdamW).
    Learning rate and momentum are set before each step by the loop.
    """
    parameters = list(parameters)
    groups = [
        {"params": [p for p in parameters if p.dim() >= 2], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
    ]
    groups = [g for g in groups if g["params"]]
    fused = device.type in ("cpu", "cuda")  # one pass over the weights instead of four
    if name in ("sgd", "nesterov"):
        # Momentum must be positive for the velocity to exist from the first step; the loop sets the real value.
        return torch.optim.SGD(groups, lr=0.0, momentum=0.9, nesterov=name == "nesterov", fused=fused)
    if name == "adam":
        return torch.optim.AdamW(groups, lr=0.0, fused=fused)
    raise SettingError(f"optimiser is {name!r}; {nearest_names(name, NAMES)}")


def set_rates(optimiser: torch.optim.Optimizer, learning_rate: float, momentum: float) -> None:
    """Set this step's learning rate, and the momentum where the optimiser has one."""
    for group in optimiser.param_groups:
        group["lr"] = learning_rate
        if "momentum" in group:
            group["momentum"] = momentum
