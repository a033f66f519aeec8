"""Paths from a base distribution, whose sum is known, to a model: what annealed importance sampling walks along.

A path is a family of unnormalised densities f_β(v), β from 0 (the base) to 1 (the model, f_1(v) = exp(−F(v))). For a
restricted Boltzmann machine of any two families it is the machine with parameters

    β W,   (1 − β) b_A + β b,   β c                                                     (docs/mathematics.md, eq. 30)

whose β = 0 member has free visible units with bias b_A (the data's base rates) and free hidden units. A model with
another path offers a method ``annealing_path(data_mean=None)`` that returns an object with the members of
`AnnealingPath` (no import is needed for that); a model that is a machine in disguise offers ``as_rbm()``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import singledispatch
from inspect import signature
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from lamina.core.errors import DataError, SettingError
from lamina.core.random import Random
from lamina.models.energy import RBM
from lamina.units import Bernoulli, Concatenated, Family

Rooms = tuple[Tensor, Tensor]


class AnnealingPath(Protocol):
    """What `lamina.inference.annealed_importance` needs of a path. ``state`` is whatever the path likes to keep.

    The loop calls `start` (or `from_rows`) once, and then, for each pair of neighbouring temperatures, `log_weight` and
    `step`. Random numbers come from a stream that stands at the chains' own numbers.
    """

    @property
    def log_z_base(self) -> float:
        """log Σ_v f_0(v), exact."""

    @property
    def n_units(self) -> int:
        """Numbers that one chain keeps: how many chains are run at once follows from it."""

    def start(self, n: int, random: Random) -> Any:
        """The state of ``n`` chains drawn exactly from the base."""

    def from_rows(self, v: Tensor) -> Any:
        """The state of chains that stand at the rows ``v`` (n, n_visible)."""

    def log_weight(self, state: Any, before: float, after: float) -> Tensor:
        """log f_after(v) − log f_before(v) of each chain, (n,)."""

    def step(self, state: Any, beta: float, random: Random) -> Any:
        """The state after one transition that leaves f_beta unchanged; may be written over ``state``."""


@dataclass
class Chains:
    """Chains of an RBM: rows v (n, n_visible), their fields c + s_v(v) W (n, n_hidden), and room to work in."""

    v: Tensor
    fields: Tensor
    field_v: Tensor
    field_h: Tensor
    h: Tensor


class RBMPath:
    """Eq. 30 for a machine of any two families; the transition is h ~ p_β(h | v), v ~ p_β(v | h), which is reversible.

    The fields of a row serve its weight and its transition, so that a temperature costs two matrix products.
    """

    def __init__(self, rbm: RBM, data_mean: Any = None) -> None:
        _check_exact(rbm.visible)
        _check_exact(rbm.hidden)
        self.rbm = rbm
        self.b, self.c = rbm.b.detach(), rbm.c.detach()
        self.base = _base_bias(rbm, data_mean)

    @property
    def n_units(self) -> int:
        return 2 * self.rbm.n_visible + 3 * self.rbm.n_hidden

    @property
    def log_z_base(self) -> float:
        """Γ_v(b_A) + Γ_h(0) in float64: both sides are free (docs/mathematics.md, eq. 31)."""
        base, nothing = self.base.double(), torch.zeros_like(self.c, dtype=torch.float64)
        with torch.no_grad():
            return float(self.rbm.visible.cumulant(base, base) + self.rbm.hidden.cumulant(nothing, nothing))

    def start(self, n: int, random: Random) -> Chains:
        return self._chains(self.rbm.visible.sample(self.base.expand(n, -1), random))

    def from_rows(self, v: Tensor) -> Chains:
        return self._chains(v.to(self.b, copy=True))

    def log_weight(self, state: Chains, before: float, after: float) -> Tensor:
        """E_v(v; b_before) − E_v(v; b_after) + Γ_h(after · f) − Γ_h(before · f), f = c + s_v(v) W (eq. 32)."""
        visible = _energy_fall(self.rbm.visible, state.v, self._bias(before), self._bias(after))
        rooms = (state.field_h, state.h)
        hidden = cumulant_rise(self.rbm.hidden, state.fields, self.c, before, after, rooms)
        return visible.double() + hidden.double()

    def step(self, state: Chains, beta: float, random: Random) -> Chains:
        torch.mul(state.fields, beta, out=state.field_h)
        _, h = self.rbm.hidden.mean_and_sample_(state.field_h, random, out=state.h)
        torch.addmm(self._bias(beta), self.rbm.hidden.interaction(h), self.rbm.W.T, alpha=beta, out=state.field_v)
        _, state.v = self.rbm.visible.mean_and_sample_(state.field_v, random, out=state.v)
        self.rbm.field_h(state.v, out=state.fields)
        return state

    def _chains(self, v: Tensor) -> Chains:
        fields = self.rbm.field_h(v).detach()
        return Chains(v, fields, torch.empty_like(v), torch.empty_like(fields), torch.empty_like(fields))

    def _bias(self, beta: float) -> Tensor:
        return torch.lerp(self.base, self.b, beta)


def annealing_path(model: Any, data_mean: Any = None) -> AnnealingPath:
    """The path that leads to ``model``: its own ``annealing_path``, else that of the machine it is (``as_rbm``).

    ``data_mean`` (n_visible,), the mean of training rows, sets the base: without it the base is the model's own biases.
    Raises `SettingError` for a model without a path and `DataError` for a mean that does not fit.
    """
    if hasattr(model, "annealing_path"):
        return model.annealing_path(data_mean=data_mean)
    return RBMPath(machine_of(model), data_mean)


def machine_of(model: Any) -> RBM:
    """``model`` where it is an `RBM`, else the one that its ``as_rbm()`` gives; `SettingError` where there is none."""
    machine = model
    if hasattr(model, "as_rbm"):
        needed = [p.name for p in signature(model.as_rbm).parameters.values() if p.default is p.empty]
        if needed:
            raise SettingError(
                f"{type(model).__name__} is a machine of its own for each {', '.join(needed)}; expected that machine: "
                f"pass model.as_rbm({', '.join(needed)})"
            )
        machine = model.as_rbm()
    if not isinstance(machine, RBM):
        raise SettingError(
            f"{type(model).__name__} has no partition function that is known here; expected an RBM, or a model with "
            f"as_rbm() or annealing_path()"
        )
    return machine


def _check_exact(family: Family) -> None:
    """`SettingError` where draws are not those of the energy: no transition would leave f_β unchanged."""
    for part in getattr(family, "parts", (family,)):
        if part is not family:
            _check_exact(part)
        elif getattr(part, "sampler", "exact") != "exact":
            raise SettingError(
                f"{part!r} draws from another distribution than its energy's; expected sampler='exact': put the same "
                f"weights into such a machine"
            )


def _base_bias(rbm: RBM, data_mean: Any) -> Tensor:
    """b_A: the bias at which free visible units have the data's mean; the machine's own without data.

    Where the visible side is concatenated (a deep machine as an RBM), a mean of its first part alone is enough.
    """
    b = rbm.b.detach()
    if data_mean is None:
        return b.clone()
    mean = torch.as_tensor(np.asarray(data_mean) if not isinstance(data_mean, Tensor) else data_mean)
    parts = list(getattr(rbm.visible, "parts", ()))
    if mean.dim() != 1 or not (len(mean) == rbm.n_visible or (parts and len(mean) == parts[0].n)):
        raise DataError(
            f"data_mean has shape {tuple(mean.shape)}; expected ({rbm.n_visible},): the mean of the training rows, "
            f"X.mean(0)"
        )
    if not bool(torch.isfinite(mean).all()):
        raise DataError("data_mean holds NaN or infinite values; expected the mean of finite rows")
    if len(mean) == rbm.n_visible:
        return rbm.visible.bias_from_data(mean.to(b))
    return torch.cat([parts[0].bias_from_data(mean.to(b)), b[parts[0].n :]])


def _energy_fall(family: Family, x: Tensor, before: Tensor, after: Tensor) -> Tensor:
    """E(x; before) − E(x; after), (n,): without the rounding of two large energies.

    Energies are at most quadratic in the bias, so the slope at the midpoint times the step is the difference.
    """
    return family.bias_statistic(x, (before + after) / 2) @ (after - before)


@singledispatch
def cumulant_rise(family: Family, fields: Tensor, bias: Tensor, before: float, after: float, rooms: Rooms) -> Tensor:
    """Γ(after · fields) − Γ(before · fields), (n,), with biases after · bias and before · bias.

    ``rooms`` are two tensors of the shape of ``fields`` that may be written over: a step then allocates nothing.
    """
    return family.cumulant(fields * after, bias * after) - family.cumulant(fields * before, bias * before)


@cumulant_rise.register
def _(family: Concatenated, fields: Tensor, bias: Tensor, before: float, after: float, rooms: Rooms) -> Tensor:
    arrays = zip(family.parts, *(family.split(array) for array in (fields, bias, *rooms)), strict=True)
    parts = [cumulant_rise(part, f, c, before, after, (one, other)) for part, f, c, one, other in arrays]
    return torch.stack(parts).sum(0)


@cumulant_rise.register
def _(family: Bernoulli, fields: Tensor, bias: Tensor, before: float, after: float, rooms: Rooms) -> Tensor:
    """Σ log(1 + e^{β'f}) − log(1 + e^{βf}) = −Σ log(1 + σ(β'f)(e^{−(β'−β)f} − 1)): one logarithm, of a number near 1.

    The right side loses digits, and in the end overflows, once a step is so coarse that |β' − β||f| exceeds about 1.
    """
    low, high = torch.aminmax(fields)
    if abs(after - before) * float(torch.maximum(-low, high)) > 1.0:
        return family.cumulant(fields * after, bias * after) - family.cumulant(fields * before, bias * before)
    mean = torch.mul(fields, after, out=rooms[0]).sigmoid_()
    return torch.mul(fields, before - after, out=rooms[1]).expm1_().mul_(mean).log1p_().sum(-1).neg_()
