"""`DBNClassifier`: layers learnt without labels, fine-tuned whole on the rows that have one."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import torch
from sklearn.base import ClassifierMixin
from torch import Tensor

from lamina.core.errors import LabelError, SettingError
from lamina.core.random import Random, as_random
from lamina.estimators.base import checked_rows, progress
from lamina.estimators.deep_belief import DeepBelief, hold_out
from lamina.estimators.limits import check_settings
from lamina.estimators.targets import class_codes
from lamina.models import MLP
from lamina.models.convert import rectified_classifier
from lamina.training import adversarial_radius, fine_tune


class DBNClassifier(ClassifierMixin, DeepBelief):
    """Deep belief network turned classifier (Hinton, Osindero, Teh 2006; Hinton, Salakhutdinov 2006).

    Restricted Boltzmann machines learn layer by layer from all rows; the stack, with a softmax head, is then
    fine-tuned by back-propagation on the labelled rows. With many unlabelled rows they take part in fine-tuning too,
    by virtual adversarial training (Miyato, Maeda, Koyama, Ishii 2018) of rectified units that begin at the layers'
    filters.

    Parameters
    ----------
    hidden : int or sequence of int, default=(500, 500, 2000)
        Units per layer, from the bottom up.
    visible : {"auto", "bernoulli", "gaussian"}, default="auto"
        Units of the input. "auto": Bernoulli where all values lie in [0, 1]; else columns are standardised and the
        units are Gaussian.
    epochs_pretrain : int, sequence of int or None, default=None
        Passes per layer. None: 10, or as many as make 200 steps.
    epochs : int or None, default=None
        Passes of fine-tuning, over the labelled rows, or over all rows where it is adversarial. None: 50, or as many
        as make 400 steps; adversarial: 10, or as many as make 1,000.
    batch_size : int, default=100
        Rows per step.
    learning_rate_pretrain : float, sequence of float or None, default=None
        Step length per layer. None: 0.002 for Gaussian visible units, 0.05 for others.
    learning_rate : float or None, default=None
        Step length of fine-tuning (Adam), falling in the second half. None: 0.001, up to 0.01 for layers of less than
        200 units.
    dropout, input_dropout : float, default=0.2, 0.0
        Probability to drop a hidden unit, an input, during fine-tuning (supervised and adversarial), in [0, 0.95].
    weight_decay : float, default=1e-4
        Decoupled decay of the weights in fine-tuning; biases are spared.
    semi_supervised : {"auto", "adversarial", "none"}, default="auto"
        Whether unlabelled rows take part in fine-tuning. "auto": adversarial where there are at least as many
        unlabelled as labelled rows.
    radius : float or None, default=None
        How far the adversary may move a row, as the network sees it. None: 0.366 of the median distance from a row to
        its nearest other row (about 2 for MNIST).
    entropy : float, default=1.0
        Weight of the entropy of the network's answers, which adversarial fine-tuning lowers too.
    pass_up : {"mean", "sample"}, default="mean"
        What a layer hands to the next in pre-training.
    validation_fraction : float, default=0.0
        Share of the labelled rows kept aside from fine-tuning, to watch.
    patience : int or None, default=None
        Stop after so many epochs without a better loss on the rows kept aside, and take the best weights back.
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
        The layers as pre-training left them.
    network_ : lamina.MLP
        The fine-tuned network.
    history_ : list of lamina.History
        One per layer, then that of fine-tuning.
    visible_ : str
        "bernoulli" or "gaussian".
    semi_supervised_ : str
        "adversarial" or "none".
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
    >>> from lamina.estimators import DBNClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> y[100:] = -1                                               # no label
    >>> DBNClassifier(hidden=(200, 200)).fit(X / 16, y)            # doctest: +SKIP
    """

    def __init__(
        self,
        hidden: Any = (500, 500, 2000),
        *,
        visible: str = "auto",
        epochs_pretrain: Any = None,
        epochs: int | None = None,
        batch_size: int = 100,
        learning_rate_pretrain: Any = None,
        learning_rate: float | None = None,
        dropout: float = 0.2,
        input_dropout: float = 0.0,
        weight_decay: float = 1e-4,
        semi_supervised: str = "auto",
        radius: float | None = None,
        entropy: float = 1.0,
        pass_up: str = "mean",
        validation_fraction: float = 0.0,
        patience: int | None = None,
        unlabelled: Any = "auto",
        dtype: str = "float32",
        random_state: Any = None,
        device: str | None = None,
        verbose: int = 0,
    ) -> None:
        self.hidden = hidden
        self.visible = visible
        self.epochs_pretrain = epochs_pretrain
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate_pretrain = learning_rate_pretrain
        self.learning_rate = learning_rate
        self.dropout = dropout
        self.input_dropout = input_dropout
        self.weight_decay = weight_decay
        self.semi_supervised = semi_supervised
        self.radius = radius
        self.entropy = entropy
        self.pass_up = pass_up
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.unlabelled = unlabelled
        self.dtype = dtype
        self.random_state = random_state
        self.device = device
        self.verbose = verbose

    def fit(self, X: Any, y: Any) -> Self:
        """Learn from rows ``X`` (n_rows, n_features) and labels ``y`` (n_rows,), some of which may be missing."""
        check_settings(self)
        if self.patience is not None and not self.validation_fraction:
            raise SettingError("patience needs labelled rows to watch: set validation_fraction, or leave patience out")
        X = checked_rows(self, X, fitting=True)
        codes = class_codes(self, y, len(X))
        random = as_random(self.random_state).child("DBNClassifier")
        rows = self._standardised(X)
        self._pretrain(rows, random)
        self._fine_tune(rows, codes, random)
        return self

    def _fine_tune(self, rows: Tensor, codes: np.ndarray, random: Random) -> None:
        labelled = np.flatnonzero(codes >= 0)
        adversarial = self.semi_supervised == "adversarial" or (
            self.semi_supervised == "auto" and len(codes) >= 2 * len(labelled)
        )
        self.semi_supervised_ = "adversarial" if adversarial else "none"
        learnt, watched = labelled, labelled[:0]
        if self.validation_fraction:
            kept, held = hold_out(self.validation_fraction, len(labelled), random, codes[labelled])
            learnt, watched = labelled[kept], labelled[held]
        if self.patience is not None and not len(watched):
            raise LabelError(f"{len(labelled)} labelled rows are too few to keep some aside: leave patience out")
        y = torch.from_numpy(codes)
        validation = (rows[watched], y[watched]) if len(watched) else None
        self.network_ = self._begin(len(self.classes_), adversarial, random)
        common: dict[str, Any] = {
            "batch_size": self.batch_size,
            "learning_rate": self._rate(),
            "weight_decay": self.weight_decay,
        }
        common |= {"validation": validation, "patience": self.patience}
        method = "adversarial" if adversarial else "supervised"
        history = fine_tune(
            self.network_,
            rows[learnt],
            y[learnt],
            rows if adversarial else None,
            method=method,
            epochs=self._fine_tune_epochs(len(rows) if adversarial else len(learnt), adversarial),
            radius=adversarial_radius(rows, random) if adversarial and self.radius is None else self.radius or 1.0,
            entropy=self.entropy,
            random_state=random.child("fine-tuning", method),
            callbacks=progress(self.verbose, f"DBNClassifier: {method} fine-tuning"),
            **common,
        )
        self.history_.append(history)

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probability of each class of ``classes_`` for rows ``X`` (n_rows, n_features): (n_rows, n_classes)."""
        return self._through(lambda network, x: torch.softmax(network(x), 1), X).astype(self.dtype)

    def _begin(self, n_classes: int, adversarial: bool, random: Random) -> MLP:
        """The network that fine-tuning begins with: the stack's own units, or rectified ones at the same filters."""
        if not adversarial:
            return self._network(n_classes, random)
        network = rectified_classifier(self.stack_, n_classes, random_state=random.child("head"))
        network.dropout, network.input_dropout = self.dropout, self.input_dropout
        return network

    def predict(self, X: Any) -> np.ndarray:
        """The most probable class for rows ``X`` (n_rows, n_features): (n_rows,)."""
        best = self.predict_proba(X).argmax(1)
        return self.classes_[best]
