"""`BernoulliRBM`: scikit-learn's estimator of that name, on Lamina's machine and loop.

The fitted arrays are the whole state: every method builds the machine from them, so that arrays which a user sets or
pickles are the ones that count.
"""

from __future__ import annotations

import sys
import time
import warnings
from typing import Any, Self

import numpy as np
import torch
from scipy import sparse
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from lamina.core.checks import check_device, check_unit_interval
from lamina.core.errors import DataError
from lamina.core.random import Random, as_random
from lamina.estimators.base import (
    ContinuedPCD,
    SparseRows,
    checked_rows,
    in_chunks,
    machine_from,
    tensor,
)
from lamina.estimators.limits import check_settings
from lamina.inference import gibbs
from lamina.inference.pseudo_likelihood import site_log_probability
from lamina.models import RBM
from lamina.training import EpochRecord, fit


class BernoulliRBM(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Restricted Boltzmann machine of Bernoulli units: a drop-in for ``sklearn.neural_network.BernoulliRBM``.

    Learns by persistent contrastive divergence (Tieleman 2008) with ``batch_size`` chains, as scikit-learn's does.
    Differences: rows are shuffled in each epoch; gradients are means over rows and over chains, so that an uneven last
    batch weighs no more than it should; `partial_fit` returns the estimator; values outside [0, 1], which
    scikit-learn takes without a word, give a `UserWarning`.

    Parameters
    ----------
    n_components : int, default=256
        Number of hidden units.
    learning_rate : float, default=0.1
        Step length on the mean gradient.
    batch_size : int, default=10
        Rows per step, and number of persistent chains.
    n_iter : int, default=10
        Passes over the data.
    verbose : int, default=0
        Above 0, one line per pass on standard output, worded as scikit-learn's.
    random_state : int, RandomState, Generator, lamina.Random or None, default=None
        Source of all random numbers; an int gives the same result each time.
    momentum : float, default=0.0
        Share of the previous step that is kept, in [0, 0.999]. Each `partial_fit` begins at rest.
    weight_decay : float, default=0.0
        L2 penalty on the weights; biases are spared.
    k : int, default=1
        Gibbs steps of the chains per step of learning.
    device : str or None, default=None
        Where to compute: None is the CPU. The fitted arrays are on the CPU.

    Attributes
    ----------
    components_ : ndarray of shape (n_components, n_features)
        Weights, float32 where ``X`` is, else float64.
    intercept_hidden_ : ndarray of shape (n_components,)
    intercept_visible_ : ndarray of shape (n_features,)
    h_samples_ : ndarray of shape (batch_size, n_components)
        Hidden states of the persistent chains.
    history_ : lamina.History
        Measures per pass of the last `fit` or `partial_fit`.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Only where ``X`` has names for its columns.

    Raises
    ------
    DataError (a ValueError), SettingError (a ValueError), DivergenceError, DeviceError

    Examples
    --------
    >>> from lamina.estimators import BernoulliRBM
    >>> X = [[0, 0, 0], [0, 1, 1], [1, 0, 1], [1, 1, 1]]
    >>> BernoulliRBM(n_components=2, random_state=0).fit_transform(X).shape
    (4, 2)
    """

    def __init__(
        self,
        n_components: int = 256,
        *,
        learning_rate: float = 0.1,
        batch_size: int = 10,
        n_iter: int = 10,
        verbose: int = 0,
        random_state: Any = None,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        k: int = 1,
        device: str | None = None,
    ) -> None:
        self.n_components = n_components
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.n_iter = n_iter
        self.verbose = verbose
        self.random_state = random_state
        self.momentum = momentum
        self.weight_decay = weight_decay
        self.k = k
        self.device = device

    # learning ---------------------------------------------------------------------------------------------------------

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn from rows ``X`` {array-like, sparse} (n_rows, n_features), values in [0, 1]; ``y`` is ignored."""
        check_settings(self)
        X = checked_rows(self, X, fitting=True, accept_sparse="csr")
        _warn_outside(X)
        self._begin(X.dtype, X.shape[1])
        self._learn(X, self._stream("fit"), self.n_iter, self.batch_size, announce=bool(self.verbose))
        return self

    def partial_fit(self, X: Any, y: Any = None) -> Self:
        """One step of learning from ``X`` {array-like, sparse} (n_rows, n_features) as one batch; ``y`` is ignored.

        The first call makes the machine, in the type of ``X``; the chains go on from call to call.
        """
        check_settings(self)
        first = not hasattr(self, "components_")
        X = checked_rows(self, X, fitting=first, accept_sparse="csr")
        _warn_outside(X)
        if first:
            self._begin(X.dtype, X.shape[1])
        self._calls = getattr(self, "_calls", 0) + 1
        self._learn(X, self._stream("partial fit", self._calls), 1, X.shape[0], announce=False)
        return self

    def _begin(self, dtype: np.dtype, n_features: int) -> None:
        self._random = as_random(self.random_state)
        self._calls = 0
        # Drawn in double precision and rounded: the same start for float32 and float64 data.
        draws = self._stream("weights").normal((n_features, self.n_components), torch.float64)
        self.components_ = draws.mul_(0.01).numpy().astype(dtype).T
        self.intercept_hidden_ = np.zeros(self.n_components, dtype)
        self.intercept_visible_ = np.zeros(n_features, dtype)
        self.h_samples_ = np.zeros((self.batch_size, self.n_components), dtype)
        self._gibbs_stream = self._stream("gibbs")

    def _stream(self, *names: str | int) -> Random:
        if not hasattr(self, "_random"):  # arrays that were set by hand
            self._random = as_random(self.random_state)
        return self._random.child("BernoulliRBM", *names)

    def _learn(self, X: Any, stream: Random, epochs: int, batch_size: int, announce: bool) -> None:
        machine = self._machine()
        rule = ContinuedPCD(tensor(self.h_samples_, machine.W.dtype), self.k)
        self.history_ = fit(
            machine,
            SparseRows(X) if sparse.issparse(X) else X,
            rule,
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=self.learning_rate,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
            random_state=stream,
            device=check_device(self.device),
            callbacks=(_Announcer(self, machine, X, stream.child("announce")),) if announce else (),
        )
        assert rule.chains is not None
        with torch.no_grad():
            h = machine.sample_h_from_v(rule.chains, stream.child("h"))
        self.h_samples_ = h.cpu().numpy()
        self.components_ = machine.W.detach().cpu().numpy().T
        self.intercept_hidden_ = machine.c.detach().cpu().numpy()
        self.intercept_visible_ = machine.b.detach().cpu().numpy()

    def _machine(self) -> RBM:
        arrays = (self.components_, self.intercept_hidden_, self.intercept_visible_)
        return machine_from(arrays, check_device(self.device))

    @property
    def rbm_(self) -> RBM:
        """The fitted machine, `lamina.RBM`: a copy that shares nothing with the estimator."""
        check_is_fitted(self)
        return self._machine()

    # using ------------------------------------------------------------------------------------------------------------

    def transform(self, X: Any) -> np.ndarray:
        """E[h | v] for rows ``X`` {array-like, sparse} (n_rows, n_features): (n_rows, n_components)."""
        check_is_fitted(self)
        X = checked_rows(self, X, accept_sparse="csr")
        machine = self._machine()
        means = in_chunks(machine.mean_h_from_v, X, machine.W)
        return means.astype(np.result_type(X.dtype, means.dtype), copy=False)

    def gibbs(self, v: Any) -> np.ndarray:
        """One Gibbs step v → h → v from ``v`` {array-like, sparse} (n_rows, n_features): same shape, bool.

        Every call draws new numbers, from a stream begun in `fit`.
        """
        check_is_fitted(self)
        one = not sparse.issparse(v) and np.ndim(v) == 1  # scikit-learn's takes one row as well
        v = checked_rows(self, np.reshape(v, (1, -1)) if one else v, accept_sparse="csr")
        machine = self._machine()
        if not hasattr(self, "_gibbs_stream"):
            self._gibbs_stream = self._stream("gibbs")
        drawn = in_chunks(lambda rows: gibbs(machine, rows, 1, self._gibbs_stream), v, machine.W) > 0.5
        return drawn[0] if one else drawn

    def score_samples(self, X: Any) -> np.ndarray:
        """Pseudo-likelihood of rows ``X`` {array-like, sparse} (n_rows, n_features), in nats: (n_rows,).

        n_features · log p(x_i | the other x) for one feature i of each row, drawn by ``random_state``: an unbiased
        but noisy stand-in for the sum over all features. Rows should be binary (not checked).
        """
        check_is_fitted(self)
        X = checked_rows(self, X, accept_sparse="csr")
        stream = as_random(self.random_state).child("BernoulliRBM", "flips")
        return _pseudo_likelihood(self._machine(), X, stream)

    @property
    def _n_features_out(self) -> int:
        return self.components_.shape[0]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def _warn_outside(X: Any) -> None:
    """A warning where values lie outside [0, 1]: scikit-learn's own takes them."""
    values = X.data.reshape(-1, 1) if sparse.issparse(X) else X
    if not values.size:
        return
    try:
        check_unit_interval(values)
    except DataError as problem:
        warnings.warn(str(problem), UserWarning, stacklevel=3)


def _pseudo_likelihood(machine: RBM, X: Any, random: Random) -> np.ndarray:
    """n log p(x_i | the other x) for one unit i of each row, drawn at random: (n_rows,)."""
    generator = random.numpy()

    def score(v: Tensor) -> Tensor:
        sites = torch.from_numpy(generator.integers(X.shape[1], size=len(v))).to(v.device)
        return X.shape[1] * site_log_probability(machine, v, sites).to(v.dtype)

    return in_chunks(score, X, machine.W)


class _Announcer:
    """Callback of the loop that writes scikit-learn's line to standard output after each pass."""

    def __init__(self, estimator: BernoulliRBM, machine: RBM, X: Any, random: Random) -> None:
        self.name, self.machine, self.X, self.random = type(estimator).__name__, machine, X, random
        self.began = time.perf_counter()

    def on_epoch(self, record: EpochRecord, epochs: int) -> None:
        score = _pseudo_likelihood(self.machine, self.X, self.random).mean()
        now = time.perf_counter()
        sys.stdout.write(
            f"[{self.name}] Iteration {record.epoch}, pseudo-likelihood = {score:.2f}, time = {now - self.began:.2f}s\n"
        )
        self.began = now
