"""Mean-field inference in a general Boltzmann machine: the best independent hidden units given the visible ones.

q(h) = Π_j Bernoulli(μ_j) with the means that solve

μ_j = σ(c_j(v) + Σ_k J_jk μ_k),   c(v) = b_h + W_vhᵀ v,   J the hidden units' weights   (docs/mathematics.md, eq. 60a)

found by iterating with damping. The variational free energy −E_q[log p̃(v, h)] − H(q) is never below F(v): with log Z
it bounds log p(v) from below. Where hidden units do not see each other one step is exact and the bound is tight. With
strong weights there may be several solutions; this finds the one that its start at σ(c(v)) leads to.

Source: Peterson and Anderson 1987; Saul, Jaakkola and Jordan 1996 for the bound.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lamina.core.checks import check_number
from lamina.core.numerics import bernoulli_entropy
from lamina.models.energy.boltzmann_machine import BoltzmannMachine


@dataclass(frozen=True)
class MeanField:
    """Means of hidden units (n, n_hidden) and how they were reached."""

    mean: Tensor
    steps: int
    change: float  # largest change of a mean in the last step
    converged: bool


@torch.no_grad()
def mean_field(
    machine: BoltzmannMachine, v: Tensor, *, damping: float = 0.5, steps: int = 100, tolerance: float = 1e-5
) -> MeanField:
    """μ ← damping · μ + (1 − damping) · σ(c(v) + J μ) for rows ``v`` (n, n_visible), until no mean moves
    by more than ``tolerance``.

    All means move at once: without damping they may swing for ever between two states where inhibition is strong.
    """
    check_number("damping", damping, low=0.0, high=0.99)
    check_number("steps", steps, low=1, integer=True)
    check_number("tolerance", tolerance, low=0.0)
    field = machine.field_h(v.to(machine.W))
    mean = torch.sigmoid(field)
    if not machine.has_coupled_hidden:
        return MeanField(mean, 1, 0.0, True)
    lateral = machine.W[machine.n_visible :, machine.n_visible :]
    taken, change = 0, float("inf")
    while taken < steps and change > tolerance:
        fresh = torch.lerp(torch.sigmoid(torch.addmm(field, mean, lateral)), mean, damping)
        taken, change = taken + 1, float((fresh - mean).abs().max())
        mean = fresh
    return MeanField(mean, taken, change, change <= tolerance)


@torch.no_grad()
def variational_free_energy(machine: BoltzmannMachine, v: Tensor, mean: Tensor) -> Tensor:
    """E_q[E(v, h)] − H(q) ≥ F(v) for independent hidden units of means ``mean``: (n, n_visible), (n, n_hidden) → (n,).

    The energy is linear in each unit, so that its expectation is its value at the means.
    """
    return machine.energy(machine.join(v.to(machine.W), mean)) - bernoulli_entropy(mean).sum(-1)
