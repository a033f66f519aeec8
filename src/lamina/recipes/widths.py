"""Layer widths for an equal number of parameters: a deep network beside one fat layer that has as many.

A perceptron with n_in inputs, k hidden layers of w units and n_out outputs has

    P(w, k) = (n_in + 1) w + (k − 1)(w + 1) w + (w + 1) n_out

weights and biases: linear in w for one layer, quadratic for more.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from lamina.core.checks import check_number
from lamina.core.errors import SettingError


def parameters(sizes: Sequence[int]) -> int:
    """Weights and biases of a perceptron with layer ``sizes`` (n_in, hidden ..., n_out): Σ (n_k + 1) n_{k+1}."""
    return sum((n + 1) * m for n, m in pairwise(sizes))


def equal_layers(n_in: int, width: int, depth: int, n_out: int) -> list[int]:
    """Layer sizes with ``depth`` hidden layers of ``width`` units."""
    return [n_in, *[width] * depth, n_out]


def width_for_parameters(target: int, n_in: int, n_out: int, depth: int = 1) -> int:
    """The width w of ``depth`` equal hidden layers whose number of parameters P(w, depth) is nearest to ``target``.

    The positive root of (k − 1) w² + (n_in + n_out + k) w + n_out − target = 0, and of the whole numbers beside it the
    one that comes nearer. Raises `SettingError` where one unit per layer has more already than twice the target.
    """
    for name, value in (("target", target), ("n_in", n_in), ("n_out", n_out), ("depth", depth)):
        check_number(name, value, low=1, integer=True)
    if parameters(equal_layers(n_in, 1, depth, n_out)) > 2 * target:
        raise SettingError(
            f"target is {target} parameters, but {depth} layers of one unit have "
            f"{parameters(equal_layers(n_in, 1, depth, n_out))} already; expected more, or fewer layers"
        )
    a, b, c = depth - 1, n_in + n_out + depth, n_out - target
    root = -c / b if a == 0 else (math.sqrt(b * b - 4 * a * c) - b) / (2 * a)
    beside = [max(1, math.floor(root)), max(1, math.ceil(root))]
    return min(beside, key=lambda w: abs(parameters(equal_layers(n_in, w, depth, n_out)) - target))
