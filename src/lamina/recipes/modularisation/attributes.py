"""Several attributes of a row learnt at once: one network, one softmax per attribute on its shared hidden layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from lamina.core.errors import LabelError
from lamina.core.random import Random
from lamina.training.loss_rule import LossRule
from lamina.training.sources import Batch


class AttributeClassification(LossRule):
    """Data are (rows (n, n_visible), codes (n, attributes)); the loss is Σ_a −log softmax(outputs of a)_{y_a}.

    ``sizes`` are the numbers of classes of the attributes; the network's outputs are their groups, one after another.
    """

    def __init__(self, sizes: Sequence[int]) -> None:
        self.sizes = tuple(int(size) for size in sizes)

    def check(self, model: Any, values: tuple[Tensor, ...]) -> None:
        codes = values[1]
        fine = codes.dim() == 2 and codes.shape[1] == len(self.sizes) and torch.equal(codes, codes.round())
        if not fine or codes.min() < 0 or bool((codes.amax(0) >= torch.tensor(self.sizes, device=codes.device)).any()):
            raise LabelError(
                f"the codes have shape {tuple(codes.shape)} and span {float(codes.min()):g} to {float(codes.max()):g}; "
                f"expected whole numbers (n, {len(self.sizes)}) from 0, below {self.sizes}"
            )

    def loss(self, model: Any, batch: Batch, random: Random) -> tuple[Tensor, Mapping[str, Tensor]]:
        x, codes = batch.values[0], batch.values[1].long()  # the loop hands tables over as real numbers
        groups = model(x, random).split(self.sizes, dim=1)
        parts = [
            functional.cross_entropy(group, code, reduction="sum") for group, code in zip(groups, codes.T, strict=True)
        ]
        total = torch.stack(parts).sum()
        wrong = torch.stack([group.detach().argmax(1) != code for group, code in zip(groups, codes.T, strict=True)])
        return total, {"training loss": total, "training error": wrong.any(0).sum()}

    def describe(self) -> dict:
        return {"rule": "AttributeClassification", "sizes": list(self.sizes)}
