"""Learning to predict sparse codes: a search for the codes, then a step of dictionary and encoder towards them.

For a batch v, h* = argmin_h E(v, h) is held fixed and the parameters descend E(v, h*) (docs/mathematics.md, eq. 150),
which is the slope of min_h E(v, h): the codes are at its minimum. Source: Kavukcuoglu, Ranzato, LeCun 2008.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from lamina.core.errors import SettingError
from lamina.core.random import Random
from lamina.models.sparse.predictive import PredictiveSparseCoding
from lamina.training.loss_rule import LossRule
from lamina.training.sources import Batch

CHUNK = 1024  # validation rows whose codes are searched together


class PredictiveSparse(LossRule):
    """Trains a `PredictiveSparseCoding` on rows; its ``cost``, ``tie`` and search limits are the model's.

    Measures per row: "energy"; "prediction error" ‖h* − F(v)‖²; "guessed reconstruction error" ‖v − b − F(v) Dᵀ‖².
    Columns of D are brought to length 1 before each step, which changes no function of the model: it keeps the size of
    a step what the learning rate says.
    """

    watched = "validation energy"

    def check(self, model: nn.Module, values: tuple[Tensor, ...]) -> None:
        if not isinstance(model, PredictiveSparseCoding):
            raise SettingError(f"{type(self).__name__} trains a PredictiveSparseCoding; {type(model).__name__} given")
        model.codes(values[0][:1])  # raises for rows of another width

    def loss(self, model: PredictiveSparseCoding, batch: Batch, random: Random) -> tuple[Tensor, Mapping[str, Tensor]]:
        v = batch.values[0]
        with torch.no_grad():
            model.D.copy_(model.dictionary())
            h = model.codes(v).h
        guess = model.mean_h_from_v(v)
        apart, wrong = (v - model.mean_v_from_h(h)).square().sum() / 2, (h - guess).square().sum()
        # with tie = 0 the encoder still follows the codes, which then do not depend on it
        total = apart + model.cost * h.abs().sum() + (model.tie or 1.0) * wrong
        energy = total if model.tie else total - wrong
        with torch.no_grad():
            rebuilt = (v - model.mean_v_from_h(guess)).square().sum()
        return total, {"energy": energy, "prediction error": wrong, "guessed reconstruction error": rebuilt}

    @torch.no_grad()
    def validate(
        self, model: PredictiveSparseCoding, values: tuple[Tensor, ...], train: tuple[Tensor, ...]
    ) -> dict[str, float]:
        """Energy of the codes of validation rows, and ‖h* − F(v)‖², means over rows."""
        energy = wrong = 0.0
        for v in values[0].split(CHUNK):
            h = model.codes(v).h
            energy += float(model.energy(v, h).sum())
            wrong += float((h - model.mean_h_from_v(v)).square().sum())
        n = len(values[0])
        return {"validation energy": energy / n, "validation prediction error": wrong / n}
