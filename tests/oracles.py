"""Brute force: what a small machine's probabilities are by definition, in NumPy, sharing no code with the library.

Machines of at most 12 binary units are summed over all states. A Gaussian visible side is integrated in closed form:
given h it is normal with mean b + W h and variance σ², so that the machine is a mixture of 2^n_hidden normals.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from torch import nn

from lamina import RBM, Bernoulli, Gaussian


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
