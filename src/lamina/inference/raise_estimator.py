"""The reverse annealed importance sampling estimator, RAISE (Burda, Grosse, Salakhutdinov 2015).

Forward annealing of length K is itself a generative model: p_ann(v) is the distribution of its last row, close to the
model where K is large. For a test row, chains run backward from the row to the base give

    log p̂_ann(v) = log f_1(v) − log Z_base + log (1/M) Σ_m Π_k f_{β_{k−1}}(v^m_{k−1}) / f_{β_k}(v^m_{k−1})    (eq. 36)

whose exp is an unbiased estimate of p_ann(v), so that on average it is at most log p_ann(v) (Jensen), and that is on
average, over rows of the model, at most log p(v). Forward annealing makes a likelihood look too good where it fails;
this makes it look too bad: the conservative side. Transitions need not be reversible: those of p_ann are then the
reversals of the ones that run here. *Cost*: a chain for each row and m.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from lamina.core.checks import check_number
from lamina.core.random import Random, as_random
from lamina.inference.annealed_importance import anneal, groups
from lamina.inference.annealing_paths import annealing_path, machine_of
from lamina.inference.betas import Betas, as_betas
from lamina.inference.rows import ROWS_AT_ONCE, as_rows


@torch.no_grad()
def raise_log_likelihood(
    model: Any,
    data: Any,
    betas: Betas = 1000,
    n_chains: int = 1,
    random_state: int | Random | None = None,
    data_mean: Any = None,
) -> Tensor:
    """A stochastic lower bound on log p(v) of each row of ``data`` (n, n_visible), in expectation: (n,) float64, nats.

    ``n_chains`` chains per row, averaged inside the logarithm: more are closer to p_ann from below. ``data_mean`` and
    ``betas`` as in `log_partition`. For a model with ``as_rbm()`` the rows are those of that machine. A row does not
    depend on which others are with it, only on its place in ``data``. Raises `DataError` and `SettingError`.
    """
    check_number("n_chains", n_chains, low=1, integer=True)
    if not hasattr(model, "annealing_path"):
        model = machine_of(model)
    schedule = as_betas(betas)[::-1]
    rows = as_rows(model, data)
    path = annealing_path(model, data_mean)
    random = as_random(random_state).child("RAISE")
    parts = []
    for chains in groups(len(rows) * n_chains, path):
        state = path.step(path.from_rows(rows[chains // n_chains]), 1.0, random.at(0, chains))
        parts.append(anneal(path, state, schedule, random))
    log_w = torch.cat(parts).view(len(rows), n_chains)
    free_energy = torch.cat([model.free_energy(chunk) for chunk in rows.split(ROWS_AT_ONCE)]).double()
    return (torch.logsumexp(log_w, 1) - math.log(n_chains) - free_energy - path.log_z_base).cpu()
