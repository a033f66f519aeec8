"""`SparseCoding`: rows as sums of few atoms of a dictionary that is learnt from them."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_array, check_is_fitted

from lamina.core.checks import check_device, check_matrix
from lamina.core.errors import DataError
from lamina.core.random import as_random
from lamina.estimators.base import FLOATS, Scaling, checked_rows, in_chunks, progress, torch_type
from lamina.estimators.limits import check_settings
from lamina.models.sparse import SparseCoding as SparseCoder
from lamina.training import OnlineDictionary, fit
from lamina.training.dictionary import atoms_from_rows


class SparseCoding(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Sparse codes under a learnt dictionary: min ½ ‖x − h Dᵀ‖² + cost Σ|h| on standardised rows x.

    The dictionary is learnt online (Mairal, Bach, Ponce, Sapiro 2010) from atoms that begin as rows; codes are found by
    alternating directions.

    Parameters
    ----------
    n_hidden : int, default=256
        Number of atoms; may exceed the number of features.
    cost : float, default=1.0
        Price of a unit of code. Larger: fewer atoms per row. Where it exceeds every |x · d|, all codes are 0.
    positive : bool, default=False
        Codes of at least 0 alone.
    epochs : int, default=10
        Passes over the data.
    batch_size : int, default=256
        Rows per step of the dictionary.
    forgetting : float, default=5.0
        How fast the sums over early batches fade; 0 keeps all alike.
    tolerance : float, default=1e-4
        Accuracy of the codes that `transform` returns: largest violation of their optimality conditions, as a share of
        the cost. Codes while learning are coarser.
    standardise : bool, default=True
        Subtract the mean and divide by the standard deviation of every column (1 for a constant column).
    random_state : int, RandomState, Generator, lamina.Random or None, default=None
        Source of all random numbers; an int gives the same result each time.
    device : str or None, default=None
        Where to compute: None is the CPU.
    verbose : int, default=0
        Above 0, progress on standard error.

    Attributes
    ----------
    coder_ : lamina.SparseCoding
        The model, on standardised rows; float32 where ``X`` is, else float64.
    components_ : ndarray of shape (n_hidden, n_features)
        The atoms, of length at most 1, in units of standardised rows.
    mean_, scale_ : ndarray of shape (n_features,)
        What was subtracted, and divided by: 0 and 1 without ``standardise``.
    history_ : lamina.History
        Objective, share of zeros and dead atoms per epoch.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Only where ``X`` has names for its columns.

    Raises
    ------
    DataError (a ValueError), SettingError (a ValueError), DeviceError

    Examples
    --------
    >>> import numpy as np
    >>> from lamina.estimators import SparseCoding
    >>> X = np.random.default_rng(0).normal(size=(50, 4))
    >>> SparseCoding(n_hidden=8, random_state=0).fit_transform(X).shape
    (50, 8)
    """

    def __init__(
        self,
        n_hidden: int = 256,
        *,
        cost: float = 1.0,
        positive: bool = False,
        epochs: int = 10,
        batch_size: int = 256,
        forgetting: float = 5.0,
        tolerance: float = 1e-4,
        standardise: bool = True,
        random_state: Any = None,
        device: str | None = None,
        verbose: int = 0,
    ) -> None:
        self.n_hidden = n_hidden
        self.cost = cost
        self.positive = positive
        self.epochs = epochs
        self.batch_size = batch_size
        self.forgetting = forgetting
        self.tolerance = tolerance
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
        random = as_random(self.random_state).child("SparseCoding")
        coder = SparseCoder(
            X.shape[1],
            self.n_hidden,
            cost=self.cost,
            positive=bool(self.positive),
            tolerance=self.tolerance,
            dtype=torch_type(X.dtype),
            random_state=random,
        )
        self.history_ = fit(
            atoms_from_rows(coder, rows, random),
            rows,
            OnlineDictionary(forgetting=self.forgetting),
            epochs=self.epochs,
            batch_size=self.batch_size,
            random_state=random,
            device=check_device(self.device),
            callbacks=progress(self.verbose, "SparseCoding"),
        )
        self.coder_ = coder
        self.mean_, self.scale_ = scaling.mean, scaling.scale
        self.components_ = coder.D.detach().cpu().numpy().T
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Codes of rows ``X`` (n_rows, n_features): (n_rows, n_hidden), most of them 0."""
        check_is_fitted(self)
        X = checked_rows(self, X)
        codes = in_chunks(self.coder_.mean_h_from_v, Scaling(self.mean_, self.scale_).apply(X), self.coder_.D)
        return codes.astype(np.result_type(X.dtype, codes.dtype), copy=False)

    def inverse_transform(self, H: Any) -> np.ndarray:
        """Rows in the units of the data for codes ``H`` (n_rows, n_hidden): (n_rows, n_features)."""
        check_is_fitted(self)
        try:
            H = check_array(H, dtype=FLOATS, ensure_all_finite=False)
        except ValueError as problem:
            raise DataError(str(problem)) from None
        check_matrix(H, name="the codes", n_features=self.coder_.n_hidden)
        return Scaling(self.mean_, self.scale_).undo(in_chunks(self.coder_.mean_v_from_h, H, self.coder_.D))

    @property
    def _n_features_out(self) -> int:
        return self.coder_.n_hidden

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
