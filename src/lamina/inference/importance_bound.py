"""Bounds of log p(v) of a variational autoencoder: the evidence lower bound, and the importance-weighted one.

The problem: log p(v) = log E_q[p(v, h)/q(h | v)] has no closed form. The mean of the logarithm of the ratio is the
evidence lower bound; the logarithm of a mean of K ratios is a tighter one, growing with K to log p(v) itself (Burda,
Grosse, Salakhutdinov 2016), and its exponential is an unbiased estimate of p(v).

Conventions: draws are taken `DRAWS` at a time for as many rows as a memory limit allows, and are keyed by stream, row
and draw: the same stream gives the same draws, whatever the limit. Log-weights are summed up in float64.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from lamina.core.checks import check_number
from lamina.core.errors import DataError
from lamina.core.random import Random

DRAWS = 50  # draws of a row that are decoded together
MEMORY = 8 << 20  # bytes of decoder outputs held at a time: more does not fit a core's cache


@torch.no_grad()
def importance_weighted_bound(model: Any, v: Tensor, samples: int, random: Random, *, memory: int = MEMORY) -> Tensor:
    """log (1/K) Σ_k p(v, h_k)/q(h_k | v) with h_k ~ q(h | v), for every row: (n, n_visible) → (n,) float64, in nats.

    A lower bound of log p(v) in expectation; its exponential is unbiased. Cost: ``samples`` = K passes of the decoder.
    Raises `DataError` for rows that the model's likelihood cannot give. Burda, Grosse, Salakhutdinov (2016).
    """
    _check(model, v, samples)
    total = v.new_full((len(v),), -math.inf, dtype=torch.float64)
    for rows, mean, log_variance, h, log_p in _decoded(model, v, samples, random, memory):
        log_w = log_p.double() + model.log_p_h(h).double() - model.log_q_h(h, mean, log_variance).double()
        total[rows] = torch.logaddexp(total[rows], torch.logsumexp(log_w, 1))
    return total - math.log(samples)


@torch.no_grad()
def elbo(model: Any, v: Tensor, samples: int, random: Random, *, memory: int = MEMORY) -> Tensor:
    """(1/K) Σ_k log p(v | h_k) − KL(q(h | v) ‖ N(0, I)) with h_k ~ q(h | v): (n, n_visible) → (n,) float64, in nats.

    Unbiased for the evidence lower bound; the KL term is exact. Raises as `importance_weighted_bound`.
    """
    _check(model, v, samples)
    total = v.new_zeros((len(v),), dtype=torch.float64)
    for rows, _, _, _, log_p in _decoded(model, v, samples, random, memory):
        total[rows] += log_p.double().sum(1)
    kl = torch.cat([model.kl(*model.posterior(part)).double() for part in v.split(4096)])
    return total / samples - kl


def _decoded(
    model: Any, v: Tensor, samples: int, random: Random, memory: int
) -> Iterator[tuple[slice, Tensor, Tensor, Tensor, Tensor]]:
    """Pieces of rows and draws: the rows, mean and log variance (r, 1, n_hidden), draws h (r, d, n_hidden) and
    log p(v | h) (r, d)."""
    stream = random.child("importance")
    most = max(1, memory // (DRAWS * model.n_visible * v.element_size()))
    for start in range(0, len(v), most):
        part = v[start : start + most]
        numbers = torch.arange(start, start + len(part), device=v.device)
        mean, log_variance = (moment.unsqueeze(1) for moment in model.posterior(part))
        deviation = (0.5 * log_variance).exp()
        for step, first in enumerate(range(0, samples, DRAWS)):
            shape = (len(part), min(DRAWS, samples - first), model.n_hidden)
            h = torch.addcmul(mean, deviation, stream.at(step, numbers).normal(shape, v.dtype, v.device))
            rows = slice(start, start + len(part))
            yield rows, mean, log_variance, h, model.log_p_v_given_h(part.unsqueeze(1), h)


def _check(model: Any, v: Tensor, samples: int) -> None:
    check_number("samples", samples, low=1, integer=True)
    if v.dim() != 2:
        raise DataError(f"rows have shape {tuple(v.shape)}; expected (rows, {model.n_visible})")
    model.check(v)
