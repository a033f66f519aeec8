"""Contrastive divergence (Hinton 2002) for restricted Boltzmann machines, with hand-written gradients.

CD-k starts its k Gibbs steps at the data: its bias is that of a chain too short, and vanishes as k grows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from lamina.core.checks import check_number
from lamina.core.random import Random
from lamina.models.energy import RBM
from lamina.training.penalties import ActivityPenalty
from lamina.training.sampling_rule import SamplingRule
from lamina.training.sources import Batch


class ContrastiveDivergence(SamplingRule):
    """CD-k: the negative phase is ``k`` steps of Gibbs sampling begun at the batch itself.

    The hidden units' last half-step always takes means in place of samples. ``sample_visible=False`` passes visible
    means too instead of samples (Hinton 2010, section 3.2: less noise, fine for features); keep it True where the
    likelihood matters. ``mean_last=True`` samples on the way and takes visible means in the last half-step alone. For
    ``centred`` and
    ``penalty`` see `SamplingRule`.
    """

    def __init__(
        self,
        k: int = 1,
        *,
        sample_visible: bool = True,
        mean_last: bool = False,
        centred: bool = False,
        penalty: ActivityPenalty | None = None,
    ) -> None:
        super().__init__(centred=centred, penalty=penalty)
        check_number("k", k, low=1, integer=True)
        self.k, self.sample_visible, self.mean_last = int(k), bool(sample_visible), bool(mean_last)

    def describe(self) -> dict:
        own = {"k": self.k, "sample_visible": self.sample_visible, "mean_last": self.mean_last}
        return {**super().describe(), **own}

    @torch.no_grad()
    def gradients(self, model: Any, batch: Batch, step: int, random: Random) -> Mapping[str, Tensor]:
        rbm: RBM = model
        v = batch.values[0]
        n = len(v)
        rows = self.phases(rbm, n, n)
        random.at(step, batch.rows)
        rows.v[rows.positive].copy_(v)
        h_plus, h_minus = rows.h[rows.positive], rows.h[rows.negative]
        v_minus = rows.v[rows.negative]
        _, h = rbm.hidden.mean_and_sample_(rbm.field_h(v, out=h_plus), random, out=rows.drawn_h)
        for left in reversed(range(self.k)):
            field = rbm.field_v(h, out=v_minus)
            if self.sample_visible and (left or not self.mean_last):
                rbm.visible.mean_and_sample_(field, random, out=field)
            else:
                rbm.visible.mean_(field)
            field = rbm.field_h(v_minus, out=h_minus)
            if left:
                _, h = rbm.hidden.mean_and_sample_(field, random, out=rows.drawn_h)
            else:
                rbm.hidden.mean_(field)
        return self.write_gradients(rbm, rows, batch.total, batch.total)
