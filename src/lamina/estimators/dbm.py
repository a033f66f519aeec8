"""`DBM`: features of all depths of a deep Boltzmann machine, by mean-field inference."""

from __future__ import annotations

import copy
from collections.abc import Callable
from numbers import Integral
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from lamina.core.checks import check_device
from lamina.core.random import as_random
from lamina.estimators.base import (
    CheckedByEstimator,
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
from lamina.estimators.limits import check_settings
from lamina.inference import deep_mean_field, mean_field_bound
from lamina.models import energy
from lamina.training import MeanFieldPCD, fit, pretrain_deep
from lamina.training.schedules import Schedule
from lamina.units import Bernoulli, Gaussian

EPOCHS, PRETRAIN_EPOCHS, STEPS = 20, 10, 200


class CheckedMeanFieldPCD(CheckedByEstimator, MeanFieldPCD):
    """The rule on rows that the estimator has checked as a whole: the loop's own look at the first rows is left out."""


class DBM(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Deep Boltzmann machine (Salakhutdinov and Hinton 2009): greedy pre-training, then all layers together.

    Learns by mean-field inference for the data and persistent Gibbs chains for the model, with centred gradients and a
    learning rate that falls on a straight line to a hundredth. Features are mean-field means after a fixed number of
    iterations in float64, so that a row's features do not depend on the rows that come with it.

    Parameters
    ----------
    hidden : int or sequence of int, default=(256, 256)
        Numbers of hidden units, from the bottom up.
    visible : {"auto", "bernoulli", "gaussian"}, default="auto"
        Visible units; "auto" takes Bernoulli ones where all values lie in [0, 1]. Rows for Gaussian ones are
        standardised.
    epochs : int or None, default=None
        Passes over the data, all layers together; None is 20, or as many more as make 200 steps.
    epochs_pretrain : int, sequence of int or None, default=None
        Passes over the data for each pair of layers, or one number per pair; None is 10, or as many more as make 200
        steps; 0 is no pre-training.
    batch_size : int, default=100
        Rows per step.
    learning_rate : float or None, default=None
        First step length; None is 0.02, and 0.002 with Gaussian visible units.
    k : int, default=1
        Gibbs steps of the chains per step.
    n_chains : int, default=100
        Persistent chains.
    features : {"top", "all"}, default="top"
        Whether `transform` gives the top layer's means or those of all hidden layers, from the bottom up.
    mean_field_iterations : int, default=30
        Iterations of `transform` and `score_samples`.
    dtype : {"float32", "float64"}, default="float32"
        Type in which to learn, and of the features.
    random_state : int, RandomState, Generator, lamina.Random or None, default=None
        Source of all random numbers; an int gives the same result each time.
    device : str or None, default=None
        Where to compute: None is the CPU.
    verbose : int, default=0
        Above 0, progress on standard error.

    Attributes
    ----------
    dbm_ : lamina.DBM
        The machine, on scaled rows.
    visible_ : {"bernoulli", "gaussian"}
    mean_, scale_ : ndarray of shape (n_features,)
        What is subtracted from rows, and divided by: 0 and 1 for Bernoulli units.
    history_ : list of lamina.History
        One for each pair that was pre-trained, and one for the whole machine.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Only where ``X`` has names for its columns.

    Raises
    ------
    DataError (a ValueError), SettingError (a ValueError), DivergenceError, DeviceError

    Examples
    --------
    >>> import numpy as np
    >>> from lamina.estimators import DBM
    >>> X = np.random.default_rng(0).integers(0, 2, (50, 6))
    >>> DBM(hidden=(8, 4), random_state=0).fit_transform(X).shape
    (50, 4)
    """

    def __init__(
        self,
        hidden: Any = (256, 256),
        *,
        visible: str = "auto",
        epochs: int | None = None,
        epochs_pretrain: Any = None,
        batch_size: int = 100,
        learning_rate: float | None = None,
        k: int = 1,
        n_chains: int = 100,
        features: str = "top",
        mean_field_iterations: int = 30,
        dtype: str = "float32",
        random_state: Any = None,
        device: str | None = None,
        verbose: int = 0,
    ) -> None:
        self.hidden = hidden
        self.visible = visible
        self.epochs = epochs
        self.epochs_pretrain = epochs_pretrain
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.k = k
        self.n_chains = n_chains
        self.features = features
        self.mean_field_iterations = mean_field_iterations
        self.dtype = dtype
        self.random_state = random_state
        self.device = device
        self.verbose = verbose

    # learning ---------------------------------------------------------------------------------------------------------

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn from rows ``X`` (n_rows, n_features); ``y`` is ignored."""
        check_settings(self)
        X = checked_rows(self, X, fitting=True)
        self.visible_ = choose_visible(self.visible, X)
        gaussian = self.visible_ == "gaussian"
        scaling = Scaling.of(X) if gaussian else Scaling.none(X.shape[1])
        self.mean_, self.scale_ = scaling.mean, scaling.scale
        rows = tensor(scaling.apply(X), torch_type(self.dtype))
        sizes = (self.hidden,) if isinstance(self.hidden, Integral) else self.hidden
        first = (Gaussian if gaussian else Bernoulli)(rows.shape[1])
        self.dbm_ = energy.DBM(first, *(int(n) for n in sizes), dtype=rows.dtype).to(check_device(self.device))
        self._learn(rows, 0.002 if gaussian else 0.02)
        return self

    def _learn(self, rows: Tensor, default_rate: float) -> None:
        random = as_random(self.random_state).child("DBM")
        self.dbm_.initialise(random, rows.mean(0))
        rate = default_rate if self.learning_rate is None else float(self.learning_rate)
        self.history_ = []
        before = self._passes(self.epochs_pretrain, PRETRAIN_EPOCHS, len(rows))
        if before != 0:
            self.history_ += pretrain_deep(
                self.dbm_,
                rows,
                lambda k: CheckedCD(sample_visible=False),
                epochs=before,
                batch_size=self.batch_size,
                learning_rate=rate,
                random_state=random.child("pre-training"),
                callbacks=lambda k: progress(self.verbose, f"DBM: layers {k} and {k + 1}"),
            )
        epochs = self._passes(self.epochs, EPOCHS, len(rows))
        history = fit(
            self.dbm_,
            rows,
            CheckedMeanFieldPCD(self.k, self.n_chains, centred=True),
            epochs=epochs,
            batch_size=self.batch_size,
            learning_rate=Schedule(((0.0, rate), (float(max(1, epochs)), rate / 100)), linear=True),
            random_state=random.child("learning"),
            callbacks=progress(self.verbose, "DBM: all layers"),
        )
        self.history_.append(history)

    def _passes(self, given: Any, usual: int, n_rows: int) -> Any:
        if given is None:
            return at_least_steps(usual, STEPS, n_rows, self.batch_size)
        return int(given) if isinstance(given, Integral) else [int(n) for n in given]

    # using ------------------------------------------------------------------------------------------------------------

    def transform(self, X: Any) -> np.ndarray:
        """Mean-field means for rows ``X`` (n_rows, n_features): (n_rows, n_top), or all layers' side by side."""

        def features(machine: energy.DBM, v: Tensor) -> Tensor:
            means = self._infer(machine, v)
            return means[-1] if self.features == "top" else torch.cat(means, 1)

        return self._through(features, X).astype(self.dtype)

    def score_samples(self, X: Any) -> np.ndarray:
        """A lower bound on log p(x) + log Z for the scaled rows of ``X`` (n_rows, n_features): (n_rows,), in nats.

        Fine for comparing rows under one machine, meaningless between machines until log Z is estimated
        (`lamina.inference.log_partition`).
        """
        return self._through(lambda machine, v: mean_field_bound(machine, v, self._infer(machine, v)), X)

    def _infer(self, machine: energy.DBM, v: Tensor) -> tuple[Tensor, ...]:
        return deep_mean_field(machine, v, tolerance=0.0, max_iterations=self.mean_field_iterations).means

    def _through(self, apply: Callable[[energy.DBM, Tensor], Tensor], X: Any) -> np.ndarray:
        """``apply`` to the machine and the scaled rows of ``X``, computed and returned in float64."""
        check_is_fitted(self)
        check_settings(self)
        rows = Scaling(self.mean_, self.scale_).apply(checked_rows(self, X))
        machine = copy.deepcopy(self.dbm_)
        machine = (machine.cpu() if machine.b[0].device.type == "mps" else machine).to(torch.float64)
        return in_chunks(lambda v: apply(machine, v), rows, machine.b[0])

    @property
    def _n_features_out(self) -> int:
        return self.dbm_.n_hidden if self.features == "top" else sum(self.dbm_.sizes[1:])

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []  # features come in the type that ``dtype`` names
        return tags
