"""Momentum and Adam as the papers first wrote them, which differ from PyTorch's where rates change or steps are few.

=================== ========================================== =============================================
here                step                                       PyTorch's
=================== ========================================== =============================================
`VelocityMomentum`  v ← μv − εg,  θ ← θ + v                    u ← μu + g,  θ ← θ − εu: a new ε changes old steps
… ``nesterov``      v ← μv − εg,  θ ← θ + μv − εg              u ← μu + g,  θ ← θ − ε (g + μu)
`PlainEpsilonAdam`  θ ← θ − ε √(1−β₂ᵗ)/(1−β₁ᵗ) · m/(√v + e)    e is added to √(v/(1−β₂ᵗ)): less at first
=================== ========================================== =============================================

With one rate throughout, the first two are the same as PyTorch's; Adam's second form is given by its authors as the
cheaper order of the same computation, with an e of its own ("ε̂"). Sources: Sutskever, Martens, Dahl, Hinton 2013;
Kingma & Ba 2015, end of section 2. Both are made over parameters and handed to `lamina.fit` by `Kept`, so that what
they remember lasts from one call to the next.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.optim.adam import adam

from lamina.training.optimisers import Choice, Optimiser


class Kept(Choice):
    """An optimiser made before, in the form that `lamina.fit` takes: it goes on from where it stands.

    Made over the parameters that the rule learns; the loop sets its rates. It knows no weight decay of the loop's.
    """

    def __init__(self, optimiser: Any) -> None:
        object.__setattr__(self, "optimiser", optimiser)

    def build(self, groups: list[dict], device: Any) -> Optimiser:
        return self.optimiser  # type: ignore[attr-defined]

    def describe(self) -> str | dict:
        return type(self.optimiser).__name__  # type: ignore[attr-defined]


class VelocityMomentum:
    """v ← μv − εg, θ ← θ + v, or θ ← θ + μv − εg with ``nesterov``: steps taken keep their length when ε changes.

    ``param_groups``, ``state_dict`` and ``load_state_dict`` are those of a PyTorch optimiser.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], *, nesterov: bool = False) -> None:
        self.nesterov = bool(nesterov)
        self.param_groups: list[dict] = [{"params": list(parameters), "lr": 0.0, "momentum": 0.0}]
        self.velocities = [torch.zeros_like(p) for p in self.param_groups[0]["params"]]

    @torch.no_grad()
    def step(self) -> None:
        group = self.param_groups[0]
        rate, momentum = group["lr"], group["momentum"]
        for parameter, velocity in zip(group["params"], self.velocities, strict=True):
            velocity.mul_(momentum).add_(parameter.grad, alpha=-rate)
            if self.nesterov:
                parameter.add_(velocity, alpha=momentum).add_(parameter.grad, alpha=-rate)
            else:
                parameter.add_(velocity)

    def state_dict(self) -> dict[str, Any]:
        group = {k: v for k, v in self.param_groups[0].items() if k != "params"}
        return {"state": {k: {"velocity": v} for k, v in enumerate(self.velocities)}, "param_groups": [group]}

    @torch.no_grad()
    def load_state_dict(self, document: dict[str, Any]) -> None:
        for k, velocity in enumerate(self.velocities):
            velocity.copy_(document["state"][k]["velocity"])


class PlainEpsilonAdam:
    """Adam whose e is added to the root of the running mean itself, before that is freed of its bias.

    PyTorch's fused step with e / √(1 − β₂ᵗ) for its eps, without the bookkeeping of ``torch.optim.Adam``, which on
    small networks costs more than the step. ``param_groups``, ``state_dict`` and ``load_state_dict`` are those of a
    PyTorch optimiser.
    """

    def __init__(
        self, parameters: Iterable[nn.Parameter], *, beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8
    ) -> None:
        learnt = list(parameters)
        self.param_groups: list[dict] = [{"params": learnt, "lr": 0.0}]
        self.beta1, self.beta2, self.epsilon = float(beta1), float(beta2), float(epsilon)
        self.steps = 0
        self.means = [torch.zeros_like(p) for p in learnt]
        self.squares = [torch.zeros_like(p) for p in learnt]
        self.counts = [torch.zeros((), dtype=torch.float32, device=p.device) for p in learnt]
        self.fused = learnt[0].device.type in ("cpu", "cuda")

    @torch.no_grad()
    def step(self) -> None:
        self.steps += 1
        group = self.param_groups[0]
        adam(
            group["params"],
            [p.grad for p in group["params"]],
            self.means,
            self.squares,
            [],
            self.counts,
            foreach=not self.fused,
            fused=self.fused,
            amsgrad=False,
            beta1=self.beta1,
            beta2=self.beta2,
            lr=group["lr"],
            weight_decay=0.0,
            eps=self.epsilon / math.sqrt(1 - self.beta2**self.steps),
            maximize=False,
        )

    def state_dict(self) -> dict[str, Any]:
        state = {k: {"mean": m, "square": s} for k, (m, s) in enumerate(zip(self.means, self.squares, strict=True))}
        return {"state": state, "param_groups": [{"lr": self.param_groups[0]["lr"], "steps": self.steps}]}

    @torch.no_grad()
    def load_state_dict(self, document: dict[str, Any]) -> None:
        self.steps = int(document["param_groups"][0]["steps"])
        for k, count in enumerate(self.counts):
            self.means[k].copy_(document["state"][k]["mean"])
            self.squares[k].copy_(document["state"][k]["square"])
            count.fill_(self.steps)
