"""A map as pictures: prototypes laid out on the grid, values as cells, rows as dots at their winners, nets."""

from __future__ import annotations

import numpy as np

from lamina.core.random import Random
from lamina.models.maps import SelfOrganisingMap

CELL = 16  # pixels of one cell; its half shifts the odd rows of a hexagonal grid


def mosaic(model: SelfOrganisingMap, shape: tuple[int, int]) -> np.ndarray:
    """All prototypes as one picture (rows · height, columns · width), each where its unit stands.

    Odd rows of a hexagonal grid stand half a prototype to the right; what is left free is NaN.
    """
    tiles = model.weights.detach().cpu().numpy().reshape(model.rows, model.columns, *shape)
    return _joined(tiles, model.topology == "hexagonal")


def cells(model: SelfOrganisingMap, values: np.ndarray) -> np.ndarray:
    """``values`` (rows, columns) as a picture of square cells, brought to [0, 1]."""
    low, high = float(values.min()), float(values.max())
    grey = (values - low) / max(high - low, 1e-12)
    tiles = np.ones((CELL, CELL)) * grey[:, :, None, None]
    return _joined(tiles, model.topology == "hexagonal")


def _joined(tiles: np.ndarray, shifted: bool) -> np.ndarray:
    rows, columns, height, width = tiles.shape
    half = width // 2 if shifted else 0
    picture = np.full((rows * height, columns * width + half), np.nan)
    for k in range(rows):
        strip = tiles[k].swapaxes(0, 1).reshape(height, columns * width)
        left = half * (k % 2)
        picture[k * height : (k + 1) * height, left : left + columns * width] = strip
    return picture


def scattered(model: SelfOrganisingMap, winners: np.ndarray, seed: int) -> np.ndarray:
    """A place (n, 2) near its unit for each row that ``winners`` (n,) names, the first row of the grid on top."""
    places = model.places.cpu().numpy()[winners]
    return (places + 0.7 * (Random(seed).child("dots").numpy().random(places.shape) - 0.5)) * (1, -1)


def threads(model: SelfOrganisingMap) -> np.ndarray:
    """Pairs (m, 2) of units at distance 1 on the grid, each once: the threads of the net."""
    grid = model.grid().cpu().numpy()
    return np.argwhere(np.triu((grid > 0) & (grid <= 1 + 1e-6)))
