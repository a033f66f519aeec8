"""`ConvolutionalRBM`: features of images and signals by shared filters, with answers pooled over blocks of places."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_array, check_is_fitted
from torch import Tensor

from lamina.core.checks import check_device, check_matrix, check_number
from lamina.core.errors import DataError, SettingError
from lamina.core.random import as_random
from lamina.estimators.base import (
    FLOATS,
    CheckedByEstimator,
    Scaling,
    at_least_steps,
    checked_rows,
    choose_visible,
    in_chunks,
    progress,
    torch_type,
)
from lamina.estimators.limits import check_settings
from lamina.models.energy import ConvolutionalRBM as Machine
from lamina.training import ConvolutionalDivergence, SparsityTarget, fit
from lamina.training.convolutional_greedy import default_rate
from lamina.units import Bernoulli, Gaussian

EPOCHS, STEPS = 10, 200  # passes where ``epochs`` is None, and the steps that they make at least


class ConvolutionalRBM(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Convolutional restricted Boltzmann machine with probabilistic max-pooling (Lee, Grosse, Ranganath, Ng 2009).

    Rows are flattened images or signals. Filters are learnt by contrastive divergence with a sparsity target on the
    mean activity of the detection units, and a row's features are the means of its pooled units.

    Parameters
    ----------
    n_filters : int, default=24
        Number of filters.
    kernel : int or tuple of int, default=5
        Places along each axis of a filter. Cut to the size of the images where those are smaller.
    pooling : int or tuple of int, default=2
        Places along each axis of a block, of which at most one detection unit is on; 1 = no pooling.
    shape : tuple of int or None, default=None
        Shape of one row: (channels, height, width), or (channels, length). None: a signal of one channel.
    visible : {"auto", "bernoulli", "gaussian"}, default="auto"
        Kind of the visible units; "auto" takes Bernoulli units where all values lie in [0, 1].
    learning_rate : float or None, default=None
        Step length on the gradient per row and place. None: 0.3 for Bernoulli units, 0.05 for Gaussian ones.
    batch_size : int, default=50
        Rows per step.
    epochs : int or None, default=None
        Passes over the data. None: 10, or as many as make 200 steps.
    momentum : float, default=0.5
        Share of the previous step that is kept, in [0, 0.999].
    weight_decay : float, default=0.0
        L2 penalty on the filters; biases are spared.
    k : int, default=1
        Gibbs steps of contrastive divergence.
    sparsity_target : float, default=0.05
        Mean activity of detection units that they begin at and that their biases are pulled towards; below 1 / m in
        blocks of m units.
    sparsity_cost : float, default=1.0
        Strength of that pull.
    random_state : int, RandomState, Generator, lamina.Random or None, default=None
        Source of all random numbers; an int gives the same result each time.
    device : str or None, default=None
        Where to compute: None is the CPU.
    verbose : int, default=0
        Above 0, progress on standard error.

    Attributes
    ----------
    machine_ : lamina.ConvolutionalRBM
        The machine, on scaled images; float32 where ``X`` is, else float64.
    components_ : ndarray of shape (n_filters, channels, *kernel)
        Filters.
    intercept_hidden_ : ndarray of shape (n_filters,)
    intercept_visible_ : ndarray of shape (channels,)
    mean_, scale_ : ndarray of shape (channels,)
        What was subtracted from every channel, and divided by: 0 and 1 for Bernoulli units.
    shape_ : tuple of int
        (channels, *size) of one row.
    pooled_shape_ : tuple of int
        (n_filters, *blocks) of one row of features.
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
    >>> from lamina.estimators import ConvolutionalRBM
    >>> X = np.random.default_rng(0).random((20, 64))
    >>> ConvolutionalRBM(n_filters=4, kernel=3, shape=(1, 8, 8), epochs=1, random_state=0).fit_transform(X).shape
    (20, 36)
    """

    def __init__(
        self,
        n_filters: int = 24,
        *,
        kernel: int | Sequence[int] = 5,
        pooling: int | Sequence[int] = 2,
        shape: Sequence[int] | None = None,
        visible: str = "auto",
        learning_rate: float | None = None,
        batch_size: int = 50,
        epochs: int | None = None,
        momentum: float = 0.5,
        weight_decay: float = 0.0,
        k: int = 1,
        sparsity_target: float = 0.05,
        sparsity_cost: float = 1.0,
        random_state: Any = None,
        device: str | None = None,
        verbose: int = 0,
    ) -> None:
        self.n_filters = n_filters
        self.kernel = kernel
        self.pooling = pooling
        self.shape = shape
        self.visible = visible
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.epochs = epochs
        self.momentum = momentum
        self.weight_decay = weight_decay
        self.k = k
        self.sparsity_target = sparsity_target
        self.sparsity_cost = sparsity_cost
        self.random_state = random_state
        self.device = device
        self.verbose = verbose

    # learning ---------------------------------------------------------------------------------------------------------

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn filters from rows ``X`` (n_rows, n_features); ``y`` is ignored."""
        check_settings(self)
        X = checked_rows(self, X, fitting=True)
        self.shape_ = self._row_shape(X.shape[1])
        gaussian = choose_visible(self.visible, X) == "gaussian"
        scaling = self._by_channel(X, gaussian)
        self.mean_, self.scale_ = scaling.mean, scaling.scale
        maps = self._maps(X)
        random = as_random(self.random_state).child("ConvolutionalRBM")
        machine = self._new_machine(gaussian, X.dtype)
        channels = maps.swapaxes(0, 1).reshape(self.shape_[0], -1)
        machine.initialise(random, torch.from_numpy(channels.mean(1)), activity=self.sparsity_target)
        self.history_ = fit(
            machine,
            maps,
            self._rule(),
            epochs=at_least_steps(EPOCHS, STEPS, len(X), self.batch_size) if self.epochs is None else self.epochs,
            batch_size=self.batch_size,
            learning_rate=default_rate(machine) if self.learning_rate is None else self.learning_rate,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
            random_state=random,
            device=check_device(self.device),
            callbacks=progress(self.verbose, "ConvolutionalRBM"),
        )
        self._keep(machine)
        return self

    def _row_shape(self, n_features: int) -> tuple[int, ...]:
        if self.shape is None:
            return (1, n_features)
        if not isinstance(self.shape, (tuple, list)) or len(self.shape) not in (2, 3):
            raise SettingError(
                f"shape is {self.shape!r}; expected (channels, height, width), (channels, length), or None for a "
                f"signal of one channel"
            )
        for entry in self.shape:
            check_number("shape", entry, low=1, integer=True)
        if prod(self.shape) != n_features:
            raise DataError(
                f"shape is {tuple(self.shape)}, {prod(self.shape)} values, but the rows have {n_features} features: "
                f"expected equal numbers"
            )
        return tuple(int(entry) for entry in self.shape)

    def _by_channel(self, X: np.ndarray, gaussian: bool) -> Scaling:
        """Mean and deviation of each channel over rows and places; nothing to do for Bernoulli units."""
        if not gaussian:
            return Scaling.none(self.shape_[0])
        channels = X.reshape(len(X), self.shape_[0], -1).swapaxes(1, 2).reshape(-1, self.shape_[0])
        return Scaling.of(channels)

    def _new_machine(self, gaussian: bool, dtype: Any) -> Machine:
        channels, *size = self.shape_
        kernel: tuple[Any, ...] = (self.kernel,) * len(size)
        if isinstance(self.kernel, (tuple, list)):
            kernel = tuple(self.kernel)
        for entry in kernel:
            check_number("kernel", entry, low=1, integer=True)
        if len(kernel) == len(size):  # the machine refuses it otherwise
            kernel = tuple(min(k, n) for k, n in zip(kernel, size, strict=True))
        visible = Gaussian(channels) if gaussian else Bernoulli(channels)
        return Machine(visible, self.n_filters, kernel, self.pooling, dimensions=len(size), dtype=torch_type(dtype))

    def _rule(self) -> ConvolutionalDivergence:
        penalty = SparsityTarget(self.sparsity_target, self.sparsity_cost, biases_only=True)
        return _CheckedDivergence(self.k, penalty=penalty)

    def _keep(self, machine: Machine) -> None:
        self.machine_ = machine
        self.components_ = machine.W.detach().cpu().numpy()
        self.intercept_hidden_ = machine.c.detach().cpu().numpy()
        self.intercept_visible_ = machine.b.detach().cpu().numpy()
        self.pooled_shape_ = (self.n_filters, *machine.blocks(self.shape_[1:]))

    # using ------------------------------------------------------------------------------------------------------------

    def transform(self, X: Any) -> np.ndarray:
        """Means of the pooled units of rows ``X`` (n_rows, n_features): (n_rows, n_filters · blocks)."""
        return self._of_maps(lambda v: self.machine_.mean_p_from_v(v).flatten(1), X)

    def inverse_transform(self, P: Any) -> np.ndarray:
        """E[v] in the units of the data, given pooled values ``P`` (n_rows, n_filters · blocks): (n_rows, n_features).

        Each pooled value is spread evenly over its block: where in the block it came from is lost, so this blurs.
        """
        check_is_fitted(self)
        try:
            P = check_array(P, dtype=FLOATS, ensure_all_finite=False)
        except ValueError as problem:
            raise DataError(str(problem)) from None
        check_matrix(P, name="the pooled values", n_features=self._n_features_out)

        def down(p: Tensor) -> Tensor:
            return self.machine_.mean_v_from_p(p.view(-1, *self.pooled_shape_), self.shape_[1:]).flatten(2)

        v = in_chunks(down, P, self.machine_.W)
        v = v * self._column(self.scale_) + self._column(self.mean_)
        return v.astype(P.dtype, copy=False).reshape(len(P), -1)

    def score_samples(self, X: Any) -> np.ndarray:
        """−F(x), minus the free energy of the rows of ``X`` (n_rows, n_features): (n_rows,), in nats.

        This is log p(x) + log Z: fine for comparing rows under one machine, meaningless between machines.
        """
        return self._of_maps(lambda v: -self.machine_.free_energy(v), X)

    def _of_maps(self, apply: Any, X: Any) -> np.ndarray:
        check_is_fitted(self)
        rows = checked_rows(self, X)
        out = in_chunks(apply, self._maps(rows), self.machine_.W)
        return out.astype(np.result_type(rows.dtype, out.dtype), copy=False)

    def _maps(self, X: np.ndarray) -> np.ndarray:
        """Rows as scaled maps (n, channels, *size), in the type of ``X``."""
        scaled = (X.reshape(len(X), self.shape_[0], -1) - self._column(self.mean_)) / self._column(self.scale_)
        return scaled.astype(X.dtype, copy=False).reshape(len(X), *self.shape_)

    @staticmethod
    def _column(of_channels: np.ndarray) -> np.ndarray:
        return of_channels[:, None]

    @property
    def _n_features_out(self) -> int:
        return prod(self.pooled_shape_)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


class _CheckedDivergence(CheckedByEstimator, ConvolutionalDivergence):
    """The rule on maps that the estimator has checked and scaled as a whole."""
