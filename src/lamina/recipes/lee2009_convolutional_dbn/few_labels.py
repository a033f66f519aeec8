"""Classifiers on given features: a support vector machine where labels are few, softmax regression for many."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.svm import SVC
from torch import Tensor

from lamina.metrics import error_rate
from lamina.models import MLP
from lamina.training import train_head


def squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """(n, features), (m, features) → (n, m)."""
    return (a.square().sum(1)[:, None] + b.square().sum(1)[None] - 2 * a @ b.T).clamp_(min=0)


def svm_errors(
    rows: Tensor, y: np.ndarray, test: Tensor, y_test: np.ndarray, sizes: tuple[int, ...], C: float, width: float
) -> dict[int, float]:
    """Test error of an SVM with kernel exp(−width · d²/median d²) trained on the first n rows, for each n of ``sizes``.

    ``rows`` (n, features) and ``test`` (m, features); all distances are computed once.
    """
    between = squared_distances(rows, rows)
    scale = width / float(between[:1000, :1000].median())
    train = torch.exp(-scale * between).double().numpy()
    new = torch.exp(-scale * squared_distances(test, rows)).double().numpy()
    errors = {}
    for n in sizes:
        machine = SVC(C=C, kernel="precomputed").fit(train[:n, :n], y[:n])
        errors[n] = float(error_rate(y_test, machine.predict(new[:, :n])))
    return errors


def softmax_error(
    rows: Tensor, y: np.ndarray, test: Tensor, y_test: np.ndarray, weight_decay: float, steps: int
) -> float:
    """Test error of softmax regression by L-BFGS."""
    network = MLP((rows.shape[1], int(y.max()) + 1), random_state=0)
    train_head(network, rows, y, weight_decay=weight_decay, steps=steps, random_state=0)
    with torch.no_grad():
        predicted = torch.cat([network(chunk).argmax(1) for chunk in test.split(2000)])
    return float(error_rate(y_test, predicted.numpy()))
