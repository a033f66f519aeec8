"""Brute force for small deep Boltzmann machines: all states of all layers at once, in NumPy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from lamina.models.energy import DBM
from oracles import log_sum, states


def random_dbm(*sizes: int, scale: float = 1.0, seed: int = 0) -> DBM:
    """A Bernoulli machine in float64 whose weights and biases are all far from zero."""
    dbm = DBM(*sizes, dtype=torch.float64)
    generator = np.random.default_rng(seed)
    with torch.no_grad():
        for parameter in dbm.parameters():
            parameter.copy_(torch.from_numpy(generator.normal(0, scale, tuple(parameter.shape))))
    return dbm


@dataclass(frozen=True)
class Deep:
    """All joint states of a machine: ``layers[k]`` (n_states, n_k) with probabilities ``p`` (n_states,)."""

    layers: list[np.ndarray]
    log_weights: np.ndarray
    log_z: float

    @property
    def p(self) -> np.ndarray:
        return np.exp(self.log_weights - self.log_z)

    def log_p_v(self) -> tuple[np.ndarray, np.ndarray]:
        """All visible vectors (2^n, n) and log p(v) (2^n,)."""
        v = states(self.layers[0].shape[1])
        per_v = self.log_weights.reshape(len(v), -1)  # v changes slowest
        return v, log_sum(per_v, 1) - self.log_z

    def means(self) -> list[np.ndarray]:
        return [self.p @ x for x in self.layers]

    def pairs(self) -> list[np.ndarray]:
        """E[x_k x_{k+1}ᵀ] for neighbouring layers."""
        return [(x * self.p[:, None]).T @ y for x, y in zip(self.layers, self.layers[1:], strict=False)]

    def posterior(self, v: np.ndarray) -> list[np.ndarray]:
        """E[h_k | v] for one row, for every hidden layer."""
        here = (self.layers[0] == v).all(1)
        p = np.exp(self.log_weights[here] - log_sum(self.log_weights[here]))
        return [p @ x[here] for x in self.layers[1:]]


def enumerate_dbm(dbm: DBM) -> Deep:
    whole = states(sum(dbm.sizes))
    ends = np.cumsum(dbm.sizes)
    layers = [whole[:, end - n : end] for end, n in zip(ends, dbm.sizes, strict=True)]
    W = [w.detach().double().numpy() for w in dbm.W]
    b = [x.detach().double().numpy() for x in dbm.b]
    log_weights = sum(x @ bias for x, bias in zip(layers, b, strict=True))
    for x, w, y in zip(layers, W, layers[1:], strict=False):
        log_weights = log_weights + np.einsum("ni,ij,nj->n", x, w, y)
    return Deep(layers, log_weights, float(log_sum(log_weights)))
