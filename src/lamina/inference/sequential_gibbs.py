"""Gibbs sampling in a general Boltzmann machine: one unit after another, many chains at once.

Each unit is drawn from p(s_i = 1 | all others) = σ(b_i + Σ_j W_ij s_j). A pass over all units, in any order that does
not look at the states, leaves the machine's distribution unchanged; units that are not passed over stay clamped. Where
a restricted machine draws a whole side at once, this takes n_units dependent steps (`lamina.core.sweep` says how they
are made fast): the price of lateral weights.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lamina.core.checks import check_number
from lamina.core.errors import DataError
from lamina.core.random import Random
from lamina.core.sweep import gibbs_sweep_, unit_order
from lamina.models.energy.boltzmann_machine import BoltzmannMachine


@torch.no_grad()
def sequential_gibbs(
    machine: BoltzmannMachine,
    states: Tensor,
    passes: int,
    random: Random,
    *,
    order: str = "fixed",
    clamp_visible: bool = False,
) -> Tensor:
    """``states`` (n, n_units) after ``passes`` passes, same shape; ``clamp_visible`` draws hidden units alone.

    ``order="random"`` shuffles the units anew for each pass, the same for all chains. With clamped visible units these
    are draws of h given v in the limit of many passes.
    """
    check_number("passes", passes, low=0, integer=True)
    if states.dim() != 2 or states.shape[1] != machine.n_units:
        raise DataError(
            f"states have shape {tuple(states.shape)}; expected (chains, {machine.n_units}): visible and hidden values "
            f"side by side (see join)"
        )
    columns = states.to(machine.W).T.contiguous()
    if columns.data_ptr() == states.data_ptr():
        columns = columns.clone()
    first = machine.n_visible if clamp_visible else 0
    units = torch.arange(first, machine.n_units, device=machine.W.device)
    if len(units):
        for _ in range(passes):
            gibbs_sweep_(columns, machine.W, machine.b[:, None], unit_order(units, order, random), random)
    return columns.T.contiguous()


@torch.no_grad()
def free_states(machine: BoltzmannMachine, n: int, random: Random) -> Tensor:
    """States (n, n_units) drawn with all weights at 0: where chains begin."""
    return random.bernoulli(torch.sigmoid(machine.b).expand(n, -1).contiguous())


@torch.no_grad()
def hidden_states(machine: BoltzmannMachine, v: Tensor, passes: int, random: Random) -> Tensor:
    """States (n, n_units) with ``v`` (n, n_visible) clamped and h after ``passes`` passes.

    h begins at a draw that leaves out the weights among hidden units, which is exact where there are none.
    """
    v = v.to(machine.W)
    if machine.n_hidden == 0:
        return machine.join(v)
    h = random.bernoulli(torch.sigmoid(machine.field_h(v)))
    states = machine.join(v, h)
    if not machine.has_coupled_hidden:
        return states
    return sequential_gibbs(machine, states, passes, random, clamp_visible=True)
