"""What a deep belief network can be asked: to dream, with or without a label held, and how probable rows are.

Generation runs Gibbs sampling in the top memory and goes down once (Hinton, Osindero, Teh 2006, section 6). log p(v)
has no closed form: `deep_belief_bound` estimates the variational lower bound of Salakhutdinov and Murray (2008),

    log p(v) ≥ E_q[log p(v | h¹) + … + log p(h^{L−2} | h^{L−1}) − F_top(h^{L−1})] + H(q) − log Z_top
                                                                               (docs/mathematics.md, eq. 77)

with q(h | v) the recognition pass and F_top the memory's free energy, labels summed out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lamina.core.checks import check_number
from lamina.core.errors import DataError, SettingError
from lamina.core.random import Random, as_random
from lamina.inference.partition import LogPartition
from lamina.models.energy import DBN
from lamina.models.energy.directed import DirectedLayer
from lamina.units import Bernoulli, Softmax, Spin

CHUNK = 1000  # rows that go up together
LINEAR = (Bernoulli, Softmax, Spin)  # families whose energies are linear in x: entropy from means


@dataclass(frozen=True)
class Dream:
    """``v`` (n, n_visible): what the network sees, means or draws; ``memory`` (n, top.n_visible): the state of its
    memory's visible side, from which `dream` can go on."""

    v: Tensor
    memory: Tensor


@torch.no_grad()
def dream(
    dbn: DBN,
    labels: Tensor | Sequence[int] | None = None,
    n: int | None = None,
    *,
    steps: int = 1000,
    start: Dream | None = None,
    sample_visible: bool = False,
    random_state: int | Random | None = None,
) -> Dream:
    """Rows from a deep belief network: ``steps`` of Gibbs sampling in the memory, then one pass downward.

    ``labels`` (n,) holds one class per row, whose label units stay on all the way; without them ``n`` rows are drawn
    with labels free. A chain begins at the free units of the memory (W = 0), or goes on from ``start``. On the way down
    all layers are drawn but the visible one, which shows means unless ``sample_visible``. Chains from nowhere need some
    hundred steps; neighbouring states of one chain are strongly correlated.

    Raises `SettingError` where neither or contradicting numbers of rows are given, `LabelError` for impossible labels.
    """
    check_number("steps", steps, low=0, integer=True)
    given = None if labels is None else torch.as_tensor(labels, device=dbn.top.W.device)
    rows = _n_rows(given, n, start)
    random = as_random(random_state).child("dream")
    if start is None:
        memory = dbn.top.visible.sample(dbn.top.b.expand(rows, -1).clone(), random.child("start"))
    else:
        memory = start.memory
    known = None if given is None else dbn.with_labels(memory[:, : dbn.n_penultimate], given)
    memory = memory if known is None else known
    for step in range(steps):
        h = dbn.top.sample_h_from_v(memory, random.at(step))
        memory = dbn.top.sample_v_from_h(h, random)
        if known is not None:
            memory[:, dbn.n_penultimate :] = known[:, dbn.n_penultimate :]
    return Dream(_downward(dbn, memory, sample_visible, random.at(steps)), memory)


def _downward(dbn: DBN, memory: Tensor, sample_visible: bool, random: Random) -> Tensor:
    h = memory[:, : dbn.n_penultimate]
    layers: list[Any] = list(dbn.directed)
    if sample_visible or not layers:
        return dbn.sample_down(h, random)
    for layer in reversed(layers[1:]):
        h = layer.sample_v_from_h(h, random)
    return layers[0].mean_v_from_h(h)


def _n_rows(labels: Tensor | None, n: int | None, start: Dream | None) -> int:
    said = {"labels": None if labels is None else len(labels), "n": n, "start": None if start is None else len(start.v)}
    numbers = {name: number for name, number in said.items() if number is not None}
    if len(set(numbers.values())) != 1:
        raise SettingError(
            f"the number of rows is given by {numbers or 'nothing'}; expected labels, n or start, all of one length"
        )
    rows = next(iter(numbers.values()))
    check_number("n", rows, low=1, integer=True)
    return rows


@dataclass(frozen=True)
class LikelihoodBound:
    """A lower bound on log p(v), in nats, per row (n,), each with the standard error (n,) of its Monte Carlo mean.

    A row's error is NaN where one sample was drawn. Errors of log Z are not in it: it shifts all rows together.
    """

    rows: Tensor
    standard_errors: Tensor
    log_z: float

    @property
    def mean(self) -> float:
        """Average over the rows."""
        return float(self.rows.mean())

    @property
    def standard_error(self) -> float:
        """Monte Carlo error of `mean`: how far other samples of q on the same rows would move it."""
        return float(self.standard_errors.square().sum().sqrt()) / len(self.rows)


@torch.no_grad()
def deep_belief_bound(
    dbn: DBN,
    v: Tensor,
    log_z: float | LogPartition,
    *,
    n_samples: int = 20,
    entropy: str = "exact",
    random_state: int | Random | None = None,
) -> LikelihoodBound:
    """The variational lower bound on log p(v) for rows v (n, n_visible), given the memory's log Z (eq. 77).

    ``log_z`` comes from `lamina.log_partition(dbn.top)` or, for small memories, `exact_log_partition(dbn.top)`; an
    estimate too low by δ nats shows all rows δ nats too probable. ``n_samples`` draws of the recognition pass per row;
    the bound is unbiased for any number, and no tighter for more. ``entropy="exact"`` takes each layer's entropy in
    closed form given the draw below; ``"sampled"`` takes −log q of the draw, which has less variance where q is close
    to the posterior and works for every family. The bound is tight where q is the posterior, as just after a transposed
    start.
    """
    check_number("n_samples", n_samples, low=1, integer=True)
    log_z = log_z.log_z if isinstance(log_z, LogPartition) else log_z
    check_number("log_z", log_z)
    if entropy not in ("exact", "sampled"):
        raise SettingError(f"entropy is {entropy!r}; expected 'exact' or 'sampled'")
    if v.dim() != 2 or v.shape[1] != dbn.n_visible or not len(v):
        raise DataError(f"the rows have shape {tuple(v.shape)}; expected (rows, {dbn.n_visible}) with at least one row")
    if not math.isfinite(log_z) or not bool(torch.isfinite(v).all()):
        raise DataError("the rows or log Z hold NaN or infinity; expected finite numbers")
    random = as_random(random_state).child("bound")
    parts = []
    for start in range(0, len(v), CHUNK):
        rows = torch.arange(start, min(start + CHUNK, len(v)), device=v.device)
        draws = []
        for sample in range(n_samples):
            draws.append(_one_draw(dbn, v[rows].to(dbn.top.W), entropy, random.at(sample, rows)))
        parts.append(torch.stack(draws).double())
    values = torch.cat(parts, 1)  # (n_samples, n)
    deviation = values.std(0) if n_samples > 1 else torch.full_like(values[0], math.nan)
    return LikelihoodBound(values.mean(0) - log_z, deviation / math.sqrt(n_samples), float(log_z))


def _one_draw(dbn: DBN, v: Tensor, entropy: str, random: Random) -> Tensor:
    """log p(v | h¹) + … − F_top − log q (or + H(q)) at one draw of the recognition pass: (n,), log Z apart."""
    total, x = 0.0, v
    for layer in dbn.directed:
        y = layer.sample_h_from_v(x, random)  # type: ignore[operator]
        total = total + layer.log_p_v_from_h(x, y)  # type: ignore[operator]
        if entropy == "exact":
            total = total + recognition_entropy(layer, x)  # type: ignore[arg-type]
        else:
            total = total - layer.log_q_h_from_v(y, x)  # type: ignore[operator]
        x = y
    return total - dbn.free_energy_top(x)


def recognition_entropy(layer: DirectedLayer, v: Tensor) -> Tensor:
    """H(q(h | v)) in nats, exact: (..., n_visible) → (...), for hidden units whose energy is linear in h.

    log q is then linear in h as well, so that its mean is its value at E_q[h | v]. Raises `SettingError` for others.
    """
    if not isinstance(layer.hidden, LINEAR):
        raise SettingError(
            f"the entropy of {type(layer.hidden).__name__} units has no closed form here; expected entropy='sampled'"
        )
    return -layer.log_q_h_from_v(layer.mean_h_from_v(v), v)
