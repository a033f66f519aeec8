"""`AutoencoderClassifier`: layers of one kind learnt from all rows, fine-tuned on the rows that have a label."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import torch
from sklearn.base import ClassifierMixin
from torch import Tensor

from lamina.core.random import Random, as_random
from lamina.estimators.base import checked_rows, progress
from lamina.estimators.deep_layers import DeepLayers
from lamina.estimators.limits import check_settings
from lamina.estimators.targets import class_codes
from lamina.training import fine_tune


class AutoencoderClassifier(ClassifierMixin, DeepLayers):
    """Stacked autoencoder turned classifier (Bengio, Lamblin, Popovici, Larochelle 2007; Vincent et al. 2010).

    Autoencoders learn layer by layer from all rows, labelled or not; the stack of encoders, with a softmax head, is
    then trained whole by back-propagation on the labelled rows. `DBNClassifier` does the same with restricted Boltzmann
    machines, and can let unlabelled rows take part in fine-tuning too.

    Parameters
    ----------
    hidden : int, sequence of int or None, default=None
        Units per layer, from the bottom up. None: two layers, of four units per feature (at least 8, at most 500) and
        half as many.
    layer : {"denoising", "autoencoder", "sparse", "contractive", "rbm"}, default="denoising"
        Kind of layer to learn greedily (see `lamina.training.layer_kinds`).
    visible : {"auto", "bernoulli", "gaussian"}, default="auto"
        Kind of values. "auto": "bernoulli" (sigmoid outputs, cross-entropy) where all lie in [0, 1]; else columns are
        standardised and given back by squared error.
    epochs_pretrain : int, sequence of int or None, default=None
        Passes per layer. None: 10, or as many as make 200 steps.
    epochs : int or None, default=None
        Passes of fine-tuning over the labelled rows. None: 50, or as many as make 400 steps.
    batch_size : int, default=100
        Rows per step.
    learning_rate : float or None, default=None
        Step length of fine-tuning (Adam), falling in the second half. None: 0.001, up to 0.01 for layers of less than
        200 units. Greedy learning takes the rate of its kind of layer.
    dropout, input_dropout : float, default=0.2, 0.0
        Probability to drop a hidden unit, an input, during fine-tuning, in [0, 0.95].
    weight_decay : float, default=1e-4
        Decoupled decay of the weights in fine-tuning; biases are spared.
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
    stack_ : lamina.Stack
        The layers as greedy learning left them.
    network_ : lamina.MLP
        The fine-tuned network.
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
    DataError, LabelError, SettingError (all ValueErrors), DivergenceError, DeviceError

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from lamina.estimators import AutoencoderClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> y[100:] = -1                                               # no label
    >>> AutoencoderClassifier(hidden=(200, 200)).fit(X / 16, y)    # doctest: +SKIP
    """

    def __init__(
        self,
        hidden: Any = None,
        *,
        layer: str = "denoising",
        visible: str = "auto",
        epochs_pretrain: Any = None,
        epochs: int | None = None,
        batch_size: int = 100,
        learning_rate: float | None = None,
        dropout: float = 0.2,
        input_dropout: float = 0.0,
        weight_decay: float = 1e-4,
        unlabelled: Any = "auto",
        dtype: str = "float32",
        random_state: Any = None,
        device: str | None = None,
        verbose: int = 0,
    ) -> None:
        self.hidden = hidden
        self.layer = layer
        self.visible = visible
        self.epochs_pretrain = epochs_pretrain
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.dropout = dropout
        self.input_dropout = input_dropout
        self.weight_decay = weight_decay
        self.unlabelled = unlabelled
        self.dtype = dtype
        self.random_state = random_state
        self.device = device
        self.verbose = verbose

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn from rows ``X`` (n_rows, n_features) and labels ``y`` (n_rows,), some of which may be missing."""
        check_settings(self)
        X = checked_rows(self, X, fitting=True)
        codes = class_codes(self, y, len(X))
        random = as_random(self.random_state).child("AutoencoderClassifier")
        rows = self._standardised(X)
        self._pretrain(rows, random)
        self.network_ = self._network(len(self.classes_), random)
        self._fine_tune(rows, codes, random)
        return self

    def _fine_tune(self, rows: Tensor, codes: np.ndarray, random: Random) -> None:
        labelled = np.flatnonzero(codes >= 0)
        history = fine_tune(
            self.network_,
            rows[labelled],
            torch.from_numpy(codes[labelled]),
            epochs=self._fine_tune_epochs(len(labelled)),
            batch_size=self.batch_size,
            learning_rate=self._rate(),
            weight_decay=self.weight_decay,
            random_state=random.child("fine-tuning"),
            callbacks=progress(self.verbose, "AutoencoderClassifier: fine-tuning"),
        )
        self.history_.append(history)

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probability of each class of ``classes_`` for rows ``X`` (n_rows, n_features): (n_rows, n_classes)."""
        return self._through(lambda network, x: torch.softmax(network(x), 1), X).astype(self.dtype)

    def predict(self, X: Any) -> np.ndarray:
        """The most probable class for rows ``X`` (n_rows, n_features): (n_rows,)."""
        best = self.predict_proba(X).argmax(1)
        return self.classes_[best]
