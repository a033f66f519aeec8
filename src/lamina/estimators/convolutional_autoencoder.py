"""`ConvolutionalAutoencoder`: codes of images and signals by filters that all places share, and images from codes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_array, check_is_fitted
from torch import Tensor

from lamina.core.checks import check_device, check_matrix
from lamina.core.errors import DataError
from lamina.core.random import Random, as_random
from lamina.estimators.base import (
    FLOATS,
    Scaling,
    at_least_steps,
    checked_rows,
    choose_visible,
    in_chunks,
    progress,
    torch_type,
)
from lamina.estimators.limits import check_settings
from lamina.estimators.row_maps import row_shape, scaling_of_channels, scaling_of_columns
from lamina.models.autoencoders import ConvolutionalAutoencoder as Network
from lamina.training import Masking, Reconstruction, SwitchedReconstruction, fit

EPOCHS, STEPS = 20, 400  # passes where ``epochs`` is None, and the steps that they make at least


class ConvolutionalAutoencoder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Convolutional autoencoder (Masci, Meier, Cireşan, Schmidhuber 2011), trained by Adam.

    Rows are flattened images or signals, channels first. Stages of filters and pooling lead to a code, from which a
    decoder has to give the row back; a row's features are its code.

    Parameters
    ----------
    n_maps : int or tuple of int, default=16
        Number of filters of each stage, from the input up.
    kernel : int or tuple of int, default=5
        Places along each axis of a filter, odd.
    pooling : int or tuple of int, default=2
        Places along each axis of a block that becomes one place of the next stage; 1 keeps the size.
    shape : tuple of int or None, default=None
        Shape of one row: (channels, height, width), or (channels, length). None: a signal of one channel.
    code : int or None, default=None
        Units of a dense layer on top, whose values then are the code. None: the code is the last stage's maps.
    downsampling : {"max", "switches", "stride"}, default="max"
        How pooling picks: the maximum of a block, the maximum with its place handed to the decoder while learning (so
        that codes need not say it), or every pooling-th place of the correlation.
    tied : bool, default=False
        Whether the decoder uses the encoder's filters.
    activation : str, default="relu"
        Activation of the maps.
    visible : {"auto", "bernoulli", "gaussian"}, default="auto"
        Kind of the values: in [0, 1], with sigmoid outputs and cross-entropy, or real, standardised by channel, with
        squared error. "auto" takes the first where all values lie in [0, 1].
    corruption : float, default=0.0
        Share of the values that are set to 0 while learning to give the whole row back; 0 = none.
    learning_rate : float, default=0.003
        Step length of Adam.
    batch_size : int, default=50
        Rows per step.
    epochs : int or None, default=None
        Passes over the data. None: 20, or as many as make 400 steps.
    weight_decay : float, default=0.0
        Decoupled decay of the weights; biases are spared.
    random_state : int, RandomState, Generator, lamina.Random or None, default=None
        Source of all random numbers; an int gives the same result each time.
    device : str or None, default=None
        Where to compute: None is the CPU.
    verbose : int, default=0
        Above 0, progress on standard error.

    Attributes
    ----------
    autoencoder_ : lamina.models.autoencoders.ConvolutionalAutoencoder
        The network, on scaled rows; float32 where ``X`` is, else float64.
    components_ : ndarray of shape (n_maps, channels, *kernel)
        Filters of the first stage.
    mean_, scale_ : ndarray of shape (channels,)
        What was subtracted from every channel, and divided by: 0 and 1 for values in [0, 1].
    shape_ : tuple of int
        (channels, *size) of one row.
    map_shape_ : tuple of int
        (n_maps, *size) of the last stage's maps: of one row of features, where ``code`` is None.
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
    >>> from lamina.estimators import ConvolutionalAutoencoder
    >>> X = np.random.default_rng(0).random((20, 64))
    >>> ConvolutionalAutoencoder(4, kernel=3, shape=(1, 8, 8), epochs=1, random_state=0).fit_transform(X).shape
    (20, 64)
    """

    def __init__(
        self,
        n_maps: int | Sequence[int] = 16,
        *,
        kernel: int | Sequence[int] = 5,
        pooling: int | Sequence[int] = 2,
        shape: Sequence[int] | None = None,
        code: int | None = None,
        downsampling: str = "max",
        tied: bool = False,
        activation: str = "relu",
        visible: str = "auto",
        corruption: float = 0.0,
        learning_rate: float = 0.003,
        batch_size: int = 50,
        epochs: int | None = None,
        weight_decay: float = 0.0,
        random_state: Any = None,
        device: str | None = None,
        verbose: int = 0,
    ) -> None:
        self.n_maps = n_maps
        self.kernel = kernel
        self.pooling = pooling
        self.shape = shape
        self.code = code
        self.downsampling = downsampling
        self.tied = tied
        self.activation = activation
        self.visible = visible
        self.corruption = corruption
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.epochs = epochs
        self.weight_decay = weight_decay
        self.random_state = random_state
        self.device = device
        self.verbose = verbose

    # learning ---------------------------------------------------------------------------------------------------------

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn filters from rows ``X`` (n_rows, n_features); ``y`` is ignored."""
        check_settings(self)
        X = checked_rows(self, X, fitting=True)
        self.shape_ = row_shape(self.shape, X.shape[1])
        gaussian = choose_visible(self.visible, X) == "gaussian"
        scaling = scaling_of_channels(X, self.shape_) if gaussian else Scaling.none(self.shape_[0])
        self.mean_, self.scale_ = scaling.mean, scaling.scale
        rows = self._columns.apply(X)
        random = as_random(self.random_state).child("ConvolutionalAutoencoder")
        network = self._new_network(gaussian, rows, random)
        self.history_ = fit(
            network,
            rows,
            self._rule(),
            epochs=at_least_steps(EPOCHS, STEPS, len(X), self.batch_size) if self.epochs is None else self.epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            optimiser="adam",
            weight_decay=self.weight_decay,
            random_state=random,
            device=check_device(self.device),
            callbacks=progress(self.verbose, "ConvolutionalAutoencoder"),
        )
        self.autoencoder_ = network
        self.components_ = network.W[0].detach().cpu().numpy()
        self.map_shape_ = network.map_shape
        return self

    def _new_network(self, gaussian: bool, rows: np.ndarray, random: Random) -> Network:
        network = Network(
            self.shape_,
            self.n_maps,
            self.kernel,
            self.pooling,
            downsampling=self.downsampling,
            code=self.code,
            tied=self.tied,
            activation=self.activation,
            output="identity" if gaussian else "sigmoid",
            dtype=torch_type(rows.dtype),
        )
        return network.initialise(random, torch.from_numpy(rows.mean(0)))

    def _rule(self) -> Reconstruction:
        corruption = Masking(self.corruption) if self.corruption else None
        kind = SwitchedReconstruction if self.downsampling == "switches" else Reconstruction
        return kind(corruption=corruption)

    # using ------------------------------------------------------------------------------------------------------------

    def transform(self, X: Any) -> np.ndarray:
        """Codes of the rows ``X`` (n_rows, n_features): (n_rows, code), or (n_rows, n_maps · places) without one."""
        return self._of_rows(self._network().mean_h_from_v, X)

    def reconstruct(self, X: Any) -> np.ndarray:
        """The rows ``X`` (n_rows, n_features) as the decoder gives them back, with switches where it learnt with them.

        Same shape and units as ``X``.
        """
        return self._columns.undo(self._of_rows(self._network().reconstruct, X))

    def inverse_transform(self, H: Any) -> np.ndarray:
        """Rows in the units of the data, given codes ``H`` (n_rows, n_features_out): (n_rows, n_features).

        With ``downsampling="switches"`` the places of the maxima are lost, and each value is spread over its block.
        """
        network = self._network()
        try:
            H = check_array(H, dtype=FLOATS, ensure_all_finite=False)
        except ValueError as problem:
            raise DataError(str(problem)) from None
        check_matrix(H, name="the codes", n_features=self._n_features_out)
        v = in_chunks(network.mean_v_from_h, H, network.W[0])
        return self._columns.undo(v).astype(H.dtype, copy=False)

    def _network(self) -> Network:
        check_is_fitted(self)
        return self.autoencoder_

    def _of_rows(self, apply: Any, X: Any) -> np.ndarray:
        rows = checked_rows(self, X)
        out = in_chunks(apply, self._columns.apply(rows), self._like())
        return out.astype(np.result_type(rows.dtype, out.dtype), copy=False)

    def _like(self) -> Tensor:
        return self.autoencoder_.W[0]

    @property
    def _columns(self) -> Scaling:
        """What scales the rows' columns: every channel's mean and scale at all of its places."""
        return scaling_of_columns(Scaling(self.mean_, self.scale_), self.shape_)

    @property
    def _n_features_out(self) -> int:
        return self.autoencoder_.n_hidden

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
