"""What is asked of a code beside reconstruction: to be sparse, or to change little with the input.

============= ============================================================================= ===================
`CodeL1`      mean over rows of cost · Σ_j |h_j|                                            sparse codes
`CodeKL`      cost · Σ_j KL(target ‖ q_j), q_j the mean of h_j over the rows of the batch   rarely active units
`Contraction` mean over rows of cost · ‖∂h/∂v‖²_F                                           robust codes
============= ============================================================================= ===================

Penalties are handed to `lamina.training.Reconstruction` and add up. Each says what it adds to the loss of its process's
rows, as a sum over rows (the loop divides by their number), with a gradient by autograd.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lamina.core.checks import check_number
from lamina.core.errors import SettingError
from lamina.models.autoencoders import Autoencoder
from lamina.models.autoencoders.slopes import SLOPES
from lamina.training.distributed import World

TINY = 1e-6  # the mean activity is kept so far from 0 and 1, where the divergence has no finite slope


@dataclass(frozen=True)
class Code:
    """What a penalty may look at: fields and code of this process's rows, and ``squares`` = Σ_i W_ij² (n_hidden,).

    ``field`` is None for a model that is no single layer, ``squares`` where no penalty needs it. A batch has ``total``
    rows over all processes.
    """

    h: Tensor
    total: int
    world: World
    activation: str = ""
    field: Tensor | None = None
    squares: Tensor | None = None


class CodePenalty(ABC):
    """A penalty of the code of an autoencoder."""

    #: whether `Code.squares` is asked for
    needs_squares = False

    def check(self, model: Any) -> None:  # noqa: B027 - most fit any model
        """Raise `SettingError` where the model's code cannot be held to this."""

    @abstractmethod
    def terms(self, code: Code) -> tuple[Tensor, Tensor]:
        """What to descend and what to report, both summed over this process's rows.

        The first has the right gradient; the second, without one, adds up over processes to the penalty times rows.
        """

    def describe(self) -> dict:
        """Settings, for records and checkpoints."""
        return {"penalty": type(self).__name__, **vars(self)}


class CodeL1(CodePenalty):
    """cost · Σ_j |h_j| per row: with rectified units a share of the code becomes exactly 0, with others small."""

    def __init__(self, cost: float) -> None:
        check_number("cost", cost, low=0.0)
        self.cost = float(cost)

    def terms(self, code: Code) -> tuple[Tensor, Tensor]:
        value = self.cost * code.h.abs().sum()
        return value, value.detach()


class CodeKL(CodePenalty):
    """cost · Σ_j KL(target ‖ q_j), KL(p ‖ q) = p log(p/q) + (1−p) log((1−p)/(1−q)), q_j the batch's mean of h_j.

    For codes in [0, 1] (sigmoid). The mean is that of the whole batch, over all processes. Cost is per unit and batch:
    where the loss is a sum over some hundred pixels, 0.1 to 10 are sensible.
    """

    def __init__(self, target: float, cost: float) -> None:
        check_number("target", target, low=TINY, high=1 - TINY)
        check_number("cost", cost, low=0.0)
        self.target, self.cost = float(target), float(cost)

    def check(self, model: Any) -> None:
        activation = getattr(model, "code", None)  # a deep autoencoder's, beside those of its other layers
        if not isinstance(activation, str):
            activation = getattr(model, "activation", None)
        if isinstance(activation, str) and activation != "sigmoid":
            raise SettingError(
                f"CodeKL holds the mean of a code in [0, 1] to {self.target:g}; the model's code is {activation}: "
                f"use sigmoid code units, or CodeL1(cost)"
            )

    def terms(self, code: Code) -> tuple[Tensor, Tensor]:
        mean = code.h.detach().sum(0) / code.total
        code.world.sum_([mean])
        mean.clamp_(TINY, 1 - TINY)
        p = self.target
        slope = (1 - p) / (1 - mean) - p / mean  # of KL(p ‖ q) at q, the same on every process
        value = (p * torch.log(p / mean) + (1 - p) * torch.log((1 - p) / (1 - mean))).sum()
        return self.cost * (code.h * slope).sum(), self.cost * value * len(code.h)


class Contraction(CodePenalty):
    """cost · ‖∂h/∂v‖²_F = cost · Σ_j φ′(a_j)² Σ_i W_ij² per row (Rifai et al. 2011), taken at the input as it is seen.

    Costs one pass over the weights and none over the Jacobian, which is diag(φ′) Wᵀ for one layer of elementwise units;
    other models raise `SettingError`.
    """

    needs_squares = True

    def __init__(self, cost: float) -> None:
        check_number("cost", cost, low=0.0)
        self.cost = float(cost)

    def check(self, model: Any) -> None:
        if not isinstance(model, Autoencoder):
            raise SettingError(
                f"Contraction knows the Jacobian of one Autoencoder layer; {type(model).__name__} given: train the "
                f"layers one by one with it (lamina.pretrain), or leave it out"
            )

    def terms(self, code: Code) -> tuple[Tensor, Tensor]:
        assert code.field is not None  # `check` has seen an Autoencoder
        assert code.squares is not None
        slope = SLOPES[code.activation](code.field, code.h)
        value = self.cost * (slope.square().sum(0) * code.squares).sum()
        return value, value.detach()
