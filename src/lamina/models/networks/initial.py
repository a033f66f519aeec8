"""Initial weights of a layer, by its activation: of such a size that signals neither grow nor fade with depth.

Of fields z ~ N(0, s²) a unit makes values with mean square m s², m = E[φ(z)²] at s = 1; weights of variance 1/(m n_in)
hand the mean square of a layer's inputs on to its values (He et al. 2015): m = 1/2 for rectified units, (1 + a²)/2 with
a slope a below 0, and that of the largest of k normal numbers for maxout, 1 for k = 2. Sigmoid-like units start by
Glorot & Bengio (2010), which weighs the way up and the way down alike.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import torch
from torch import Tensor

from lamina.core.checks import check_number
from lamina.core.errors import SettingError
from lamina.core.random import Random
from lamina.models.activations import LEAK, PRELU_START

Initial = str | float
RULES = ("auto", "he", "glorot")


def check_initial(initial: Any) -> Initial:
    """``initial`` as it may be stored; `SettingError` unless it is one of `RULES` or a standard deviation ≥ 0."""
    if isinstance(initial, str):
        if initial not in RULES:
            raise SettingError(f"initial is {initial!r}; expected {', '.join(RULES)} or a standard deviation")
        return initial
    check_number("initial", initial, low=0.0)
    return float(initial)


@cache
def mean_square(activation: str, pieces: int = 2) -> float | None:
    """E[φ(z)²] of z ~ N(0, 1) for rectified units and their kin; None for others, which start by Glorot & Bengio."""
    slopes = {"relu": 0.0, "leaky_relu": LEAK, "prelu": PRELU_START}
    if activation in slopes:
        return (1 + slopes[activation] ** 2) / 2
    if activation == "maxout":
        z = torch.linspace(-12, 12, 24001, dtype=torch.float64)
        density = pieces * torch.exp(-(z**2) / 2) / math.sqrt(2 * math.pi) * torch.special.ndtr(z) ** (pieces - 1)
        return float(torch.trapezoid(z**2 * density, z))
    return None


def draw(shape: Any, n_units: int, initial: Initial, m: float | None, random: Random, dtype: torch.dtype) -> Tensor:
    """Weights ``shape`` (n_in, columns) of a layer of ``n_units``.

    ``"auto"``: N(0, 1/(m n_in)), ``m`` the `mean_square` of the units, or, where that is None (sigmoid-like and output
    units), as ``"glorot"``: U(±√(6/(n_in + n_units))). ``"he"``: N(0, 1/(m n_in)) with m = 1/2 for units that have no
    other. A number: N(0, initial²).
    """
    n_in = shape[0]
    if isinstance(initial, float):
        return random.normal(shape, dtype).mul_(initial)
    if initial == "he" and m is None:
        m = 0.5
    if initial == "glorot" or m is None:
        limit = math.sqrt(6 / (n_in + n_units))
        return random.uniform(shape, dtype).mul_(2).sub_(1).mul_(limit)
    return random.normal(shape, dtype).mul_(math.sqrt(1 / (m * n_in)))
