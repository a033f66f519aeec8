"""Gibbs sampling between the two sides of a restricted Boltzmann machine."""

from __future__ import annotations

import torch
from torch import Tensor

from lamina.core.checks import check_number
from lamina.core.random import Random
from lamina.models.energy import RBM


@torch.no_grad()
def gibbs(rbm: RBM, v: Tensor, steps: int, random: Random) -> Tensor:
    """``steps`` of h ~ p(h | v), v ~ p(v | h) from ``v`` (n, n_visible): the last v, same shape.

    Leaves the machine's distribution unchanged; samples a few steps apart are strongly correlated.
    """
    check_number("steps", steps, low=0, integer=True)
    for _ in range(steps):
        v = rbm.sample_v_from_h(rbm.sample_h_from_v(v, random), random)
    return v


@torch.no_grad()
def free_running(rbm: RBM, n: int, steps: int, random: Random) -> Tensor:
    """``n`` chains (n, n_visible) begun at the free visible units (W = 0) and run for ``steps``."""
    v = rbm.visible.sample(rbm.b.expand(n, -1), random)
    return gibbs(rbm, v, steps, random)
