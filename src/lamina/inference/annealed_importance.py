"""Annealed importance sampling (Neal 2001; Salakhutdinov, Murray 2008) along any `AnnealingPath`.

A chain walks through temperatures β_0 < … < β_K; before each transition its log-weight grows by

    log w += log f_{β_k}(v_{k−1}) − log f_{β_{k−1}}(v_{k−1}),   then v_k ~ T_{β_k}(· | v_{k−1})             (eq. 33)

If v_0 is an exact draw at the first temperature, E[w] = Z_last / Z_first, whatever the schedule and however badly the
transitions mix: only the variance suffers. Walked forward from the base the estimate of Z is unbiased, so that of
log Z is too low on average (Jensen); walked backward from draws of the model it is too high on average.

Chains are keyed by their own numbers and run in groups of bounded memory: the numbers do not depend on the grouping.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from lamina.core.random import Random
from lamina.inference.annealing_paths import AnnealingPath

MOST_NUMBERS = 1 << 20  # kept by the chains that run at once: 4 MiB in float32, near the size of a cache


def groups(n: int, path: AnnealingPath) -> list[Tensor]:
    """Chain numbers 0 … n − 1 in groups of bounded memory."""
    return list(torch.arange(n).split(max(1, MOST_NUMBERS // path.n_units)))


def anneal(path: AnnealingPath, state: Any, betas: list[float], random: Random) -> Tensor:
    """Log-weights (n,) float64 of chains that walk through ``betas`` in the order given (eq. 33).

    There is no transition at the last temperature: no weight would see it.
    """
    log_w = path.log_weight(state, betas[0], betas[1]).to(torch.float64, copy=True)
    for before, after in pairwise(betas[1:]):
        state = path.step(state, before, random)
        log_w += path.log_weight(state, before, after)
    return log_w


@torch.no_grad()
def forward_log_weights(path: AnnealingPath, betas: list[float], n_chains: int, random: Random) -> Tensor:
    """Log-weights (n_chains,) from the base up to the model: the mean of exp is Z / Z_base in expectation."""
    parts = []
    for rows in groups(n_chains, path):
        random.at(0, rows)
        parts.append(anneal(path, path.start(len(rows), random), betas, random).cpu())
    return torch.cat(parts)


@torch.no_grad()
def reverse_log_weights(path: AnnealingPath, betas: list[float], start: Tensor, random: Random) -> Tensor:
    """Log-weights (n,) from the rows ``start`` (n, n_visible) at β = 1 down to the base.

    The mean of exp is Z_base / Z in expectation if ``start`` are exact draws of the model. The transitions may be those
    of the forward walk or any others that leave each f_β unchanged.
    """
    parts = []
    for rows in groups(len(start), path):
        random.at(0, rows)
        parts.append(anneal(path, path.from_rows(start[rows]), betas[::-1], random).cpu())
    return torch.cat(parts)
