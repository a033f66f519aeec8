"""Losses of a network's outputs, each summed over rows: what back-propagation descends.

======================= ================================= ======================================================
loss                    targets                           per row, with outputs o and targets y
======================= ================================= ======================================================
``cross-entropy``       class codes (n,)                  −c_y log softmax(o)_y, c the class's weight (1)
``squared``             real rows (n, k)                  Σ (o − y)²
``binary cross-entropy`` rows in [0, 1] (n, k)            −Σ y log σ(o) + (1 − y) log σ(−o)
``poisson``             rows ≥ 0, counts say (n, k)       Σ exp(o) − y o: −log likelihood but for log y!
======================= ================================= ======================================================

With one output, targets may be (n,). Every row may have a weight r_i ≥ 0, which multiplies its loss; means divide by
the number of rows all the same, so that weights with mean 1 keep the size of a step, and a weight of 2 is the row
given twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from lamina.core.checks import check_number
from lamina.core.errors import DataError, LabelError, SettingError, nearest_names

NAMES = ("cross-entropy", "squared", "binary cross-entropy", "poisson")


class Loss:
    """The loss ``name``; ``class_weight`` is one weight ≥ 0 per class, for cross-entropy alone."""

    def __init__(self, name: str, class_weight: Sequence[float] | None = None) -> None:
        if name not in NAMES:
            raise SettingError(f"loss is {name!r}; {nearest_names(name, list(NAMES))}")
        self.name = name
        self.class_weight = None if class_weight is None else _class_weight(name, class_weight)

    def sum(self, outputs: Tensor, y: Tensor, weights: Tensor | None = None) -> Tensor:
        """Σ_i r_i loss_i: outputs (n, k), targets, row weights (n,) or None (all 1) → a differentiable 0-d tensor."""
        if self.name == "cross-entropy":
            return self._cross_entropy(outputs, y, weights)
        y = targets_like(outputs, y)
        if self.name == "squared":
            values = (outputs - y).square()
        elif self.name == "poisson":
            values = outputs.exp() - y * outputs
        else:
            values = functional.binary_cross_entropy_with_logits(outputs, y, reduction="none")
        return values.sum() if weights is None else (values.flatten(1).sum(1) * weights).sum()

    def _cross_entropy(self, outputs: Tensor, y: Tensor, weights: Tensor | None) -> Tensor:
        classes = None if self.class_weight is None else outputs.new_tensor(self.class_weight)
        if weights is None:
            return functional.cross_entropy(outputs, y, classes, reduction="sum")
        return (functional.cross_entropy(outputs, y, classes, reduction="none") * weights).sum()

    @torch.no_grad()
    def wrong(self, outputs: Tensor, y: Tensor) -> Tensor | None:
        """Rows of the wrong class (for yes-or-no outputs: the mean share of wrong ones), summed; None if real-valued.

        Weights of rows and classes do not enter: an error is a share of rows.
        """
        if self.name == "cross-entropy":
            return (outputs.argmax(1) != y).sum()
        if self.name == "binary cross-entropy":
            wrong = (outputs > 0) != (targets_like(outputs, y) > 0.5)
            return wrong.to(outputs.dtype).flatten(1).mean(1).sum()
        return None

    def check(self, outputs: Tensor, y: Tensor, weights: Tensor | None) -> None:
        """Raise `DataError` or `LabelError` where these targets and row weights do not fit the outputs (of one row)."""
        if self.name == "cross-entropy":
            self._check_codes(outputs.shape[1], y)
        else:
            self._check_rows(outputs, y)
        if weights is None:
            return
        if weights.shape != (len(y),) or bool((weights < 0).any()):
            raise DataError(f"row weights have shape {tuple(weights.shape)}; expected ({len(y)},), all at least 0")

    def _check_codes(self, n_out: int, y: Tensor) -> None:
        if y.dim() != 1 or y.is_floating_point():
            raise DataError(
                f"targets have shape {tuple(y.shape)} and type {y.dtype}; cross-entropy expects class codes (rows,), "
                f"whole numbers from 0 on: lamina.core.labels.encode_labels makes them"
            )
        low, high = int(y.min()), int(y.max())
        if low < 0 or high >= n_out:
            raise LabelError(
                f"class codes lie in [{low}, {high}]; expected 0 to {n_out - 1}: the network has {n_out} outputs"
            )
        if self.class_weight is not None and len(self.class_weight) != n_out:
            raise SettingError(f"class_weight has {len(self.class_weight)} entries; expected {n_out}, one per class")

    def _check_rows(self, outputs: Tensor, y: Tensor) -> None:
        if y.shape[1:] != outputs.shape[1:] and not (y.dim() == 1 and outputs.shape[1:] == (1,)):
            raise DataError(
                f"targets have shape {tuple(y.shape)}; expected (rows, {', '.join(map(str, outputs.shape[1:]))}), "
                f"as the network's outputs"
            )
        low, high = float(y.min()), float(y.max())
        if self.name == "poisson" and low < 0:
            raise DataError(f"targets reach {low:g}; the Poisson loss expects counts or rates, at least 0")
        if self.name == "binary cross-entropy" and not (low >= 0 and high <= 1):
            raise DataError(f"targets lie in [{low:g}, {high:g}]; binary cross-entropy expects values in [0, 1]")

    def describe(self) -> dict:
        """Settings, for records and checkpoints: without what is at its default."""
        described: dict[str, Any] = {"loss": self.name}
        return described if self.class_weight is None else described | {"class_weight": list(self.class_weight)}


def targets_like(outputs: Tensor, y: Tensor) -> Tensor:
    """Targets in the outputs' type, (n,) as (n, 1) where there is one output."""
    y = y.to(outputs.dtype)
    return y[:, None] if y.dim() + 1 == outputs.dim() else y


def _class_weight(name: str, class_weight: Any) -> tuple[float, ...]:
    if name != "cross-entropy":
        raise SettingError(f"class_weight needs the loss 'cross-entropy', not {name!r}: weigh rows instead")
    try:
        values = [value.item() if hasattr(value, "item") else value for value in class_weight]
    except TypeError:
        raise SettingError(f"class_weight is {class_weight!r}; expected one number per class") from None
    for k, value in enumerate(values):
        check_number(f"class_weight[{k}]", value, low=0.0)
    return tuple(float(value) for value in values)
