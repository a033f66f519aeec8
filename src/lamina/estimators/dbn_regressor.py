"""`DBNRegressor`: layers learnt without targets, fine-tuned whole on the rows that have one."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import RegressorMixin
from torch import Tensor

from lamina.core.errors import DataError, SettingError
from lamina.core.random import Random, as_random
from lamina.estimators.base import Scaling, checked_rows, progress, tensor
from lamina.estimators.deep_belief import DeepBelief, hold_out
from lamina.estimators.limits import check_settings
from lamina.estimators.targets import standardised_targets
from lamina.training import BackPropagation, falling, fit


class DBNRegressor(RegressorMixin, DeepBelief):
    """Deep belief network turned regressor: greedy layers, a linear head, squared loss (Salakhutdinov, Hinton 2008).

    Restricted Boltzmann machines learn layer by layer from all rows, those without a target included; the stack, with
    a linear head, is then fine-tuned by back-propagation on standardised targets.

    Parameters
    ----------
    hidden : int or sequence of int, default=(500, 500, 2000)
        Units per layer, from the bottom up.
    visible : {"auto", "bernoulli", "gaussian"}, default="auto"
        Units of the input. "auto": Bernoulli where all values lie in [0, 1]; else columns are standardised and the
        units are Gaussian.
    epochs_pretrain : int, sequence of int or None, default=None
        Passes per layer. None: 10, or as many as make 200 steps.
    epochs : int or None, default=None
        Passes of fine-tuning. None: 50, or as many as make 400 steps.
    batch_size : int, default=100
        Rows per step.
    learning_rate_pretrain : float, sequence of float or None, default=None
        Step length per layer. None: 0.002 for Gaussian visible units, 0.05 for others.
    learning_rate : float or None, default=None
        Step length of fine-tuning (Adam), falling in the second half. None: 0.001, up to 0.01 for layers of less than
        200 units.
    dropout, input_dropout : float, default=0.0
        Probability to drop a hidden unit, an input, during fine-tuning, in [0, 0.95].
    weight_decay : float, default=1e-4
        Decoupled decay of the weights in fine-tuning; biases are spared.
    pass_up : {"mean", "sample"}, default="mean"
        What a layer hands to the next in pre-training.
    validation_fraction : float, default=0.0
        Share of the rows with targets kept aside from fine-tuning, to watch.
    patience : int or None, default=None
        Stop after so many epochs without a better loss on the rows kept aside, and take the best weights back.
    dtype : {"float32", "float64"}, default="float32"
        Type of weights and features; predictions are float64.
    random_state : int, RandomState, Generator, lamina.Random or None, default=None
        Source of all random numbers; an int gives the same result each time.
    device : str or None, default=None
        Where to compute: None is the CPU.
    verbose : int, default=0
        Above 0, progress on standard error.

    Attributes
    ----------
    stack_ : lamina.Stack
        The layers as pre-training left them.
    network_ : lamina.MLP
        The fine-tuned network; its outputs are standardised targets.
    history_ : list of lamina.History
        One per layer, then fine-tuning.
    visible_ : str
        "bernoulli" or "gaussian".
    mean_, scale_ : ndarray of shape (n_features,)
        What is subtracted from the columns, and divided by.
    target_mean_, target_scale_ : ndarray of shape (n_targets,)
        The same for the targets.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Only where ``X`` has names for its columns.

    Raises
    ------
    DataError (a ValueError), SettingError (a ValueError), DivergenceError, DeviceError

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from lamina.estimators import DBNRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> DBNRegressor(hidden=(50,)).fit(X[:100], y[:100], X_unlabelled=X[100:])   # doctest: +SKIP
    """

    def __init__(
        self,
        hidden: Any = (500, 500, 2000),
        *,
        visible: str = "auto",
        epochs_pretrain: Any = None,
        epochs: int | None = None,
        batch_size: int = 100,
        learning_rate_pretrain: Any = None,
        learning_rate: float | None = None,
        dropout: float = 0.0,
        input_dropout: float = 0.0,
        weight_decay: float = 1e-4,
        pass_up: str = "mean",
        validation_fraction: float = 0.0,
        patience: int | None = None,
        dtype: str = "float32",
        random_state: Any = None,
        device: str | None = None,
        verbose: int = 0,
    ) -> None:
        self.hidden = hidden
        self.visible = visible
        self.epochs_pretrain = epochs_pretrain
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate_pretrain = learning_rate_pretrain
        self.learning_rate = learning_rate
        self.dropout = dropout
        self.input_dropout = input_dropout
        self.weight_decay = weight_decay
        self.pass_up = pass_up
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.dtype = dtype
        self.random_state = random_state
        self.device = device
        self.verbose = verbose

    def fit(self, X: Any, y: Any, X_unlabelled: Any = None) -> Self:
        """Learn from rows ``X`` (n_rows, n_features) with targets ``y`` (n_rows,) or (n_rows, n_targets).

        ``X_unlabelled`` (n_more_rows, n_features) are rows without targets, for the layers to learn from.
        """
        check_settings(self)
        if self.patience is not None and not self.validation_fraction:
            raise SettingError("patience needs rows to watch: set validation_fraction, or leave patience out")
        X = checked_rows(self, X, fitting=True)
        targets = standardised_targets(self, y, len(X))
        everything = X
        if X_unlabelled is not None:
            everything = np.concatenate([X, checked_rows(self, X_unlabelled, name="the rows without targets")])
        random = as_random(self.random_state).child("DBNRegressor")
        rows = self._standardised(everything)
        self._pretrain(rows, random)
        self._fine_tune(rows[: len(X)], targets, random)
        return self

    def _fine_tune(self, rows: Tensor, targets: np.ndarray, random: Random) -> None:
        y = tensor(targets, rows.dtype)
        learnt, watched = np.arange(len(rows)), np.arange(0)
        if self.validation_fraction:
            learnt, watched = hold_out(self.validation_fraction, len(rows), random)
        if self.patience is not None and not len(watched):
            raise DataError(f"{len(rows)} rows are too few to keep some aside: leave patience out")
        self.network_ = self._network(targets.shape[1], random)
        epochs = self._fine_tune_epochs(len(learnt))
        history = fit(
            self.network_,
            (rows[learnt], y[learnt]),
            BackPropagation("squared"),
            epochs=epochs,
            batch_size=self.batch_size,
            learning_rate=falling(self._rate(), epochs),
            weight_decay=self.weight_decay,
            optimiser="adam",
            validation=(rows[watched], y[watched]) if len(watched) else None,
            patience=self.patience,
            random_state=random.child("fine-tuning"),
            callbacks=progress(self.verbose, "DBNRegressor: fine-tuning"),
        )
        self.history_.append(history)

    def predict(self, X: Any) -> np.ndarray:
        """Targets for rows ``X`` (n_rows, n_features): (n_rows,) or (n_rows, n_targets), as in `fit`; float64."""
        standardised = self._through(lambda network, x: network(x), X)
        out = Scaling(self.target_mean_, self.target_scale_).undo(standardised)
        return out[:, 0] if self._one_target else out

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
