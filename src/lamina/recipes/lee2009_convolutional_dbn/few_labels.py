"""Classifiers on given features: support vector machines where labels are few, softmax regression for many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from sklearn.svm import SVC
from torch import Tensor

from lamina.metrics import error_rate
from lamina.models import MLP
from lamina.training import train_head

# What the held-out rows choose from: C, and for kernel exp(−width · d² / median d²) its width (None: a linear kernel).
WIDTHS, COSTS = (None, 0.3, 1.0, 2.0), (1.0, 10.0)
CANDIDATES: list[dict[str, Any]] = [{"C": C, "width": width} for width in WIDTHS for C in COSTS]


class Kernels:
    """Kernel values among ``rows`` (n, features), and between ``others`` (m, features) and them."""

    def __init__(self, rows: Tensor, others: Tensor) -> None:
        self.products = rows @ rows.T, others @ rows.T
        norms = self.products[0].diagonal()
        self.size = float(norms.mean())
        self.distances = [
            (n[:, None] + norms[None] - 2 * p).clamp_(min=0)
            for n, p in zip((norms, others.square().sum(1)), self.products, strict=True)
        ]
        self.median = float(self.distances[0][:1000, :1000].median())

    def values(self, width: float | None) -> tuple[np.ndarray, np.ndarray]:
        """(n, n) and (m, n) float64."""
        if width is None:
            found = [p / self.size for p in self.products]
        else:
            found = [torch.exp(d * (-width / self.median)) for d in self.distances]
        return found[0].double().numpy(), found[1].double().numpy()


def svm_errors(
    rows: Tensor, y: np.ndarray, test: Tensor, y_test: np.ndarray, sizes: Sequence[int], C: float, width: float | None
) -> dict[int, float]:
    """Test error of an SVM trained on the first n rows, for each n of ``sizes``; kernel values are computed once."""
    train, new = Kernels(rows, test).values(width)
    return {n: _error(train[:n, :n], y[:n], new[:, :n], y_test, C) for n in sizes}


def chosen(rows: Tensor, y: np.ndarray, held: Tensor, y_held: np.ndarray) -> dict[str, Any]:
    """The candidate with the least error on held-out rows; the first one of equals."""
    kernels = Kernels(rows, held)
    errors = []
    for one in CANDIDATES:
        train, new = kernels.values(one["width"])
        errors.append(_error(train, y, new, y_held, one["C"]))
    return dict(CANDIDATES[int(np.argmin(errors))])


def _error(train: np.ndarray, y: np.ndarray, new: np.ndarray, y_new: np.ndarray, C: float) -> float:
    return float(error_rate(y_new, SVC(C=C, kernel="precomputed").fit(train, y).predict(new)))


def softmax_error(
    rows: Tensor, y: np.ndarray, test: Tensor, y_test: np.ndarray, weight_decay: float, steps: int
) -> float:
    """Test error of softmax regression by L-BFGS."""
    network = MLP((rows.shape[1], int(y.max()) + 1), random_state=0)
    train_head(network, rows, y, weight_decay=weight_decay, steps=steps, random_state=0)
    with torch.no_grad():
        predicted = torch.cat([network(chunk).argmax(1) for chunk in test.split(2000)])
    return float(error_rate(y_test, predicted.numpy()))
