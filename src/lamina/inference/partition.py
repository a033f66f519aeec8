"""The partition function of an energy-based model: exact, or estimated with an interval and a verdict.

======================= ============================================================================================
``method="ais"``        annealed importance sampling up from the base: E[Ẑ] = Z, and E[log Ẑ] ≤ log Z
``method="reverse-ais"`` the same down from rows of the model: E[1/Ẑ] = 1/Z, and E[log Ẑ] ≥ log Z
``method="exact"``      all states of the smaller countable side: exponential in its units
======================= ============================================================================================

A forward estimate that is too low makes a likelihood look too good, and none of its own diagnostics sees a mode that no
chain has reached. The reverse estimate errs to the other side, to the extent that its rows are draws of the model (rows
of long chains, of tempering; data where the model fits them). Where the two agree, both can be believed.

The interval (docs/mathematics.md, eq. 35) holds three standard errors, by two rules of which the wider counts: the
log of mean ± t standard errors of the weights (Salakhutdinov, Murray 2008, with Student's t for few chains), and
Cox's interval for log-normal weights, which is what many small independent steps give, and which sees the heavy right
tail that a sample has not met yet. Below, it ends at the latest where Markov's inequality ends it for any weights.
"""

from __future__ import annotations

import math
import time
import warnings
from dataclasses import dataclass
from typing import Any

import torch
from scipy.special import stdtrit
from torch import Tensor

from lamina.core.checks import check_number
from lamina.core.errors import DataError, SettingError, UnreliableEstimateWarning
from lamina.core.random import Random, as_random
from lamina.inference.annealed_importance import forward_log_weights, reverse_log_weights
from lamina.inference.annealing_paths import AnnealingPath, annealing_path, machine_of
from lamina.inference.betas import Betas, as_betas
from lamina.inference.enumeration import exact_log_partition
from lamina.inference.rows import as_rows

METHODS = ("ais", "reverse-ais", "exact")
BEYOND = 0.001349898  # probability beyond three standard deviations of a normal variable, on one side
FEWEST_CHAINS = 10
SMALLEST_SHARE = 0.1  # of the chains that the effective sample must keep
LARGEST_DEVIATION = 1.5  # of log-weights: beyond, a hundred chains no longer meet the weights that count


@dataclass(frozen=True)
class LogPartition:
    """log Z in nats with its interval [low, high] of three standard errors, and whether it can be trusted.

    ``effective_sample_size`` is (Σw)² / Σw² of the ``n_chains`` weights, ``n_temperatures`` the number of steps of the
    schedule; all three are 0 where the sum is exact. ``warning`` says why an estimate is not ``trusted``.
    """

    log_z: float
    low: float
    high: float
    effective_sample_size: float
    n_chains: int
    n_temperatures: int
    method: str
    trusted: bool
    warning: str | None
    seconds: float


def log_partition(
    model: Any,
    method: str = "ais",
    *,
    n_chains: int = 100,
    betas: Betas = None,
    random_state: int | Random | None = None,
    data_mean: Any = None,
    start: Any = None,
) -> LogPartition:
    """log Z of ``model`` in nats, by ``method`` "ais", "reverse-ais" or "exact".

    ``model`` is an RBM of any two families, or offers ``as_rbm()`` or ``annealing_path()``. ``betas`` is a schedule or
    a number of temperatures (default: the 14,500 of Salakhutdinov and Murray 2008; two matrix products each);
    ``data_mean`` (n_visible,), the mean of training rows, makes the base close to the model. The reverse estimate
    needs ``start`` (n, n_visible): rows of the model, of which ``n_chains`` evenly spaced ones are taken.

    Warns `UnreliableEstimateWarning` where the weights say that the estimate may be far off. Raises `SettingError` for
    bad options and for models without a path, `DataError` for rows or a mean that do not fit.
    """
    found = estimate_log_partition(
        model, method, n_chains=n_chains, betas=betas, random_state=random_state, data_mean=data_mean, start=start
    )
    if found.warning is not None:
        warnings.warn(found.warning, UnreliableEstimateWarning, stacklevel=2)
    return found


def estimate_log_partition(
    model: Any,
    method: str,
    *,
    n_chains: int,
    betas: Betas,
    random_state: int | Random | None,
    data_mean: Any = None,
    start: Any = None,
) -> LogPartition:
    """`log_partition` without the warning, for those who look at ``trusted`` themselves."""
    began = time.perf_counter()
    if method not in METHODS:
        raise SettingError(f"method is {method!r}; expected one of {', '.join(METHODS)}")
    if method == "exact":
        log_z = _exact(model)
        return LogPartition(log_z, log_z, log_z, 0.0, 0, 0, method, True, None, time.perf_counter() - began)
    check_number("n_chains", n_chains, low=1, integer=True)
    schedule = as_betas(betas)
    path = annealing_path(model, data_mean)
    random = as_random(random_state).child("log partition", method)
    if method == "ais":
        log_w = forward_log_weights(path, schedule, n_chains, random)
    else:
        log_w = reverse_log_weights(path, schedule, _start_rows(model, start, n_chains), random)
    return _summary(log_w, path, method, len(schedule) - 1, began)


def _exact(model: Any) -> float:
    own = getattr(model, "exact_log_partition", None)
    return exact_log_partition(machine_of(model)) if own is None else own()


def _start_rows(model: Any, start: Any, n_chains: int) -> Tensor:
    """At most ``n_chains`` evenly spaced rows of ``start``, checked."""
    if start is None:
        raise SettingError(
            "the reverse estimate begins at rows of the model; expected start=, rows of long chains (gibbs, tempering) "
            "or data that the model fits"
        )
    rows = as_rows(model if hasattr(model, "annealing_path") else machine_of(model), start, "the rows of start")
    if len(rows) > n_chains:
        rows = rows[torch.linspace(0, len(rows) - 1, n_chains).round().long()]
    return rows


def _summary(log_w: Tensor, path: AnnealingPath, method: str, n_temperatures: int, began: float) -> LogPartition:
    if not bool(torch.isfinite(log_w).all()):
        raise DataError(
            "annealing left the range of finite numbers; expected finite weights and rows: has training diverged?"
        )
    mean, low, high = log_mean_interval(log_w)
    if method == "reverse-ais":
        mean, low, high = -mean, -high, -low
    base = path.log_z_base
    effective = effective_sample_size(log_w)
    warning = _doubt(log_w, effective, n_temperatures)
    return LogPartition(
        log_z=base + mean,
        low=base + low,
        high=base + high,
        effective_sample_size=effective,
        n_chains=len(log_w),
        n_temperatures=n_temperatures,
        method=method,
        trusted=warning is None,
        warning=warning,
        seconds=time.perf_counter() - began,
    )


def effective_sample_size(log_w: Tensor) -> float:
    """(Σw)² / Σw² of log-weights (n,): n where all are equal, 1 where one counts alone."""
    return float(torch.exp(2 * torch.logsumexp(log_w, 0) - torch.logsumexp(2 * log_w, 0)))


def log_mean_interval(log_w: Tensor) -> tuple[float, float, float]:
    """log of the mean of exp(log_w), and low and high ends of three standard errors around it (eq. 35).

    Given log-weights (n,) float64. With one chain the upper end is infinite.
    """
    n = len(log_w)
    centre = float(torch.logsumexp(log_w, 0)) - math.log(n)
    markov = centre + math.log(BEYOND)  # P(mean of w > E[w] / p) ≤ p for any weights
    if n == 1:
        return centre, markov, math.inf
    t = float(stdtrit(n - 1, 1.0 - BEYOND))
    relative = t * float(torch.exp(log_w - centre).std()) / math.sqrt(n)
    variance = float(log_w.var())
    cox = float(log_w.mean()) + variance / 2
    half = t * math.sqrt(variance / n + variance**2 / (2 * (n - 1)))
    plain_low = centre + math.log1p(-relative) if relative < 1 else -math.inf
    rounding = 1e-12 * (1.0 + abs(centre))
    low = max(min(plain_low, cox - half), markov) - rounding
    return centre, low, max(centre + math.log1p(relative), cox + half) + rounding


def _doubt(log_w: Tensor, effective: float, n_temperatures: int) -> str | None:
    """Why the estimate is not to be trusted, in one line; None where nothing speaks against it."""
    n = len(log_w)
    deviation = float(log_w.std()) if n > 1 else 0.0
    found = []
    if n < FEWEST_CHAINS:
        found.append(f"{n} chain(s) are too few to tell")
    if effective < SMALLEST_SHARE * n:
        found.append(f"the effective sample is {effective:.1f} of {n} chains")
    if deviation > LARGEST_DEVIATION:
        found.append(f"log-weights have standard deviation {deviation:.1f}")
    if not found:
        return None
    return (
        f"log Z may be far off: {'; '.join(found)} ({n_temperatures} temperatures); expected at least "
        f"{FEWEST_CHAINS} chains, an effective sample of {SMALLEST_SHARE:.0%} and a deviation below "
        f"{LARGEST_DEVIATION:g}: use more temperatures (betas=) or chains"
    )
