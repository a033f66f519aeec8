"""What every family of units offers, so that a machine is family + family + weights.

Conventions. A family of ``n`` units has energy terms E(x; b) with a bias vector b (n,), and an *interaction value* s(x)
(n,) through which the weights see it; a machine's energy is E(v; b) + E(h; c) − s_v(v)ᵀ W s_h(h). Given the other
side, each unit sees the *field* f = b + (W · other side's interaction value), and all that is needed of a family is a
function of that field:

=============== ====================================================================================
``energy``      Σ_i E(x_i; b_i), over the last dimension
``cumulant``    Σ_i log Σ_x exp(−E(x; b_i) + s(x)(f_i − b_i)) (an integral for real units)
``mean``        E[x | f]; ``mode`` the most probable x
``sample``      x drawn from p(x | f)
``interaction`` s(x)
=============== ====================================================================================

Arrays are (..., n): leading dimensions are batch or time.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from torch import Tensor, nn

from lamina.core.checks import check_number
from lamina.core.random import Random


class Family(nn.Module, ABC):
    """``n`` units of one kind. Holds no weights and no biases; only what belongs to the kind (a variance)."""

    def __init__(self, n: int) -> None:
        super().__init__()
        check_number("number of units", n, low=1, integer=True)
        self.n = int(n)

    @abstractmethod
    def energy(self, x: Tensor, bias: Tensor) -> Tensor:
        """Energy terms summed over units: (..., n), (n,) → (...)."""

    @abstractmethod
    def cumulant(self, field: Tensor, bias: Tensor) -> Tensor:
        """Log of the family's partition sum given the field, summed over units: (..., n), (n,) → (...)."""

    @abstractmethod
    def mean_(self, field: Tensor) -> Tensor:
        """Mean given the field, written over ``field`` (..., n): the form that a training step uses."""

    @abstractmethod
    def mode(self, field: Tensor) -> Tensor:
        """Most probable value given the field: (..., n)."""

    @abstractmethod
    def sample_from_mean(self, mean: Tensor, random: Random, out: Tensor | None = None) -> Tensor:
        """A draw given the mean (..., n); ``out`` may be a buffer."""

    @abstractmethod
    def bias_from_data(self, mean: Tensor) -> Tensor:
        """The bias at which the free unit has the given mean: initial values from data (Hinton 2010, section 8.1)."""

    def mean(self, field: Tensor) -> Tensor:
        """Mean given the field: (..., n)."""
        return self.mean_(field.clone())

    def sample(self, field: Tensor, random: Random) -> Tensor:
        """A draw given the field: (..., n)."""
        return self.sample_from_mean(self.mean(field), random)

    def interaction(self, x: Tensor) -> Tensor:
        """s(x), the value that the weights see: (..., n). x itself unless the family says otherwise."""
        return x

    def check(self, X: Any, name: str = "the data") -> None:
        """Raise `DataError` where rows cannot be values of these units. Families with limits override."""

    def spec(self) -> dict:
        """What JSON must hold to build this family again (arrays apart)."""
        return {"class": type(self).__name__, "n": self.n}

    def extra_repr(self) -> str:
        return str(self.n)
