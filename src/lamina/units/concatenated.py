"""Concatenated units: several families side by side, as one side of a machine.

A machine with labels has the visible side ``Concatenated([Bernoulli(784), Softmax(10)])``; the even layers of a deep
Boltzmann machine are another such side. Energies and cumulants add; all else is done part by part.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lamina.core.errors import SettingError
from lamina.core.random import Random
from lamina.units.family import Family
from lamina.units.limits import check_width


class Concatenated(Family):
    """The units of all ``families``, in their order; ``slices`` says which columns belong to which."""

    def __init__(self, families: Sequence[Family]) -> None:
        families = list(families)
        if not families or not all(isinstance(family, Family) for family in families):
            raise SettingError(f"families are {families!r}; expected at least one family, such as [Bernoulli(784)]")
        super().__init__(sum(family.n for family in families))
        self.parts: Any = nn.ModuleList(families)
        ends = [sum(family.n for family in families[: k + 1]) for k in range(len(families))]
        self.slices = tuple(slice(end - family.n, end) for family, end in zip(families, ends, strict=True))
        self.bounded = all(family.bounded for family in families)
        self._plain = all(type(family).interaction is Family.interaction for family in families)

    @property
    def learn_sigma(self) -> bool:
        """Whether a part learns its variance."""
        return any(getattr(part, "learn_sigma", False) for part in self.parts)

    def split(self, x: Tensor) -> tuple[Tensor, ...]:
        """The columns of each part: (..., n) → views (..., n_k)."""
        return tuple(x[..., columns] for columns in self.slices)

    def _each(self, *arrays: Tensor) -> list[tuple[Any, ...]]:
        """Each part with its columns of every array."""
        return list(zip(self.parts, *(self.split(array) for array in arrays), strict=True))

    def energy(self, x: Tensor, bias: Tensor) -> Tensor:
        return torch.stack([part.energy(x_k, bias_k) for part, x_k, bias_k in self._each(x, bias)]).sum(0)

    def cumulant(self, field: Tensor, bias: Tensor) -> Tensor:
        return torch.stack([part.cumulant(field_k, bias_k) for part, field_k, bias_k in self._each(field, bias)]).sum(0)

    def mean_(self, field: Tensor) -> Tensor:
        for part, columns in zip(self.parts, self.slices, strict=True):
            part.mean_(field[..., columns])
        return field

    def mean(self, field: Tensor) -> Tensor:
        return torch.cat([part.mean(field_k) for part, field_k in self._each(field)], -1)

    def mode(self, field: Tensor) -> Tensor:
        return torch.cat([part.mode(field_k) for part, field_k in self._each(field)], -1)

    def mean_and_sample_(self, field: Tensor, random: Random, out: Tensor | None = None) -> tuple[Tensor, Tensor]:
        out = torch.empty_like(field) if out is None else out
        for part, field_k, out_k in self._each(field, out):
            part.mean_and_sample_(field_k, random, out=out_k)
        return field, out

    def sample_from_mean(self, mean: Tensor, random: Random, out: Tensor | None = None) -> Tensor:
        out = torch.empty_like(mean) if out is None else out
        for part, mean_k, out_k in self._each(mean, out):
            part.sample_from_mean(mean_k, random, out=out_k)
        return out

    def bias_from_data(self, mean: Tensor) -> Tensor:
        return torch.cat([part.bias_from_data(mean_k) for part, mean_k in self._each(mean)], -1)

    def interaction(self, x: Tensor) -> Tensor:
        if self._plain:
            return x
        return torch.cat([part.interaction(x_k) for part, x_k in self._each(x)], -1)

    def bias_statistic(self, x: Tensor, bias: Tensor) -> Tensor:
        return torch.cat([part.bias_statistic(x_k, bias_k) for part, x_k, bias_k in self._each(x, bias)], -1)

    def slope_of_mean(self, mean: Tensor) -> Tensor:
        return torch.cat([part.slope_of_mean(mean_k) for part, mean_k in self._each(mean)], -1)

    @property
    def n_states(self) -> int | None:
        counts = [part.n_states for part in self.parts]
        return None if None in counts else math.prod(counts)

    def states_at(self, index: Tensor, dtype: torch.dtype = torch.float64) -> Tensor:
        columns = []
        for part in reversed(self.parts):  # the last part's number changes fastest
            columns.append(part.states_at(index % part.check_countable(), dtype))
            index = index // part.n_states
        return torch.cat(columns[::-1], -1)

    def check(self, X: Any, name: str = "the data") -> None:
        check_width(X, self.n, name, "concatenated units")
        for part, columns in zip(self.parts, self.slices, strict=True):
            first, last = columns.start, columns.stop - 1
            part.check(X[:, columns], f"columns {first} to {last} of {name}")

    def spec(self) -> dict:
        return {"class": "Concatenated", "families": [part.spec() for part in self.parts]}

    @classmethod
    def from_spec(cls, spec: dict, build: Callable[[dict], Any]) -> Concatenated:
        return cls([build(part) for part in spec["families"]])

    def extra_repr(self) -> str:
        return ""
