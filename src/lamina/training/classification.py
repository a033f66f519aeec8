"""Classification by any network that is called on rows: cross-entropy, by autograd.

`BackPropagation` trains a perceptron, whose layers it can freeze one by one; this rule asks of a network only that
``network(x)`` gives the outputs before the softmax.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from lamina.core.errors import DataError, LabelError
from lamina.core.random import Random
from lamina.training.health import layer_health
from lamina.training.loss_rule import LossRule
from lamina.training.sources import Batch


class Classification(LossRule):
    """Data are (rows (n, n_visible), class codes (n,)); −log softmax(network(x))_y per row.

    ``frozen=True`` trains the head alone (parameters named ``head…``); everything below stays bit for bit.
    """

    def __init__(self, *, frozen: bool = False) -> None:
        self.frozen = bool(frozen)

    def check(self, model: Any, values: tuple[Tensor, ...]) -> None:
        if len(values) != 2 or values[1].dim() != 1 or values[1].is_floating_point():
            raise DataError("the data are no (rows, class codes); expected a tuple of rows and whole numbers from 0 on")
        outputs = model(values[0][:1])
        low, high = int(values[1].min()), int(values[1].max())
        if low < 0 or high >= outputs.shape[1]:
            raise LabelError(
                f"class codes lie in [{low}, {high}]; expected 0 to {outputs.shape[1] - 1}: the network has "
                f"{outputs.shape[1]} outputs"
            )

    def parameters(self, model: Any) -> list[torch.nn.Parameter]:
        if not self.frozen:
            return super().parameters(model)
        return [p for name, p in model.named_parameters() if name.startswith("head")]

    def loss(self, model: Any, batch: Batch, random: Random) -> tuple[Tensor, Mapping[str, Tensor]]:
        x, y = batch.values
        outputs = model(x)
        total = functional.cross_entropy(outputs, y, reduction="sum")
        return total, {"training loss": total, "training error": (outputs.detach().argmax(1) != y).sum()}

    @torch.no_grad()
    def validate(self, model: Any, values: tuple[Tensor, ...], train: tuple[Tensor, ...]) -> dict[str, float]:
        x, y = values
        outputs = torch.cat([model(chunk) for chunk in x.split(1000)])
        loss = functional.cross_entropy(outputs, y)
        return {"validation loss": float(loss), "validation error": float((outputs.argmax(1) != y).double().mean())}

    def health(self, model: Any, values: tuple[Tensor, ...]) -> dict[str, list[float]]:
        return layer_health(model, values, lambda outputs, y: functional.cross_entropy(outputs, y, reduction="sum"))

    def describe(self) -> dict:
        return {"rule": "Classification", "frozen": self.frozen}
