"""Pseudo-likelihood (Besag 1975): the sum over visible sites of log p(site | all other sites). It needs no Z.

A site is a unit, or the group of a softmax. With F the free energy and x^(k) the row whose site takes its k-th value,

    log p(x_site | rest) = −F(x) − log Σ_k exp(−F(x^(k)))                              (docs/mathematics.md, eq. 38)

The stochastic form takes one site of each row, drawn at random, times the number of sites: unbiased, and as cheap as
two free energies for binary units. It is high for any model whose units are well predicted by their neighbours, and
says nothing about modes that the model puts where there are no data: a monitor, no likelihood.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import singledispatch
from typing import Any

import torch
from torch import Tensor

from lamina.core.errors import SettingError
from lamina.core.random import Random, as_random
from lamina.inference.rows import ROWS_AT_ONCE, as_rows, leaves
from lamina.units import Bernoulli, Binomial, Concatenated, Family, Softmax, Spin


@torch.no_grad()
def pseudo_log_likelihood(
    model: Any, data: Any, random_state: int | Random | None = None, *, exact: bool = False
) -> Tensor:
    """Log pseudo-likelihood of each row of ``data`` (n, n_visible), in nats: (n,) float64.

    ``exact`` sums over all sites (as many free energies as values of all sites); otherwise one site of each row is
    drawn by ``random_state``. ``model`` offers ``visible`` and ``free_energy``; visible units are binary, spins,
    softmax, binomial or concatenated of these (a grey value x of a Bernoulli unit stands against 1 − x). Raises
    `SettingError` for other units and `DataError` for rows that do not fit.
    """
    if not (hasattr(model, "free_energy") and hasattr(model, "visible")):
        raise SettingError(f"{type(model).__name__} has no free energy of visible units; expected an RBM or the like")
    n_sites = sites(model.visible)
    rows = as_rows(model, data)
    if exact:
        return torch.cat([_all_sites(model, chunk, n_sites) for chunk in rows.split(ROWS_AT_ONCE)]).cpu()
    generator = as_random(random_state).child("pseudo-likelihood").numpy()
    drawn = torch.from_numpy(generator.integers(n_sites, size=len(rows))).to(rows.device)
    parts = zip(rows.split(ROWS_AT_ONCE), drawn.split(ROWS_AT_ONCE), strict=True)
    return torch.cat([n_sites * site_log_probability(model, v, site) for v, site in parts]).cpu()


def _all_sites(model: Any, v: Tensor, n_sites: int) -> Tensor:
    total = torch.zeros(len(v), dtype=torch.float64, device=v.device)
    for site in range(n_sites):
        total += site_log_probability(model, v, torch.full((len(v),), site, device=v.device))
    return total


def site_log_probability(model: Any, v: Tensor, site: Tensor) -> Tensor:
    """log p(v_site | all other sites) for one ``site`` (n,) int64 of each row ``v`` (n, n_visible): (n,) float64."""
    found = torch.zeros(len(v), dtype=torch.float64, device=v.device)
    first = 0
    for family, columns in leaves(model.visible):
        rows = torch.nonzero((site >= first) & (site < first + sites(family)))[:, 0]
        if len(rows):
            x = v[rows]
            odds = [torch.zeros_like(found[rows])]  # of each value against the row's own
            own = model.free_energy(x).double()
            for values in other_values(family, x[:, columns], site[rows] - first):
                other = x.clone()
                other[:, columns] = values
                odds.append(own - model.free_energy(other).double())
            found[rows] = -torch.logsumexp(torch.stack(odds), 0)
        first += sites(family)
    return found


@singledispatch
def sites(family: Family) -> int:
    """Number of sites of a side."""
    raise SettingError(
        f"{type(family).__name__} units have no countable values; the pseudo-likelihood is for Bernoulli, Spin, "
        f"Softmax and Binomial visible units"
    )


@sites.register(Bernoulli)
@sites.register(Spin)
@sites.register(Binomial)
def _(family: Family) -> int:
    return family.n


@sites.register
def _(family: Softmax) -> int:
    return family.n_groups


@sites.register
def _(family: Concatenated) -> int:
    return sum(sites(part) for part in family.parts)


@singledispatch
def other_values(family: Family, x: Tensor, site: Tensor) -> Iterator[Tensor]:
    """The rows ``x`` (n, family.n) with site ``site`` (n,) at each of its other values in turn."""
    raise NotImplementedError(type(family).__name__)


@other_values.register
def _(family: Bernoulli, x: Tensor, site: Tensor) -> Iterator[Tensor]:
    at = site[:, None]
    yield x.scatter(1, at, 1 - x.gather(1, at))


@other_values.register
def _(family: Spin, x: Tensor, site: Tensor) -> Iterator[Tensor]:
    at = site[:, None]
    yield x.scatter(1, at, -x.gather(1, at))


@other_values.register
def _(family: Binomial, x: Tensor, site: Tensor) -> Iterator[Tensor]:
    at = site[:, None]
    for step in range(1, family.trials + 1):
        yield x.scatter(1, at, (x.gather(1, at) + step) % (family.trials + 1))


@other_values.register
def _(family: Softmax, x: Tensor, site: Tensor) -> Iterator[Tensor]:
    at = site[:, None] * family.n_values + torch.arange(family.n_values, device=x.device)
    for step in range(1, family.n_values):
        yield x.scatter(1, at, x.gather(1, at).roll(step, 1))
