"""A general Boltzmann machine by brute force, in NumPy, sharing no code with the library: sums over all states."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

import oracles
from lamina.models.energy import BoltzmannMachine


def random_machine(n_visible: int, n_hidden: int, connections: str = "full", scale: float = 1.0, seed: int = 0):
    """A machine in float64 whose weights and biases are all far from zero."""
    machine = BoltzmannMachine(n_visible, n_hidden, connections, dtype=torch.float64)
    generator = np.random.default_rng(seed)
    W = np.triu(generator.normal(0, scale, (machine.n_units, machine.n_units)), 1)
    if connections == "semi-restricted":
        W[n_visible:, n_visible:] = 0
    with torch.no_grad():
        machine.W.copy_(torch.from_numpy(W + W.T))
        machine.b.copy_(torch.from_numpy(generator.normal(0, scale, machine.n_units)))
    return machine


@dataclass(frozen=True)
class Exact:
    """States s (2^n, n_units), their energies and probabilities; rows follow `oracles.states`."""

    s: np.ndarray
    energy: np.ndarray
    log_z: float
    p: np.ndarray
    n_visible: int

    def log_p_v(self) -> np.ndarray:
        """log p(v) for every v, in the order of `oracles.states`: hidden units are the last, fastest columns."""
        return oracles.log_sum((-self.energy - self.log_z).reshape(2**self.n_visible, -1), 1)

    def correlations(self) -> np.ndarray:
        return self.s.T @ (self.s * self.p[:, None])


def exact(machine: BoltzmannMachine) -> Exact:
    W, b = machine.W.detach().double().numpy(), machine.b.detach().double().numpy()
    s = oracles.states(machine.n_units)
    energy = np.array([-sum(W[i, j] * x[i] * x[j] for i in range(len(x)) for j in range(i)) - b @ x for x in s])
    log_z = float(oracles.log_sum(-energy))
    return Exact(s, energy, log_z, np.exp(-energy - log_z), machine.n_visible)


def likelihood_gradient(machine: BoltzmannMachine, data: np.ndarray) -> dict[str, np.ndarray]:
    """∂/∂θ of the mean of log p(v) over binary rows, term by term; a pair's weight stands at both of its places."""
    table = exact(machine)
    n_visible = machine.n_visible
    clamped = np.zeros((machine.n_units, machine.n_units))
    mean = np.zeros(machine.n_units)
    for row in data:
        here = (table.s[:, :n_visible] == row).all(1)
        p = table.p[here] / table.p[here].sum()
        clamped += table.s[here].T @ (table.s[here] * p[:, None]) / len(data)
        mean += p @ table.s[here] / len(data)
    difference = (clamped - table.correlations()) * machine.mask.numpy()
    return {"W": difference, "b": mean - table.p @ table.s}
