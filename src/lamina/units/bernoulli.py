"""Bernoulli units: x ∈ {0, 1}, E(x; b) = −b x, so p(x = 1 | f) = σ(f) and the cumulant is log(1 + e^f)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lamina.core.checks import check_unit_interval
from lamina.core.numerics import log1pexp, logit
from lamina.core.random import Random
from lamina.units.family import Family, digits


class Bernoulli(Family):
    """``n`` binary units. Values strictly between 0 and 1 are taken as probabilities (grey pixels)."""

    def energy(self, x: Tensor, bias: Tensor) -> Tensor:
        return -(x @ bias)

    def cumulant(self, field: Tensor, bias: Tensor) -> Tensor:
        return log1pexp(field).sum(-1)

    def mean_(self, field: Tensor) -> Tensor:
        return field.sigmoid_()

    def mode(self, field: Tensor) -> Tensor:
        return (field > 0).to(field.dtype)

    def sample_from_mean(self, mean: Tensor, random: Random, out: Tensor | None = None) -> Tensor:
        return random.bernoulli(mean, out=out)

    def bias_from_data(self, mean: Tensor) -> Tensor:
        # A pixel that is never on would get −∞; 1/100 is as sure as a bias needs to start (weights do the rest).
        return logit(mean, margin=0.01)

    def slope_of_mean(self, mean: Tensor) -> Tensor:
        return mean * (1 - mean)

    @property
    def n_states(self) -> int:
        return 2**self.n

    def states_at(self, index: Tensor, dtype: torch.dtype = torch.float64) -> Tensor:
        return digits(index, 2, self.n).to(dtype)

    def check(self, X: Any, name: str = "the data") -> None:
        check_unit_interval(X, name=name)


def as_family(units: int | Family) -> Family:
    """A family as it is; an integer means that many Bernoulli units."""
    return units if isinstance(units, Family) else Bernoulli(units)
