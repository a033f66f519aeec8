"""Brute force: what a small machine's probabilities are by definition, in NumPy, sharing no code with the library.

Machines of at most 12 binary units are summed over all states. A Gaussian visible side is integrated in closed form:
given h it is normal with mean b + W h and variance σ², so that the machine is a mixture of 2^n_hidden normals. Machines
of any other pair of families are summed over the values of both sides, by quadrature where they are real.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from math import comb

import numpy as np
import torch
from torch import nn

from lamina import RBM, Bernoulli, Gaussian
from lamina.units import Family


def states(n: int) -> np.ndarray:
    """All binary vectors of length ``n``, (2^n, n)."""
    assert n <= 12, "enumeration is for small machines"
    return np.array(list(product([0.0, 1.0], repeat=n)))


def log_sum(log_weights: np.ndarray, axis: int | None = None) -> np.ndarray:
    top = log_weights.max(axis=axis, keepdims=True)
    total = np.log(np.exp(log_weights - top).sum(axis=axis, keepdims=True)) + top
    return total.squeeze() if axis is None else total.squeeze(axis)


def arrays(model: nn.Module) -> tuple[np.ndarray, ...]:
    """W, b, c of a machine as float64 arrays."""
    return tuple(t.detach().double().numpy().copy() for t in (model.W, model.b, model.c))


def variance(rbm: RBM) -> np.ndarray:
    """σ² (n_visible,) of a Gaussian visible side."""
    return np.exp(rbm.visible.log_variance.detach().double().numpy())


def random_binary(n_visible: int, n_hidden: int, scale: float = 1.0, seed: int = 0) -> RBM:
    """A Bernoulli machine in float64 whose weights and biases are all far from zero."""
    rbm = RBM(n_visible, n_hidden, dtype=torch.float64)
    return _randomise(rbm, scale, seed)


def random_gaussian(n_visible: int, n_hidden: int, scale: float = 1.0, seed: int = 0, learn_sigma: bool = True) -> RBM:
    """A Gaussian-Bernoulli machine in float64 with another σ for each unit, none of them 1."""
    rbm = RBM(Gaussian(n_visible, learn_sigma=learn_sigma), Bernoulli(n_hidden), dtype=torch.float64)
    _randomise(rbm, scale, seed)
    with torch.no_grad():
        spread = np.random.default_rng(seed + 1).uniform(-0.8, 0.8, n_visible)
        rbm.visible.log_variance.copy_(torch.from_numpy(spread))
    return rbm


def _randomise(rbm: RBM, scale: float, seed: int) -> RBM:
    generator = np.random.default_rng(seed)
    with torch.no_grad():
        for parameter in (rbm.W, rbm.b, rbm.c):
            parameter.copy_(torch.from_numpy(generator.normal(0, scale, tuple(parameter.shape))))
    return rbm


@dataclass(frozen=True)
class Binary:
    """Everything about a Bernoulli-Bernoulli machine by enumeration. Rows follow `states`."""

    v: np.ndarray
    h: np.ndarray
    log_z: float
    joint: np.ndarray  # p(v, h), (2^n_visible, 2^n_hidden)

    @property
    def p_v(self) -> np.ndarray:
        return self.joint.sum(1)

    @property
    def p_h(self) -> np.ndarray:
        return self.joint.sum(0)

    def mean_h(self) -> np.ndarray:
        """E[h | v] for every v, (2^n_visible, n_hidden)."""
        return (self.joint / self.p_v[:, None]) @ self.h

    def mean_v(self) -> np.ndarray:
        """E[v | h] for every h, (2^n_hidden, n_visible)."""
        return (self.joint / self.p_h).T @ self.v


def binary(rbm: RBM) -> Binary:
    W, b, c = arrays(rbm)
    v, h = states(len(b)), states(len(c))
    log_weights = (v @ b)[:, None] + (h @ c)[None, :] + v @ W @ h.T
    log_z = float(log_sum(log_weights))
    return Binary(v, h, log_z, np.exp(log_weights - log_z))


def binary_likelihood_gradient(rbm: RBM, data: np.ndarray) -> dict[str, np.ndarray]:
    """∂/∂θ of the mean of log p(v) over the rows of ``data``, term by term of its definition."""
    W, _, c = arrays(rbm)
    exact = binary(rbm)
    data_h = 1 / (1 + np.exp(-(data @ W + c)))
    return {
        "W": data.T @ data_h / len(data) - exact.v.T @ exact.joint @ exact.h,
        "b": data.mean(0) - exact.p_v @ exact.v,
        "c": data_h.mean(0) - exact.p_h @ exact.h,
    }


@dataclass(frozen=True)
class Mixture:
    """A Gaussian-Bernoulli machine as a mixture of normals: weights p(h), means b + W h, variances σ²."""

    h: np.ndarray
    log_z: float
    p_h: np.ndarray
    means: np.ndarray  # (2^n_hidden, n_visible)
    variance: np.ndarray  # (n_visible,)

    def log_density(self, v: np.ndarray) -> np.ndarray:
        """log p(v) for rows (n, n_visible)."""
        return log_sum(self._log_joint(v), 1)

    def _log_joint(self, v: np.ndarray) -> np.ndarray:
        square = (v[:, None, :] - self.means) ** 2 / self.variance
        return np.log(self.p_h) - (square + np.log(2 * np.pi * self.variance)).sum(-1) / 2

    def mean_h(self, v: np.ndarray) -> np.ndarray:
        log_joint = self._log_joint(v)
        return np.exp(log_joint - log_sum(log_joint, 1)[:, None]) @ self.h

    def mean(self) -> np.ndarray:
        return self.p_h @ self.means

    def covariance(self) -> np.ndarray:
        centred = self.means - self.mean()
        return (centred * self.p_h[:, None]).T @ centred + np.diag(self.variance)

    def draw(self, n: int, generator: np.random.Generator) -> np.ndarray:
        k = generator.choice(len(self.p_h), size=n, p=self.p_h)
        return self.means[k] + generator.normal(size=(n, len(self.variance))) * np.sqrt(self.variance)


def mixture(rbm: RBM) -> Mixture:
    W, b, c = arrays(rbm)
    s2 = variance(rbm)
    h = states(len(c))
    means = b + h @ W.T
    # ∫ exp(−(v−b)²/2σ² + v(Wh)/σ²) dv = √(2πσ²) exp((mean² − b²)/2σ²)
    log_weights = h @ c + ((means**2 - b**2) / s2 + np.log(2 * np.pi * s2)).sum(1) / 2
    log_z = float(log_sum(log_weights))
    return Mixture(h, log_z, np.exp(log_weights - log_z), means, s2)


def gaussian_likelihood_gradient(rbm: RBM, data: np.ndarray) -> dict[str, np.ndarray]:
    """As `binary_likelihood_gradient`; ``log_variance`` is the gradient for log σ²."""
    W, b, _ = arrays(rbm)
    exact = mixture(rbm)
    s2 = exact.variance
    data_h = exact.mean_h(data)
    inputs = exact.h @ W.T
    square = s2 + (exact.means - b) ** 2  # E[(v − b)² | h]
    model_statistic = exact.p_h @ (square / 2 - exact.means * inputs) / s2
    data_statistic = (((data - b) ** 2 / 2 - data * (data_h @ W.T)) / s2).mean(0)
    return {
        "W": (data / s2).T @ data_h / len(data) - (exact.means / s2).T @ (exact.p_h[:, None] * exact.h),
        "b": (data.mean(0) - exact.mean()) / s2,
        "c": data_h.mean(0) - exact.p_h @ exact.h,
        "log_variance": data_statistic - model_statistic,
    }


def bars(side: int = 4) -> np.ndarray:
    """All images (n, side²) of horizontal bars and all of vertical bars (the toy set of Hinton & Sejnowski)."""
    on = states(side)
    horizontal = np.repeat(on, side, axis=1)
    vertical = np.tile(on, (1, side))
    return np.unique(np.concatenate([horizontal, vertical]), axis=0)


# any family ---------------------------------------------------------------------------------------------------------
#
# Units that do not see each other form blocks: one unit, or one softmax group. A block has a list of values with
# weights: 1 for values that can be counted, those of a quadrature for real ones. A family is recognised by the name of
# its class and by its settings; its energies are written out again here.


@dataclass(frozen=True)
class Block:
    """Values ``x`` (k, m) of the units in ``columns``, and the log of the measure that each stands for (k,)."""

    columns: slice
    x: np.ndarray
    log_measure: np.ndarray


def real_line(low: float, high: float, step: float) -> tuple[np.ndarray, np.ndarray]:
    """The trapezium rule: it converges faster than any power of its step where the integrand vanishes at the ends."""
    x = np.arange(low, high, step)[:, None]
    return x, np.full(len(x), np.log(step))


def half_line(high: float, width: float) -> tuple[np.ndarray, np.ndarray]:
    """Gauss-Legendre rules of 12 points on panels of the given width, from 0 on."""
    nodes, weights = np.polynomial.legendre.leggauss(12)
    starts = np.arange(0.0, high, width)[:, None]
    return (starts + (nodes + 1) / 2 * width).reshape(-1, 1), np.log(np.tile(weights * width / 2, len(starts)))


def blocks(family: Family, fine: bool = True, first: int = 0) -> list[Block]:
    """The blocks of a family whose first column is ``first``; coarse grids are for sums over several real units."""
    kind = type(family).__name__
    if kind == "Concatenated":
        found = []
        for part in family.parts:
            found += blocks(part, fine, first)
            first += part.n
        return found
    if kind == "Softmax":
        x, width = np.eye(family.n_values), family.n_values
    elif kind == "Gaussian":
        x, width = real_line(-30, 30, 0.001) if fine else real_line(-13, 13, 0.3), 1
    elif kind == "Rectified":
        x, width = half_line(40, 0.02) if fine else half_line(15, 3.0), 1
    else:
        counts = {"Bernoulli": [0.0, 1.0], "Spin": [-1.0, 1.0]}
        x, width = np.array(counts[kind] if kind in counts else range(family.trials + 1), dtype=float)[:, None], 1
    x, log_measure = x if isinstance(x, tuple) else (x, np.zeros(len(x)))
    return [Block(slice(i, i + width), x, log_measure) for i in range(first, first + family.n, width)]


def energy(family: Family, x: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """E(x_i; b_i) of every unit, (..., n): a sum over the last axis is the family's energy."""
    kind = type(family).__name__
    if kind == "Concatenated":
        ends = np.cumsum([part.n for part in family.parts])
        columns = [slice(end - part.n, end) for part, end in zip(family.parts, ends, strict=True)]
        parts = zip(family.parts, columns, strict=True)
        return np.concatenate([energy(part, x[..., c], bias[c]) for part, c in parts], -1)
    if kind == "Gaussian":
        return (x - bias) ** 2 / (2 * _variances(family))
    if kind == "Rectified":
        return x**2 / 2 - bias * x
    if kind == "Binomial":
        return -bias * x - np.log([[comb(family.trials, int(value)) for value in row] for row in np.atleast_2d(x)])
    return -bias * x


def interaction(family: Family, x: np.ndarray) -> np.ndarray:
    """s(x), (..., n)."""
    return x / _variances(family)


def _variances(family: Family) -> np.ndarray:
    """σ² of Gaussian units, 1 for all others, (n,)."""
    if type(family).__name__ == "Concatenated":
        return np.concatenate([_variances(part) for part in family.parts])
    if type(family).__name__ == "Gaussian":
        return np.exp(family.log_variance.detach().double().numpy())
    return np.ones(family.n)


@dataclass(frozen=True)
class Conditional:
    """p(x | field) of the units of one block: values (k, m), probabilities (k,), log of the sum, columns."""

    columns: slice
    x: np.ndarray
    p: np.ndarray
    log_density: np.ndarray
    log_total: float

    @property
    def mean(self) -> np.ndarray:
        return self.p @ self.x


def conditionals(family: Family, field: np.ndarray, bias: np.ndarray) -> list[Conditional]:
    """Every block's distribution given the field (n,), by summing exp(−E(x; b) + s(x)(f − b)) over its values."""
    found = []
    for block in blocks(family):
        x = np.zeros((len(block.x), family.n))
        x[:, block.columns] = block.x
        terms = -energy(family, x, bias) + interaction(family, x) * (field - bias)
        log_density = terms[:, block.columns].sum(1)
        log_total = float(log_sum(log_density + block.log_measure))
        p = np.exp(log_density + block.log_measure - log_total)
        found.append(Conditional(block.columns, block.x, p, log_density, log_total))
    return found


@dataclass(frozen=True)
class Pair:
    """A machine of any two families by its joint sum: values of both sides with their log measures, joint weights."""

    v: np.ndarray
    h: np.ndarray
    log_measure_v: np.ndarray
    log_measure_h: np.ndarray
    log_weights: np.ndarray  # −E(v, h), (k_v, k_h)

    @property
    def log_z(self) -> float:
        return float(log_sum(self.log_weights + self.log_measure_v[:, None] + self.log_measure_h))

    @property
    def free_energy(self) -> np.ndarray:
        """−log Σ_h exp(−E(v, h)), (k_v,)."""
        return -log_sum(self.log_weights + self.log_measure_h, 1)

    @property
    def free_energy_h(self) -> np.ndarray:
        return -log_sum(self.log_weights + self.log_measure_v[:, None], 0)

    @property
    def mean_h(self) -> np.ndarray:
        """E[h | v] for every v, (k_v, n_hidden)."""
        return np.exp(self.log_weights + self.log_measure_h + self.free_energy[:, None]) @ self.h

    @property
    def mean_v(self) -> np.ndarray:
        return np.exp(self.log_weights + self.log_measure_v[:, None] + self.free_energy_h).T @ self.v


def pair(rbm: RBM) -> Pair:
    """The joint sum of a machine of at most two real units and a few others."""
    W, b, c = arrays(rbm)
    (v, measure_v), (h, measure_h) = _points(rbm.visible), _points(rbm.hidden)
    coupling = interaction(rbm.visible, v) @ W @ interaction(rbm.hidden, h).T
    energies = energy(rbm.visible, v, b).sum(1)[:, None] + energy(rbm.hidden, h, c).sum(1)
    return Pair(v, h, measure_v, measure_h, coupling - energies)


def _points(family: Family) -> tuple[np.ndarray, np.ndarray]:
    """All values of a side and their log measures: the product of its blocks on coarse grids."""
    found = list(product(*(zip(block.x, block.log_measure, strict=True) for block in blocks(family, fine=False))))
    assert len(found) <= 1 << 15, "enumeration is for small machines"
    x = np.array([np.concatenate([part for part, _ in point]) for point in found])
    return x, np.array([sum(measure for _, measure in point) for point in found])


def random_pair(visible: Family, hidden: Family, scale: float = 0.5, seed: int = 0) -> RBM:
    """A machine of any two families in float64 with random weights and biases."""
    return _randomise(RBM(visible, hidden, dtype=torch.float64), scale, seed)
