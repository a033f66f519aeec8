"""Synthetic curves (Hinton & Salakhutdinov 2006): each picture is drawn from six numbers, three points in the plane.

The paper says no more than that a curve goes through three random points. Here it is the parabola

    p(t) = p_1 (1−t)(1−2t) + p_2 4t(1−t) + p_3 t(2t−1),  t in [0, 1],

through points uniform in the middle of the picture, and a pixel at distance d from it has the value exp(−d²/2s²): a pen
with soft edges.
"""

from __future__ import annotations

import numpy as np

from lamina.core.random import Random

SIDE = 28
LOW, HIGH = 5.0, 22.0  # points lie between these, in pixels, so that most curves stay inside the picture
PEN = 0.8  # s, pixels
DRAWN = 60  # places along the curve that distances are taken from
CHUNK = 50  # pictures drawn together: as many as the processor's cache holds


def curves(n: int, random: Random) -> np.ndarray:
    """``n`` pictures of curves as rows (n, 784) float32 with values in [0, 1]."""
    points = random.numpy().uniform(LOW, HIGH, (n, 3, 2))
    return np.concatenate([_drawn(points[start : start + CHUNK]) for start in range(0, n, CHUNK)])


def _drawn(points: np.ndarray) -> np.ndarray:
    t = np.linspace(0, 1, DRAWN)
    through = np.stack([(1 - t) * (1 - 2 * t), 4 * t * (1 - t), t * (2 * t - 1)])
    places = np.einsum("npc,pt->ntc", points, through)
    grid = np.arange(SIDE)
    # exp(−d²/2s²) is a product of one factor per axis, and its largest value belongs to the nearest place.
    rows = np.exp(-((places[:, :, 1, None] - grid) ** 2) / (2 * PEN**2)).astype(np.float32)
    columns = np.exp(-((places[:, :, 0, None] - grid) ** 2) / (2 * PEN**2)).astype(np.float32)
    pictures = np.zeros((len(points), SIDE, SIDE), np.float32)
    for k in range(DRAWN):
        np.maximum(pictures, rows[:, k, :, None] * columns[:, k, None, :], out=pictures)
    return pictures.reshape(len(points), -1)
