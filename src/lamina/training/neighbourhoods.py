"""How much a row pulls the units around its winner, and how that shrinks while a map learns.

gaussian   h(d) = exp(−d² / 2σ²)         bubble   h(d) = 1 where d ≤ σ, else 0                           (eq. 222)

for a distance d on the grid and a radius σ. A wide neighbourhood first orders the map as a whole, a narrow one then
fits it to the rows.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lamina.core.checks import check_number
from lamina.core.errors import SettingError
from lamina.training.schedules import Schedule

NEIGHBOURHOODS = ("gaussian", "bubble")
SHAPES = ("exponential", "linear", "asymptotic")


def check_neighbourhood(kind: str) -> None:
    """Raise `SettingError` for an unknown neighbourhood."""
    if kind not in NEIGHBOURHOODS:
        raise SettingError(f"neighbourhood is {kind!r}; expected gaussian or bubble")


def pull(distances: Tensor, radius: float, kind: str = "gaussian") -> Tensor:
    """h of ``distances`` on the grid, of the same shape; 1 at distance 0."""
    if kind == "bubble":
        return (distances <= radius + 1e-6).to(distances.dtype)
    return torch.exp(distances.square().mul_(-0.5 / radius**2))


def shrinking(first: float, last: float, steps: int, shape: str = "exponential") -> Schedule:
    """A radius that falls from ``first`` at step 0 to ``last`` at the last of ``steps``.

    With t = step / (steps − 1): "exponential" first · (last/first)^t, "linear" in a straight line, "asymptotic"
    first / (1 + (first/last − 1) t), which falls fast at first.
    """
    check_number("first radius", first, low=1e-12)
    check_number("last radius", last, low=1e-12)
    check_number("steps", steps, low=1, integer=True)
    if shape not in SHAPES:
        raise SettingError(f"shape is {shape!r}; expected exponential, linear or asymptotic")
    if steps == 1:
        return Schedule(((0.0, float(last)),))
    end = steps - 1
    if shape == "linear":
        return Schedule(((0.0, float(first)), (float(end), float(last))), linear=True)
    places = [k * end / min(end, 100) for k in range(min(end, 100) + 1)]  # straight lines between so many points
    if shape == "exponential":
        return Schedule(tuple((k, first * (last / first) ** (k / end)) for k in places), linear=True)
    return Schedule(tuple((k, first / (1 + (first / last - 1) * k / end)) for k in places), linear=True)
