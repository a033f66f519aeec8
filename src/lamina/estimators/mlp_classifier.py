"""`MLPClassifier`: scikit-learn's estimator of that name, on Lamina's network and loop."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import torch
from sklearn.base import ClassifierMixin
from sklearn.metrics import accuracy_score
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils import compute_sample_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import type_of_target, unique_labels
from torch import Tensor
from torch.nn.functional import logsigmoid

from lamina.core.errors import LabelError, SettingError
from lamina.estimators.mlp import MultiLayerPerceptron, has_batches


class MLPClassifier(ClassifierMixin, MultiLayerPerceptron):
    """Multi-layer perceptron for classes: a drop-in for ``sklearn.neural_network.MLPClassifier``.

    Parameters, attributes, convergence and, with the same ``random_state``, the numbers are those of scikit-learn but
    for rounding. Beyond it: more activations and solvers, dropout, limits of weights, weights of classes, devices.

    Parameters
    ----------
    hidden_layer_sizes : int or sequence of int, default=(100,)
        Units per hidden layer, from the bottom up; () is a linear model.
    activation : str, default="relu"
        Of the hidden units: "identity", "logistic", "tanh", "relu" as in scikit-learn, and all of `lamina.MLP`:
        "leaky_relu", "prelu", "maxout", "elu", "softplus", ...
    solver : {"lbfgs", "sgd", "adam", "adagrad", "rmsprop"}, default="adam"
        "lbfgs" minimises over all rows at once; the others go batch by batch.
    alpha : float, default=0.0001
        Penalty α/2 ‖W‖², divided by the batch's number of rows (their weight).
    batch_size : int or "auto", default="auto"
        Rows per step. "auto": 200, or all where there are fewer.
    learning_rate : {"constant", "invscaling", "adaptive"}, default="constant"
        For "sgd": as it is, divided by (rows seen + 1)^power_t, or divided by 5 whenever progress stops.
    learning_rate_init : float, default=0.001
        Step length, first or throughout.
    power_t : float, default=0.5
        Exponent of "invscaling".
    max_iter : int, default=200
        Passes over the rows; iterations of "lbfgs".
    shuffle : bool, default=True
        Whether every pass takes the rows in another order.
    random_state : int, RandomState, Generator, lamina.Random or None, default=None
        Source of all random numbers; an int gives the same result each time.
    tol : float, default=1e-4
        What counts as progress of the loss or score; for "lbfgs" the largest slope to stop at.
    verbose : bool or int, default=False
        Lines on standard output after each pass, worded as scikit-learn's.
    warm_start : bool, default=False
        Whether `fit` goes on from where the last one ended.
    momentum : float, default=0.9
        For "sgd", in [0, 1].
    nesterovs_momentum : bool, default=True
        Whether that momentum looks ahead.
    early_stopping : bool, default=False
        Whether to keep rows aside, to stop once the score on them no longer rises by ``tol``, and to take the best
        weights.
    validation_fraction : float, default=0.1
        Share of the rows kept aside.
    beta_1, beta_2, epsilon : float, default=0.9, 0.999, 1e-8
        Decay of the running means of "adam", and what its denominators are at least (of "adagrad" and "rmsprop" too).
    n_iter_no_change : int or inf, default=10
        Passes without progress after which to stop.
    max_fun : int, default=15000
        Evaluations that "lbfgs" may spend.
    dropout, input_dropout : float, default=0.0
        Probability to drop a hidden unit, an input, in [0, 0.95]; not for "lbfgs".
    pieces : int, default=2
        Linear pieces of a "maxout" unit.
    max_norm : float or None, default=None
        Longest vector of weights into a unit; not for "lbfgs".
    class_weight : dict, "balanced" or None, default=None
        What the rows of a class count: a number per class, or as many times as the class is rarer than the mean.
    dtype : {"float32", "float64"} or None, default=None
        Type of the weights. None: that of ``X`` where it is one of these, else float64.
    device : str or None, default=None
        Where to compute: None is the CPU. The fitted arrays are on the CPU.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Classes in order, of the type in which they were given.
    coefs_, intercepts_ : list of ndarray
        Weights (n_in, n_units) and biases (n_units,) of each layer, from the bottom up. Maxout layers have
        n_units · pieces columns.
    slopes_ : list of ndarray of shape (n_units,)
        Only with "prelu": its slopes below 0.
    network_ : lamina.MLP
        The network, whose parameters share their memory with those arrays.
    loss_, best_loss_ : float
        The training loss, penalty included, of the last pass, and the lowest (None with early stopping).
    loss_curve_ : list of float
        Loss of each pass; not with "lbfgs".
    validation_scores_, best_validation_score_ : list of float, float
        Accuracy on the rows kept aside after each pass, and the best; None without early stopping.
    t_ : int
        Rows seen.
    n_iter_, n_layers_, n_outputs_ : int
    out_activation_ : str
        "softmax"; "logistic" for two classes or several labels per row.
    history_ : lamina.History
        Measures per pass of the last `fit` or `partial_fit`.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Only where ``X`` has names for its columns.

    Raises
    ------
    DataError, LabelError, SettingError (all ValueErrors), DeviceError

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from lamina.estimators import MLPClassifier
    >>> X, y = make_classification(n_samples=100, random_state=1)
    >>> MLPClassifier(random_state=1, max_iter=300, tol=1e-2).fit(X, y).predict(X[:5]).shape
    (5,)
    """

    def __init__(
        self,
        hidden_layer_sizes: Any = (100,),
        activation: str = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: int | str = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: bool | int = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        max_fun: int = 15000,
        dropout: float = 0.0,
        input_dropout: float = 0.0,
        pieces: int = 2,
        max_norm: float | None = None,
        class_weight: Any = None,
        dtype: str | None = None,
        device: str | None = None,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.n_iter_no_change = n_iter_no_change
        self.max_fun = max_fun
        self.dropout = dropout
        self.input_dropout = input_dropout
        self.pieces = pieces
        self.max_norm = max_norm
        self.class_weight = class_weight
        self.dtype = dtype
        self.device = device

    # learning --------------------------------------------------------------------------------------------------------

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Learn from rows ``X`` {array-like, sparse} (n_rows, n_features), ``y`` (n_rows,) or (n_rows, n_labels).

        ``sample_weight`` (n_rows,) says how much each row counts; classes' weights multiply it.
        """
        return self._learn(X, y, sample_weight, incremental=False)

    @available_if(has_batches)
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None) -> Self:
        """One pass over ``X``, ``y`` (as in `fit`), going on from call to call; the first needs all ``classes``."""
        known = getattr(self, "classes_", None)
        if known is None and classes is None:
            raise LabelError("classes must be passed on the first call to partial_fit: a later call may bring others")
        if known is not None and classes is not None and not np.array_equal(known, unique_labels(classes)):
            raise LabelError(f"classes are {classes}, but those of the first call were {known}: expected the same")
        if known is None:
            self._binarizer = LabelBinarizer()
            self._binarizer.fit(y if type_of_target(y).startswith("multilabel") else classes)
            self.classes_ = self._binarizer.classes_
        return self._learn(X, y, sample_weight, incremental=True)

    def _targets(self, X: Any, y: np.ndarray, incremental: bool) -> np.ndarray:
        try:
            if not hasattr(self, "classes_") or not (self.warm_start or incremental):
                self._binarizer = LabelBinarizer()
                self._binarizer.fit(y)
                self.classes_ = self._binarizer.classes_
            else:
                self._check_classes(unique_labels(y))
            return self._binarizer.transform(y).astype(bool)
        except LabelError:
            raise
        except ValueError as problem:
            raise LabelError(str(problem)) from None

    def _check_classes(self, found: np.ndarray) -> None:
        if self.warm_start and set(found) != set(self.classes_):
            raise LabelError(
                f"warm_start can only be used where `y` has the same classes as in the previous call to fit. "
                f"Previously got {self.classes_}, `y` has {found}"
            )
        if len(np.setdiff1d(found, self.classes_)):
            raise LabelError(f"`y` has classes not in `self.classes_`: {found}, where {self.classes_} are known")

    def _weights(self, X: Any, y: np.ndarray, sample_weight: Any, incremental: bool) -> np.ndarray | None:
        weights = super()._weights(X, y, sample_weight, incremental)
        if self.class_weight is None:
            return weights
        if incremental and isinstance(self.class_weight, str):
            raise SettingError("class_weight='balanced' needs all rows at once: hand partial_fit a number per class")
        try:
            of_classes = compute_sample_weight(self.class_weight, y)
        except ValueError as problem:
            raise SettingError(f"class_weight is {self.class_weight!r}: {problem}") from None
        return of_classes if weights is None else weights * of_classes

    def _links(self, Y: np.ndarray) -> tuple[str, str]:
        if self._binarizer.y_type_ == "multiclass":
            return "cross-entropy", "softmax"
        return "binary cross-entropy", "logistic"

    def _strata(self, Y: np.ndarray) -> np.ndarray | None:
        return Y if Y.shape[1] == 1 else None

    def _score_rows(self, X: Any, y: np.ndarray, weights: np.ndarray | None) -> float:
        return accuracy_score(
            y, self._labels(self._outputs(self._probabilities, X, checked=True)), sample_weight=weights
        )

    # using -----------------------------------------------------------------------------------------------------------

    def _probabilities(self, outputs: Tensor) -> Tensor:
        return torch.softmax(outputs, 1) if self.out_activation_ == "softmax" else torch.sigmoid(outputs)

    def _log_probabilities(self, outputs: Tensor) -> Tensor:
        if self.out_activation_ == "softmax":
            return torch.log_softmax(outputs, 1)
        z = torch.cat([-outputs, outputs], 1) if outputs.shape[1] == 1 else outputs
        p = torch.sigmoid(z)
        return torch.where(p > 0.5, p.log(), logsigmoid(z))  # above 1/2 rounded as `predict_proba`, so that ties stay

    def _labels(self, probabilities: np.ndarray) -> np.ndarray:
        """Classes, or indicators of labels, for the outputs after their link."""
        one = probabilities.shape[1] == 1
        return self._binarizer.inverse_transform(probabilities[:, 0] if one else probabilities)

    def predict(self, X: Any) -> np.ndarray:
        """The most probable class, or the labels, for rows ``X``: (n_rows,) or (n_rows, n_labels)."""
        return self._labels(self._outputs(self._probabilities, X))

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probability of each class, or of each label, for rows ``X``: (n_rows, n_classes)."""
        p = self._outputs(self._probabilities, X)
        return np.hstack([1 - p, p]) if p.shape[1] == 1 else p

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Logarithms of `predict_proba`, finite where those round to 0."""
        return self._outputs(self._log_probabilities, X)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
