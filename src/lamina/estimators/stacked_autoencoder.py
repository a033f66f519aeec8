"""`StackedAutoencoder`: layers learnt one by one, then unrolled and trained whole to give the rows back."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.utils.validation import check_array, check_is_fitted
from torch import Tensor

from lamina.core.checks import check_matrix
from lamina.core.errors import DataError
from lamina.core.random import Random, as_random
from lamina.estimators.base import FLOATS, Scaling, checked_rows, in_chunks, progress
from lamina.estimators.deep_layers import DeepLayers
from lamina.estimators.limits import check_settings
from lamina.models import Stack
from lamina.models.convert import autoencoder
from lamina.training import falling, fit
from lamina.training.reconstruction import Reconstruction


class StackedAutoencoder(DeepLayers):
    """Stacked autoencoder: a deep code of the rows, and the rows back from the code.

    Layers learn greedily, each from the code of the one below (Bengio, Lamblin, Popovici, Larochelle 2007; denoising:
    Vincent, Larochelle, Lajoie, Bengio, Manzagol 2010); the stack is then unrolled, up to the top code and down again,
    and trained whole by back-propagation to give the rows back (Hinton, Salakhutdinov 2006).

    Parameters
    ----------
    hidden : int, sequence of int or None, default=None
        Units per layer, from the bottom up; the last is the code. None: two layers, of four units per feature (at
        least 8, at most 500) and half as many.
    layer : {"denoising", "autoencoder", "sparse", "contractive", "rbm"}, default="denoising"
        Kind of layer to learn greedily (see `lamina.training.layer_kinds`).
    fine_tune : bool, default=True
        Whether the unrolled stack is trained whole. It drops what the kind of layer asked of its code: choose False to
        keep a sparse or contractive code as it was learnt.
    visible : {"auto", "bernoulli", "gaussian"}, default="auto"
        Kind of values. "auto": "bernoulli" (sigmoid outputs, cross-entropy) where all lie in [0, 1]; else columns are
        standardised and given back by squared error.
    epochs_pretrain : int, sequence of int or None, default=None
        Passes per layer. None: 10, or as many as make 200 steps.
    epochs : int or None, default=None
        Passes of fine-tuning. None: 50, or as many as make 400 steps.
    batch_size : int, default=100
        Rows per step.
    learning_rate : float or None, default=None
        Step length of fine-tuning (Adam), falling in the second half. None: 0.001, up to 0.01 for layers of less than
        200 units. Greedy learning takes the rate of its kind of layer.
    weight_decay : float, default=0.0
        Decoupled decay of the weights in fine-tuning; biases are spared.
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
    stack_ : lamina.Stack
        The layers as greedy learning left them.
    network_ : lamina.models.autoencoders.DeepAutoencoder
        The unrolled stack, fine-tuned unless ``fine_tune`` is False.
    history_ : list of lamina.History
        One per layer, then that of fine-tuning.
    visible_ : str
        "bernoulli" or "gaussian".
    mean_, scale_ : ndarray of shape (n_features,)
        What is subtracted from the columns, and divided by.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Only where ``X`` has names for its columns.

    Raises
    ------
    DataError, SettingError (both ValueErrors), DivergenceError, DeviceError

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from lamina.estimators import StackedAutoencoder
    >>> X = load_digits(return_X_y=True)[0] / 16
    >>> coder = StackedAutoencoder(hidden=(100, 20)).fit(X)        # doctest: +SKIP
    >>> coder.inverse_transform(coder.transform(X)).shape          # doctest: +SKIP
    (1797, 64)
    """

    def __init__(
        self,
        hidden: Any = None,
        *,
        layer: str = "denoising",
        fine_tune: bool = True,
        visible: str = "auto",
        epochs_pretrain: Any = None,
        epochs: int | None = None,
        batch_size: int = 100,
        learning_rate: float | None = None,
        weight_decay: float = 0.0,
        dtype: str = "float32",
        random_state: Any = None,
        device: str | None = None,
        verbose: int = 0,
    ) -> None:
        self.hidden = hidden
        self.layer = layer
        self.fine_tune = fine_tune
        self.visible = visible
        self.epochs_pretrain = epochs_pretrain
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.dtype = dtype
        self.random_state = random_state
        self.device = device
        self.verbose = verbose

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn from rows ``X`` (n_rows, n_features); ``y`` is ignored."""
        check_settings(self)
        X = checked_rows(self, X, fitting=True)
        random = as_random(self.random_state).child("StackedAutoencoder")
        rows = self._standardised(X)
        self._pretrain(rows, random)
        assert isinstance(self.stack_, Stack)
        self.network_: Any = autoencoder(self.stack_)
        if self.fine_tune:
            self._fine_tune(rows, random)
        return self

    def _fine_tune(self, rows: Tensor, random: Random) -> None:
        epochs = self._fine_tune_epochs(len(rows))
        history = fit(
            self.network_,
            rows,
            Reconstruction(),
            epochs=epochs,
            batch_size=self.batch_size,
            learning_rate=falling(self._rate(), epochs),
            weight_decay=self.weight_decay,
            optimiser="adam",
            random_state=random.child("fine-tuning"),
            callbacks=progress(self.verbose, "StackedAutoencoder: fine-tuning"),
        )
        self.history_.append(history)

    def transform(self, X: Any) -> np.ndarray:
        """The top code of rows ``X`` (n_rows, n_features): (n_rows, n_code)."""
        return self._through(lambda network, x: network.mean_h_from_v(x), X).astype(self.dtype)  # type: ignore[operator]

    def inverse_transform(self, H: Any) -> np.ndarray:
        """Rows in the units of the data from codes ``H`` (n_rows, n_code): (n_rows, n_features)."""
        check_is_fitted(self)
        try:
            H = check_array(H, dtype=FLOATS, ensure_all_finite=False)
        except ValueError as problem:
            raise DataError(str(problem)) from None
        check_matrix(H, name="the codes", n_features=self.network_.n_hidden)
        rows = in_chunks(self.network_.mean_v_from_h, H, self.network_.W[0])
        return Scaling(self.mean_, self.scale_).undo(rows)

    def score(self, X: Any, y: Any = None) -> float:
        """Minus the mean squared error per value of giving rows ``X`` (n_rows, n_features) back; higher is better.

        Measured on scaled rows, so that every column counts alike: −1 is what the columns' means would give where
        they are standardised. ``y`` is ignored.
        """
        back = self._through(lambda network, x: network.mean_v_from_h(network.mean_h_from_v(x)), X)  # type: ignore[operator]
        return -float(np.mean(np.square(back - self._rows(X))))
