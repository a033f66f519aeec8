"""How probable a generative model finds rows that it has not seen: log Z estimated from both sides, bounds where the
likelihood itself is out of reach.

Annealed importance sampling errs towards too small a log Z and so flatters the model; the conservative estimate
(RAISE) errs to the other side. Both are given, since the first alone proves little.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import singledispatch
from typing import Any

import torch
from torch import Tensor

from lamina.core.random import Random
from lamina.inference import (
    LogPartition,
    conservative_deep_bound,
    deep_belief_bound,
    deep_boltzmann_bound,
    deep_mean_field,
    elbo,
    importance_weighted_bound,
    log_likelihood,
    raise_log_likelihood,
)
from lamina.inference.partition import estimate_log_partition
from lamina.models.autoencoders import VariationalAutoencoder
from lamina.models.energy import DBM, DBN, RBM, ClassificationRBM

EXACT_UP_TO = 16  # units of the smaller side: 2^16 terms take under a second
FEW_ROWS = 100  # rows of a conservative estimate: one annealing run each
BOUND_ROWS = 1000  # rows of a variational bound


@dataclass(frozen=True)
class Effort:
    """How much annealing to spend: temperatures and chains of log Z, temperatures of the conservative estimate (0: make
    none)."""

    temperatures: int = 3000
    chains: int = 100
    conservative: int = 1000


@dataclass(frozen=True)
class Material:
    """Rows to measure on (n, n_visible) in the model's units, their codes (−1 for none) or None, and training rows
    (at most some thousand) for base rates."""

    rows: Tensor
    y: Tensor | None
    train: Tensor
    what: str = "test rows"


@dataclass(frozen=True)
class Goodness:
    """``measured`` rows for the report, ``warnings`` where an estimate cannot be trusted."""

    measured: list[dict] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


@singledispatch
def goodness(model: Any, material: Material, effort: Effort, random: Random) -> Goodness:
    """Log-likelihood or bound of ``model`` on the material; nothing for kinds whose log Z is not estimated."""
    return Goodness()


@goodness.register
def _(model: RBM, material: Material, effort: Effort, random: Random) -> Goodness:
    mean = material.train.mean(0)
    z = _log_z(model, effort, random, mean)
    likelihood = log_likelihood(model, material.rows, z)
    measured = [_log_z_row(z), _mean_row(f"log-likelihood, {material.what}", likelihood, z)]
    if z.method != "exact" and effort.conservative:
        few = _few(material.rows)
        careful = raise_log_likelihood(model, few, effort.conservative, random_state=random, data_mean=mean)
        measured.append(_conservative_row("log-likelihood, conservative", careful, likelihood))
    return Goodness(measured, _doubts(z))


@goodness.register
def _(model: ClassificationRBM, material: Material, effort: Effort, random: Random) -> Goodness:
    shares = torch.softmax(model.d.detach(), 0)
    mean = torch.cat([material.train.mean(0), shares])
    z = _log_z(model, effort, random, mean)
    likelihood = log_likelihood(model, material.rows, z)
    measured = [_log_z_row(z), _mean_row(f"log-likelihood, {material.what}", likelihood, z)]
    if z.method != "exact" and effort.conservative and material.y is not None:
        known = material.y >= 0
        joined = _few(model.join(material.rows[known], material.y[known]))
        careful = raise_log_likelihood(model, joined, effort.conservative, random_state=random, data_mean=mean)
        measured.append(_conservative_row("log p(row, class), conservative", careful))
    return Goodness(measured, _doubts(z))


@goodness.register
def _(model: DBN, material: Material, effort: Effort, random: Random) -> Goodness:
    codes = model.encode(material.train, len(model.directed))
    mean = codes.mean(0)
    if model.n_classes:
        mean = torch.cat([mean, torch.softmax(model.top.b.detach()[model.n_penultimate :], 0)])
    z = _log_z(model.top, effort, random, mean)
    bound = deep_belief_bound(model, material.rows[:BOUND_ROWS], z.log_z, n_samples=5, random_state=random)
    row = _mean_row(f"lower bound on the log-likelihood, {material.what}", bound.rows, z)
    return Goodness([_log_z_row(z, "log Z of the memory"), row], _doubts(z))


@goodness.register
def _(model: DBM, material: Material, effort: Effort, random: Random) -> Goodness:
    inferred = deep_mean_field(model, material.train, tolerance=1e-3, max_iterations=30)
    z = _log_z(model.as_rbm("odd"), effort, random, inferred.means[0].mean(0))
    rows = material.rows[:BOUND_ROWS]
    bound = deep_boltzmann_bound(model, rows, z, tolerance=1e-3, max_iterations=50)
    measured = [_log_z_row(z), _mean_row(f"lower bound on the log-likelihood, {material.what}", bound, z)]
    if z.method != "exact" and effort.conservative:
        few = _few(rows)
        careful = conservative_deep_bound(
            model, few, effort.conservative, random_state=random, data_mean=material.train.mean(0)
        )
        measured.append(_conservative_row("lower bound, conservative", careful, bound))
    return Goodness(measured, _doubts(z))


@goodness.register
def _(model: VariationalAutoencoder, material: Material, effort: Effort, random: Random) -> Goodness:
    rows, draws = material.rows[:BOUND_ROWS], effort.temperatures // 3
    bound = importance_weighted_bound(model, rows, draws, random.child("weighted"))
    evidence = elbo(model, rows, 20, random.child("evidence"))
    note = f"mean of {len(rows):,} rows, each weighted by importance over {draws:,} draws of the encoder"
    what = f"lower bound on the log-likelihood, {material.what}"
    return Goodness(
        [
            {"what": what, "ours": float(bound.mean()), "unit": "nats per row", "note": note},
            {
                "what": f"evidence lower bound of {material.what}",
                "ours": float(evidence.mean()),
                "unit": "nats per row",
                "note": "what is learnt by: 20 draws, the divergence from the prior exact",
            },
        ]
    )


def trace_value(model: Any, rows: Tensor, train: Tensor, effort: Effort, random: Random) -> float | None:
    """A quick estimate of the mean log-likelihood (or bound) of ``rows``, for a curve over epochs; None if unknown."""
    found = goodness(model, Material(rows, None, train, "rows"), effort, random)
    for row in found.measured:
        if row["what"].endswith(", rows"):
            return float(row["ours"])
    return None


# pieces -------------------------------------------------------------------------------------------------------------


def _log_z(model: Any, effort: Effort, random: Random, data_mean: Tensor) -> LogPartition:
    """Exact where one side is small, else annealed; without a warning, which the caller makes of ``trusted``."""
    machine = model.as_rbm() if hasattr(model, "as_rbm") else model
    sides = [family.n for family in (machine.visible, machine.hidden) if family.n_states is not None]
    if sides and min(sides) <= EXACT_UP_TO:
        return estimate_log_partition(machine, "exact", n_chains=0, betas=None, random_state=random)
    return estimate_log_partition(
        machine, "ais", n_chains=effort.chains, betas=effort.temperatures, random_state=random, data_mean=data_mean
    )


def _few(rows: Tensor) -> Tensor:
    return rows[:FEW_ROWS]


def _doubts(z: LogPartition) -> list[str]:
    return [] if z.warning is None else [z.warning]


def _log_z_row(z: LogPartition, what: str = "log Z") -> dict:
    if z.method == "exact":
        return {"what": what, "ours": z.log_z, "unit": "nats", "note": "exact sum"}
    note = (
        f"annealed importance sampling: {z.n_chains} chains, {z.n_temperatures:,} temperatures, effective sample "
        f"{z.effective_sample_size:.0f}; interval of three standard errors"
    )
    return {"what": what, "ours": z.log_z, "low": z.low, "high": z.high, "unit": "nats", "note": note}


def _mean_row(what: str, values: Tensor, z: LogPartition) -> dict:
    """The mean over rows; its interval is that of log Z."""
    mean = float(values.double().mean())
    row = {"what": what, "ours": mean, "unit": "nats per row", "note": f"mean of {len(values):,} rows"}
    if z.method == "exact":
        return row
    return {**row, "low": mean + z.log_z - z.high, "high": mean + z.log_z - z.low}


def _conservative_row(what: str, values: Tensor, above: Tensor | None = None) -> dict:
    """The mean of a conservative estimate; ``above`` holds the other estimate, whose first rows are the same."""
    n = len(values)
    mean = float(values.double().mean())
    note = f"RAISE, which errs towards too low: mean of {n:,} rows, one annealing run each"
    if above is not None:
        note += f"; on the same rows the estimate above gives {float(above[:n].double().mean()):.2f}".replace("-", "−")
    row = {"what": what, "ours": mean, "unit": "nats per row", "note": note}
    if n == 1:
        return row
    half = 3 * float(values.double().std()) / n**0.5
    row["note"] += "; interval of three standard errors over rows"
    return {**row, "low": mean - half, "high": mean + half}
