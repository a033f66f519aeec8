"""A stand-in for MNIST: scikit-learn's digits, enlarged to 28 × 28, so that recipes are tested without a download."""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_digits

from lamina.data import DataSet


def small_mnist(n: int = 200, n_test: int = 60) -> DataSet:
    """``n`` training and ``n_test`` test rows of 784 grey values, uint8."""
    digits = load_digits()
    images = np.kron(digits.images / 16, np.ones((1, 3, 3)))
    rows = np.pad(images, ((0, 0), (2, 2), (2, 2))).reshape(len(images), 784)
    X = np.round(rows * 255).astype(np.uint8)
    y = digits.target.astype(np.int64)
    return DataSet(
        name="mnist",
        X=X[:n],
        y=y[:n],
        classes=tuple("0123456789"),
        shape=(1, 28, 28),
        value_range=(0, 255),
        X_test=X[n : n + n_test],
        y_test=y[n : n + n_test],
    )
