"""Gibbs sampling in deep Boltzmann machines, with any units held at given values.

One step draws all odd layers given the even ones, then all even layers given the odd ones: two blocks, however many
layers there are (docs/mathematics.md, eq. 81). Units that are *known* keep their value and condition the rest.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lamina.core.checks import check_number
from lamina.core.errors import DataError, SettingError
from lamina.core.random import Random, as_random
from lamina.models.energy.dbm import DBM


@torch.no_grad()
def deep_gibbs(
    dbm: DBM,
    layers: Sequence[Tensor],
    steps: int,
    random: Random,
    known: Sequence[Tensor | None] | None = None,
) -> list[Tensor]:
    """``steps`` of Gibbs sampling from the state ``layers``, L + 1 tensors (n, n_k): a new state of the same shapes.

    ``known`` holds a mask (n, n_k) or (n_k,) of booleans for each layer, or None where the layer is free: masked units
    stay as they are. Leaves p(free units | known units) unchanged; the first draw is that of the odd layers.
    """
    check_number("steps", steps, low=0, integer=True)
    masks = _masks(dbm, layers, known)
    state = list(layers)
    even, odd = dbm.sides()
    for _ in range(steps):
        for k in (*odd, *even):
            drawn = dbm.units[k].sample(dbm.field(k, state), random)  # type: ignore[operator]
            mask = masks[k]
            state[k] = drawn if mask is None else torch.where(mask, state[k], drawn)
    return state


def _masks(dbm: DBM, layers: Sequence[Tensor], known: Sequence[Tensor | None] | None) -> list[Tensor | None]:
    if len(layers) != dbm.depth + 1:
        raise DataError(f"the state has {len(layers)} layers; expected {dbm.depth + 1}: (v, h_1, …, h_{dbm.depth})")
    for k, x in enumerate(layers):
        if x.dim() != 2 or x.shape[1] != dbm.sizes[k]:
            raise DataError(f"layer {k} of the state has shape {tuple(x.shape)}; expected (n, {dbm.sizes[k]})")
    if known is None:
        return [None] * len(layers)
    if len(known) != len(layers):
        raise SettingError(f"known has {len(known)} entries; expected one for each of the {len(layers)} layers")
    for k, mask in enumerate(known):
        _check_mask(mask, k, dbm.sizes[k])
    return list(known)


def _check_mask(mask: Tensor | None, k: int, n: int) -> None:
    if mask is not None and (mask.dtype != torch.bool or mask.shape[-1] != n):
        raise SettingError(
            f"known[{k}] has type {mask.dtype} and shape {tuple(mask.shape)}; expected booleans of shape (n, {n}) or "
            f"({n},)"
        )


@torch.no_grad()
def free_state(dbm: DBM, n: int, random: Random) -> list[Tensor]:
    """A state of ``n`` rows drawn with all weights taken as 0: each unit from its bias alone."""
    check_number("n", n, low=1, integer=True)
    return [
        family.sample(bias.expand(n, -1), random)  # type: ignore[operator]
        for family, bias in zip(dbm.units, dbm.b, strict=True)
    ]


@torch.no_grad()
def deep_samples(
    dbm: DBM,
    n: int,
    *,
    steps: int = 1000,
    random_state: int | Random | None = None,
    start: Sequence[Tensor] | None = None,
) -> tuple[Tensor, list[Tensor]]:
    """``n`` chains run for ``steps``: E[v | h_1] of their last state, (n, n_visible), and that state.

    Chains begin at ``start`` (a state of n rows) or at the free units, and then need many steps to forget it: a few
    thousand for a machine trained on digits, whose chains may never leave a class.
    """
    random = as_random(random_state).child("deep samples")
    state = free_state(dbm, n, random.child("start")) if start is None else list(start)
    state = deep_gibbs(dbm, state, steps, random)
    return dbm.visible.mean(dbm.field(0, state)), state


@torch.no_grad()
def fill_in(
    dbm: DBM, v: Tensor, known: Tensor, *, steps: int = 1000, random_state: int | Random | None = None
) -> Tensor:
    """Rows ``v`` (n, n_visible) with the units outside the mask ``known`` replaced by their expected values.

    ``known`` (n, n_visible) or (n_visible,) holds booleans. Runs one chain per row with the known units held, and
    averages E[v | h_1] over the second half of its ``steps``: an estimate of E[v_missing | v_known], noisy by the
    chain's autocorrelation, and of one of the modes where the chain does not cross between them.
    """
    check_number("steps", steps, low=2, integer=True)
    dbm.check_width(v)
    _check_mask(known, 0, dbm.n_visible)
    random = as_random(random_state).child("fill in")
    state = free_state(dbm, len(v), random.child("start"))
    state[0] = torch.where(known, v, state[0])
    masks = [known, *[None] * dbm.depth]
    state = deep_gibbs(dbm, state, steps // 2, random, masks)
    total = torch.zeros_like(state[0])
    for _ in range(steps - steps // 2):
        state = deep_gibbs(dbm, state, 1, random, masks)
        total += dbm.visible.mean(dbm.field(0, state))
    return torch.where(known, v, total / (steps - steps // 2))
