"""Spins: x ∈ {−1, 1}, E(x; b) = −b x, so E[x | f] = tanh f and the cumulant is log 2 cosh f (eq. 20).

A Boltzmann machine of spins and one of Bernoulli units are the same family of distributions, x = 2y − 1, with other
weights and biases; spins are what Hopfield networks and the Ising model are written in.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lamina.core.random import Random
from lamina.units.family import Family, digits
from lamina.units.limits import check_limits


class Spin(Family):
    """``n`` units that are −1 or 1. Values strictly between are taken as means."""

    def energy(self, x: Tensor, bias: Tensor) -> Tensor:
        return -(x @ bias)

    def cumulant(self, field: Tensor, bias: Tensor) -> Tensor:
        return torch.logaddexp(field, -field).sum(-1)

    def mean_(self, field: Tensor) -> Tensor:
        return field.tanh_()

    def mode(self, field: Tensor) -> Tensor:
        return (field > 0).to(field.dtype).mul_(2).sub_(1)

    def sample_from_mean(self, mean: Tensor, random: Random, out: Tensor | None = None) -> Tensor:
        return random.bernoulli((mean + 1) / 2, out=out).mul_(2).sub_(1)

    def bias_from_data(self, mean: Tensor) -> Tensor:
        # As for Bernoulli units: no surer than 1 in 100, which is a mean of ±0.98.
        return torch.atanh(mean.clamp(-0.98, 0.98))

    def slope_of_mean(self, mean: Tensor) -> Tensor:
        return 1 - mean**2

    @property
    def n_states(self) -> int:
        return 2**self.n

    def states_at(self, index: Tensor, dtype: torch.dtype = torch.float64) -> Tensor:
        return digits(index, 2, self.n).to(dtype).mul_(2).sub_(1)

    def check(self, X: Any, name: str = "the data") -> None:
        check_limits(X, -1, 1, name, "spins", "map columns in [0, 1] by 2x − 1, or use Bernoulli units for them")
