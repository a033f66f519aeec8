"""`MLPRegressor`: scikit-learn's estimator of that name, on Lamina's network and loop."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils.metaestimators import available_if

from lamina.core.errors import DataError
from lamina.estimators.limits import Limit
from lamina.estimators.mlp import MultiLayerPerceptron, has_batches


class MLPRegressor(RegressorMixin, MultiLayerPerceptron):
    """Multi-layer perceptron for real targets: a drop-in for ``sklearn.neural_network.MLPRegressor``.

    Parameters, attributes, convergence and, with the same ``random_state``, the numbers are those of scikit-learn but
    for rounding. Beyond it: more activations and solvers, dropout, limits of weights, devices. Targets are learnt as
    they are: scale them where they are far from mean 0 and deviation 1.

    Parameters
    ----------
    loss : {"squared_error", "poisson"}, default="squared_error"
        Half the squared error, or half the Poisson deviance of exp(output), for targets of at least 0.
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
    dtype : {"float32", "float64"} or None, default=None
        Type of the weights. None: that of ``X`` where it is one of these, else float64.
    device : str or None, default=None
        Where to compute: None is the CPU. The fitted arrays are on the CPU.

    Attributes
    ----------
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
        R² on the rows kept aside after each pass, and the best; None without early stopping.
    t_ : int
        Rows seen.
    n_iter_, n_layers_, n_outputs_ : int
    out_activation_ : str
        "identity", or "exp" with loss "poisson".
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
    >>> from sklearn.datasets import make_regression
    >>> from lamina.estimators import MLPRegressor
    >>> X, y = make_regression(n_samples=50, n_features=5, random_state=1)
    >>> MLPRegressor(solver="lbfgs", random_state=1, tol=1.0).fit(X, y).predict(X[:2]).shape
    (2,)
    """

    limits: ClassVar[dict[str, Limit]] = MultiLayerPerceptron.limits | {
        "loss": Limit(choices=("squared_error", "poisson"))
    }

    def __init__(
        self,
        loss: str = "squared_error",
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
        dtype: str | None = None,
        device: str | None = None,
    ) -> None:
        self.loss = loss
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
        self.dtype = dtype
        self.device = device

    # learning --------------------------------------------------------------------------------------------------------

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Learn from rows ``X`` {array-like, sparse} (n_rows, n_features), ``y`` (n_rows,) or (n_rows, n_targets).

        ``sample_weight`` (n_rows,) says how much each row counts.
        """
        return self._learn(X, y, sample_weight, incremental=False)

    @available_if(has_batches)
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """One pass over ``X``, ``y`` (as in `fit`), going on from call to call."""
        return self._learn(X, y, sample_weight, incremental=True)

    def _y_options(self) -> dict[str, Any]:
        return {"y_numeric": True}

    def _targets(self, X: Any, y: np.ndarray, incremental: bool) -> np.ndarray:
        Y = y.reshape(len(y), -1)
        if self.loss == "poisson" and (Y < 0).any():
            raise DataError(f"targets reach {Y.min():g}; loss='poisson' expects targets of at least 0")
        return Y

    def _links(self, Y: np.ndarray) -> tuple[str, str]:
        return ("poisson", "exp") if self.loss == "poisson" else ("squared", "identity")

    def _score_rows(self, X: Any, y: np.ndarray, weights: np.ndarray | None) -> float:
        found = self._means(X, checked=True)
        if not np.isfinite(found).all():
            return np.nan
        with np.errstate(over="ignore"):  # on the way to diverging
            return float(r2_score(y, found, sample_weight=weights))

    # using -----------------------------------------------------------------------------------------------------------

    def _means(self, X: Any, checked: bool = False) -> np.ndarray:
        link = (lambda outputs: outputs.exp()) if self.loss == "poisson" else (lambda outputs: outputs)
        found = self._outputs(link, X, checked)
        return found[:, 0] if found.shape[1] == 1 else found

    def predict(self, X: Any) -> np.ndarray:
        """Targets for rows ``X`` {array-like, sparse} (n_rows, n_features): (n_rows,) or (n_rows, n_targets)."""
        return self._means(X)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
