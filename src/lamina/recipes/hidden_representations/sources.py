"""Two sources of handwritten digits on one grid, and how codes mix classes and sources.

MNIST's pictures are 28 × 28, a digit in the middle 20 × 20; USPS's are 16 × 16 and full to the edge. The latter are
enlarged to 20 × 20 and set into the middle of 28 × 28.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from lamina.core.random import Random
from lamina.data import load
from lamina.recipes.digits import Part

SOURCES = ("MNIST", "USPS")


@dataclass(frozen=True)
class Mixed:
    """``X`` (n, 784) in [0, 1]; class codes ``y`` and numbers of the ``source`` (n,) int64."""

    X: np.ndarray
    y: np.ndarray
    source: np.ndarray

    def __len__(self) -> int:
        return len(self.X)


def usps() -> tuple[Part, Part]:
    """Training and test rows of USPS as MNIST has them."""
    data = load("usps")
    assert data.X_test is not None  # USPS has a test part and labels
    assert data.y is not None
    assert data.y_test is not None
    return Part(enlarged(data.X), data.y), Part(enlarged(data.X_test), data.y_test)


def enlarged(X: np.ndarray) -> np.ndarray:
    """Pictures (n, 256) in [−1, 1] → (n, 784) in [0, 1]: bilinear to 20 × 20, an empty margin of 4."""
    images = torch.from_numpy(np.array(X, np.float32)).view(-1, 1, 16, 16)
    larger = functional.interpolate((images + 1) / 2, size=(20, 20), mode="bilinear", align_corners=False)
    return functional.pad(larger.clamp(0, 1), (4, 4, 4, 4)).view(-1, 784).numpy()


def mixed(parts: tuple[Part, Part], n: int, seed: int) -> Mixed:
    """``n`` rows of either source, at random."""
    drawn = [Random(seed).child("rows", k).permutation(len(part))[:n] for k, part in enumerate(parts)]
    return _joined(parts, drawn)


def balanced(parts: tuple[Part, Part], per_class: int, seed: int) -> Mixed:
    """``per_class`` rows of every class from either source, or as many as the poorer source has."""
    drawn = []
    for k, part in enumerate(parts):
        order = Random(seed).child("balanced", k).permutation(len(part))
        each = [order[part.y[order] == code][: _least(parts, code, per_class)] for code in range(10)]
        drawn.append(np.concatenate(each))
    return _joined(parts, drawn)


def _least(parts: tuple[Part, Part], code: int, wanted: int) -> int:
    return min(wanted, *(int((part.y == code).sum()) for part in parts))


def _joined(parts: tuple[Part, Part], drawn: list[np.ndarray]) -> Mixed:
    X = np.concatenate([part.X[rows] for part, rows in zip(parts, drawn, strict=True)])
    y = np.concatenate([part.y[rows] for part, rows in zip(parts, drawn, strict=True)])
    source = np.concatenate([np.full(len(rows), k) for k, rows in enumerate(drawn)])
    return Mixed(X, y, source)


def class_purity(codes: Tensor, y: Tensor, k: int) -> float:
    """Mean share of each row's ``k`` nearest rows (Euclidean) that have its class; 0.1 for ten classes mixed evenly."""
    nearest = _nearest(codes, k)
    return float((y[nearest] == y[:, None]).double().mean())


def source_mixing(codes: Tensor, y: Tensor, source: Tensor, k: int) -> float:
    """Of the ``k`` nearest rows *of its own class*, the share from another source, over the share expected of chance.

    0: the sources of a class lie apart; 1: they are mixed as if the source did not matter. Chance for a row is (rows of
    its class from other sources) / (other rows of its class). Classes with rows of one source or no more than ``k``
    rows say nothing and are left out.
    """
    found, expected = [], []
    for code in y.unique():
        members = y == code
        mine = source[members]
        if int(members.sum()) <= k or len(mine.unique()) < 2:
            continue
        nearest = _nearest(codes[members], k)
        found.append((mine[nearest] != mine[:, None]).double().mean(1))
        others = (mine[:, None] != mine[None]).double().sum(1)
        expected.append(others / (len(mine) - 1))
    return float(torch.cat(found).mean() / torch.cat(expected).mean())


def _nearest(codes: Tensor, k: int) -> Tensor:
    distances = torch.cdist(codes, codes)
    distances.fill_diagonal_(float("inf"))
    return distances.topk(k, largest=False).indices
