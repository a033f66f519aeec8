"""Mean-field inference in deep Boltzmann machines.

The posterior p(h_1, …, h_L | v) is approximated by independent units with means μ. Since the energy is linear in each
unit, E_q[E(v, h)] = E(v, μ), and for any μ

    log p(v) ≥ −E(v, μ) + H(μ) − log Z,      H(μ) = Σ entropies of the hidden units        (docs/mathematics.md, eq. 82)

The best μ of one layer given its neighbours is their conditional mean, so that setting all odd layers and then all even
ones, again and again, never lowers the bound (eq. 83). It ends in a local maximum: the distance to log p(v) is the
divergence of q from the posterior, which no number here shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lamina.core.checks import check_number
from lamina.core.errors import SettingError
from lamina.core.numerics import bernoulli_entropy
from lamina.models.energy.dbm import DBM

CHUNK = 1000  # rows inferred together


@dataclass(frozen=True)
class DeepMeanField:
    """Mean-field means of one batch: ``means`` holds (n, n_k) for h_1, …, h_L.

    ``change`` is the mean absolute change of a unit in the last iteration, the largest over layers; ``converged`` says
    whether it fell below the tolerance.
    """

    means: tuple[Tensor, ...]
    iterations: int
    change: float
    converged: bool


@torch.no_grad()
def mean_field_(dbm: DBM, layers: Sequence[Tensor], tolerance: float, max_iterations: int) -> tuple[int, float]:
    """Improve the hidden means ``layers[1:]`` (n, n_k) in place for rows ``layers[0]``; iterations and last change.

    One iteration sets the odd layers, then the even ones. What the rows themselves contribute to h_1 is computed once.
    Stops when no layer's mean absolute change reaches ``tolerance``: looking costs one wait for the device.
    """
    from_rows = torch.addmm(dbm.b[1], dbm.interaction(0, layers[0]), dbm.W[0])
    scratch = [torch.empty_like(x) for x in layers]
    hidden = [k for side in reversed(dbm.sides()) for k in side if k > 0]  # odd ones, then even ones
    change = 0.0
    for iteration in range(1, max_iterations + 1):
        largest = []
        for k in hidden:
            if k == 1:
                field = scratch[1].copy_(from_rows)
                if dbm.depth > 1:
                    field.addmm_(layers[2], dbm.W[1].T)
            else:
                field = dbm.field(k, layers, out=scratch[k])
            mean = field.sigmoid_()
            largest.append(layers[k].sub_(mean).abs_().mean())
            layers[k].copy_(mean)
        change = float(torch.stack(largest).max())
        if change < tolerance:
            return iteration, change
    return max_iterations, change


@torch.no_grad()
def deep_mean_field(
    dbm: DBM,
    v: Tensor,
    *,
    tolerance: float = 1e-5,
    max_iterations: int = 200,
    start: Sequence[Tensor] | None = None,
) -> DeepMeanField:
    """Mean-field means of all hidden layers for rows ``v`` (n, n_visible).

    Begins at ``start``, tensors (n, n_k) for h_1, …, h_L, or else at the bottom-up pass with doubled weights
    (`DBM.bottom_up`). ``tolerance`` is a mean absolute change per unit.
    """
    check_number("tolerance", tolerance, low=0.0)
    check_number("max_iterations", max_iterations, low=1, integer=True)
    dbm.check_width(v)
    layers = dbm.bottom_up(v) if start is None else [v, *(_start(dbm, k + 1, x, len(v)) for k, x in enumerate(start))]
    iterations, change = mean_field_(dbm, layers, tolerance, max_iterations)
    return DeepMeanField(tuple(layers[1:]), iterations, change, change < tolerance)


def _start(dbm: DBM, k: int, x: Tensor, n: int) -> Tensor:
    if k > dbm.depth or tuple(x.shape) != (n, dbm.sizes[k]):
        raise SettingError(
            f"start holds {tuple(x.shape)} for layer {k}; expected {n} rows of the sizes {dbm.sizes[1:]}"
        )
    return x.clone()


def mean_field_bound(dbm: DBM, v: Tensor, means: Sequence[Tensor]) -> Tensor:
    """−E(v, μ) + H(μ) in nats, a lower bound on log Σ_h exp(−E(v, h)) for rows ``v``: (n, n_visible) → (n,).

    ``means`` are any (n, n_k) in [0, 1] for h_1, …, h_L; the bound is tight only where they are the posterior's own and
    the posterior factorises.
    """
    entropy = torch.stack([bernoulli_entropy(mean).sum(-1) for mean in means]).sum(0)
    return entropy - dbm.energy([v, *means])


@torch.no_grad()
def augmented_rows(dbm: DBM, v: Tensor, *, tolerance: float = 1e-4, max_iterations: int = 50) -> Tensor:
    """Rows beside their means q(h_2 | v), (n, n_visible + n_2): the inputs of `lamina.models.convert.dbm_classifier`.

    Of a machine with one hidden layer, the rows alone. Rows are inferred in chunks, each to ``tolerance``.
    """
    if dbm.depth == 1:
        dbm.check_width(v)
        return v
    options: dict[str, Any] = {"tolerance": tolerance, "max_iterations": max_iterations}
    parts = [torch.cat([part, deep_mean_field(dbm, part, **options).means[1]], 1) for part in v.split(CHUNK)]
    return torch.cat(parts)
