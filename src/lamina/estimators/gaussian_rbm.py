"""`GaussianRBM`: features of real-valued rows, by a machine of Gaussian visible and Bernoulli hidden units."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_array, check_is_fitted

from lamina.core.checks import check_device, check_matrix
from lamina.core.errors import DataError
from lamina.core.random import as_random
from lamina.estimators.base import FLOATS, CheckedCD, Scaling, checked_rows, in_chunks, progress, torch_type
from lamina.estimators.limits import check_settings
from lamina.models import RBM
from lamina.training import fit
from lamina.units import Gaussian


class GaussianRBM(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Restricted Boltzmann machine with Gaussian visible units, trained by contrastive divergence (Hinton 2002).

    E(v, h) = Σ (v−b)²/2σ² − Σ (v/σ²) W h − c·h on standardised rows; with σ fixed at 1, or learnt (Melchior, Wang,
    Wiskott 2017).

    Parameters
    ----------
    n_hidden : int, default=256
        Number of hidden units.
    learning_rate : float, default=0.002
        Step length. The gradients have no bound: ten times less than for Bernoulli units is usual (Hinton 2010,
        section 13.2).
    batch_size : int, default=100
        Rows per step.
    epochs : int, default=10
        Passes over the data.
    momentum : float, default=0.5
        Share of the previous step that is kept, in [0, 0.999].
    weight_decay : float, default=2e-4
        L2 penalty on the weights; biases are spared.
    k : int, default=1
        Gibbs steps of contrastive divergence.
    learn_sigma : bool, default=False
        Learn the standard deviation of every visible unit instead of keeping it at 1.
    standardise : bool, default=True
        Subtract the mean and divide by the standard deviation of every column (1 for a constant column). Where False,
        rows must come standardised, unless ``learn_sigma``.
    random_state : int, RandomState, Generator, lamina.Random or None, default=None
        Source of all random numbers; an int gives the same result each time.
    device : str or None, default=None
        Where to compute: None is the CPU.
    verbose : int, default=0
        Above 0, progress on standard error.

    Attributes
    ----------
    rbm_ : lamina.RBM
        The machine, on standardised rows; float32 where ``X`` is, else float64.
    components_ : ndarray of shape (n_hidden, n_features)
        Weights.
    intercept_hidden_ : ndarray of shape (n_hidden,)
    intercept_visible_ : ndarray of shape (n_features,)
        In units of standardised rows, like ``sigma_``.
    sigma_ : ndarray of shape (n_features,)
        Standard deviations of the visible units.
    mean_, scale_ : ndarray of shape (n_features,)
        What was subtracted, and divided by: 0 and 1 without ``standardise``.
    history_ : lamina.History
        Measures per epoch.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Only where ``X`` has names for its columns.

    Raises
    ------
    DataError (a ValueError), SettingError (a ValueError), DivergenceError, DeviceError

    Examples
    --------
    >>> import numpy as np
    >>> from lamina.estimators import GaussianRBM
    >>> X = np.random.default_rng(0).normal(size=(50, 4))
    >>> GaussianRBM(n_hidden=8, random_state=0).fit_transform(X).shape
    (50, 8)
    """

    def __init__(
        self,
        n_hidden: int = 256,
        *,
        learning_rate: float = 0.002,
        batch_size: int = 100,
        epochs: int = 10,
        momentum: float = 0.5,
        weight_decay: float = 2e-4,
        k: int = 1,
        learn_sigma: bool = False,
        standardise: bool = True,
        random_state: Any = None,
        device: str | None = None,
        verbose: int = 0,
    ) -> None:
        self.n_hidden = n_hidden
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.epochs = epochs
        self.momentum = momentum
        self.weight_decay = weight_decay
        self.k = k
        self.learn_sigma = learn_sigma
        self.standardise = standardise
        self.random_state = random_state
        self.device = device
        self.verbose = verbose

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn from rows ``X`` (n_rows, n_features); ``y`` is ignored. One row is too few to standardise by."""
        check_settings(self)
        X = checked_rows(self, X, fitting=True, ensure_min_samples=2 if self.standardise else 1)
        scaling = Scaling.of(X) if self.standardise else Scaling.none(X.shape[1])
        rows = scaling.apply(X)
        visible = Gaussian(X.shape[1], learn_sigma=self.learn_sigma)
        if not self.standardise:
            visible.check(X)
        random = as_random(self.random_state).child("GaussianRBM")
        machine = RBM(visible, self.n_hidden, dtype=torch_type(X.dtype))
        machine.initialise(random, torch.from_numpy(rows.mean(0)))
        self.history_ = fit(
            machine,
            rows,
            CheckedCD(self.k),
            epochs=self.epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
            random_state=random,
            device=check_device(self.device),
            callbacks=progress(self.verbose, "GaussianRBM"),
        )
        self._keep(machine, scaling)
        return self

    def _keep(self, machine: RBM, scaling: Scaling) -> None:
        arrays = {name: value.detach().cpu().numpy() for name, value in machine.state_dict().items()}
        self.rbm_ = machine
        self.mean_, self.scale_ = scaling.mean, scaling.scale
        self.components_ = arrays["W"].T
        self.intercept_hidden_, self.intercept_visible_ = arrays["c"], arrays["b"]
        self.sigma_ = np.exp(arrays["visible.log_variance"] / 2)

    def transform(self, X: Any) -> np.ndarray:
        """E[h | v] for rows ``X`` (n_rows, n_features): (n_rows, n_hidden)."""
        rows = self._standardised(X)
        means = in_chunks(self.rbm_.mean_h_from_v, rows, self.rbm_.W)
        return means.astype(np.result_type(rows.dtype, means.dtype), copy=False)

    def inverse_transform(self, H: Any) -> np.ndarray:
        """E[v | h] in the units of the data for hidden values ``H`` (n_rows, n_hidden): (n_rows, n_features)."""
        check_is_fitted(self)
        try:
            H = check_array(H, dtype=FLOATS, ensure_all_finite=False)
        except ValueError as problem:
            raise DataError(str(problem)) from None
        check_matrix(H, name="the hidden values", n_features=self.rbm_.n_hidden)
        return Scaling(self.mean_, self.scale_).undo(in_chunks(self.rbm_.mean_v_from_h, H, self.rbm_.W))

    def score_samples(self, X: Any) -> np.ndarray:
        """−F(x), minus the free energy of the standardised rows of ``X`` (n_rows, n_features): (n_rows,), in nats.

        This is log p(x) + log Z: fine for comparing rows under one machine, meaningless between machines until
        log Z is estimated.
        """
        return in_chunks(lambda v: -self.rbm_.free_energy(v), self._standardised(X), self.rbm_.W)

    def _standardised(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        return Scaling(self.mean_, self.scale_).apply(checked_rows(self, X))

    @property
    def _n_features_out(self) -> int:
        return self.rbm_.n_hidden

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
