"""What every family of units offers, so that a machine is family + family + weights.

Conventions. A family of ``n`` units has energy terms E(x; b) with a bias vector b (n,), and an *interaction value* s(x)
(n,) through which the weights see it; a machine's energy is E(v; b) + E(h; c) − s_v(v)ᵀ W s_h(h). Given the other
side, each unit sees the *field* f = b + (W · other side's interaction value), and all that is needed of a family is a
function of that field:

===================== ==============================================================================
``energy``            Σ_i E(x_i; b_i), over the last dimension
``cumulant``          log Σ_x exp(−E(x; b) + s(x)ᵀ(f − b)) (an integral for real units)
``mean``              E[x | f]; ``mode`` the most probable x
``mean_and_sample_``  the mean and x drawn from p(x | f): what samplers use
``interaction``       s(x)
``bias_statistic``    −∂E/∂b, what learning compares between data and samples
``states``            all values of the whole side, where they can be counted
===================== ==============================================================================

Arrays are (..., n): leading dimensions are batch or time.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from lamina.core.checks import check_number
from lamina.core.errors import SettingError
from lamina.core.random import Random


class Family(nn.Module, ABC):
    """``n`` units of one kind. Holds no weights and no biases; only what belongs to the kind (a variance)."""

    #: whether x stays within fixed limits; a machine needs at least one side that does, or its sum may be infinite
    bounded = True

    def __init__(self, n: int) -> None:
        super().__init__()
        check_number("number of units", n, low=1, integer=True)
        self.n = int(n)

    # what every family says ---------------------------------------------------------------------------------------

    @abstractmethod
    def energy(self, x: Tensor, bias: Tensor) -> Tensor:
        """Energy terms summed over units: (..., n), (n,) → (...)."""

    @abstractmethod
    def cumulant(self, field: Tensor, bias: Tensor) -> Tensor:
        """Log of the family's partition sum given the field, summed over units: (..., n), (n,) → (...)."""

    @abstractmethod
    def mean_(self, field: Tensor) -> Tensor:
        """Mean given the field, written over ``field`` (..., n): the form that a training step uses.

        Autograd may need what was overwritten; `mean` is the form to differentiate.
        """

    @abstractmethod
    def mode(self, field: Tensor) -> Tensor:
        """Most probable value given the field: (..., n)."""

    @abstractmethod
    def sample_from_mean(self, mean: Tensor, random: Random, out: Tensor | None = None) -> Tensor:
        """A draw given the mean (..., n); ``out`` may be a buffer, or ``mean`` itself.

        Raises `SettingError` for units whose mean does not tell the distribution: use `mean_and_sample_` there.
        """

    @abstractmethod
    def bias_from_data(self, mean: Tensor) -> Tensor:
        """The bias at which the free unit has the given mean: initial values from data (Hinton 2010, section 8.1)."""

    # what follows from it, or holds unless a family says otherwise ------------------------------------------------

    def mean(self, field: Tensor) -> Tensor:
        """Mean given the field: (..., n)."""
        return self.mean_(field.clone())

    def mean_and_sample_(self, field: Tensor, random: Random, out: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The mean given the field, written over ``field`` (..., n), and a draw, in ``out`` if given.

        ``out`` may be ``field`` itself: the draw is what remains then.
        """
        mean = self.mean_(field)
        return mean, self.sample_from_mean(mean, random, out=out)

    def sample(self, field: Tensor, random: Random) -> Tensor:
        """A draw given the field: (..., n)."""
        return self.mean_and_sample_(field.clone(), random)[1]

    def interaction(self, x: Tensor) -> Tensor:
        """s(x), the value that the weights see: (..., n). x itself unless the family says otherwise."""
        return x

    def bias_statistic(self, x: Tensor, bias: Tensor) -> Tensor:
        """−∂E(x; b)/∂b per unit: (..., n), (n,) → (..., n). x itself unless the family says otherwise."""
        return x

    def slope_of_mean(self, mean: Tensor) -> Tensor:
        """∂mean_i/∂field_i written through the mean: (..., n). `SettingError` where the mean does not tell it."""
        raise SettingError(
            f"the slope of the mean of {type(self).__name__} units is no function of each unit's mean; expected "
            f"Bernoulli, Spin, Binomial or Gaussian units"
        )

    # enumeration ------------------------------------------------------------------------------------------------------

    @property
    def n_states(self) -> int | None:
        """Number of values of the whole side; None for real units."""
        return None

    def states_at(self, index: Tensor, dtype: torch.dtype = torch.float64) -> Tensor:
        """The values with the numbers ``index`` (k,) int64, from 0 to n_states − 1: (k, n)."""
        raise SettingError(f"{type(self).__name__} units are real-valued; expected units with countable values")

    def states(self, dtype: torch.dtype = torch.float64) -> Tensor:
        """All values of the whole side, (n_states, n): exponential in n, refused above 2^24."""
        return self.states_at(torch.arange(self.check_countable()), dtype)

    def check_countable(self) -> int:
        """`n_states`; `SettingError` where the values of this side cannot be counted or are too many to go through."""
        n_states = self.n_states
        if n_states is None:
            raise SettingError(f"{type(self).__name__} units are real-valued; expected units with countable values")
        if n_states > MOST_STATES:
            raise SettingError(
                f"{self.n} units have {_power(n_states)} states; expected at most 2^24 to enumerate: make the side "
                f"smaller, or estimate the sum"
            )
        return n_states

    # data and files ---------------------------------------------------------------------------------------------------

    def check(self, X: Any, name: str = "the data") -> None:
        """Raise `DataError` where rows cannot be values of these units. Families with limits override."""

    def spec(self) -> dict:
        """What JSON must hold to build this family again (arrays apart)."""
        return {"class": type(self).__name__, "n": self.n}

    @classmethod
    def from_spec(cls, spec: dict, build: Callable[[dict], Any]) -> Family:
        """The family that `spec` describes; ``build`` makes any family inside it."""
        return cls(**{name: value for name, value in spec.items() if name != "class"})

    def extra_repr(self) -> str:
        return str(self.n)


MOST_STATES = 1 << 24


def digits(index: Tensor, base: int, n: int) -> Tensor:
    """``n`` digits of each number in ``index`` (k,) int64 to the given base, the highest first: (k, n) int64."""
    powers = torch.tensor([base**place for place in range(n - 1, -1, -1)], device=index.device)
    return index[:, None] // powers % base


def _power(count: int) -> str:
    """A count of states for messages: 2^30 for a power of two, else about 10^k."""
    bits = count.bit_length() - 1
    return f"2^{bits}" if count == 1 << bits else f"about 10^{len(str(count)) - 1}"
