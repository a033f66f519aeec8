"""Back-propagation: the gradient of a loss through a network, by autograd.

`BackPropagation` is the gradient rule (batch by batch); `FullBackPropagation` the same losses as an objective over all
rows, for L-BFGS: the right way for a convex head on fixed features.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from lamina.core.checks import check_number
from lamina.core.errors import SettingError, nearest_names
from lamina.core.random import Random
from lamina.training.rules import GradientRule, ObjectiveRule, Setting
from lamina.training.sources import Batch

LOSSES = {
    # name: (outputs, targets) → sum over rows
    "cross-entropy": lambda out, y: functional.cross_entropy(out, y, reduction="sum"),
    "squared": lambda out, y: (out - y).square().sum(),
}


def _check_loss(loss: str) -> None:
    if loss not in LOSSES:
        raise SettingError(f"loss is {loss!r}; {nearest_names(loss, list(LOSSES))}")


@torch.no_grad()
def _validate(model: Any, loss: str, values: tuple[Tensor, ...]) -> dict[str, float]:
    x, y = values
    outputs = torch.cat([model(chunk) for chunk in x.split(4096)])
    measures = {"validation loss": float(LOSSES[loss](outputs, y)) / len(x)}
    if loss == "cross-entropy":
        measures["validation error"] = float((outputs.argmax(1) != y).double().mean())
    return measures


class BackPropagation(GradientRule):
    """Data are (inputs, targets): class codes for ``cross-entropy``, real rows for ``squared``.

    ``frozen`` is the number of lowest layers whose weights stay as they are, bit for bit.
    """

    watched = "validation loss"

    def __init__(self, loss: str = "cross-entropy", *, frozen: int = 0) -> None:
        _check_loss(loss)
        check_number("frozen", frozen, low=0, integer=True)
        self.loss, self.frozen = loss, int(frozen)

    def start(self, model: nn.Module, setting: Setting) -> None:
        if getattr(model, "normalise", False) and setting.world.size > 1:
            raise SettingError(
                "batch normalisation takes its statistics from one process's rows; expected one process, or a network "
                "without it (normalise=False)"
            )

    def parameters(self, model: Any) -> list[nn.Parameter]:
        return [*model.W[self.frozen :], *model.b[self.frozen :]]

    def gradients(self, model: Any, batch: Batch, step: int, random: Random) -> Mapping[str, Tensor]:
        x, y = batch.values
        outputs = model(x, random.at(step, batch.rows), track=True)
        total = LOSSES[self.loss](outputs, y)
        parameters = self.parameters(model)
        for parameter, gradient in zip(parameters, torch.autograd.grad(total / batch.total, parameters), strict=True):
            parameter.grad.copy_(gradient)
        measures = {"training loss": total.detach()}
        if self.loss == "cross-entropy":
            measures["training error"] = (outputs.detach().argmax(1) != y).sum()
        return measures

    def validate(self, model: Any, values: tuple[Tensor, ...], train: tuple[Tensor, ...]) -> dict[str, float]:
        return _validate(model, self.loss, values)

    def describe(self) -> dict:
        return {"rule": "BackPropagation", "loss": self.loss, "frozen": self.frozen}


class FullBackPropagation(ObjectiveRule):
    """The mean loss over all rows, without dropout, as an objective for L-BFGS."""

    watched = "validation loss"

    def __init__(self, loss: str = "cross-entropy", *, frozen: int = 0) -> None:
        _check_loss(loss)
        self.loss, self.frozen = loss, int(frozen)

    def parameters(self, model: Any) -> list[nn.Parameter]:
        return [*model.W[self.frozen :], *model.b[self.frozen :]]

    def objective(self, model: Any, batch: Batch) -> Tensor:
        x, y = batch.values
        return LOSSES[self.loss](model(x), y) / batch.total

    def validate(self, model: Any, values: tuple[Tensor, ...], train: tuple[Tensor, ...]) -> dict[str, float]:
        return _validate(model, self.loss, values)

    def describe(self) -> dict:
        return {"rule": "FullBackPropagation", "loss": self.loss, "frozen": self.frozen}
