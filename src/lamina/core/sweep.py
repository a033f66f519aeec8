"""One pass over the units of a symmetric network, one unit after another, for many states at once.

Each unit's new value is a function of the field that it sees *then*, after all units before it have moved:

f_i = b_i + Σ_j W_ij s_j,   s_i ← decide(f_i, s_i, i)                                   (docs/mathematics.md, eq. 61)

Units are taken in blocks: the fields of a block come from one matrix product, and as a unit of the block moves, the
fields of those after it in the block are corrected. The result is that of the plain loop, at the speed of a product:
2·n² operations per state and pass. States lie transposed, (n_units, n_states), so that a unit's values are contiguous.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from lamina.core.errors import SettingError
from lamina.core.random import Random

BLOCK = 64
FEW = 16  # moving units of a block, up to which looking for the next one is cheaper than asking each
Decide = Callable[[Tensor, Tensor, Tensor], Tensor]  # fields, old values, numbers of the units → new values


@torch.no_grad()
def sweep_(states: Tensor, W: Tensor, b: Tensor, order: Tensor, decide: Decide) -> Tensor:
    """Update the units ``order`` (n_moved,) of ``states`` (n_units, n_states) in place: which states moved, bool.

    ``W`` (n_units, n_units) has a zero diagonal; ``b`` is (n_units, 1), or (n_units, n_states) where states
    have biases of their own. ``decide`` works elementwise, on a block of units or on one.
    """
    moved = torch.zeros(states.shape[1], dtype=torch.bool, device=states.device)
    for units in order.split(BLOCK):
        rows = W[units]
        field = torch.addmm(b[units], rows, states)
        old = states[units]
        movers = int((decide(field, old, units) != old).any(1).sum())
        if not movers:  # nor does any unit move when they go one after another
            continue
        go = _next_mover if movers < FEW else _one_by_one
        fresh = go(field, old, rows[:, units], units, decide)
        states[units] = fresh
        moved |= (fresh != old).any(0)
    return moved


def _one_by_one(field: Tensor, old: Tensor, within: Tensor, units: Tensor, decide: Decide) -> Tensor:
    """New values of a block; ``field`` is used up. ``within`` holds the weights among the block's units."""
    fresh = torch.empty_like(old)
    for k in range(len(units)):
        fresh[k] = decide(field[k], old[k], units[k])
        if k + 1 < len(units):
            field[k + 1 :].addr_(within[k + 1 :, k], fresh[k] - old[k])
    return fresh


def _next_mover(field: Tensor, old: Tensor, within: Tensor, units: Tensor, decide: Decide) -> Tensor:
    """As `_one_by_one`, from each unit that moves in some state straight to the next one: less work where few move."""
    fresh = old.clone()
    k = 0
    while k < len(units):
        wanted = decide(field[k:], old[k:], units[k:])
        movers = (wanted != old[k:]).any(1).nonzero()
        if not len(movers):
            break
        first = int(movers[0])
        k += first
        fresh[k] = wanted[first]
        field[k + 1 :].addr_(within[k + 1 :, k], fresh[k] - old[k])
        k += 1
    return fresh


@torch.no_grad()
def gibbs_sweep_(states: Tensor, W: Tensor, b: Tensor, order: Tensor, random: Random) -> Tensor:
    """Draw the units ``order`` of binary ``states`` (n_units, n_states), each given all others, in place; ``states``.

    A unit is 1 where its field exceeds a threshold log u/(1−u) with u uniform, which happens with probability σ(field).
    """
    u = random.uniform((states.shape[1], len(order)), states.dtype, states.device)
    thresholds = torch.empty_like(states)
    thresholds[order] = torch.logit(u).T
    sweep_(states, W, b, order, lambda field, old, units: (field > thresholds[units]).to(old.dtype))
    return states


def unit_order(units: Tensor, order: str, random: Random) -> Tensor:
    """The units (n,) in the order of one pass: as they come ("fixed"), or shuffled ("random")."""
    if order == "fixed":
        return units
    if order == "random":
        return units[torch.from_numpy(random.permutation(len(units))).to(units.device)]
    raise SettingError(f"order is {order!r}; expected 'fixed' or 'random'")
