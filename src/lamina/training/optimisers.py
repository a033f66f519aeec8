"""Optimisers by name, with weight decay that spares biases: momentum here, the others PyTorch's own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from lamina.core.errors import SettingError, nearest_names

NAMES = ["sgd", "nesterov", "adam"]


class Momentum:
    """Stochastic gradient descent with momentum: u ← μu + g + λθ, θ ← θ − εu.

    The same formula as ``torch.optim.SGD``, whose bookkeeping per step costs as much as the arithmetic on a layer of
    784 × 500: here a step is four passes over each array and nothing else. ``param_groups``, ``state_dict`` and
    ``load_state_dict`` are those of a PyTorch optimiser.
    """

    def __init__(self, groups: list[dict]) -> None:
        self.param_groups = [{"lr": 0.0, "momentum": 0.0, **group} for group in groups]
        self.velocities = [[torch.zeros_like(p) for p in group["params"]] for group in groups]

    @torch.no_grad()
    def step(self) -> None:
        for group, velocities in zip(self.param_groups, self.velocities, strict=True):
            rate, momentum, decay = group["lr"], group["momentum"], group["weight_decay"]
            for parameter, velocity in zip(group["params"], velocities, strict=True):
                velocity.mul_(momentum).add_(parameter.grad)
                if decay:
                    velocity.add_(parameter, alpha=decay)
                parameter.add_(velocity, alpha=-rate)

    def _flat(self) -> list[Tensor]:
        return [velocity for velocities in self.velocities for velocity in velocities]

    def state_dict(self) -> dict[str, Any]:
        groups = [{k: v for k, v in group.items() if k != "params"} for group in self.param_groups]
        return {"state": {k: {"velocity": v} for k, v in enumerate(self._flat())}, "param_groups": groups}

    def load_state_dict(self, document: dict[str, Any]) -> None:
        for k, velocity in enumerate(self._flat()):
            velocity.copy_(document["state"][k]["velocity"])


Optimiser = Momentum | torch.optim.Optimizer


def make(name: str, parameters: Iterable[nn.Parameter], weight_decay: float, device: torch.device) -> Optimiser:
    """The optimiser ``name`` over ``parameters``: those with two or more dimensions decay, biases do not.

    Adam's decay is decoupled (AdamW). Learning rate and momentum are set before each step by the loop.
    """
    parameters = list(parameters)
    groups: list[dict] = [
        {"params": [p for p in parameters if p.dim() >= 2], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
    ]
    groups = [g for g in groups if g["params"]]
    fused = device.type in ("cpu", "cuda")
    if name == "sgd":
        return Momentum(groups)
    if name == "nesterov":  # its momentum must be positive from the start; the loop sets the real value
        return torch.optim.SGD(groups, lr=0.0, momentum=0.9, nesterov=True, fused=fused)
    if name == "adam":
        return torch.optim.AdamW(groups, lr=0.0, fused=fused)
    raise SettingError(f"optimiser is {name!r}; {nearest_names(name, NAMES)}")


def set_rates(optimiser: Optimiser, learning_rate: float, momentum: float) -> None:
    """Set this step's learning rate, and the momentum where the optimiser has one."""
    for group in optimiser.param_groups:
        group["lr"] = learning_rate
        if "momentum" in group:
            group["momentum"] = momentum
