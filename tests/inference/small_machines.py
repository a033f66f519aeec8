"""Machines of every pair of families, small enough to be summed exactly, with weights far from zero."""

from __future__ import annotations

from itertools import product

import oracles
from lamina import RBM
from lamina.core.errors import SettingError
from lamina.inference import exact_log_partition
from lamina.units import Bernoulli, Binomial, Concatenated, Family, Gaussian, Rectified, Softmax, Spin


def families() -> list[Family]:
    """One small side of every kind that there is."""
    return [
        Bernoulli(4),
        Spin(3),
        Softmax(3, 2),
        Binomial(2, 3),
        Gaussian(2, sigma=0.8),
        Rectified(2),
        Concatenated([Bernoulli(2), Softmax(3), Spin(1)]),
        Concatenated([Bernoulli(2), Gaussian(2, sigma=0.7)]),
    ]


def pairs() -> list[tuple[int, int]]:
    """Numbers of the families of each pair that can be a machine and can be summed exactly."""
    found = []
    for i, j in product(range(len(families())), repeat=2):
        try:
            exact_log_partition(machine(i, j))
        except SettingError:  # two unbounded sides
            continue
        found.append((i, j))
    return found


def name(pair: tuple[int, int]) -> str:
    kinds = [type(family).__name__ for family in families()]
    return f"{kinds[pair[0]]}{pair[0]}-{kinds[pair[1]]}{pair[1]}"


def machine(i: int, j: int, scale: float = 0.6, seed: int = 0) -> RBM:
    """The machine of families i and j, float64."""
    return oracles.random_pair(families()[i], families()[j], scale, seed + 100 * i + j)
