"""`ClassificationRBM`: classes of rows by one machine over row and class, with or without labels for all rows."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from lamina.core.checks import check_device
from lamina.core.random import Random, as_random
from lamina.estimators.base import (
    CheckedByEstimator,
    Scaling,
    at_least_steps,
    checked_rows,
    choose_visible,
    in_chunks,
    progress,
    tensor,
    torch_type,
)
from lamina.estimators.limits import check_settings
from lamina.estimators.targets import class_codes
from lamina.models.energy import ClassificationRBM as Machine
from lamina.training import HybridClassification, falling, fit
from lamina.units import Bernoulli, Gaussian

EPOCHS, STEPS = 20, 1000


class _CheckedRule(CheckedByEstimator, HybridClassification):
    """The rule on rows that the estimator has checked as a whole."""


class ClassificationRBM(ClassNamePrefixFeaturesOutMixin, TransformerMixin, ClassifierMixin, BaseEstimator):
    """Restricted Boltzmann machine over row and class (Larochelle, Bengio 2008).

    p(class | row) is exact, and learnt by its own gradient plus a little of the gradient of log p(row, class), which
    regularises it. Rows without a label add the gradient of log p(row). Both of the latter are by CD-k.

    Parameters
    ----------
    n_hidden : int, default=500
        Number of hidden units.
    visible : {"auto", "bernoulli", "gaussian"}, default="auto"
        Units of the row. "auto": Bernoulli where all values lie in [0, 1]; else columns are standardised and the units
        are Gaussian.
    generative_weight : float, default=0.01
        Weight of −log p(row, class) beside −log p(class | row), each a mean over labelled rows; 0 leaves it out.
    unlabelled_weight : float, default=0.01
        Weight of −log p(row), a mean over rows without a label; 0 leaves them out.
    epochs : int or None, default=None
        Passes over all rows. None: 20, or as many as make 1,000 steps.
    batch_size : int, default=100
        Rows per step.
    learning_rate : float or None, default=None
        Step length (Adam), falling in the second half. None: 0.001, up to 0.01 for less than 200 hidden units.
    k : int, default=1
        Gibbs steps of contrastive divergence.
    weight_decay : float, default=1e-4
        Decoupled decay of the weights; biases are spared.
    unlabelled : default="auto"
        What marks an unlabelled row in ``y``. "auto": -1 among numbers where at least two other classes remain, and
        None, NaN or "". None: only the latter. Any other value: that value too.
    dtype : {"float32", "float64"}, default="float32"
        Type of weights and results.
    random_state : int, RandomState, Generator, lamina.Random or None, default=None
        Source of all random numbers; an int gives the same result each time.
    device : str or None, default=None
        Where to compute: None is the CPU.
    verbose : int, default=0
        Above 0, progress on standard error.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Classes in order, of the type in which they were given; never the mark of unlabelled rows.
    rbm_ : lamina.models.energy.ClassificationRBM
        The machine, on scaled rows.
    history_ : lamina.History
        Measures per epoch.
    visible_ : str
        "bernoulli" or "gaussian".
    mean_, scale_ : ndarray of shape (n_features,)
        What is subtracted from the columns, and divided by.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Only where ``X`` has names for its columns.

    Raises
    ------
    DataError, LabelError, SettingError (all ValueErrors), DivergenceError, DeviceError

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from lamina.estimators import ClassificationRBM
    >>> X, y = load_digits(return_X_y=True)
    >>> y[100:] = -1                                                       # no label
    >>> ClassificationRBM(n_hidden=300).fit(X / 16, y).score(X / 16, y)    # doctest: +SKIP
    """

    def __init__(
        self,
        n_hidden: int = 500,
        *,
        visible: str = "auto",
        generative_weight: float = 0.01,
        unlabelled_weight: float = 0.01,
        epochs: int | None = None,
        batch_size: int = 100,
        learning_rate: float | None = None,
        k: int = 1,
        weight_decay: float = 1e-4,
        unlabelled: Any = "auto",
        dtype: str = "float32",
        random_state: Any = None,
        device: str | None = None,
        verbose: int = 0,
    ) -> None:
        self.n_hidden = n_hidden
        self.visible = visible
        self.generative_weight = generative_weight
        self.unlabelled_weight = unlabelled_weight
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.k = k
        self.weight_decay = weight_decay
        self.unlabelled = unlabelled
        self.dtype = dtype
        self.random_state = random_state
        self.device = device
        self.verbose = verbose

    def fit(self, X: Any, y: Any) -> Self:
        """Learn from rows ``X`` (n_rows, n_features) and labels ``y`` (n_rows,), some of which may be missing."""
        check_settings(self)
        X = checked_rows(self, X, fitting=True)
        codes = class_codes(self, y, len(X))
        self.visible_ = choose_visible(self.visible, X)
        scaling = Scaling.of(X) if self.visible_ == "gaussian" else Scaling.none(X.shape[1])
        self.mean_, self.scale_ = scaling.mean, scaling.scale
        if not self.unlabelled_weight:
            X, codes = X[codes >= 0], codes[codes >= 0]
        self._learn(tensor(scaling.apply(X), torch_type(self.dtype)), torch.from_numpy(codes))
        return self

    def _learn(self, rows: Tensor, codes: Tensor) -> None:
        random = as_random(self.random_state).child("ClassificationRBM")
        usual = at_least_steps(EPOCHS, STEPS, len(rows), self.batch_size)
        epochs = usual if self.epochs is None else int(self.epochs)
        self.rbm_ = self._machine(rows, codes, random)
        self.history_ = fit(
            self.rbm_,
            (rows, codes),
            self._rule(codes),
            epochs=epochs,
            batch_size=self.batch_size,
            learning_rate=falling(self._rate(), epochs),
            optimiser="adam",
            weight_decay=self.weight_decay,
            random_state=random,
            device=check_device(self.device),
            callbacks=progress(self.verbose, "ClassificationRBM"),
        )

    def _machine(self, rows: Tensor, codes: Tensor, random: Random) -> Machine:
        family = (Gaussian if self.visible_ == "gaussian" else Bernoulli)(rows.shape[1])
        machine = Machine(family, len(self.classes_), self.n_hidden, dtype=rows.dtype)
        shares = torch.bincount(codes[codes >= 0], minlength=machine.n_classes) / int((codes >= 0).sum())
        return machine.initialise(random, rows.mean(0), shares, scale=0.02)

    def _rule(self, codes: Tensor) -> HybridClassification:
        """Weights per row such that labelled rows, and rows without a label, each count as their own mean."""
        n_labelled = int((codes >= 0).sum())
        n_others = len(codes) - n_labelled
        share = len(codes) / n_labelled
        return _CheckedRule(
            discriminative_weight=share,
            generative_weight=share * self.generative_weight,
            unlabelled_weight=self.unlabelled_weight * len(codes) / n_others if n_others else 0.0,
            k=self.k,
        )

    def _rate(self) -> float:
        """0.001, and up to ten times more where there are few hidden units: the sum of their steps is what counts."""
        if self.learning_rate is not None:
            return float(self.learning_rate)
        return 1e-3 * min(10.0, max(1.0, 200 / self.n_hidden))

    # using -----------------------------------------------------------------------------------------------------------

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probability of each class of ``classes_`` for rows ``X`` (n_rows, n_features): (n_rows, n_classes)."""
        return self._through(lambda machine, v: machine.p_y_from_v(v), X).astype(self.dtype)

    def predict(self, X: Any) -> np.ndarray:
        """The most probable class for rows ``X`` (n_rows, n_features): (n_rows,)."""
        best = self.predict_proba(X).argmax(1)
        return self.classes_[best]

    def transform(self, X: Any) -> np.ndarray:
        """E[h | v], the class averaged out, for rows ``X`` (n_rows, n_features): (n_rows, n_hidden)."""
        return self._through(lambda machine, v: machine.mean_h_from_v(v), X).astype(self.dtype)

    def _through(self, apply: Callable[[Machine, Tensor], Tensor], X: Any) -> np.ndarray:
        """``apply`` to the machine and the scaled rows of ``X`` in float64, where a row's answer hangs on it alone."""
        check_is_fitted(self)
        rows = Scaling(self.mean_, self.scale_).apply(checked_rows(self, X))
        machine = copy.deepcopy(self.rbm_)
        machine = (machine.cpu() if machine.W.device.type == "mps" else machine).to(torch.float64)
        return in_chunks(lambda v: apply(machine, v), rows, machine.W)

    @property
    def _n_features_out(self) -> int:
        return self.rbm_.n_hidden

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []  # features come in the type that ``dtype`` names
        return tags
