"""`HebbianPCA`: principal components learnt by Sanger's rule, row by row, without a covariance matrix."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_array, check_is_fitted

from lamina.core.checks import check_device, check_matrix
from lamina.core.errors import DataError, SettingError
from lamina.core.random import as_random
from lamina.estimators.base import FLOATS, Scaling, at_least_steps, checked_rows, in_chunks, progress, torch_type
from lamina.estimators.limits import check_settings
from lamina.models.maps import HebbianLayer
from lamina.training import Oja, Sanger, fit, shrinking


class HebbianPCA(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Principal components by Hebbian learning: Δw_j = η y_j (x − Σ_{k≤j} y_k w_k) (Sanger 1989), y = (x − mean) W.

    An iterative approximation, for teaching and for streams; `sklearn.decomposition.PCA` is exact and faster wherever
    the rows fit into memory. Components with nearly equal variances come apart slowly.

    Parameters
    ----------
    n_components : int or None, default=None
        Number of components. None: as many as there are features (or rows, if fewer).
    rule : {"sanger", "oja"}, default="sanger"
        "sanger" learns components in order, "oja" some basis of their space (for one component both are one).
    epochs : int or None, default=None
        Passes over the data. None: 50, or as many as make 5000 steps.
    batch_size : int, default=20
        Rows per step.
    learning_rate : float, default=0.3
        First step length, for rows of which the variances of all columns sum to 1; falls to a hundredth. Above 1 or so
        the rule diverges.
    standardise : bool, default=False
        Divide by the standard deviation of every column too (1 for a constant column).
    random_state : int, RandomState, Generator, lamina.Random or None, default=None
        Source of all random numbers; an int gives the same result each time.
    device : str or None, default=None
        Where to compute: None is the CPU.
    verbose : int, default=0
        Above 0, progress on standard error.

    Attributes
    ----------
    layer_ : lamina.HebbianLayer
        The model; float32 where ``X`` is, else float64.
    components_ : ndarray of shape (n_components, n_features)
        Rows of length near 1, nearly orthogonal, largest variance first (with "sanger"). Their sign is arbitrary; here
        the largest entry of each is positive.
    explained_variance_ : ndarray of shape (n_components,)
        Variance of each column of `transform` on the rows of `fit` (n − 1 in the denominator).
    explained_variance_ratio_ : ndarray of shape (n_components,)
        The same as a share of the variance of all columns.
    mean_, scale_ : ndarray of shape (n_features,)
        What was subtracted, and divided by (1 without ``standardise``).
    history_ : lamina.History
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Only where ``X`` has names for its columns.

    Raises
    ------
    DataError, SettingError (both ValueErrors), DivergenceError, DeviceError

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from lamina.estimators import HebbianPCA
    >>> X, _ = load_iris(return_X_y=True)
    >>> found = HebbianPCA(2, random_state=0).fit(X)
    >>> found.transform(X).shape, bool(found.explained_variance_ratio_[0] > 0.9)
    ((150, 2), True)
    """

    def __init__(
        self,
        n_components: int | None = None,
        *,
        rule: str = "sanger",
        epochs: int | None = None,
        batch_size: int = 20,
        learning_rate: float = 0.3,
        standardise: bool = False,
        random_state: Any = None,
        device: str | None = None,
        verbose: int = 0,
    ) -> None:
        self.n_components = n_components
        self.rule = rule
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.standardise = standardise
        self.random_state = random_state
        self.device = device
        self.verbose = verbose

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn from rows ``X`` (n_rows, n_features), at least two; ``y`` is ignored."""
        check_settings(self)
        X = checked_rows(self, X, fitting=True, ensure_min_samples=2)
        most = min(X.shape)
        n = most if self.n_components is None else int(self.n_components)
        if n > X.shape[1]:
            raise SettingError(f"n_components is {n} for {X.shape[1]} features; expected at most as many")
        scaling = Scaling.of(X)
        if not self.standardise:
            scaling = Scaling(scaling.mean, np.ones(X.shape[1]))
        rows = scaling.apply(X)
        total = float(rows.var(0, ddof=1, dtype=np.float64).sum())
        size = total**0.5 or 1.0  # rows of one and the same value have nothing to explain
        self.layer_ = self._learn((rows / size).astype(X.dtype), n)
        self.mean_, self.scale_ = scaling.mean, scaling.scale
        W = self.layer_.W.detach()
        lead = W.gather(0, W.abs().argmax(0, keepdim=True))
        self.layer_.W.data.mul_((lead < 0) * -2.0 + 1)
        self.components_ = self.layer_.W.detach().cpu().numpy().T.copy()
        codes = in_chunks(self.layer_.encode, rows, self.layer_.W)
        self.explained_variance_ = codes.var(0, ddof=1, dtype=np.float64)
        self.explained_variance_ratio_ = self.explained_variance_ / (total or 1.0)
        return self

    def _learn(self, rows: np.ndarray, n: int) -> HebbianLayer:
        random = as_random(self.random_state).child("HebbianPCA")
        layer = HebbianLayer(rows.shape[1], n, dtype=torch_type(rows.dtype), random_state=random)
        batch = min(int(self.batch_size), len(rows))
        epochs = at_least_steps(50, 5000, len(rows), batch) if self.epochs is None else int(self.epochs)
        self.history_ = fit(
            layer,
            rows,
            Sanger() if self.rule == "sanger" else Oja(),
            epochs=epochs,
            batch_size=batch,
            learning_rate=shrinking(self.learning_rate, self.learning_rate / 100, max(1, epochs)),
            random_state=random,
            device=check_device(self.device),
            callbacks=progress(self.verbose, "HebbianPCA"),
        )
        return layer

    def transform(self, X: Any) -> np.ndarray:
        """Components of rows ``X`` (n_rows, n_features): (n_rows, n_components)."""
        check_is_fitted(self)
        X = checked_rows(self, X)
        codes = in_chunks(self.layer_.encode, Scaling(self.mean_, self.scale_).apply(X), self.layer_.W)
        return codes.astype(np.result_type(X.dtype, codes.dtype), copy=False)

    def inverse_transform(self, H: Any) -> np.ndarray:
        """mean + scale · H components for codes ``H`` (n_rows, n_components): (n_rows, n_features)."""
        check_is_fitted(self)
        try:
            H = check_array(H, dtype=FLOATS, ensure_all_finite=False)
        except ValueError as problem:
            raise DataError(str(problem)) from None
        check_matrix(H, name="the codes", n_features=self.layer_.n_hidden)
        return Scaling(self.mean_, self.scale_).undo(in_chunks(self.layer_.decode, H, self.layer_.W))

    @property
    def _n_features_out(self) -> int:
        return self.layer_.n_hidden

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
