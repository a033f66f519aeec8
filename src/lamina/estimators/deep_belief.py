"""What `DBNClassifier` and `DBNRegressor` share: rows and units, greedy pre-training, the network, features.

Defaults that follow the data. A number of passes means little without the number of rows: 10 passes over 100 rows are
10 steps. Where ``epochs`` or ``epochs_pretrain`` is None, the usual number of passes is raised until it makes at least
`PRETRAIN_STEPS` steps per layer and `FINE_TUNE_STEPS` steps in all; a number is taken as it is.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from numbers import Integral
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from lamina.core.checks import check_device
from lamina.core.random import Random
from lamina.estimators.base import (
    CheckedCD,
    Scaling,
    at_least_steps,
    checked_rows,
    choose_visible,
    in_chunks,
    progress,
    tensor,
    torch_type,
)
from lamina.models import MLP, RBM, Stack
from lamina.training import History, pretrain
from lamina.units import Bernoulli, Gaussian

PRETRAIN_EPOCHS, PRETRAIN_STEPS = 10, 200
FINE_TUNE_EPOCHS, FINE_TUNE_STEPS = 50, 400
ADVERSARIAL_EPOCHS, ADVERSARIAL_STEPS = 10, 1000


class DeepBelief(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Base of the deep belief estimators; learns nothing by itself."""

    hidden: Any
    visible: str
    epochs_pretrain: Any
    epochs: int | None
    batch_size: int
    learning_rate_pretrain: Any
    learning_rate: float | None
    dropout: float
    input_dropout: float
    pass_up: str
    dtype: str
    device: str | None
    verbose: int
    history_: list[History]
    n_features_in_: int

    # before -----------------------------------------------------------------------------------------------------------

    def _standardised(self, X: np.ndarray) -> Tensor:
        """All rows to learn from (n_rows, n_features), as the network takes them; sets ``visible_`` and scaling."""
        self.visible_ = choose_visible(self.visible, X)
        scaling = Scaling.of(X) if self.visible_ == "gaussian" else Scaling.none(X.shape[1])
        self.mean_, self.scale_ = scaling.mean, scaling.scale
        return tensor(scaling.apply(X), torch_type(self.dtype))

    def _sizes(self) -> tuple[int, ...]:
        return (int(self.hidden),) if isinstance(self.hidden, Integral) else tuple(int(n) for n in self.hidden)

    def _pretrain(self, rows: Tensor, random: Random) -> None:
        """Learn ``stack_`` from ``rows`` (n_rows, n_features), layer by layer."""
        sizes = (rows.shape[1], *self._sizes())
        first = (Gaussian if self.visible_ == "gaussian" else Bernoulli)(sizes[0])
        visible = [first, *(Bernoulli(n) for n in sizes[1:-1])]
        layers = [RBM(v, n, dtype=rows.dtype) for v, n in zip(visible, sizes[1:], strict=True)]
        self.stack_ = Stack(layers).to(check_device(self.device))
        usual = at_least_steps(PRETRAIN_EPOCHS, PRETRAIN_STEPS, len(rows), self.batch_size)
        name = type(self).__name__
        self.history_ = pretrain(
            self.stack_,
            rows,
            lambda k: CheckedCD(sample_visible=False),
            epochs=usual if self.epochs_pretrain is None else _plain(self.epochs_pretrain),
            batch_size=self.batch_size,
            learning_rate=_plain(self.learning_rate_pretrain),
            pass_up=self.pass_up,
            random_state=random.child("pre-training"),
            callbacks=lambda k: progress(self.verbose, f"{name}: layer {k + 1}"),
        )

    def _network(self, n_out: int, random: Random) -> MLP:
        """A network that begins at ``stack_``, with ``n_out`` outputs."""
        network = self.stack_.classifier(
            n_out, dropout=self.dropout, input_dropout=self.input_dropout, random_state=random.child("head")
        )
        assert isinstance(network, MLP)
        return network

    def _fine_tune_epochs(self, n_rows: int, adversarial: bool = False) -> int:
        if self.epochs is not None:
            return int(self.epochs)
        usual, steps = (ADVERSARIAL_EPOCHS, ADVERSARIAL_STEPS) if adversarial else (FINE_TUNE_EPOCHS, FINE_TUNE_STEPS)
        return at_least_steps(usual, steps, n_rows, self.batch_size)

    def _rate(self) -> float:
        """The learning rate of fine-tuning: 1e-3, and up to ten times more where the widest layer is below 200.

        Adam moves every weight by about the rate at each step, and so a unit's input by rate · number of inputs.
        """
        widest = max(self._sizes())
        return 1e-3 * min(10.0, max(1.0, 200 / widest)) if self.learning_rate is None else float(self.learning_rate)

    # using ------------------------------------------------------------------------------------------------------------

    def _rows(self, X: Any) -> np.ndarray:
        """``X`` (n_rows, n_features) checked against `fit` and scaled as there."""
        check_is_fitted(self)
        return Scaling(self.mean_, self.scale_).apply(checked_rows(self, X))

    def transform(self, X: Any) -> np.ndarray:
        """Top-layer features after fine-tuning, dropout off, of rows ``X`` (n_rows, n_features): (n_rows, n_top)."""
        return self._through(lambda network, x: network.encode(x), X).astype(self.dtype)

    def _through(self, apply: Callable[[MLP, Tensor], Tensor], X: Any) -> np.ndarray:
        """``apply`` to the network and the scaled rows of ``X``, computed and returned in float64.

        In float32 a row's last digits depend on how many other rows come with it.
        """
        rows = self._rows(X)
        network = copy.deepcopy(self.network_)
        network = (network.cpu() if self.network_.W[0].device.type == "mps" else network).to(torch.float64)
        return in_chunks(lambda x: apply(network, x), rows, network.W[0])

    @property
    def _n_features_out(self) -> int:
        return self.stack_.n_hidden

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []  # features come in the type that ``dtype`` names
        return tags


def hold_out(share: float, n_rows: int, random: Random, codes: np.ndarray | None = None) -> tuple[Any, Any]:
    """Row numbers to learn from and to watch: ``share`` of ``n_rows`` (rounded up), of each class in ``codes``.

    A class with a single row stays in the first part; too few rows leave the second empty.
    """
    order = random.child("hold out").permutation(n_rows)
    if codes is None:
        n_held = min(int(np.ceil(share * n_rows)), n_rows - 1)
        return np.sort(order[n_held:]), np.sort(order[:n_held])
    held = [_some(order[codes[order] == code], share) for code in np.unique(codes)]
    watched = np.sort(np.concatenate(held))
    return np.setdiff1d(np.arange(n_rows), watched), watched


def _some(rows: np.ndarray, share: float) -> np.ndarray:
    return rows[: min(int(np.ceil(share * len(rows))), len(rows) - 1)]


def _plain(value: Any) -> Any:
    """An array as a list, a number as it is: what `pretrain` takes per layer."""
    return list(value) if isinstance(value, (Sequence, np.ndarray)) else value
