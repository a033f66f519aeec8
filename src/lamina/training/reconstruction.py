"""Learning to give the input back: the rule of autoencoders, plain, denoising, sparse and contractive alike.

A row v is corrupted to ṽ (or left as it is), encoded and decoded to r; the loss of the row is

    squared        Σ_i (v_i − r_i)²                                                       (docs/mathematics.md, eq. 112)
    cross-entropy  −Σ_i v_i log r_i + (1 − v_i) log(1 − r_i)                                                   (eq. 113)

against the clean v, plus the penalties of the code. Variants compose: a corruption and any penalties at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from lamina.core.checks import check_unit_interval, value_range
from lamina.core.errors import DataError, SettingError, nearest_names
from lamina.core.random import Random
from lamina.models.activations import ACTIVATIONS
from lamina.models.autoencoders import Autoencoder
from lamina.training.code_penalties import Code, CodePenalty
from lamina.training.corruption import Corruption
from lamina.training.layer_gradients import write_layer_gradients
from lamina.training.loss_rule import LossRule
from lamina.training.rules import Setting
from lamina.training.sources import Batch

LOSSES = ("auto", "squared", "cross-entropy")
CHUNK = 4096  # validation rows computed together


def reconstruction_loss(model: Any, v: Tensor, target: Tensor, loss: str) -> Tensor:
    """Loss (n,) of giving ``target`` (n, ...) back from the rows ``v`` (n, ...): sums over the values of a row.

    ``loss`` is "squared" or "cross-entropy". Any model with ``mean_h_from_v`` and ``field_v`` and ``output`` (or, for
    squared loss, ``mean_v_from_h`` alone) will do. Cross-entropy needs a sigmoid output and is computed from fields:
    log(1 + e^f) − v f, which no saturated unit can make infinite.
    """
    return _row_losses(model, model.mean_h_from_v(v), target, loss)[0]


def _row_losses(model: Any, h: Tensor, target: Tensor, loss: str) -> tuple[Tensor, Tensor]:
    """Loss per row (n,) and the squared error summed over the rows, without a gradient."""
    if loss == "cross-entropy":
        field = model.field_v(h)
        rows = (functional.softplus(field) - target * field).flatten(1).sum(1)
        return rows, (torch.sigmoid(field.detach()) - target).square().sum()
    if hasattr(model, "field_v") and hasattr(model, "output"):
        output = ACTIVATIONS[model.output](model.field_v(h))
    else:
        output = model.mean_v_from_h(h)
    rows = (output - target).square().flatten(1).sum(1)
    return rows, rows.detach().sum()


class Reconstruction(LossRule):
    """Descends the mean loss of giving clean rows back from (corrupted) ones, plus penalties of the code.

    ``loss="auto"`` takes cross-entropy where the model's output is sigmoid (its rows must lie in [0, 1]) and squared
    error elsewhere; `describe` says which. ``corruption`` (`Masking`, `SaltAndPepper`, `GaussianNoise`) is drawn anew
    at every step; ``penalties`` (`CodeL1`, `CodeKL`, `Contraction`) see the code of the corrupted rows and add up.

    Measures per row: ``training loss`` (with penalties), ``reconstruction error`` (mean square per value). Validation
    is on clean rows and without penalties. `fit`'s ``weight_decay`` spares biases here too.
    """

    def __init__(
        self, loss: str = "auto", *, corruption: Corruption | None = None, penalties: Sequence[CodePenalty] = ()
    ) -> None:
        if loss not in LOSSES:
            raise SettingError(f"loss is {loss!r}; {nearest_names(loss, list(LOSSES))}")
        if corruption is not None and not isinstance(corruption, Corruption):
            raise SettingError(f"corruption is {corruption!r}; expected one such as Masking(0.25), or None")
        for penalty in penalties:
            if not isinstance(penalty, CodePenalty):
                raise SettingError(
                    f"penalties holds {penalty!r}; expected penalties of the code such as CodeL1(0.1): those of "
                    f"weights are handed to fit(..., penalties=...)"
                )
        self.loss_name = loss
        self.corruption, self.penalties = corruption, tuple(penalties)
        self.chosen = "" if loss == "auto" else loss

    def check(self, model: Any, values: tuple[Tensor, ...]) -> None:
        _check_layer(model)
        _check_rows(model, values[0])
        sigmoid = getattr(model, "output", None) == "sigmoid"
        if self.loss_name == "cross-entropy" and not sigmoid:
            raise SettingError(
                f"loss is 'cross-entropy' and the model's output {getattr(model, 'output', 'unknown')!r}; expected "
                f"output='sigmoid', or loss='squared'"
            )
        if self.loss_name == "auto":
            self.chosen = "cross-entropy" if sigmoid else "squared"
        for penalty in self.penalties:
            penalty.check(model)

    def start(self, model: nn.Module, setting: Setting) -> None:
        self.world = setting.world

    def gradients(self, model: Any, batch: Batch, step: int, random: Random) -> Mapping[str, Tensor]:
        # Unlike other losses this one asks processes without rows too: a mean over the whole batch is made by all.
        random.at(step, batch.rows)
        if type(model) is not Autoencoder:
            return self._by_autograd(model, batch, random)
        v, target = self._input(batch, random)
        loss, square = write_layer_gradients(model, v, target, self.chosen, self.penalties, batch.total, self.world)
        return _measures(loss, square, target)

    def _by_autograd(self, model: Any, batch: Batch, random: Random) -> Mapping[str, Tensor]:
        parameters = self.parameters(model)
        total, measures = self.loss(model, batch, random)
        found = torch.autograd.grad(total / batch.total, parameters, allow_unused=True)
        for parameter, gradient in zip(parameters, found, strict=True):
            if gradient is None:
                parameter.grad.zero_()  # type: ignore[union-attr]  # the loop made it
            else:
                parameter.grad.copy_(gradient)  # type: ignore[union-attr]
        return measures

    def _input(self, batch: Batch, random: Random) -> tuple[Tensor, Tensor]:
        """The rows as the model sees them, and as it has to give them back."""
        target = batch.values[0]
        return (target if self.corruption is None else self.corruption.apply(target, random)), target

    def loss(self, model: Any, batch: Batch, random: Random) -> tuple[Tensor, Mapping[str, Tensor]]:
        v, target = self._input(batch, random)
        code = _code_of(model, v, batch.total, self.world)
        rows, square = _row_losses(model, code.h, target, self.chosen)
        total = rows.sum()
        loss = total.detach()
        for penalty in self.penalties:
            term, value = penalty.terms(code)
            total = total + term
            loss = loss + value
        return total, _measures(loss, square, target)

    @torch.no_grad()
    def validate(self, model: Any, values: tuple[Tensor, ...], train: tuple[Tensor, ...]) -> dict[str, float]:
        v = values[0]
        loss, square = 0.0, 0.0
        for chunk in v.split(CHUNK):
            rows, error = _row_losses(model, model.mean_h_from_v(chunk), chunk, self.chosen)
            loss, square = loss + float(rows.double().sum()), square + float(error)
        return {"validation loss": loss / len(v), "validation reconstruction error": square / v.numel()}

    def describe(self) -> dict:
        return {
            "rule": "Reconstruction",
            "loss": self.chosen or self.loss_name,
            "corruption": None if self.corruption is None else self.corruption.describe(),
            "penalties": [penalty.describe() for penalty in self.penalties],
        }


def _code_of(model: Any, v: Tensor, total: int, world: Any) -> Code:
    if not isinstance(model, Autoencoder):
        return Code(model.mean_h_from_v(v), total, world)
    field = model.field_h(v)
    h = ACTIVATIONS[model.activation](field)
    return Code(h, total, world, model.activation, field, model.W.square().sum(0))


def _measures(loss: Tensor, square: Tensor, target: Tensor) -> dict[str, Tensor]:
    return {"training loss": loss, "reconstruction error": square / target.shape[1:].numel()}


def _check_layer(model: Any) -> None:
    missing = [name for name in ("mean_h_from_v", "mean_v_from_h") if not hasattr(model, name)]
    if missing:
        raise SettingError(
            f"Reconstruction trains a model that encodes and decodes; {type(model).__name__} has no "
            f"{' and no '.join(missing)}"
        )


def _check_rows(model: Any, rows: Tensor) -> None:
    """`DataError` where the rows are not the model's, or its output cannot reach them."""
    if rows.dim() == 2 and rows.shape[1] != model.n_visible:
        raise DataError(
            f"the rows to learn from have shape {tuple(rows.shape)}; expected (rows, {model.n_visible}): this model "
            f"has {model.n_visible} visible units"
        )
    output = getattr(model, "output", "identity")
    if output not in ("sigmoid", "tanh"):
        return
    flat = rows.reshape(len(rows), -1).cpu().numpy()
    if output == "sigmoid":
        check_unit_interval(flat, name="the rows to learn from", what="sigmoid outputs")
    low, high = value_range(flat)
    if low < -1 or high > 1:
        raise DataError(
            f"the rows to learn from lie in [{low:g}, {high:g}]; tanh outputs reach [-1, 1] alone: scale the columns, "
            f"or use output='identity'"
        )
