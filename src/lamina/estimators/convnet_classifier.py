"""`ConvNetClassifier`: classes of images and signals by a convolutional network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import compute_class_weight
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from lamina.core.checks import check_device
from lamina.core.errors import DataError, SettingError, nearest_names
from lamina.core.random import Random, as_random
from lamina.estimators.base import (
    Scaling,
    at_least_steps,
    checked_rows,
    choose_visible,
    in_chunks,
    progress,
    torch_type,
)
from lamina.estimators.deep_belief import hold_out
from lamina.estimators.limits import check_settings
from lamina.estimators.row_maps import row_shape, scaling_of_channels, scaling_of_columns
from lamina.estimators.targets import class_codes
from lamina.models.networks import (
    Convolution,
    ConvolutionalNetwork,
    Dense,
    Dropout,
    MaxPooling,
    lenet5,
    lenet1989,
)
from lamina.training import BackPropagation, ElasticDistortion, falling, fit

EPOCHS, STEPS = 20, 400  # passes where ``epochs`` is None, and the steps that they make at least
CHUNK = 256  # rows that go through the network together
NAMED = {"lenet5": (1, 28, 28), "lenet1989": (1, 16, 16)}
SIDE, SIGMA, ALPHA = 28, 4.0, 34.0  # of the elastic distortions of Simard et al., and the images they were for


class ConvNetClassifier(ClassifierMixin, BaseEstimator):
    """Convolutional network with a softmax head (LeCun et al. 1989, 1998), trained by Adam.

    Rows are flattened images or signals, channels first; arrays of images (n, channels, height, width) or
    (n, height, width) will do too.

    Parameters
    ----------
    layers : sequence of layers, "lenet5", "lenet1989" or None, default=None
        Records such as ``Convolution(16, 5), MaxPooling(2), Dense(100), Dropout(0.5)`` of `lamina.models.networks`,
        from the input up; the head comes on top. A name: that network, for images of 28 × 28 or 16 × 16 (here with the
        cross-entropy). None: `default_layers` for the shape.
    shape : tuple of int or None, default=None
        Shape of one row: (channels, height, width), or (channels, length). None: that of arrays of images, else a
        signal of one channel.
    activation : str, default="relu"
        Of the layers that name none; LeNets have their own.
    dropout : float, default=0.25
        Probability to drop a value below the head of the default layers.
    augment : "elastic", a distortion or None, default=None
        How the images of every batch are changed. "elastic": `lamina.training.ElasticDistortion` as Simard, Steinkraus,
        Platt (2003), in proportion to the image. Anything else must have ``apply(x, random)`` and ``describe()``.
    visible : {"auto", "bernoulli", "gaussian"}, default="auto"
        Kind of the values: in [0, 1] and left alone, or real and standardised by channel. "auto" takes the first where
        all values lie in [0, 1].
    epochs : int or None, default=None
        Passes over the data. None: 20, or as many as make 400 steps.
    batch_size : int, default=100
        Rows per step.
    learning_rate : float, default=0.001
        Step length of Adam, falling in the second half.
    weight_decay : float, default=0.0
        Decoupled decay of the weights; biases are spared.
    class_weight : dict, "balanced" or None, default=None
        What the rows of a class count: a number per class, or as many times as the class is rarer than the mean.
    validation_fraction : float, default=0.0
        Share of the rows of each class kept aside, to watch.
    patience : int or None, default=None
        Stop after so many epochs without a lower loss on the rows kept aside, and take the best weights back.
    unlabelled : default="auto"
        What marks an unlabelled row in ``y``, which is left out (see `AutoencoderClassifier`).
    dtype : {"float32", "float64"}, default="float32"
        Type of weights and probabilities.
    random_state : int, RandomState, Generator, lamina.Random or None, default=None
        Source of all random numbers; an int gives the same result each time.
    device : str or None, default=None
        Where to compute: None is the CPU.
    verbose : int, default=0
        Above 0, progress on standard error.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Classes in order, of the type in which they were given.
    network_ : lamina.models.networks.ConvolutionalNetwork
        The network, on scaled rows.
    layers_ : tuple of layers
        Its layers below the head.
    mean_, scale_ : ndarray of shape (channels,)
        What was subtracted from every channel, and divided by: 0 and 1 for values in [0, 1].
    shape_ : tuple of int
        (channels, *size) of one row.
    history_ : lamina.History
        Measures per epoch.
    n_features_in_ : int
        Values of a row.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Only where ``X`` has names for its columns.

    Raises
    ------
    DataError, LabelError, SettingError (all ValueErrors), DivergenceError, DeviceError

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from lamina.estimators import ConvNetClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> learnt = ConvNetClassifier(shape=(1, 8, 8), epochs=1, random_state=0).fit(X[:200] / 16, y[:200])
    >>> learnt.predict_proba(X[:3] / 16).shape
    (3, 10)
    """

    def __init__(
        self,
        layers: Any = None,
        *,
        shape: Sequence[int] | None = None,
        activation: str = "relu",
        dropout: float = 0.25,
        augment: Any = None,
        visible: str = "auto",
        epochs: int | None = None,
        batch_size: int = 100,
        learning_rate: float = 0.001,
        weight_decay: float = 0.0,
        class_weight: Any = None,
        validation_fraction: float = 0.0,
        patience: int | None = None,
        unlabelled: Any = "auto",
        dtype: str = "float32",
        random_state: Any = None,
        device: str | None = None,
        verbose: int = 0,
    ) -> None:
        self.layers = layers
        self.shape = shape
        self.activation = activation
        self.dropout = dropout
        self.augment = augment
        self.visible = visible
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.class_weight = class_weight
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.unlabelled = unlabelled
        self.dtype = dtype
        self.random_state = random_state
        self.device = device
        self.verbose = verbose

    # learning ---------------------------------------------------------------------------------------------------------

    def fit(self, X: Any, y: Any) -> Self:
        """Learn from rows ``X`` (n_rows, n_features), or images (n_rows, channels, height, width), and labels ``y``."""
        check_settings(self)
        X, size = flat_rows(X)
        X = checked_rows(self, X, fitting=True)
        codes = class_codes(self, y, len(X))
        self.shape_ = row_shape(size if self.shape is None else self.shape, X.shape[1])
        gaussian = choose_visible(self.visible, X) == "gaussian"
        scaling = scaling_of_channels(X, self.shape_) if gaussian else Scaling.none(self.shape_[0])
        self.mean_, self.scale_ = scaling.mean, scaling.scale
        random = as_random(self.random_state).child("ConvNetClassifier")
        self.network_ = self._new_network(random).to(check_device(self.device))
        self.layers_ = self.network_.layers
        labelled = np.flatnonzero(codes >= 0)
        rows = self._columns.apply(X if len(labelled) == len(X) else X[labelled]).astype(self.dtype, copy=False)
        self._train(rows, codes[labelled], random)
        return self

    def _train(self, rows: np.ndarray, codes: np.ndarray, random: Random) -> None:
        train, watched = hold_out(self.validation_fraction, len(rows), random, codes)
        if self.patience is not None and not len(watched):
            raise SettingError("patience needs rows to watch: set validation_fraction above 0, or leave patience out")
        epochs = at_least_steps(EPOCHS, STEPS, len(train), self.batch_size) if self.epochs is None else self.epochs
        self.history_ = fit(
            self.network_,
            _pair(rows, codes, train),
            BackPropagation(augment=self._distortion(), class_weight=self._class_weights(codes)),
            epochs=epochs,
            batch_size=self.batch_size,
            learning_rate=falling(self.learning_rate, epochs),
            optimiser="adam",
            weight_decay=self.weight_decay,
            validation=_pair(rows, codes, watched) if len(watched) else None,
            patience=self.patience,
            random_state=random.child("training"),
            callbacks=progress(self.verbose, "ConvNetClassifier"),
        )

    def _new_network(self, random: Random) -> ConvolutionalNetwork:
        n_classes, dtype = len(self.classes_), torch_type(self.dtype)
        stream = random.child("network")
        if isinstance(self.layers, str):
            return named_network(self.layers, self.shape_, n_classes, dtype, stream)
        layers = default_layers(self.shape_, self.dropout) if self.layers is None else self.layers
        options: dict[str, Any] = {"activation": self.activation, "dtype": dtype, "random_state": stream}
        return ConvolutionalNetwork(self.shape_, layers, n_classes, **options)

    def _distortion(self) -> Any:
        if self.augment is None or not isinstance(self.augment, str):
            return self.augment
        if self.augment != "elastic":
            raise SettingError(f"augment is {self.augment!r}; expected 'elastic', a distortion or None")
        if len(self.shape_) != 3:
            raise SettingError(
                f"augment='elastic' distorts images, but the rows are signals {self.shape_}; expected shape=(channels, "
                f"height, width)"
            )
        share = min(self.shape_[1:]) / SIDE
        return ElasticDistortion(max(SIGMA * share, 0.5), ALPHA * share**2, self.shape_)

    def _class_weights(self, codes: np.ndarray) -> list[float] | None:
        if self.class_weight is None:
            return None
        try:
            weights = compute_class_weight(self.class_weight, classes=self.classes_, y=self.classes_[codes])
        except ValueError as problem:
            raise SettingError(f"class_weight is {self.class_weight!r}: {problem}") from None
        return [float(w) for w in weights]

    # using ------------------------------------------------------------------------------------------------------------

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probability of each class of ``classes_`` for rows or images ``X``: (n_rows, n_classes)."""
        check_is_fitted(self)
        rows = checked_rows(self, flat_rows(X)[0])
        network = self.network_

        def probabilities(x: Tensor) -> Tensor:
            return torch.cat([torch.softmax(network(part), 1) for part in x.split(CHUNK)])

        return in_chunks(probabilities, self._columns.apply(rows), network.W[0])

    def predict(self, X: Any) -> np.ndarray:
        """The most probable class for rows or images ``X``: (n_rows,)."""
        best = self.predict_proba(X).argmax(1)
        return self.classes_[best]

    @property
    def _columns(self) -> Scaling:
        """What scales the rows' columns: every channel's mean and scale at all of its places."""
        return scaling_of_columns(Scaling(self.mean_, self.scale_), self.shape_)


def default_layers(shape: tuple[int, ...], dropout: float = 0.25) -> list[Any]:
    """Stages of 16, 32, 64 filters, each pooled by 2, while the maps have at least 7 places a side; 128 units above.

    Filters see 5 places a side on images of 16 or more, else 3.
    """
    side = min(shape[1:])
    size = 5 if side >= 16 else 3
    layers: list[Any] = []
    for filters in (16, 32, 64):
        if side < (7 if layers else 3):
            break
        layers += [Convolution(filters, size, padding=size // 2), MaxPooling(2)]
        side //= 2
    return [*layers, Dense(128), *([Dropout(dropout)] if dropout else [])]


def named_network(
    name: str, shape: tuple[int, ...], n_classes: int, dtype: torch.dtype, random: Random
) -> ConvolutionalNetwork:
    """LeNet-5 or LeNet 1989 with ``n_classes`` outputs. Raises `SettingError`, and `DataError` for other sizes."""
    if name not in NAMED:
        raise SettingError(f"layers are {name!r}; {nearest_names(name, list(NAMED))}, or a list of layers")
    if shape != NAMED[name]:
        raise DataError(
            f"the rows have shape {shape}, but {name} reads {NAMED[name]}; expected such images (shape={NAMED[name]}), "
            f"or layers=None"
        )
    if name == "lenet5":
        return lenet5(n_classes, dtype=dtype, random_state=random)
    return ConvolutionalNetwork(
        shape,
        lenet1989().layers,
        n_classes,
        activation="scaled_tanh",
        initial="lecun",
        dtype=dtype,
        random_state=random,
    )


def flat_rows(X: Any) -> tuple[Any, tuple[int, ...] | None]:
    """Images (n, height, width) or (n, channels, height, width) as rows, and their shape; others as they are."""
    size = getattr(X, "shape", None)
    if size is None or len(size) not in (3, 4) or 0 in size:
        return X, None
    shape = tuple(int(s) for s in size[1:])
    return np.asarray(X).reshape(size[0], -1), shape if len(shape) == 3 else (1, *shape)


def _pair(rows: np.ndarray, codes: np.ndarray, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    everything = len(chosen) == len(rows)
    return (rows, codes) if everything else (rows[chosen], codes[chosen])
