"""`RecurrentRegressor`: real values for every sequence or frame, or the frames that come next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils.validation import check_array

from lamina.core.checks import check_matrix, check_number
from lamina.core.errors import DataError, SettingError
from lamina.estimators.base import Scaling
from lamina.estimators.limits import check_settings
from lamina.estimators.recurrent import Recurrent, depth, is_plain, per_frame
from lamina.frontends import pad_sequences, split_sequences
from lamina.training import SequenceBackPropagation


class RecurrentRegressor(RegressorMixin, Recurrent):
    """Elman, fully recurrent or LSTM network that foretells real values, by squared error.

    Three tasks, told apart by ``y``: targets per sequence (n,) or (n, n_targets); targets per frame, a list of (T_i,)
    or (T_i, n_targets) arrays; and with ``y=None`` the next frame at each frame of the sequences themselves, after
    which `forecast` goes on with a sequence. Features and targets are standardised.

    Data are lists of arrays (T_i, n_features), of any lengths, or one array (n, T, n_features). A table (n, T), as
    scikit-learn has it, is n signals of T frames of one value.

    Parameters
    ----------
    hidden : int or sequence of int, default=64
        Units per layer (and direction), from the bottom up.
    cell : {"elman", "fully-recurrent", "lstm"}, default="lstm"
        Kind of units; "fully-recurrent" has one layer, and no dropout.
    bidirectional : bool, default=False
        Whether a second set of units reads each sequence from its end; not for the next frame.
    answer : {"last", "mean"}, default="last"
        What a value of a sequence is read from: the units after the last frame, or their mean over frames.
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
    truncate : int or None, default=None
        Slopes go back through time at most to the start of a stretch of so many frames. None: all the way.
    validation_fraction : float, default=0.0
        Share of the sequences kept aside, to watch.
    patience : int or None, default=None
        Stop after so many epochs without a better loss on the sequences kept aside, and take the best weights back.
    dtype : {"float32", "float64"}, default="float32"
        Type of the weights; predictions are float64.
    random_state : int, RandomState, Generator, lamina.Random or None, default=None
        Source of all random numbers; an int gives the same result each time.
    device : str or None, default=None
        Where to compute: None is the CPU.
    verbose : int, default=0
        Above 0, progress on standard error.

    Attributes
    ----------
    network_ : lamina.models.networks.RecurrentNetwork
        The trained network, from scaled frames to standardised targets.
    mean_, scale_ : ndarray of shape (n_features,)
        What is subtracted from every feature, and divided by; one number for all frames of a table's rows.
    target_mean_, target_scale_ : ndarray of shape (n_targets,)
        The same for the targets.
    task_ : str
        "sequence", "frame" or "next".
    history_ : lamina.History
        Measures per epoch.
    n_features_in_ : int
        Values of a frame, or columns of a table.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Only where ``X`` is a table with names for its columns.

    Raises
    ------
    DataError (a ValueError), SettingError (a ValueError), DivergenceError, DeviceError

    Examples
    --------
    >>> import numpy as np
    >>> from lamina.estimators import RecurrentRegressor
    >>> X = [np.sin(np.arange(start, start + 30) / 2)[:, None] for start in range(10)]
    >>> learnt = RecurrentRegressor(16, epochs=5, random_state=0).fit(X)
    >>> learnt.forecast(X, 3).shape, learnt.predict_next(X)[0].shape
    ((10, 3, 1), (30, 1))
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
        truncate: int | None = None,
        validation_fraction: float = 0.0,
        patience: int | None = None,
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
        self.truncate = truncate
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.dtype = dtype
        self.random_state = random_state
        self.device = device
        self.verbose = verbose

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn from sequences ``X``: targets ``y`` as the class says, or None for the frames that come next."""
        check_settings(self)
        self._check_patience()
        padded, lengths = self._sequences(X, fitting=True)
        scaled = self._scale(padded, lengths)
        if y is None:
            self.task_, self._one_target = "next", False
            self.target_mean_, self.target_scale_ = self.mean_, self.scale_
            rule = SequenceBackPropagation("squared", next_step=True, truncate=self.truncate)
            self._learn((scaled, lengths), rule, scaled.shape[2], each=True)
            return self
        self.task_ = "frame" if is_per_frame(y) else "sequence"
        targets = self._frame_targets(y, lengths) if self.task_ == "frame" else self._targets(y, len(padded))
        rule = SequenceBackPropagation("squared", truncate=self.truncate)
        self._learn((scaled, lengths, targets), rule, targets.shape[-1], each=self.task_ == "frame")
        return self

    def _targets(self, y: Any, n: int) -> np.ndarray:
        """Standardised targets (n, n_targets) of sequences; sets their mean and scale."""
        try:
            targets = check_array(y, ensure_2d=False, dtype=np.float64, ensure_all_finite=False, input_name="y")
        except ValueError as problem:
            raise DataError(str(problem)) from None
        self._one_target = targets.ndim == 1
        targets = targets.reshape(len(targets), -1)
        if len(targets) != n:
            raise DataError(f"there are {len(targets)} targets for {n} rows or sequences; expected one for each")
        check_matrix(targets, name="the targets")
        return self._standardised(targets).apply(targets)

    def _frame_targets(self, y: Any, lengths: np.ndarray) -> np.ndarray:
        """Standardised targets (n, T, n_targets) of frames, zeros behind the ends; sets their mean and scale."""
        parts = per_frame(y, lengths, "targets")
        self._one_target = parts[0].ndim == 1
        padded, _ = pad_sequences([part[:, None] if self._one_target and part.ndim == 1 else part for part in parts])
        frames = np.concatenate(split_sequences(padded, lengths)).astype(np.float64)
        return self._standardised(frames).apply(padded)

    def _standardised(self, targets: np.ndarray) -> Scaling:
        scaling = Scaling.of(targets)
        self.target_mean_, self.target_scale_ = scaling.mean, scaling.scale
        return scaling

    # using ------------------------------------------------------------------------------------------------------------

    def predict(self, X: Any) -> Any:
        """Targets, as in `fit`: (n,) or (n, n_targets), or a list of (T_i,) or (T_i, n_targets) arrays; float64.

        After ``y=None`` the frame that follows each sequence, (n, n_features), (n,) for a table.
        """
        outputs, lengths = self._outputs(X)
        found = Scaling(self.target_mean_, self.target_scale_).undo(outputs)
        if self.task_ == "sequence":
            return found[:, 0] if self._one_target else found
        if self.task_ == "next":
            last = found[np.arange(len(found)), lengths - 1]
            return last[:, 0] if self._table else last
        parts = split_sequences(found, lengths)
        return [part[:, 0] for part in parts] if self._one_target else parts

    def predict_next(self, X: Any) -> Any:
        """At every frame the one that comes next, from those up to it: a list of (T_i, n_features), a table for one.

        Raises `SettingError` where `fit` had targets.
        """
        self._check_next()
        outputs, lengths = self._outputs(X)
        found = Scaling(self.target_mean_, self.target_scale_).undo(outputs)
        return found[:, :, 0] if self._table else split_sequences(found, lengths)

    def forecast(self, X: Any, steps: int = 1) -> np.ndarray:
        """The ``steps`` frames that follow each sequence, the network running on its own: (n, steps, n_features), of a
        table (n, steps). Errors add up; raises `SettingError` where `fit` had targets."""
        self._check_next()
        check_number("steps", steps, low=1, integer=True)
        outputs, _ = self._outputs(X, lambda network, x, lengths: network.forecast(x, int(steps), lengths))
        found = Scaling(self.target_mean_, self.target_scale_).undo(outputs)
        return found[:, :, 0] if self._table else found

    def _check_next(self) -> None:
        if getattr(self, "task_", "next") != "next":
            raise SettingError("this network has learnt targets, not what comes next: fit it with y=None")

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """R² of the targets (over all frames where they are per frame); after ``y=None`` that of `predict_next`."""
        if getattr(self, "task_", "sequence") == "sequence":
            return float(super().score(X, y, sample_weight))
        if self.task_ == "frame":
            found = self.predict(X)
            wanted = per_frame(y, np.array([len(one) for one in found]), "targets")
            return float(r2_score(np.concatenate(wanted), np.concatenate(found)))
        outputs, lengths = self._outputs(X)
        found = Scaling(self.target_mean_, self.target_scale_).undo(outputs)
        frames = split_sequences(self._sequences(X)[0], lengths)
        foretold = np.concatenate([one[:-1] for one in split_sequences(found, lengths)])
        return float(r2_score(np.concatenate([one[1:] for one in frames]), foretold))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        tags.target_tags.required = False
        return tags


def is_per_frame(y: Any) -> bool:
    """Whether ``y`` holds an array of targets for every sequence, rather than being one array."""
    if is_plain(y):
        return np.asarray(y).ndim == 3
    if not isinstance(y, (Sequence, np.ndarray)) or isinstance(y, (str, bytes)) or len(y) == 0:
        return False
    return (hasattr(y[0], "ndim") and y[0].ndim > 0) or depth(y[0]) > 1
