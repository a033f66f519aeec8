"""One maxout unit learns a parabola: the largest of k straight lines, laid against x² from below and above.

The best k straight pieces for x² on [−1, 1] are k equal intervals of width h = 2/k, each with its own best line: the
rest is h²/6 times the Legendre polynomial P₂, whose root mean square is h²/(6√5) = 2/(3√5 k²). The lines of neighbours
meet where the intervals do, so that their largest value is just this function.
"""

from __future__ import annotations

import math

import torch

from lamina.core.random import Random
from lamina.models import MLP
from lamina.training import FullBackPropagation, fit

LEAST = 2 / (3 * math.sqrt(5))  # · k⁻²: the least root mean square error
POINTS = 400  # the middles of as many equal intervals
TRIES = 4  # starts: a line that is nowhere the largest learns nothing
STEPS = 6


def learnt_parabola(pieces: int, seed: int) -> dict:
    """``x`` (400,), the best unit's values ``y`` there, and its root mean square ``error`` against x²."""
    x = ((torch.arange(POINTS, dtype=torch.float64) + 0.5) * (2 / POINTS) - 1)[:, None]
    found = [one_try(pieces, x, Random(seed).child("parabola", pieces, k)) for k in range(TRIES)]
    error, y = min(found, key=lambda one: one[0])
    return {"x": x[:, 0].tolist(), "y": y.tolist(), "error": error}


def one_try(pieces: int, x: torch.Tensor, random: Random) -> tuple[float, torch.Tensor]:
    network = MLP((1, 1, 1), activation="maxout", pieces=pieces, dtype=torch.float64, random_state=random)
    with torch.no_grad():  # tangents at random places, one in each k-th of the interval: each is the largest somewhere
        places = torch.arange(pieces) + random.child("tangents").uniform((pieces,), torch.float64)
        at = places * (2 / pieces) - 1
        network.W[0].copy_(2 * at[None])
        network.b[0].copy_(-(at**2))
        network.W[1].fill_(1.0)
    fit(network, (x, x**2), FullBackPropagation("squared"), epochs=STEPS, batch_size=POINTS, random_state=random)
    y = network(x).detach()
    return float((y - x**2).square().mean().sqrt()), y[:, 0]
