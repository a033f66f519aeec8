"""`RecurrentClassifier`: a class for every sequence, or one for each of its frames."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import ClassifierMixin
from sklearn.utils import compute_class_weight

from lamina.core.errors import LabelError, SettingError
from lamina.core.labels import encode_labels
from lamina.estimators.limits import check_settings
from lamina.estimators.recurrent import Recurrent, depth, is_plain, per_frame
from lamina.estimators.targets import class_codes
from lamina.frontends import split_sequences
from lamina.training import SequenceBackPropagation


class RecurrentClassifier(ClassifierMixin, Recurrent):
    """Elman, fully recurrent or LSTM network, of one or both directions, that classifies sequences or their frames.

    With one label per sequence the network reads the whole and answers once; with ``y`` a list of arrays, one label per
    frame, it answers at each (sequence labelling; with ``bidirectional`` it has then read what comes after, too).
    Features are standardised over all frames.

    Data are lists of arrays (T_i, n_features), of any lengths, or one array (n, T, n_features). A table (n, T), as
    scikit-learn has it, is n signals of T frames of one value.

    Parameters
    ----------
    hidden : int or sequence of int, default=64
        Units per layer (and direction), from the bottom up.
    cell : {"elman", "fully-recurrent", "lstm"}, default="lstm"
        Kind of units; "fully-recurrent" has one layer, and no dropout.
    bidirectional : bool, default=False
        Whether a second set of units reads each sequence from its end.
    answer : {"last", "mean"}, default="last"
        What a class of a sequence is read from: the units after the last frame, or their mean over frames.
    epochs : int or None, default=None
        Passes over the data. None: 50, or as many as make 1000 steps.
    batch_size : int, default=32
        Sequences per step.
    learning_rate : float, default=0.003
        Step length, falling in the second half.
    optimiser : {"adagrad", "adam", "momentum", "nesterov", "rmsprop", "sgd"}, default="adam"
        "momentum" and "nesterov" with 0.9.
    clip : float, default=1.0
        Longer gradients are cut to this length; infinity: none are.
    dropout : float, default=0.0
        Probability to drop a value on its way to the next layer or the outputs, in [0, 0.95].
    weight_decay : float, default=0.0
        Decoupled decay of the weights; biases are spared.
    validation_fraction : float, default=0.0
        Share of the sequences kept aside, of each class, to watch.
    patience : int or None, default=None
        Stop after so many epochs without a better loss on the sequences kept aside, and take the best weights back.
    class_weight : dict, "balanced" or None, default=None
        Factor per class on the loss, or as many times as the class is rarer than the mean.
    unlabelled : default="auto"
        What marks a sequence or frame without a label: "auto" takes blanks, and −1 where two other classes remain.
        Sequences without any label are left out.
    dtype : {"float32", "float64"}, default="float32"
        Type of the weights.
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
    network_ : lamina.models.networks.RecurrentNetwork
        The trained network, on scaled frames.
    mean_, scale_ : ndarray of shape (n_features,)
        What is subtracted from every feature, and divided by; one number for all frames of a table's rows.
    history_ : lamina.History
        Measures per epoch.
    n_features_in_ : int
        Values of a frame, or columns of a table.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Only where ``X`` is a table with names for its columns.

    Raises
    ------
    DataError (a ValueError), LabelError, SettingError (all ValueErrors), DivergenceError, DeviceError

    Examples
    --------
    >>> import numpy as np
    >>> from lamina.estimators import RecurrentClassifier
    >>> X = [np.sin(np.arange(12 + k) * (0.3, 0.9)[k % 2])[:, None] for k in range(20)]
    >>> y = ["slow", "fast"] * 10
    >>> RecurrentClassifier(8, epochs=30, learning_rate=0.02, random_state=0).fit(X, y).score(X, y)
    1.0
    """

    def __init__(
        self,
        hidden: Any = 64,
        *,
        cell: str = "lstm",
        bidirectional: bool = False,
        answer: str = "last",
        epochs: int | None = None,
        batch_size: int = 32,
        learning_rate: float = 0.003,
        optimiser: str = "adam",
        clip: float = 1.0,
        dropout: float = 0.0,
        weight_decay: float = 0.0,
        validation_fraction: float = 0.0,
        patience: int | None = None,
        class_weight: Any = None,
        unlabelled: Any = "auto",
        dtype: str = "float32",
        random_state: Any = None,
        device: str | None = None,
        verbose: int = 0,
    ) -> None:
        self.hidden = hidden
        self.cell = cell
        self.bidirectional = bidirectional
        self.answer = answer
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.optimiser = optimiser
        self.clip = clip
        self.dropout = dropout
        self.weight_decay = weight_decay
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.class_weight = class_weight
        self.unlabelled = unlabelled
        self.dtype = dtype
        self.random_state = random_state
        self.device = device
        self.verbose = verbose

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn from sequences ``X`` and labels ``y`` (n_sequences,), or a list of (T_i,) arrays of labels."""
        check_settings(self)
        self._check_patience()
        padded, lengths = self._sequences(X, fitting=True)
        self._each = labels_frames(y)
        if self._each:
            codes = self._frame_codes(y, lengths, padded.shape[1])
            labelled = np.flatnonzero((codes >= 0).any(1))
            strata = None
        else:
            codes = class_codes(self, y, len(padded))
            labelled = np.flatnonzero(codes >= 0)
            strata = codes[labelled]
        scaled = self._scale(padded, lengths)
        targets = codes[labelled].astype(self.dtype) if self._each else codes[labelled]
        rule = SequenceBackPropagation(class_weight=self._weights(codes))
        self._learn((scaled[labelled], lengths[labelled], targets), rule, len(self.classes_), self._each, strata)
        return self

    def _frame_codes(self, y: Any, lengths: np.ndarray, steps: int) -> np.ndarray:
        """Class codes (n, steps), −1 for frames without a label or behind the end; sets ``classes_``."""
        column = joined_labels(per_frame(y, lengths, "labels"))
        codes, self.classes_ = encode_labels(column, self.unlabelled)
        if len(self.classes_) < 2:
            raise LabelError(
                f"y holds {len(self.classes_)} class(es) in {int((codes >= 0).sum())} labelled frame(s); expected at "
                f"least 2 classes: label more frames, or set unlabelled= if a class was taken for the mark of no label"
            )
        found = np.full((len(lengths), steps), -1, dtype=np.int64)
        found[np.arange(steps) < lengths[:, None]] = codes
        return found

    def _weights(self, codes: np.ndarray) -> list[float] | None:
        if self.class_weight is None:
            return None
        try:
            weights = compute_class_weight(self.class_weight, classes=self.classes_, y=self.classes_[codes[codes >= 0]])
        except ValueError as problem:
            raise SettingError(f"class_weight is {self.class_weight!r}: {problem}") from None
        return [float(weight) for weight in weights]

    # using ------------------------------------------------------------------------------------------------------------

    def predict_proba(self, X: Any) -> Any:
        """Probability of each class of ``classes_``: (n_sequences, n_classes), or where frames were labelled a list of
        (T_i, n_classes) arrays."""
        outputs, lengths = self._outputs(X)
        probability = torch.softmax(torch.from_numpy(outputs), -1).numpy().astype(self.dtype)
        return split_sequences(probability, lengths) if self._each else probability

    def predict(self, X: Any) -> Any:
        """The most probable class of every sequence (n_sequences,), or of every frame, a list of (T_i,) arrays."""
        found = self.predict_proba(X)
        return [self.classes_[one.argmax(1)] for one in found] if self._each else self.classes_[found.argmax(1)]

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Share of right answers among sequences, or among all frames that have a label."""
        found = self.predict(X)
        if not self._each:
            return float(super().score(X, y, sample_weight))
        wanted = joined_labels(per_frame(y, np.array([len(one) for one in found]), "labels"))
        codes = encode_labels(wanted, self.unlabelled, self.classes_).codes
        right = np.concatenate(found)[codes >= 0] == self.classes_[codes[codes >= 0]]
        return float(right.mean())


def labels_frames(y: Any) -> bool:
    """Whether ``y`` holds a row of labels for every sequence (in an array, more than one)."""
    if is_plain(y):
        shape = np.asarray(y).shape
        return len(shape) == 2 and shape[1] > 1
    return isinstance(y, (Sequence, np.ndarray)) and not isinstance(y, str) and len(y) > 0 and depth(y[0]) > 0


def joined_labels(parts: list[np.ndarray]) -> np.ndarray:
    """All labels in one column; texts and blanks keep their types."""
    if len({part.dtype.kind for part in parts}) > 1:
        parts = [part.astype(object) for part in parts]
    return np.concatenate(parts)
