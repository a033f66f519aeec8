"""Vector fields as one broken line: a shaft and two barbs per place, with gaps between."""

from __future__ import annotations

import numpy as np

from lamina.recipes.denoising_vector_field.densities import Mixture

COLUMNS, ROWS = 21, 14
BARB, ANGLE = 0.32, 0.45  # length of a barb as a share of the shaft's; its angle to the shaft in radians


def grid(density: Mixture) -> np.ndarray:
    """Places (n, 2) on a regular grid that covers the density to about two and a half deviations."""
    margin = 2.2 * np.sqrt(np.diag(density.covariance)) + 0.25
    low, high = density.means.min(0) - margin, density.means.max(0) + margin
    x, y = np.meshgrid(np.linspace(low[0], high[0], COLUMNS), np.linspace(low[1], high[1], ROWS))
    return np.stack([x.ravel(), y.ravel()], 1)


def arrows(points: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """x and y of a line that draws an arrow for each of ``values`` (n, 2) at ``points`` (n, 2), NaN between them.

    Lengths are in cells of the grid: the median value is half a cell long, and longer ones are cut to nine tenths.
    """
    spacing = np.array([np.ptp(points[:, 0]) / (COLUMNS - 1), np.ptp(points[:, 1]) / (ROWS - 1)])
    length = np.linalg.norm(values, axis=1, keepdims=True)
    scaled = 0.5 * length / np.median(length)
    shaft = values / np.maximum(length, 1e-12) * np.minimum(scaled, 0.9) * spacing.min()
    tip = points + shaft / 2
    tail = points - shaft / 2
    line = [tail, tip, tip + turned(shaft, np.pi - ANGLE) * BARB, tip, tip + turned(shaft, np.pi + ANGLE) * BARB]
    gap = np.full_like(tip, np.nan)
    path = np.stack([*line, gap], 1).reshape(-1, 2)
    return path[:, 0], path[:, 1]


def turned(vectors: np.ndarray, angle: float) -> np.ndarray:
    """``vectors`` (n, 2) rotated by ``angle`` in radians."""
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return vectors @ turn.T
