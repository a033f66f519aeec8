"""How much a filter looks like an edge detector: in one place, and along one direction."""

from __future__ import annotations

import numpy as np

from lamina.recipes.lee2009_convolutional_dbn.photographs import orientation

AREA = 0.2  # localised: the filter's energy fills less than this share of the patch
DIRECTION = 0.4  # oriented: 0 is a spot or noise, 1 a grating


def area(filters: np.ndarray) -> np.ndarray:
    """Share of the patch that a filter's energy fills, (Σ w²)² / (n Σ w⁴): 1 if even, 1/3 for noise, 1/n for one pixel.

    ``filters`` (n, height, width) → (n,).
    """
    flat = np.asarray(filters, dtype=np.float64).reshape(len(filters), -1)
    fourth = np.maximum((flat**4).sum(1), 1e-300)
    return (flat**2).sum(1) ** 2 / (flat.shape[1] * fourth)


def edge_like(filters: np.ndarray) -> np.ndarray:
    """Which filters are both localised (`area` below `AREA`) and oriented (`orientation` above `DIRECTION`), (n,)."""
    return (area(filters) < AREA) & (orientation(filters) > DIRECTION)
