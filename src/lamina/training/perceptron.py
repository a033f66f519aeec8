"""The perceptron rule: learn from mistakes alone (Rosenblatt 1958).

A row of class t that the perceptron takes for class r, or is not sure of (equal fields), moves the weights:

    two classes:   w ← w ± ε x,  b ← b ± ε                        + for class 1, − for class 0
    more classes:  w_t ← w_t + ε x,  w_r ← w_r − ε x               (biases alike), r the best of the wrong classes

Rows that are right change nothing. If weights of length 1 exist that part the classes with a margin γ, on rows of
length at most R (the bias counted as an input of 1), row-by-row learning from zero weights makes at most (R/γ)²
mistakes (Novikoff 1962), twice that with more classes (`mistake_bound`), whatever the order and the rate, and then
never another one. On other data it goes on forever; then let `lamina.fit` keep the best weights (``validation=`` the
training rows, ``patience=``), which is Gallant's pocket algorithm (1990).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from lamina.core.errors import DataError, LabelError, SettingError
from lamina.core.random import Random
from lamina.training.rules import GradientRule
from lamina.training.sources import Batch


class PerceptronRule(GradientRule):
    """Data are (rows (n, n_visible), class codes (n,)); the model is a `lamina.models.networks.Perceptron`.

    ``fit(perceptron, (X, y), PerceptronRule(), batch_size=1, learning_rate=1.0, ...)`` is Rosenblatt's own; larger
    batches add up the corrections of their mistakes, divided by the rows of the batch: for them there is no such bound.
    "training error" is the share of rows that were mistaken when they came.
    """

    watched = "validation error"

    def check(self, model: Any, values: tuple[Tensor, ...]) -> None:
        if not hasattr(model, "n_classes") or not isinstance(getattr(model, "W", None), Tensor):
            raise SettingError(f"the model is a {type(model).__name__}; the perceptron rule expects a Perceptron")
        if len(values) != 2 or values[1].dim() != 1 or values[1].is_floating_point():
            raise DataError("the data are no (rows, class codes); expected a tuple of rows and whole numbers from 0 on")
        low, high = int(values[1].min()), int(values[1].max())
        if low < 0 or high >= model.n_classes:
            raise LabelError(f"class codes lie in [{low}, {high}]; expected 0 to {model.n_classes - 1}")

    @torch.no_grad()
    def gradients(self, model: Any, batch: Batch, step: int, random: Random) -> Mapping[str, Tensor]:
        x, y = batch.values
        pull, wrong = corrections(model(x), y)
        torch.mm(x.T, pull, out=model.W.grad).div_(-batch.total)
        torch.sum(pull, 0, out=model.b.grad).div_(-batch.total)
        return {"training error": wrong.sum()}

    @torch.no_grad()
    def validate(self, model: Any, values: tuple[Tensor, ...], train: tuple[Tensor, ...]) -> dict[str, float]:
        x, y = values
        return {"validation error": float(corrections(model(x), y)[1].double().mean())}


def corrections(fields: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Directions (n, n_out) in which the fields of each row should move, 0 where it is right, and which are wrong."""
    pull = torch.zeros_like(fields)
    if fields.shape[1] == 1:
        sign = 2 * y.to(fields.dtype) - 1
        wrong = sign * fields[:, 0] <= 0
        pull[:, 0] = sign * wrong
        return pull, wrong
    of_class = fields.gather(1, y[:, None])
    rival, named = fields.scatter(1, y[:, None], -torch.inf).max(1, keepdim=True)
    wrong = of_class <= rival
    step = wrong.to(fields.dtype)
    return pull.scatter_(1, y[:, None], step).scatter_(1, named, -step), wrong[:, 0]


@torch.no_grad()
def mistake_bound(x: Tensor, y: Tensor, W: Tensor, b: Tensor) -> float:
    """The most mistakes that learning row by row from zero weights can make, from any weights that part the classes.

    Rows (n, n_visible), codes (n,), ``W`` (n_visible, n_out), ``b`` (n_out,): c (R/γ)², R the largest length of (x, 1),
    γ the least margin of the weights scaled to length 1, c = 1 for two classes and 2 for more. The sharper the margin,
    the smaller the bound. `DataError` where these weights do not part the classes.
    """
    fields = x @ W + b
    if fields.shape[1] == 1:
        margins = (2 * y.to(fields.dtype) - 1) * fields[:, 0]
    else:
        rival = fields.scatter(1, y[:, None], -torch.inf).max(1).values
        margins = fields.gather(1, y[:, None])[:, 0] - rival
    length = torch.cat([W.flatten(), b]).norm()
    margin = float(margins.min() / length)
    if not margin > 0:
        raise DataError(f"the weights leave {int((margins <= 0).sum())} row(s) on the wrong side; expected none")
    longest = float(x.square().sum(1).max()) + 1
    return (1 if fields.shape[1] == 1 else 2) * longest / margin**2
