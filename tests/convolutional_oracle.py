"""Brute force for tiny convolutional machines: every weight written out, every state of every block summed."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
import torch

import oracles
from lamina.models.energy import ConvolutionalRBM
from lamina.units import Family


def random_machine(
    visible: int | Family, n_filters: int, kernel, pooling, dimensions: int, seed: int = 0, scale: float = 0.7
) -> ConvolutionalRBM:
    """A float64 machine whose weights and biases are all far from zero."""
    machine = ConvolutionalRBM(visible, n_filters, kernel, pooling, dimensions=dimensions, dtype=torch.float64)
    generator = np.random.default_rng(seed)
    with torch.no_grad():
        for parameter in (machine.W, machine.b, machine.c):
            parameter.copy_(torch.from_numpy(generator.normal(0, scale, tuple(parameter.shape))))
        if hasattr(machine.visible, "log_variance"):
            spread = generator.uniform(-0.8, 0.8, machine.n_channels)
            machine.visible.log_variance.copy_(torch.from_numpy(spread))
    return machine


def places_of(machine: ConvolutionalRBM, size: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(n - k + 1 for n, k in zip(size, machine.kernel, strict=True))


def dense(machine: ConvolutionalRBM, size: tuple[int, ...]) -> np.ndarray:
    """The weights between every visible and every detection unit, (n_visible, n_detection), by their definition."""
    W = machine.W.detach().numpy()
    places = places_of(machine, size)
    M = np.zeros((machine.n_channels, *size, machine.n_filters, *places))
    for k, c in product(range(machine.n_filters), range(machine.n_channels)):
        for r in product(*map(range, places)):
            for s in product(*map(range, machine.kernel)):
                at = tuple(a + b for a, b in zip(r, s, strict=True))
                M[(c, *at, k, *r)] = W[(k, c, *s)]
    return M.reshape(machine.n_channels * int(np.prod(size)), -1)


def block_numbers(machine: ConvolutionalRBM, size: tuple[int, ...]) -> np.ndarray:
    """For every detection unit (flattened) the number of its block, (n_detection,); blocks numbered row by row."""
    places = places_of(machine, size)
    counts = [-(-n // p) for n, p in zip(places, machine.pooling, strict=True)]
    numbers = np.zeros((machine.n_filters, *places), int)
    for index in np.ndindex(*numbers.shape):
        block = index[0]
        for axis, count in enumerate(counts):
            block = block * count + index[1 + axis] // machine.pooling[axis]
        numbers[index] = block
    return numbers.reshape(-1)


def hidden_states(blocks: np.ndarray) -> np.ndarray:
    """All states with at most one unit of a block on, (n_states, n_detection)."""
    choices = [[None, *np.flatnonzero(blocks == block)] for block in range(blocks.max() + 1)]
    states = []
    for chosen in product(*choices):
        state = np.zeros(len(blocks))
        state[[unit for unit in chosen if unit is not None]] = 1
        states.append(state)
    return np.array(states)


@dataclass(frozen=True)
class Exact:
    """A Bernoulli machine over all states: p(v, h) (n_v, n_h), flattened v and h, blocks of the h units."""

    v: np.ndarray
    h: np.ndarray
    blocks: np.ndarray
    log_z: float
    energies: np.ndarray
    joint: np.ndarray

    @property
    def p_v(self) -> np.ndarray:
        return self.joint.sum(1)

    def mean_h(self) -> np.ndarray:
        """E[h | v] for every v, (n_v, n_detection)."""
        return (self.joint / self.p_v[:, None]) @ self.h

    def mean_v(self) -> np.ndarray:
        """E[v | h] for every h, (n_h, n_visible)."""
        return (self.joint / self.joint.sum(0)).T @ self.v

    def pooled(self) -> np.ndarray:
        """Σ of every block, by state of h: (n_h, n_blocks)."""
        return np.stack([self.h[:, self.blocks == block].sum(1) for block in range(self.blocks.max() + 1)], 1)


def enumerate_machine(machine: ConvolutionalRBM, size: tuple[int, ...]) -> Exact:
    M = dense(machine, size)
    n_places = int(np.prod(places_of(machine, size)))
    b = np.repeat(machine.b.detach().numpy(), int(np.prod(size)))
    c = np.repeat(machine.c.detach().numpy(), n_places)
    blocks = block_numbers(machine, size)
    v, h = oracles.states(len(b)), hidden_states(blocks)
    energies = -((v @ b)[:, None] + (h @ c)[None, :] + v @ M @ h.T)
    log_z = float(oracles.log_sum(-energies))
    return Exact(v, h, blocks, log_z, energies, np.exp(-energies - log_z))
