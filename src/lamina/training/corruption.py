"""Corruption of the input, for denoising: a layer sees ṽ and has to give v back (Vincent et al. 2008, 2010).

=============== ======================================================================================
`Masking`       a value is set to 0 with probability ``rate``
`SaltAndPepper` a value is replaced with probability ``rate``, by ``low`` or ``high`` with equal chance
`GaussianNoise` ṽ = v + ε, ε ~ N(0, sd²)
=============== ======================================================================================

Corruption is drawn anew for each batch from the stream that the rule hands in; nothing here is part of a model.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from lamina.core.checks import check_number
from lamina.core.random import Random


class Corruption(ABC):
    """Rows in, corrupted rows out, of the same shape (n, ...)."""

    @abstractmethod
    def apply(self, v: Tensor, random: Random) -> Tensor:
        """Corrupted copies of the rows ``v`` (n, ...); ``random`` stands at their row numbers."""

    def describe(self) -> dict:
        """Settings, for records and checkpoints."""
        return {"corruption": type(self).__name__, **vars(self)}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v:g}' for k, v in vars(self).items())})"


class Masking(Corruption):
    """ṽ_i = 0 with probability ``rate``, else v_i: a share of every row has to be filled in from the rest."""

    def __init__(self, rate: float) -> None:
        check_number("rate", rate, low=0.0, high=1.0)
        self.rate = float(rate)

    def apply(self, v: Tensor, random: Random) -> Tensor:
        return random.bernoulli(torch.full_like(v, 1 - self.rate)).mul_(v)


class SaltAndPepper(Corruption):
    """ṽ_i = ``low`` or ``high`` with probability ``rate``/2 each, else v_i: the ends of the values' range."""

    def __init__(self, rate: float, *, low: float = 0.0, high: float = 1.0) -> None:
        check_number("rate", rate, low=0.0, high=1.0)
        check_number("low", low)
        check_number("high", high, low=low)
        self.rate, self.low, self.high = float(rate), float(low), float(high)

    def apply(self, v: Tensor, random: Random) -> Tensor:
        place = random.uniform(v.shape, v.dtype, v.device)
        low = place < self.rate / 2
        high = (place >= self.rate / 2) & (place < self.rate)
        return v.masked_fill(low, self.low).masked_fill_(high, self.high)


class GaussianNoise(Corruption):
    """ṽ = v + ε with ε ~ N(0, ``sd``²) for every value."""

    def __init__(self, sd: float) -> None:
        check_number("sd", sd, low=0.0)
        self.sd = float(sd)

    def apply(self, v: Tensor, random: Random) -> Tensor:
        return random.normal(v.shape, v.dtype, v.device).mul_(self.sd).add_(v)
