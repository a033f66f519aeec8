"""Exact sums over all states of small machines: exponential in the number of units of the smaller countable side."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from lamina.core.errors import SettingError
from lamina.models.energy import RBM
from lamina.units import Bernoulli, Family

CHUNK = 1 << 22  # numbers of the larger side that are held at a time: 32 MiB in float64


def binary_states(n: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """All 2^n binary vectors, (2^n, n); `SettingError` above 24 units."""
    return Bernoulli(n).states(dtype)


@torch.no_grad()
def exact_log_partition(rbm: RBM) -> float:
    """log Z = log Σ_v exp(−F(v)), over whichever countable side has fewer states.

    The other side, countable or real, is summed or integrated in closed form by its cumulant. Sums are in float64 over
    free energies in the machine's own type. Raises `SettingError` where neither side is countable, or both have more
    than 2^24 states.
    """
    sides: list[tuple[int, Family, Callable[[Tensor], Tensor]]] = [
        (family.n_states, family, free_energy)
        for family, free_energy in ((rbm.visible, rbm.free_energy), (rbm.hidden, rbm.free_energy_h))
        if family.n_states is not None
    ]
    if not sides:
        raise SettingError(
            f"neither side of {type(rbm).__name__}({rbm.extra_repr()}) has countable values; exact summation needs one "
            f"side of binary, softmax or binomial units"
        )
    _, family, free_energy = min(sides, key=lambda side: side[0])
    n_states = family.check_countable()
    step = max(1, CHUNK // max(rbm.n_visible, rbm.n_hidden))
    parts = []
    for start in range(0, n_states, step):
        index = torch.arange(start, min(start + step, n_states), device=rbm.W.device)
        parts.append(torch.logsumexp(-free_energy(family.states_at(index, rbm.W.dtype)).double(), 0))
    return float(torch.logsumexp(torch.stack(parts), 0))
