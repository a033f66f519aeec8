"""`CounterPropagation` and `CounterPropagationClassifier`: a table of prototypes and answers that fills itself."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import assert_all_finite
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d
from torch import Tensor

from lamina.core.checks import check_device, check_matrix
from lamina.core.errors import LabelError, SettingError
from lamina.core.random import as_random
from lamina.estimators.base import Scaling, at_least_steps, checked_rows, in_chunks, progress, tensor
from lamina.estimators.limits import check_settings
from lamina.estimators.targets import standardised_targets
from lamina.models.maps import CounterPropagation as Network
from lamina.training import CounterPropagationLearning, OutstarMeans, fit, prototypes_from_rows, shrinking


class _CounterPropagating(BaseEstimator):
    """What both share; learns nothing by itself. Their parameters:

    n_units : int or None, default=None
        Prototypes. None: 5 √n_rows, at most a third of the rows and at least one.
    full : bool, default=False
        Let targets take part in the competition while learning (Hecht-Nielsen's full network): prototypes crowd where
        answers change. `inverse` is meant for it, and works without.
    balance : float, default=1.0
        How much targets weigh beside the columns then: 1 counts a standardised target like a standardised column.
    n_winners : int, default=1
        Units whose answers are averaged, each weighing the inverse of its distance. More are smoother.
    against_dead : {"conscience", "frequency", "none"}, default="conscience"
        What makes units win that never would (see `lamina.CompetitiveLearning`).
    epochs : int or None, default=None
        Passes over the data. None: 30, or as many as make 1000 steps.
    batch_size : int, default=20
        Rows per step.
    learning_rate : float, default=0.3
        First share of the way that a winner moves, in (0, 1]; falls to a hundredth.
    dtype : {"float32", "float64"}, default="float32"
        Type of the network.
    random_state : int, RandomState, Generator, lamina.Random or None, default=None
        Source of all random numbers; an int gives the same result each time.
    device : str or None, default=None
        Where to compute: None is the CPU.
    verbose : int, default=0
        Above 0, progress on standard error.
    """

    def __init__(
        self,
        n_units: int | None = None,
        *,
        full: bool = False,
        balance: float = 1.0,
        n_winners: int = 1,
        against_dead: str = "conscience",
        epochs: int | None = None,
        batch_size: int = 20,
        learning_rate: float = 0.3,
        dtype: str = "float32",
        random_state: Any = None,
        device: str | None = None,
        verbose: int = 0,
    ) -> None:
        self.n_units = n_units
        self.full = full
        self.balance = balance
        self.n_winners = n_winners
        self.against_dead = against_dead
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.dtype = dtype
        self.random_state = random_state
        self.device = device
        self.verbose = verbose

    def _check(self) -> None:
        check_settings(self)
        if self.learning_rate > 1:
            raise SettingError(
                f"learning_rate is {self.learning_rate!r}; expected a number in (0, 1]: a share of a way"
            )

    def _learn(self, X: np.ndarray, targets: np.ndarray) -> None:
        """Learn ``network_`` from rows and targets (n_rows, n_out); sets its history, and mean and scale of columns."""
        name = type(self).__name__
        random = as_random(self.random_state).child(name)
        n_units = self._units(len(X))
        scaling = Scaling.of(X)
        self.mean_, self.scale_ = scaling.mean, scaling.scale
        kind = getattr(torch, self.dtype)
        x, y = tensor(scaling.apply(X), kind), tensor(targets, kind)
        network = Network(
            X.shape[1],
            targets.shape[1],
            n_units,
            full=bool(self.full),
            balance=self.balance,
            dtype=kind,
            random_state=random,
        )
        prototypes_from_rows(network, x, random)
        batch = min(int(self.batch_size), len(x))
        epochs = at_least_steps(30, 1000, len(x), batch) if self.epochs is None else int(self.epochs)
        first = fit(
            network,
            (x, y),
            CounterPropagationLearning(None if self.against_dead == "none" else self.against_dead),
            epochs=epochs,
            batch_size=batch,
            learning_rate=shrinking(self.learning_rate, self.learning_rate / 100, max(1, epochs)),
            random_state=random,
            device=check_device(self.device),
            callbacks=progress(self.verbose, name),
        )
        answers = fit(network, (x, y), OutstarMeans(), epochs=1, batch_size=4096, random_state=random)
        self.network_, self.history_ = network, [first, answers]

    def _units(self, n_rows: int) -> int:
        if self.n_units is None:
            n_units = max(1, min(n_rows // 3, round(5 * n_rows**0.5)))
        else:
            n_units = int(self.n_units)
        if self.n_winners > n_units:
            raise SettingError(f"n_winners is {self.n_winners} for {n_units} units; expected at most as many")
        return n_units

    def _answers(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        rows = Scaling(self.mean_, self.scale_).apply(checked_rows(self, X))
        return in_chunks(lambda x: self.network_.mean_y_from_x(x, self.n_winners), rows, self.network_.weights)

    def winners(self, X: Any) -> np.ndarray:
        """The unit that wins each row of ``X`` (n_rows, n_features): (n_rows,) int64."""
        check_is_fitted(self)
        rows = Scaling(self.mean_, self.scale_).apply(checked_rows(self, X))
        return in_chunks(self.network_.winners, rows, self.network_.weights)

    def _inverse(self, targets: Tensor) -> np.ndarray:
        with torch.no_grad():
            rows = self.network_.mean_x_from_y(targets.to(self.network_.weights), self.n_winners)
        return Scaling(self.mean_, self.scale_).undo(rows.cpu().numpy())


class CounterPropagation(RegressorMixin, _CounterPropagating):
    __doc__ = f"""Counter-propagation network as a regressor (Hecht-Nielsen 1987): the nearest prototype's answer.

    Prototypes learn by competition, each one's answer is the mean target of the rows that it wins: piecewise constant
    with one winner, smoother with several.

    Parameters
    ----------
    {(_CounterPropagating.__doc__ or "").split("parameters:", 1)[1].strip()}

    Attributes
    ----------
    network_ : lamina.CounterPropagation
        The model, on standardised rows and targets.
    prototypes_, answers_ : ndarray of shape (n_units, n_features), (n_units, n_targets)
        In the units of the data.
    mean_, scale_, target_mean_, target_scale_ : ndarray
        What was subtracted from columns and targets, and divided by.
    history_ : list of lamina.History
        Of the competition, then of the answers.
    n_features_in_, feature_names_in_

    Raises
    ------
    DataError, SettingError (both ValueErrors), DeviceError

    Examples
    --------
    >>> import numpy as np
    >>> from lamina.estimators import CounterPropagation
    >>> X = np.linspace(0, 6, 200).reshape(-1, 1)
    >>> y = np.sin(X[:, 0])
    >>> bool(CounterPropagation(20, n_winners=2, random_state=0).fit(X, y).score(X, y) > 0.95)
    True
    """

    def fit(self, X: Any, y: Any) -> Self:
        """Learn from rows ``X`` (n_rows, n_features) with targets ``y`` (n_rows,) or (n_rows, n_targets)."""
        self._check()
        X = checked_rows(self, X, fitting=True)
        targets = standardised_targets(self, y, len(X))
        self._learn(X, targets)
        network = self.network_
        self.prototypes_ = Scaling(self.mean_, self.scale_).undo(network.weights.detach().cpu().numpy())
        scaling = Scaling(self.target_mean_, self.target_scale_)
        self.answers_ = scaling.undo(network.outstar.detach().cpu().numpy())
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Targets for rows ``X`` (n_rows, n_features): (n_rows,) or (n_rows, n_targets), as in `fit`; float64."""
        found = self._answers(X).astype(np.float64)
        out = Scaling(self.target_mean_, self.target_scale_).undo(found)
        return out[:, 0] if self._one_target else out

    def inverse(self, y: Any) -> np.ndarray:
        """Backwards: the row that the unit with the answer nearest to each of ``y`` stands for, (n, n_features)."""
        check_is_fitted(self)
        targets = np.asarray(y, np.float64).reshape(len(y), -1)
        check_matrix(targets, name="the targets", n_features=len(self.target_mean_))
        return self._inverse(torch.from_numpy(Scaling(self.target_mean_, self.target_scale_).apply(targets)))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


class CounterPropagationClassifier(ClassifierMixin, _CounterPropagating):
    __doc__ = f"""Counter-propagation network as a classifier (Hecht-Nielsen 1987): the nearest prototype's classes.

    Prototypes learn by competition, each one's answer is the share of every class among the rows that it wins.

    Parameters
    ----------
    {(_CounterPropagating.__doc__ or "").split("parameters:", 1)[1].strip()}

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
    network_ : lamina.CounterPropagation
        The model, on standardised rows.
    prototypes_ : ndarray of shape (n_units, n_features)
        In the units of the data.
    mean_, scale_ : ndarray of shape (n_features,)
    history_ : list of lamina.History
        Of the competition, then of the answers.
    n_features_in_, feature_names_in_

    Raises
    ------
    DataError, LabelError, SettingError (all ValueErrors), DeviceError

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from lamina.estimators import CounterPropagationClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> bool(CounterPropagationClassifier(20, random_state=0).fit(X, y).score(X, y) > 0.9)
    True
    """

    def fit(self, X: Any, y: Any) -> Self:
        """Learn from rows ``X`` (n_rows, n_features) and classes ``y`` (n_rows,)."""
        self._check()
        X = checked_rows(self, X, fitting=True)
        codes = self._codes(y, len(X))
        self._learn(X, np.eye(len(self.classes_))[codes])
        self.prototypes_ = Scaling(self.mean_, self.scale_).undo(self.network_.weights.detach().cpu().numpy())
        return self

    def _codes(self, y: Any, n_rows: int) -> np.ndarray:
        if y is None:
            raise LabelError(
                "CounterPropagationClassifier requires y to be passed, but the target y is None: pass one per row"
            )
        try:
            column = column_or_1d(y, warn=True)
            assert_all_finite(column, input_name="y")
            check_classification_targets(column)
        except ValueError as problem:
            raise LabelError(str(problem)) from None
        if len(column) != n_rows:
            raise LabelError(f"there are {len(column)} labels for {n_rows} rows; expected one label per row")
        self.classes_, codes = np.unique(column, return_inverse=True)
        if len(self.classes_) < 2:
            raise LabelError("y holds 1 class; expected at least 2 classes to tell apart")
        return codes

    def predict_proba(self, X: Any) -> np.ndarray:
        """Shares of the classes of ``classes_`` at the winner of each row of ``X``: (n_rows, n_classes)."""
        shares = self._answers(X).clip(min=0)
        total = shares.sum(1, keepdims=True)
        even = np.full_like(shares, 1 / len(self.classes_))  # a unit that won nothing knows nothing
        return np.divide(shares, total, out=even, where=total > 0)

    def predict(self, X: Any) -> np.ndarray:
        """The class with the largest share for each row of ``X`` (n_rows, n_features): (n_rows,)."""
        best = self.predict_proba(X).argmax(1)
        return self.classes_[best]

    def inverse(self, y: Any) -> np.ndarray:
        """Backwards: the row that the unit most given to each class of ``y`` stands for, (n, n_features)."""
        check_is_fitted(self)
        y = np.asarray(y)
        codes = np.searchsorted(self.classes_, y).clip(max=len(self.classes_) - 1)
        if (self.classes_[codes] != y).any():
            raise LabelError(f"y holds classes that fit did not see; expected among {list(self.classes_)}")
        return self._inverse(torch.eye(len(self.classes_))[torch.from_numpy(codes)])
