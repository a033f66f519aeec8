"""Digits in four styles, and training sets in which one pair of digit and style is rare.

A *pair* is (digit, style): 40 of them. Every other pair has the same number of training rows, all from different
pictures; the rare one has as few as asked.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lamina.core.random import Random
from lamina.recipes.digits import Part

SIDE = 28
SLANT = 0.5  # pixels to the right per pixel up
STYLES = ("plain", "slanted", "thick", "negative")


def styled(X: np.ndarray, style: int) -> np.ndarray:
    """Pictures (n, 784) in [0, 1] in the style of this number: as they are, sheared to the right, every pixel the
    largest of its 3 × 3 neighbours, or white for black."""
    images = X.reshape(-1, SIDE, SIDE)
    drawn = (lambda one: one, slanted, thick, lambda one: 1 - one)[style](images)
    return np.ascontiguousarray(drawn.reshape(X.shape), dtype=np.float32)


def slanted(images: np.ndarray) -> np.ndarray:
    """Row r moves right by `SLANT` · (middle − r), rounded; what leaves the picture is lost."""
    out = np.zeros_like(images)
    for row in range(SIDE):
        by = round(SLANT * ((SIDE - 1) / 2 - row))
        source, target = slice(max(0, -by), SIDE - max(0, by)), slice(max(0, by), SIDE - max(0, -by))
        out[:, row, target] = images[:, row, source]
    return out


def thick(images: np.ndarray) -> np.ndarray:
    """Every pixel becomes the largest of its 3 × 3 neighbours."""
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1)))
    return np.max([padded[:, i : i + SIDE, j : j + SIDE] for i in range(3) for j in range(3)], axis=0)


@dataclass(frozen=True)
class Styled:
    """``X`` (n, 784); ``digit`` and ``style`` (n,) int64."""

    X: np.ndarray
    digit: np.ndarray
    style: np.ndarray

    def __len__(self) -> int:
        return len(self.X)

    @property
    def pair(self) -> np.ndarray:
        """One class code per pair: digit · 4 + style."""
        return self.digit * len(STYLES) + self.style


def training_rows(part: Part, rare: tuple[int, int], n_rare: int, n_other: int, seed: int) -> Styled:
    """``n_other`` rows of every pair but ``rare``, which has ``n_rare``; rows of the same seed are nested in n_rare."""
    rows, digits, styles = [], [], []
    for digit in range(10):
        order = Random(seed).child("pictures", digit).permutation(int((part.y == digit).sum()))
        found = np.flatnonzero(part.y == digit)[order]
        each = min(n_other, len(found) // len(STYLES))
        for style in range(len(STYLES)):
            mine = found[style * each : (style + 1) * each]
            mine = mine[: n_rare if (digit, style) == rare else each]
            rows.append(styled(part.X[mine], style))
            digits.append(np.full(len(mine), digit))
            styles.append(np.full(len(mine), style))
    return Styled(np.concatenate(rows), np.concatenate(digits), np.concatenate(styles))


def rare_rows(part: Part, rare: tuple[int, int]) -> Styled:
    """All pictures of the rare digit in the rare style."""
    X = styled(part.X[part.y == rare[0]], rare[1])
    return Styled(X, np.full(len(X), rare[0]), np.full(len(X), rare[1]))


def other_rows(part: Part, rare: tuple[int, int], seed: int) -> Styled:
    """Every picture once, in a style at random, but none of the rare pair."""
    styles = Random(seed).child("test styles").numpy().integers(0, len(STYLES), len(part))
    kept = ~((part.y == rare[0]) & (styles == rare[1]))
    X, digits, styles = part.X[kept], part.y[kept], styles[kept]
    out = np.empty_like(X)
    for style in range(len(STYLES)):
        out[styles == style] = styled(X[styles == style], style)
    return Styled(out, digits, styles)
