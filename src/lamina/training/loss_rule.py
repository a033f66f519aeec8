"""A gradient rule whose gradient comes from a loss, by autograd: the rule says only what a batch costs."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lamina.core.random import Random
from lamina.training.rules import GradientRule
from lamina.training.sources import Batch


class LossRule(GradientRule):
    """Descends the mean over rows of `loss`; a subclass supplies the loss, and what to measure on validation rows."""

    watched = "validation loss"

    @abstractmethod
    def loss(self, model: Any, batch: Batch, random: Random) -> tuple[Tensor, Mapping[str, Tensor]]:
        """The loss summed over this process's rows (a differentiable 0-d tensor), and measures summed likewise.

        ``random`` is placed at this step and these rows. The loop divides both by the rows of all processes.
        """

    def parameters(self, model: nn.Module) -> list[nn.Parameter]:
        return [p for p in model.parameters() if p.requires_grad]

    def gradients(self, model: Any, batch: Batch, step: int, random: Random) -> Mapping[str, Tensor]:
        parameters = self.parameters(model)
        if len(batch.rows) == 0:  # a process without rows of a small last batch
            for parameter in parameters:
                parameter.grad.zero_()  # type: ignore[union-attr]  # the loop made it
            return {}
        total, measures = self.loss(model, batch, random.at(step, batch.rows))
        found = torch.autograd.grad(total / batch.total, parameters, allow_unused=True)
        for parameter, gradient in zip(parameters, found, strict=True):
            if gradient is None:
                parameter.grad.zero_()  # type: ignore[union-attr]
            else:
                parameter.grad.copy_(gradient)  # type: ignore[union-attr]
        return {name: value.detach() for name, value in measures.items()}
