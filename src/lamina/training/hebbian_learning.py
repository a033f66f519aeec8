"""Hebbian learning: a weight grows when both its ends are active together.

Linear units y = (x − b) W on rows with mean b; ⟨⟩ is the mean over the batch (``batch_size=1``: row by row), C the
covariance of the rows.

`Hebb`     ΔW = η ⟨x yᵀ⟩ = η C W, which after t steps is (I + ηC)ᵗ W(0): every unit grows along the first principal
           component, without end                                                                       (eq. 228)
`Oja`      ΔW = η ⟨(x − W y) yᵀ⟩: what y explains is taken away, and lengths settle at 1. One unit ends at the first
           principal component (Oja 1982), k units at some basis of the space of the first k (Oja 1989)
`Sanger`   ΔW = η ⟨x yᵀ − W triu(y yᵀ)⟩: unit j learns what units 1 ... j − 1 left over, and ends at the j-th principal
           component, in order (Sanger 1989, the generalised Hebbian algorithm)                         (eq. 229)

Steps are stable while η times the largest eigenvalue of C stays well below 1; the j-th component settles at a rate
η (λ_j − λ_{j+1}), slow where eigenvalues lie close together. With single rows or batches, η must fall for W to come to
rest.

A `GradientRule` writes minus the change into ``.grad``, for the loop's optimiser to step against: keep to "sgd", since
these rules descend no loss that momentum or Adam would know of.

Measures: "reconstruction error" Σ_i (x − W y)_i² per row, "length" (root mean square of the columns of W).

Sources: D. O. Hebb 1949; E. Oja 1982, 1989; T. D. Sanger 1989, Optimal unsupervised learning in a single-layer linear
feedforward neural network, Neural Networks 2.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lamina.core.errors import DataError, SettingError
from lamina.core.random import Random
from lamina.models.maps.hebbian_layer import HebbianLayer
from lamina.training.rules import GradientRule
from lamina.training.sources import Batch


class HebbianRule(GradientRule):
    """What the three share; a subclass says what is taken away from Hebb's product."""

    watched = "validation reconstruction error"

    def parameters(self, model: Any) -> list[nn.Parameter]:
        return [model.W]

    def check(self, model: Any, values: tuple[Tensor, ...]) -> None:
        if not isinstance(model, HebbianLayer):
            raise SettingError(f"{type(self).__name__} learns a HebbianLayer; {type(model).__name__} given")
        model.check_rows(values[0])

    @abstractmethod
    def forgetting(self, W: Tensor, correlation: Tensor) -> Tensor | None:
        """What is taken away, for Σ y yᵀ (n_hidden, n_hidden): (n_visible, n_hidden), or None."""

    @torch.no_grad()
    def gradients(self, model: Any, batch: Batch, step: int, random: Random) -> Mapping[str, Tensor]:
        W = model.W
        x = batch.values[0] - model.b
        y = x @ W
        change = x.T @ y
        taken = self.forgetting(W, y.T @ y)
        if taken is not None:
            change -= taken
        W.grad.copy_(change.div_(-batch.total))
        length = torch.linalg.vector_norm(W) / W.shape[1] ** 0.5
        return {"reconstruction error": _unexplained(x, y, W).sum(), "length": length * len(x)}

    def validate(self, model: Any, values: tuple[Tensor, ...], train: tuple[Tensor, ...]) -> dict[str, float]:
        """Reconstruction error per row of validation and of training rows."""
        found = []
        for rows, *_ in (values, train):
            x = rows - model.b
            found.append(float(_unexplained(x, x @ model.W, model.W).mean()))
        return {"validation reconstruction error": found[0], "training reconstruction error": found[1]}


class Hebb(HebbianRule):
    """Hebb's rule alone: weights grow without end, and the loop stops with `DivergenceError` at last."""

    def forgetting(self, W: Tensor, correlation: Tensor) -> None:
        return None


class Oja(HebbianRule):
    """Oja's rule: the first principal component for one unit, the space of the first k for k."""

    def forgetting(self, W: Tensor, correlation: Tensor) -> Tensor:
        return W @ correlation


class Sanger(HebbianRule):
    """Sanger's rule: the first k principal components in order."""

    def forgetting(self, W: Tensor, correlation: Tensor) -> Tensor:
        return W @ correlation.triu()


def _unexplained(x: Tensor, y: Tensor, W: Tensor) -> Tensor:
    return (x - y @ W.T).square_().sum(1)


@torch.no_grad()
def centre_on(model: HebbianLayer, X: Any) -> HebbianLayer:
    """Set b to the mean of rows ``X`` (n, n_visible), which Hebbian rules ask for. Returns ``model``."""
    if len(X.shape) != 2 or X.shape[1] != model.n_visible or not len(X):
        raise DataError(f"the data have shape {tuple(X.shape)}; expected (rows, {model.n_visible}), at least one row")
    rows = X if isinstance(X, Tensor) else torch.from_numpy(np.require(X, requirements=["C", "W"]))
    model.b.copy_(rows.double().mean(0))
    return model
