"""Parallel tempering: chains at several temperatures that trade places, so that hot ones carry cold ones between modes.

The temperatures are those of annealed importance sampling: inverse temperatures 0 = β_1 < ... < β_T = 1 and the
machines with parameters

    β W,   (1 − β) b_A + β b,   β c                                                     (docs/mathematics.md, eq. 90)

from free units (β = 0, which mix at once) to the machine itself. A sweep is one Gibbs step at every temperature, all of
them in one matrix product per direction, and then exchanges of neighbours, first of the pairs (1, 2), (3, 4), ..., then
of (2, 3), (4, 5), ..., each accepted by Metropolis's rule on the marginal densities exp(−F_β(v)), h being summed out
(eq. 91). Every step leaves the product of all temperatures' distributions unchanged. Sources: Swendsen, Wang 1986;
Desjardins et al. 2010; Cho, Raiko, Ilin 2010.

*Cost*: T times a Gibbs step, and four cumulants. *Limits*: neighbours must overlap. Where the rate of exchange between
two temperatures is near 0, the hotter ones help nobody: use more temperatures, or closer ones there.

Inside: `Tempering` (the sampler), `Replicas` (its state), `parallel_tempering` (the whole of it in one call).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lamina.core.checks import check_number
from lamina.core.errors import DataError
from lamina.core.random import Random
from lamina.inference.annealing_paths import RBMPath, machine_of
from lamina.inference.betas import as_betas
from lamina.models.energy import RBM


@dataclass
class Replicas:
    """Chains at every temperature: rows v (n, T, n_visible) and their fields c + s_v(v) W (n, T, n_hidden)."""

    v: Tensor
    fields: Tensor


@dataclass(frozen=True)
class Tempered:
    """What `parallel_tempering` found.

    ``v`` (n, n_visible) are the chains at the machine's own temperature, ``replicas`` (n, T, n_visible) those at all of
    ``betas``; ``swap_rates`` (T − 1,) are the mean probabilities that neighbours trade places, over chains and sweeps.
    """

    v: Tensor
    replicas: Tensor
    betas: tuple[float, ...]
    swap_rates: np.ndarray


class Tempering:
    """The sampler. It reads the machine's parameters anew at each call, so that it may serve a machine that learns.

    ``base`` (n_visible,) is b_A. Chains count as rows of the random stream, temperatures as columns.
    """

    def __init__(self, rbm: RBM, betas: int | Sequence[float] = 10, data_mean: Any = None) -> None:
        path = RBMPath(rbm, data_mean)  # refuses units whose draws are not those of their energy
        self.rbm, self.base = rbm, path.base
        self.betas = even_betas(betas)
        self._beta = torch.tensor(self.betas, dtype=rbm.b.dtype, device=rbm.b.device)[:, None]

    @torch.no_grad()
    def start(self, n: int, random: Random) -> Replicas:
        """``n`` chains whose rows at all temperatures are drawn from the base."""
        field = self.base.expand(n, len(self.betas), -1)
        return self.from_rows(self.rbm.visible.sample(field, random))

    @torch.no_grad()
    def from_rows(self, v: Tensor) -> Replicas:
        """Chains that stand at the rows ``v`` (n, T, n_visible)."""
        return Replicas(v, self.rbm.field_h(v))

    @torch.no_grad()
    def sweep(self, replicas: Replicas, random: Random) -> Tensor:
        """A Gibbs step at each temperature, then both rounds of exchanges; the new state is left in ``replicas``.

        Returns the mean probability of exchange of each pair of neighbours, (T − 1,).
        """
        self.gibbs(replicas, random)
        rates = self._beta.new_zeros(len(self.betas) - 1)
        for first in (0, 1):
            rates[first::2] = self.exchange(replicas, first, random)
        return rates

    @torch.no_grad()
    def gibbs(self, replicas: Replicas, random: Random) -> None:
        """h ~ p_β(h | v), v ~ p_β(v | h) at each temperature."""
        rbm, beta = self.rbm, self._beta
        _, h = rbm.hidden.mean_and_sample_(replicas.fields * beta, random)
        field = (rbm.hidden.interaction(h) @ rbm.W.T).mul_(beta).add_(self._biases())
        _, replicas.v = rbm.visible.mean_and_sample_(field, random, out=replicas.v)
        replicas.fields = rbm.field_h(replicas.v)

    @torch.no_grad()
    def exchange(self, replicas: Replicas, first: int, random: Random) -> Tensor:
        """Exchange temperatures (first, first + 1), (first + 2, first + 3), ...: mean probabilities of it, (pairs,).

        A pair at β < β′ with rows v, v′ trades with probability min(1, exp(r(v) − r(v′))), r = log f_β′ − log f_β.
        """
        pairs = (len(self.betas) - first) // 2
        low = slice(first, first + 2 * pairs, 2)
        high = slice(first + 1, first + 1 + 2 * pairs, 2)
        log_ratio = self._rise(replicas, low, low, high) - self._rise(replicas, high, low, high)
        uniform = random.uniform(log_ratio.shape, log_ratio.dtype, log_ratio.device)
        accepted = (uniform.log_() < log_ratio)[..., None]
        for rows in (replicas.v, replicas.fields):
            below, above = rows[:, low].clone(), rows[:, high].clone()
            rows[:, low] = torch.where(accepted, above, below)
            rows[:, high] = torch.where(accepted, below, above)
        probability = log_ratio.clamp_(max=0).exp_()
        return probability.sum(0) / max(1, len(probability))

    def _rise(self, replicas: Replicas, at: slice, low: slice, high: slice) -> Tensor:
        """log f_high(v) − log f_low(v) of the rows at the temperatures ``at``, (n, pairs)."""
        rbm, biases = self.rbm, self._biases()
        # an energy is at most quadratic in the bias: its slope at the midpoint times the step is the difference
        slope = rbm.visible.bias_statistic(replicas.v[:, at], (biases[low] + biases[high]) / 2)
        rise = (slope * (biases[high] - biases[low])).sum(-1)
        for sign, side in ((1, high), (-1, low)):
            beta = self._beta[side]
            rise = rise + sign * rbm.hidden.cumulant(replicas.fields[:, at] * beta, rbm.c * beta)
        return rise

    def _biases(self) -> Tensor:
        """(1 − β) b_A + β b, (T, n_visible)."""
        return torch.lerp(self.base, self.rbm.b, self._beta)


@torch.no_grad()
def parallel_tempering(
    model: Any,
    n_chains: int,
    steps: int,
    random: Random,
    *,
    betas: int | Sequence[float] = 10,
    data_mean: Any = None,
    start: Tensor | None = None,
) -> Tempered:
    """``n_chains`` chains of a machine after ``steps`` sweeps; ``betas`` as in `even_betas`.

    Chains begin at the base, whose free visible units have the mean ``data_mean`` (the model's own biases without it),
    or all temperatures of each at a row of ``start`` (n_chains, n_visible). ``model`` is an RBM or offers ``as_rbm()``.
    """
    check_number("n_chains", n_chains, low=1, integer=True)
    check_number("steps", steps, low=0, integer=True)
    sampler = Tempering(machine_of(model), betas, data_mean)
    if start is None:
        replicas = sampler.start(n_chains, random)
    else:
        if start.shape != (n_chains, sampler.rbm.n_visible):
            raise DataError(
                f"start has shape {tuple(start.shape)}; expected ({n_chains}, {sampler.rbm.n_visible}): one row for "
                f"each chain"
            )
        replicas = sampler.from_rows(start.to(sampler.base)[:, None].repeat(1, len(sampler.betas), 1))
    rates = torch.zeros(len(sampler.betas) - 1, dtype=torch.float64)
    for _ in range(steps):
        rates += sampler.sweep(replicas, random).cpu()
    return Tempered(replicas.v[:, -1], replicas.v, sampler.betas, (rates / max(1, steps)).numpy())


def even_betas(betas: int | Sequence[float]) -> tuple[float, ...]:
    """Inverse temperatures from 0 to 1: an integer means so many, evenly spaced; a sequence is checked."""
    if isinstance(betas, (int, np.integer)) and not isinstance(betas, bool):
        check_number("number of temperatures", betas, low=2, integer=True)
        return tuple(float(beta) for beta in np.linspace(0.0, 1.0, int(betas)))
    return tuple(as_betas(betas))
