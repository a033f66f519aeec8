"""Bounds on log p(v) of deep Boltzmann machines, for rows of data.

`deep_boltzmann_bound` is each row's mean-field bound minus log Z: as good as log Z is. Annealed importance sampling
errs on the side of too small a log Z, which flatters the model; `conservative_deep_bound` does without log Z, and errs
on the other side. Between the two lies what can be said.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lamina.core.errors import SettingError
from lamina.core.numerics import bernoulli_entropy
from lamina.core.random import Random, as_random
from lamina.inference.betas import Betas
from lamina.inference.deep_mean_field import deep_mean_field, mean_field_bound
from lamina.inference.partition import LogPartition
from lamina.inference.raise_estimator import raise_log_likelihood
from lamina.inference.rows import as_rows
from lamina.models.energy.dbm import DBM

CHUNK = 1000  # rows inferred together


@torch.no_grad()
def deep_boltzmann_bound(
    dbm: DBM, data: Any, log_z: float | LogPartition, *, tolerance: float = 1e-5, max_iterations: int = 200
) -> Tensor:
    """A lower bound on log p(v) in nats for rows ``data`` (n, n_visible): (n,) float64.

    −E(v, μ) + H(μ) − log Z at each row's mean-field means μ (docs/mathematics.md, eq. 82). With an exact log Z it is
    below log p(v) for certain; with ``log_z`` from `log_partition`, to the extent that its interval is believed. Raises
    `DataError` for rows that the visible units cannot take, `SettingError` for a log Z that is no finite number.
    """
    value = log_z.log_z if isinstance(log_z, LogPartition) else log_z
    if not isinstance(value, (int, float, np.floating)) or not math.isfinite(value):
        raise SettingError(f"log_z is {log_z!r}; expected a finite number or what log_partition returns")
    parts = []
    for v in as_rows(dbm, data).split(CHUNK):
        found = deep_mean_field(dbm, v, tolerance=tolerance, max_iterations=max_iterations)
        parts.append(mean_field_bound(dbm, v, found.means).double() - float(value))
    return torch.cat(parts).cpu()


@torch.no_grad()
def conservative_deep_bound(
    dbm: DBM,
    data: Any,
    betas: Betas = 1000,
    n_chains: int = 1,
    random_state: int | Random | None = None,
    data_mean: Any = None,
) -> Tensor:
    """A stochastic lower bound on log p(v) that needs no log Z, for rows ``data`` (n, n_visible): (n,) float64, nats.

    With (h_2, h_4, …) drawn from their mean-field distribution q, E_q[log p(v, h_2, …)] + H(q) ≤ log p(v), and the
    first term is bounded from below by RAISE on the machine of even against odd layers (docs/mathematics.md, eq. 85;
    Burda, Grosse, Salakhutdinov 2015): in expectation over rows of the model, and from below for p_ann on any rows.
    ``betas``, ``n_chains`` and ``data_mean`` are those of `raise_log_likelihood`. The noise of one row is that of its
    annealing run.
    """
    random = as_random(random_state).child("conservative bound")
    even = list(dbm.sides()[0])[1:]
    rows, entropies = [], []
    for start, v in enumerate(as_rows(dbm, data).split(CHUNK)):
        means = deep_mean_field(dbm, v).means
        upper = [means[k - 1] for k in even]
        entropies.append(sum(bernoulli_entropy(mean).sum(-1).double() for mean in upper) + v.new_zeros(len(v)).double())
        rows.append(
            torch.cat([v, *(random.child(start, k).bernoulli(mean) for k, mean in zip(even, upper, strict=True))], 1)
        )
    joint = raise_log_likelihood(dbm.as_rbm("even"), torch.cat(rows), betas, n_chains, random, data_mean)
    return joint + torch.cat(entropies).cpu()
