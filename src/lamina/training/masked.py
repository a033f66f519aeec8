"""Masked reconstruction: guess the hidden patches of images from the visible ones (He et al. 2022).

The loss of a row is the mean squared error over the pixels of its hidden patches alone; which patches are hidden is
drawn anew for each row at each step (docs/mathematics.md, eq. 169).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lamina.core.errors import SettingError
from lamina.core.random import Random
from lamina.training.loss_rule import LossRule
from lamina.training.rules import Setting
from lamina.training.sources import Batch


class MaskedReconstruction(LossRule):
    """Trains a `MaskedAutoencoder` on rows (n, n_visible), mean over hidden pixels of (guess − truth)² per row.

    Validation hides the same patches of the same rows in every epoch, so that epochs can be compared.
    """

    def start(self, model: nn.Module, setting: Setting) -> None:
        if not hasattr(model, "draw_places"):
            raise SettingError(f"the model is a {type(model).__name__}; expected a MaskedAutoencoder")
        self.validation_random = setting.random.child("validation masks")

    def check(self, model: Any, values: tuple[Tensor, ...]) -> None:
        if hasattr(model, "encoder"):
            model.encoder.patches(values[0][:1])

    def loss(self, model: Any, batch: Batch, random: Random) -> tuple[Tensor, Mapping[str, Tensor]]:
        total = masked_error(model, batch.values[0], random).sum()
        return total, {"training loss": total}

    @torch.no_grad()
    def validate(self, model: Any, values: tuple[Tensor, ...], train: tuple[Tensor, ...]) -> dict[str, float]:
        rows = torch.arange(len(values[0]), device=values[0].device).split(1000)
        errors = [masked_error(model, values[0][r], self.validation_random.at(0, r)).sum() for r in rows]
        return {"validation loss": float(torch.stack(errors).sum()) / len(values[0])}


def masked_error(model: Any, v: Tensor, random: Random) -> Tensor:
    """Mean over hidden pixels of (guess − target)², with patches hidden by ``random``: (n, n_visible) → (n,)."""
    visible, hidden = model.draw_places(len(v), random, v.device)
    return (model.predict(v, visible, hidden) - model.targets(v, hidden)).square().mean((1, 2))
