"""Small deep belief networks of binary units by brute force, in NumPy, sharing no code with the library."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from lamina.models.energy import DBN
from oracles import log_sum, states


def random_dbn(sides: list[int], n_classes: int = 0, scale: float = 1.0, seed: int = 0) -> DBN:
    """A network in float64 whose weights of both directions and biases are all far from zero."""
    dbn = DBN(sides, n_classes, dtype=torch.float64)
    generator = np.random.default_rng(seed)
    with torch.no_grad():
        for parameter in dbn.parameters():
            parameter.copy_(torch.from_numpy(generator.normal(0, scale, tuple(parameter.shape))))
    return dbn


def memory_states(dbn: DBN) -> np.ndarray:
    """All states of the memory's visible side: (n_states, n_penultimate + n_classes)."""
    h = states(dbn.n_penultimate)
    if not dbn.n_classes:
        return h
    codes = np.eye(dbn.n_classes)
    return np.array([np.concatenate([row, code]) for row in h for code in codes])


def array(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().numpy()


def log_bernoulli(x: np.ndarray, field: np.ndarray) -> np.ndarray:
    """log p(x | field) for all pairs of rows: (n, d), (m, d) → (n, m)."""
    return (x[:, None] * field[None] - np.logaddexp(0, field)[None]).sum(-1)


@dataclass(frozen=True)
class Exact:
    """``log_z`` of the memory, log p of every memory state, of every penultimate state and of every visible state."""

    log_z: float
    log_p_memory: np.ndarray
    log_p_penultimate: np.ndarray
    log_p_v: np.ndarray


def exact(dbn: DBN) -> Exact:
    m, h = memory_states(dbn), states(dbn.n_hidden)
    W, b, c = array(dbn.top.W), array(dbn.top.b), array(dbn.top.c)
    log_weights = log_sum((m @ b)[:, None] + (h @ c)[None] + m @ W @ h.T, 1)
    log_z = float(log_sum(log_weights))
    log_p_memory = log_weights - log_z
    log_p = log_sum(log_p_memory.reshape(2**dbn.n_penultimate, -1), 1)
    penultimate = log_p
    for layer in reversed(list(dbn.directed)):
        x, y = states(layer.n_visible), states(layer.n_hidden)
        log_p = log_sum(log_bernoulli(x, y @ array(layer.W).T + array(layer.b)) + log_p[None], 1)
    return Exact(log_z, log_p_memory, penultimate, log_p)


def exact_bound(dbn: DBN) -> np.ndarray:
    """The variational bound of every visible state by summing over all recognition passes, (2^n_visible,)."""
    value = exact(dbn).log_p_penultimate  # what a path is still worth from the penultimate layer on
    for layer in reversed(list(dbn.directed)):
        x, y = states(layer.n_visible), states(layer.n_hidden)
        log_p = log_bernoulli(x, y @ array(layer.W).T + array(layer.b))
        log_q = log_bernoulli(y, x @ array(layer.R) + array(layer.c)).T
        value = (np.exp(log_q) * (log_p - log_q + value[None])).sum(1)
    return value
