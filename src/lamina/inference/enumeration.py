"""Exact sums over all states of small machines: exponential in the number of units of the smaller binary side."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from lamina.core.errors import SettingError
from lamina.models.energy import RBM
from lamina.units import Bernoulli

MOST_UNITS = 24


def binary_states(n: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """All 2^n binary vectors, (2^n, n)."""
    if n > MOST_UNITS:
        raise SettingError(f"{n} units have 2^{n} states; expected at most {MOST_UNITS} units to enumerate")
    return (torch.arange(2**n)[:, None] >> torch.arange(n - 1, -1, -1) & 1).to(dtype)


@torch.no_grad()
def exact_log_partition(rbm: RBM) -> float:
    """log Z = log Σ_v exp(−F(v)), over whichever binary side is smaller (the other is summed or integrated exactly)."""
    sides: list[tuple[int, Callable[[Tensor], Tensor]]] = []
    if isinstance(rbm.visible, Bernoulli):
        sides.append((rbm.n_visible, rbm.free_energy))
    if isinstance(rbm.hidden, Bernoulli):
        sides.append((rbm.n_hidden, rbm.free_energy_h))
    if not sides:
        raise SettingError("neither side is binary; exact summation needs at least one Bernoulli side")
    n, free_energy = min(sides, key=lambda side: side[0])
    states = binary_states(n, rbm.W.dtype)
    parts = [torch.logsumexp(-free_energy(chunk).double(), 0) for chunk in states.split(1 << 16)]
    return float(torch.logsumexp(torch.stack(parts), 0))
