"""Learning an encoder and a decoder by energy: a search for the codes, then a step of both towards them.

For a batch v, z* is found by descent of E(v, z) from the encoder's guess and held fixed, and W and D descend E(v, z*)
(docs/mathematics.md, eq. 152). Then the logistic's running means follow the codes z*,

    ζ ← (1 − η)^n ζ + (1 − (1 − η)^n) · mean over the n rows of e^{βz*}                          (eq. 153)

which for one row at a time is ζ ← (1 − η) ζ + η e^{βz}; a batch is taken as n rows that come at once.

Source: Ranzato, Poultney, Chopra, LeCun 2006.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lamina.core.errors import DataError, SettingError
from lamina.core.random import Random
from lamina.models.sparse.encoder_decoder import SparseEncoderDecoder
from lamina.training.loss_rule import LossRule
from lamina.training.rules import Setting
from lamina.training.sources import Batch


class SparseEnergy(LossRule):
    """Trains a `SparseEncoderDecoder` on rows; ``eta``, ``beta``, ``tie`` and the steps of the search are the model's.

    Measures per row: "energy" of the codes found; "guessed energy", that of the encoder's guess (all of it decoder's
    error); "encoder error" ‖z* − (v − b) W‖²; "reconstruction error" ‖v − b − z̄* Dᵀ‖².
    """

    watched = "validation energy"

    def start(self, model: nn.Module, setting: Setting) -> None:
        self.world = setting.world

    def check(self, model: nn.Module, values: tuple[Tensor, ...]) -> None:
        if not isinstance(model, SparseEncoderDecoder):
            raise SettingError(f"{type(self).__name__} trains a SparseEncoderDecoder; {type(model).__name__} given")
        if values[0].dim() != 2 or values[0].shape[1] != model.n_visible:
            raise DataError(
                f"the rows to learn from have shape {tuple(values[0].shape)}; expected (rows, {model.n_visible}), one "
                f"value per visible unit"
            )

    def loss(self, model: SparseEncoderDecoder, batch: Batch, random: Random) -> tuple[Tensor, Mapping[str, Tensor]]:
        v = batch.values[0]
        with torch.no_grad():
            model.D.copy_(model.dictionary())  # changes no function of the model
        found = model.codes(v)
        apart = (found.z - model.field_h(v)).square().sum()
        error = (v - model.mean_v_from_h(model.sparse(found.z))).square().sum()
        measures = {
            "energy": found.energy.sum(),
            "guessed energy": found.guessed_energy.sum(),
            "encoder error": apart,
            "reconstruction error": error,
        }
        self._codes = found.z
        return model.tie / 2 * apart + error / 2, measures

    def gradients(self, model: Any, batch: Batch, step: int, random: Random) -> Mapping[str, Tensor]:
        self._codes = model.log_zeta.new_zeros(0, model.n_hidden)  # a process without rows of a small last batch
        measures = super().gradients(model, batch, step, random)
        self.follow(model, self._codes, batch.total)
        return measures

    @torch.no_grad()
    def follow(self, model: SparseEncoderDecoder, z: Tensor, total: int) -> None:
        """Move ζ to the codes ``z`` (n, n_hidden) of this process, of ``total`` rows over all, eq. 153."""
        top = (model.beta * z).amax(0) if len(z) else torch.full_like(model.log_zeta, -math.inf)
        if self.world.size > 1:  # one scale for the sums of all processes
            top = torch.zeros_like(model.log_zeta)
        total_of = (model.beta * z - top).exp().sum(0)
        self.world.sum_([total_of])
        kept = total * math.log1p(-model.eta)  # log of the share that the past keeps
        fresh = top + total_of.log() - math.log(total) + math.log(-math.expm1(kept))
        model.log_zeta.copy_(torch.logaddexp(model.log_zeta + kept, fresh))

    @torch.no_grad()
    def validate(
        self, model: SparseEncoderDecoder, values: tuple[Tensor, ...], train: tuple[Tensor, ...]
    ) -> dict[str, float]:
        """Energy of the codes found for validation rows and of the encoder's guesses, means over rows."""
        found = model.codes(values[0])
        return {
            "validation energy": float(found.energy.mean()),
            "validation guessed energy": float(found.guessed_energy.mean()),
        }
