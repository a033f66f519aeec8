"""The annealing path of a general Boltzmann machine, for annealed importance sampling.

The units are parted into those that a chain *keeps*, k, and those that are summed out, m: the hidden units where they
do not see each other, none otherwise. With a base bias a (visible units: from the data's mean; kept hidden ones: 0),

log f_β(k) = β ½ kᵀ W_kk k + ((1 − β) a + β b_k)ᵀ k + Σ_m log(1 + e^{β (b_m + W_mk k)})    (docs/mathematics.md, eq. 62)

so that f_0 is a product of free units, f_1 the machine. A transition draws m given k, then passes once over the kept
units one after another; both leave f_β unchanged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lamina.core.errors import DataError, SettingError
from lamina.core.numerics import log1pexp
from lamina.core.random import Random
from lamina.core.sweep import gibbs_sweep_
from lamina.units import Bernoulli

if TYPE_CHECKING:
    from lamina.models.energy.boltzmann_machine import BoltzmannMachine


class BoltzmannPath:
    """Eq. 62 for one machine; has the members of `lamina.inference.annealing_paths.AnnealingPath`.

    A state is the tensor of kept units (n, n_kept).
    """

    def __init__(self, machine: BoltzmannMachine, data_mean: Any = None) -> None:
        n_kept = machine.n_units if machine.has_coupled_hidden else machine.n_visible
        W, b = machine.W.detach(), machine.b.detach()
        self.n_kept, self.n_visible = n_kept, machine.n_visible
        self.W, self.b = W[:n_kept, :n_kept].contiguous(), b[:n_kept]
        self.across, self.c = W[:n_kept, n_kept:].contiguous(), b[n_kept:]
        self.base = self._base(data_mean)
        self.order = torch.arange(n_kept, device=W.device)

    def _base(self, data_mean: Any) -> Tensor:
        base = torch.zeros_like(self.b)
        if data_mean is None:
            base[: self.n_visible] = self.b[: self.n_visible]
            return base
        mean = torch.as_tensor(data_mean).to(self.b)
        if mean.shape != (self.n_visible,) or not bool(torch.isfinite(mean).all()):
            raise DataError(
                f"data_mean has shape {tuple(mean.shape)}; expected {self.n_visible} finite numbers, the rows' mean"
            )
        base[: self.n_visible] = Bernoulli(self.n_visible).bias_from_data(mean)
        return base

    @property
    def n_units(self) -> int:
        return 2 * self.n_kept + len(self.c)

    @property
    def log_z_base(self) -> float:
        """Σ log(1 + e^a) + n_m log 2, in float64."""
        return float(log1pexp(torch.cat([self.base, torch.zeros_like(self.c)]).double()).sum())

    def start(self, n: int, random: Random) -> Tensor:
        return random.bernoulli(torch.sigmoid(self.base).expand(n, -1).contiguous())

    def from_rows(self, v: Tensor) -> Tensor:
        if self.n_kept > self.n_visible:
            raise SettingError(
                "the hidden units of this machine see each other, so that rows of visible values are no whole state; "
                "expected a machine without such weights: use method='ais'"
            )
        return v.to(self.b, copy=True)

    def log_weight(self, state: Tensor, before: float, after: float) -> Tensor:
        kept = (state * (state @ self.W)).sum(-1) / 2 + state @ (self.b - self.base)
        field = state @ self.across + self.c
        summed = log1pexp(field * after).sum(-1) - log1pexp(field * before).sum(-1)
        return kept.double() * (after - before) + summed.double()

    def step(self, state: Tensor, beta: float, random: Random) -> Tensor:
        bias = torch.lerp(self.base, self.b, beta).expand(len(state), -1)
        if len(self.c):
            m = random.bernoulli(torch.sigmoid((state @ self.across + self.c) * beta))
            bias = bias + beta * (m @ self.across.T)
        return gibbs_sweep_(state.T.contiguous(), self.W * beta, bias.T, self.order, random).T
