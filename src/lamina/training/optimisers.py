"""Optimisers by name, with weight decay that spares biases: momentum here, the others PyTorch's own.

============= ==================================== ================================================================
name          record                               step from the gradient g (learning rate ε, elementwise)
============= ==================================== ================================================================
``sgd``       ``SGD()``                            θ ← θ − ε g
``momentum``  ``SGD(0.9)``                         u ← μu + g,  θ ← θ − ε u
``nesterov``  ``SGD(0.9, nesterov=True)``          u ← μu + g,  θ ← θ − ε (g + μu)
``adagrad``   ``Adagrad(eps, initial)``            s ← s + g²,  θ ← θ − ε g/(√s + eps)
``rmsprop``   ``RMSProp(alpha, eps, centred)``     s ← αs + (1−α)g²,  θ ← θ − ε g/(√s + eps)
``adam``      ``Adam(beta1, beta2, eps)``          θ ← θ − ε m̂/(√ŝ + eps), m̂ and ŝ running means of g and g², unbiased
``lbfgs``     ``LBFGS(searches, memory)``          quasi-Newton over all rows, with line searches (no learning rate)
============= ==================================== ================================================================

`lamina.fit` takes a name or a record as ``optimiser=``. Sources: Polyak 1964; Nesterov 1983 (as Sutskever et al. 2013);
Duchi, Hazan, Singer 2011; Tieleman & Hinton 2012; Kingma & Ba 2015, decay as Loshchilov & Hutter 2019; Liu & Nocedal
1989.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from lamina.core.checks import check_number
from lamina.core.errors import SettingError, nearest_names
from lamina.training import conjugate_gradients


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


@dataclass(frozen=True)
class Choice:
    """An optimiser with its options, before it knows any parameters."""

    #: whether it asks for an objective over all rows instead of a gradient per batch
    full_batch: ClassVar[bool] = False
    #: what `fit` takes for its ``momentum`` where none is given
    momentum: ClassVar[float] = 0.0

    def build(self, groups: list[dict], device: torch.device) -> Optimiser:
        """The optimiser over groups of parameters that hold their own ``weight_decay``."""
        raise NotImplementedError

    def describe(self) -> str | dict:
        """Its name where all options are as the name says, else the options too."""
        for name, usual in CHOICES.items():
            if self == usual:
                return name
        return {"optimiser": type(self).__name__, **asdict(self)}


@dataclass(frozen=True)
class SGD(Choice):
    """Stochastic gradient descent; ``momentum`` μ is what `fit` uses where its own ``momentum`` is left out."""

    momentum: float = 0.0  # type: ignore[misc]  # here it is an option
    nesterov: bool = False

    def __post_init__(self) -> None:
        check_number("momentum", self.momentum, low=0.0, high=1.0)

    def build(self, groups: list[dict], device: torch.device) -> Optimiser:
        if not self.nesterov:
            return Momentum(groups)
        # its momentum must be positive from the start; the loop sets the real value
        return torch.optim.SGD(groups, lr=0.0, momentum=0.9, nesterov=True, fused=_fused(device))


@dataclass(frozen=True)
class Adagrad(Choice):
    """Adagrad; ``initial`` is the sum of squares s before the first step."""

    eps: float = 1e-10
    initial: float = 0.0

    def __post_init__(self) -> None:
        check_number("eps", self.eps, low=0.0)
        check_number("initial", self.initial, low=0.0)

    def build(self, groups: list[dict], device: torch.device) -> Optimiser:
        fused = device.type == "cpu"
        return torch.optim.Adagrad(groups, lr=0.0, eps=self.eps, initial_accumulator_value=self.initial, fused=fused)


@dataclass(frozen=True)
class RMSProp(Choice):
    """RMSProp; ``centred`` divides by the running standard deviation of g instead of its root mean square."""

    alpha: float = 0.99
    eps: float = 1e-8
    centred: bool = False

    def __post_init__(self) -> None:
        check_number("alpha", self.alpha, low=0.0, high=1.0)
        check_number("eps", self.eps, low=0.0)

    def build(self, groups: list[dict], device: torch.device) -> Optimiser:
        return torch.optim.RMSprop(groups, lr=0.0, alpha=self.alpha, eps=self.eps, centered=self.centred, foreach=True)


@dataclass(frozen=True)
class Adam(Choice):
    """Adam; with ``decoupled`` (AdamW) weights shrink by ε · decay beside the step, else decay is a part of g."""

    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    decoupled: bool = True

    def __post_init__(self) -> None:
        for name in ("beta1", "beta2"):
            check_number(name, getattr(self, name), low=0.0, high=1.0 - 1e-12)
        check_number("eps", self.eps, low=0.0)

    def build(self, groups: list[dict], device: torch.device) -> Optimiser:
        kind = torch.optim.AdamW if self.decoupled else torch.optim.Adam
        return kind(groups, lr=0.0, betas=(self.beta1, self.beta2), eps=self.eps, fused=_fused(device))


@dataclass(frozen=True)
class LBFGS(Choice):
    """L-BFGS with strong Wolfe line searches over all rows: ``searches`` iterations per epoch (None: the rule's own).

    ``memory`` is the number of steps whose curvature is kept; an epoch also ends once no slope is beyond ``tolerance``.
    """

    full_batch: ClassVar[bool] = True

    searches: int | None = None
    memory: int = 100
    tolerance: float = 1e-7

    def __post_init__(self) -> None:
        if self.searches is not None:
            check_number("searches", self.searches, low=1, integer=True)
        check_number("memory", self.memory, low=1, integer=True)
        check_number("tolerance", self.tolerance, low=0.0)

    def minimiser(self, parameters: list[nn.Parameter], searches: int) -> conjugate_gradients.LBFGS:
        """The minimiser of an objective; ``searches`` counts where the record leaves them open."""
        found = _Restarting(parameters, self.searches or searches)
        found.param_groups[0].update(history_size=self.memory, tolerance_grad=self.tolerance)
        return found


class _Restarting(conjugate_gradients.LBFGS):
    """Forgets its curvature after a step that moved nothing: from rounding or a kink, it would never move again."""

    def step(self, closure: Any = None) -> float:  # type: ignore[override]  # as of the class below
        before = [parameter.detach().clone() for parameter in self.param_groups[0]["params"]]
        value = super().step(closure)
        if all(torch.equal(a, b) for a, b in zip(before, self.param_groups[0]["params"], strict=True)):
            self.restart()
        return value


CHOICES: dict[str, Choice] = {
    "sgd": SGD(),
    "momentum": SGD(0.9),
    "nesterov": SGD(0.9, nesterov=True),
    "adagrad": Adagrad(),
    "rmsprop": RMSProp(),
    "adam": Adam(),
    "lbfgs": LBFGS(),
}
NAMES = list(CHOICES)


def as_choice(optimiser: str | Choice) -> Choice:
    """The record of an optimiser given by name or as a record; `SettingError` for anything else."""
    if isinstance(optimiser, Choice):
        return optimiser
    if isinstance(optimiser, str) and optimiser in CHOICES:
        return CHOICES[optimiser]
    if isinstance(optimiser, str):
        raise SettingError(f"optimiser is {optimiser!r}; {nearest_names(optimiser, NAMES)}")
    raise SettingError(f"optimiser is {optimiser!r}; expected a name ('adam') or a record (Adam(eps=1e-6))")


def make(
    optimiser: str | Choice, parameters: Iterable[nn.Parameter], weight_decay: float, device: torch.device
) -> Optimiser:
    """The optimiser over ``parameters``: those with two or more dimensions decay, biases do not.

    Learning rate and momentum are set before each step by the loop.
    """
    parameters = list(parameters)
    groups: list[dict] = [
        {"params": [p for p in parameters if p.dim() >= 2], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
    ]
    return as_choice(optimiser).build([g for g in groups if g["params"]], device)


def _fused(device: torch.device) -> bool:
    return device.type in ("cpu", "cuda")


def set_rates(optimiser: Optimiser, learning_rate: float, momentum: float) -> None:
    """Set this step's learning rate, and the momentum where the optimiser is one of the ``sgd`` family."""
    for group in optimiser.param_groups:
        group["lr"] = learning_rate
        if "momentum" in group and "alpha" not in group:  # RMSProp's own momentum is left at 0
            group["momentum"] = momentum
