"""Giving the input back as an objective for conjugate gradients or L-BFGS, over all rows or batch by batch.

The objective is the mean over rows of the loss of `lamina.training.reconstruction`. Hinton & Salakhutdinov (2006)
fine-tuned by three line searches of conjugate gradients on each batch of 1000 rows:

    fit(model, X, FullReconstruction(minimiser="cg", searches=3, per_batch=True), epochs=200, batch_size=1000)
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from lamina.core.checks import check_number
from lamina.core.errors import SettingError, nearest_names
from lamina.training.conjugate_gradients import MINIMISERS
from lamina.training.reconstruction import Reconstruction, reconstruction_loss
from lamina.training.rules import ObjectiveRule
from lamina.training.sources import Batch


class FullReconstruction(ObjectiveRule):
    """The mean loss of giving rows back, without noise or penalties, for a minimiser that is no gradient step.

    ``loss`` is as in `Reconstruction`. ``minimiser`` is "lbfgs" or "cg", ``searches`` its line searches, once per epoch
    over all rows or, with ``per_batch``, over each batch of ``batch_size`` rows, from a fresh start each time.
    Measures: ``objective`` (where the minimisations ended, weight decay included; mean over batches weighed by rows)
    and ``evaluations`` of it with its gradient per minimisation. Raises `SettingError` for settings out of range.
    """

    watched = "validation loss"

    def __init__(
        self, loss: str = "auto", *, minimiser: str = "lbfgs", searches: int = 20, per_batch: bool = False
    ) -> None:
        self._rows = Reconstruction(loss)
        if minimiser not in MINIMISERS:
            raise SettingError(f"minimiser is {minimiser!r}; {nearest_names(minimiser, list(MINIMISERS))}")
        check_number("searches", searches, low=1, integer=True)
        self.minimiser, self.searches, self.per_batch = minimiser, int(searches), bool(per_batch)

    def parameters(self, model: Any) -> list:
        return [p for p in model.parameters() if p.requires_grad]

    def check(self, model: Any, values: tuple[Tensor, ...]) -> None:
        self._rows.check(model, values)

    def objective(self, model: Any, batch: Batch) -> Tensor:
        v = batch.values[0]
        return reconstruction_loss(model, v, v, self._rows.chosen).sum() / batch.total

    def validate(self, model: Any, values: tuple[Tensor, ...], train: tuple[Tensor, ...]) -> dict[str, float]:
        return self._rows.validate(model, values, train)

    def describe(self) -> dict:
        return {
            "rule": "FullReconstruction",
            "loss": self._rows.chosen or self._rows.loss_name,
            "minimiser": self.minimiser,
            "searches": self.searches,
            "per_batch": self.per_batch,
        }
