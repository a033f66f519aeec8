"""What `MLPClassifier` and `MLPRegressor` share: scikit-learn's perceptron on Lamina's network, rules and loop.

The fitted arrays ``coefs_`` and ``intercepts_`` are the state: on the CPU they share their memory with the network, and
arrays that a user puts in their place count. Start, order of rows and steps are scikit-learn's, number by number, where
the settings are ones that it knows: the same ``random_state`` gives the same network but for rounding.
"""

from __future__ import annotations

import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar, Self

import numpy as np
import torch
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state, column_or_1d
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data
from torch import Tensor, nn

from lamina.core.checks import check_device, check_matrix
from lamina.core.errors import DataError, DivergenceError, Interrupted, SettingError
from lamina.core.random import Random, as_random
from lamina.estimators.base import FLOATS, SparseRows, checked_rows, in_chunks, torch_type
from lamina.estimators.convergence import Convergence, Rate
from lamina.estimators.limits import PERCEPTRON, Limit, check_settings
from lamina.estimators.ordered_rows import OrderedRows
from lamina.models.networks import MLP
from lamina.training import MaxNorm, fit
from lamina.training.penalised_back_propagation import PenalisedBackPropagation
from lamina.training.quasi_newton import QuasiNewton
from lamina.training.sources import IN_MEMORY
from lamina.training.step_velocity import Kept, PlainEpsilonAdam, VelocityMomentum

THEIRS = ("identity", "logistic", "tanh", "relu")  # activations that scikit-learn has
ROWS = 200  # of a batch, at most, where batch_size is "auto"
CHUNK = 4096  # rows that L-BFGS sends through the network together
NOT_FINITE = (
    "Solver produced non-finite parameter weights. The input data may contain large values and need to be preprocessed"
)


class MultiLayerPerceptron(BaseEstimator, ABC):
    """Base of the perceptron estimators; learns nothing by itself."""

    limits: ClassVar[dict[str, Limit]] = PERCEPTRON

    _loss: str  # of `PenalisedBackPropagation`, set in fit
    coefs_: list[np.ndarray]
    intercepts_: list[np.ndarray]

    # what the two say ------------------------------------------------------------------------------------------------

    @abstractmethod
    def _targets(self, X: Any, y: np.ndarray, incremental: bool) -> np.ndarray:
        """Targets as columns (n_rows, n_outputs)."""

    @abstractmethod
    def _score_rows(self, X: Any, y: np.ndarray, weights: np.ndarray | None) -> float:
        """The score on checked rows."""

    @abstractmethod
    def _links(self, Y: np.ndarray) -> tuple[str, str]:
        """The loss's name in `PenalisedBackPropagation`, and scikit-learn's name of the link at the outputs."""

    # learning --------------------------------------------------------------------------------------------------------

    def _learn(self, X: Any, y: Any, sample_weight: Any, incremental: bool) -> Self:
        check_settings(self)
        if incremental and self.early_stopping:
            raise SettingError("partial_fit does not support early_stopping=True: set it to False, or use fit")
        fresh = not hasattr(self, "coefs_") or not (self.warm_start or incremental)
        X, y = self._checked(X, y, fresh)
        Y = self._targets(X, y, incremental)
        weights = self._weights(X, y, sample_weight, incremental)
        self._numpy = numpy_state(self.random_state)
        self.n_outputs_ = Y.shape[1]
        if fresh:
            self._begin(X, Y)
        self._loss = self._links(Y)[0]
        self._network = self._perceptron().to(check_device(self.device))
        try:
            if self.solver == "lbfgs":
                self._minimise(X, Y, weights)
            else:
                self._descend(X, y, Y, weights, incremental)
        finally:
            self._share()
        return self

    def _checked(self, X: Any, y: Any, fresh: bool) -> tuple[Any, np.ndarray]:
        """Rows as floats, dense or CSR, and ``y`` as an array of one or two dimensions, a single column as one."""
        options: dict[str, Any] = {"accept_sparse": "csr", "dtype": FLOATS, "ensure_all_finite": False}
        try:
            X, y = validate_data(self, X, y, reset=fresh, multi_output=True, **options, **self._y_options())
        except ValueError as problem:
            raise DataError(str(problem)) from None
        stored = X.data.reshape(-1, 1) if sparse.issparse(X) else X
        with np.errstate(over="ignore", invalid="ignore"):
            fine = np.isfinite(stored.sum())  # a sum hides no NaN
        if not fine:
            check_matrix(stored)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        return X, y

    def _y_options(self) -> dict[str, Any]:
        return {}

    def _weights(self, X: Any, y: np.ndarray, sample_weight: Any, incremental: bool) -> np.ndarray | None:
        """Weights of the rows (n_rows,), or None where all count alike."""
        if sample_weight is None:
            return None
        try:
            return _check_sample_weight(sample_weight, X, ensure_non_negative=True)
        except ValueError as problem:
            raise DataError(str(problem)) from None

    def _begin(self, X: Any, Y: np.ndarray) -> None:
        self.n_iter_ = self.t_ = 0
        self.out_activation_ = self._links(Y)[1]
        hidden = self.hidden_layer_sizes
        sizes = (X.shape[1], *(hidden if np.ndim(hidden) else [hidden]), Y.shape[1])
        self.n_layers_ = len(sizes)
        self.__dict__.pop("_optimiser", None)
        self._network = self._new_network(sizes, X.dtype if self.dtype is None else np.dtype(self.dtype))
        self._share()
        if self.solver == "lbfgs":
            return
        self.loss_curve_: list[float] = []
        self._no_improvement_count = 0
        self.best_loss_ = None if self.early_stopping else math.inf
        self.validation_scores_: list[float] | None = [] if self.early_stopping else None
        self.best_validation_score_ = -math.inf if self.early_stopping else None

    def _new_network(self, sizes: tuple[int, ...], dtype: Any) -> MLP:
        """A network with scikit-learn's start, U(±√(6/(n_in + n_out))), biases too (2 for logistic units), where it
        knows the activation; else with that of `lamina.MLP`."""
        known = self.activation in THEIRS
        seed = 0 if known else int(self._numpy.randint(2**31 - 1))
        network = MLP(sizes, **self._shape_of_network(), dtype=torch_type(dtype), random_state=seed)
        if not known:
            return network
        factor = 2.0 if self.activation == "logistic" else 6.0
        with torch.no_grad():
            for W, b in zip(network.W, network.b, strict=True):
                bound = math.sqrt(factor / sum(W.shape))
                W.copy_(torch.from_numpy(self._numpy.uniform(-bound, bound, tuple(W.shape))))
                b.copy_(torch.from_numpy(self._numpy.uniform(-bound, bound, len(b))))
        return network

    def _shape_of_network(self) -> dict[str, Any]:
        activation = "sigmoid" if self.activation == "logistic" else self.activation
        options = {"activation": activation, "dropout": self.dropout, "input_dropout": self.input_dropout}
        return options | ({"pieces": self.pieces} if activation == "maxout" else {})

    def _tensors(self, Y: np.ndarray, dtype: torch.dtype) -> Tensor:
        """Targets as the rule takes them: codes for a softmax, columns else."""
        if self._loss == "cross-entropy":
            return torch.from_numpy(Y.argmax(1))
        return torch.from_numpy(np.ascontiguousarray(Y)).to(dtype)

    def _source(self, X: Any, Y: np.ndarray, weights: np.ndarray | None, batch_size: int) -> OrderedRows:
        like = self._network.W[0]
        arrays = [SparseRows(X) if sparse.issparse(X) else rows_in_place(X), self._tensors(Y, like.dtype)]
        if weights is not None:
            arrays.append(torch.from_numpy(np.ascontiguousarray(weights)))
        shuffler = self._numpy if self.shuffle and self.solver != "lbfgs" else None
        return OrderedRows(tuple(arrays), batch_size, like.device, like.dtype, shuffler)

    # solvers ---------------------------------------------------------------------------------------------------------

    def _minimise(self, X: Any, Y: np.ndarray, weights: np.ndarray | None) -> None:
        """L-BFGS over all rows, in double precision where the device has it."""
        n, total = X.shape[0], float(X.shape[0] if weights is None else weights.sum())
        network, kept = self._network, self._network.W[0].dtype
        if network.W[0].device.type != "mps":
            network.double()
        solver = QuasiNewton(self.max_iter, tolerance=self.tol, evaluations=self.max_fun)
        source = self._source(X, Y, None if weights is None else weights * (n / total), min(n, CHUNK))
        decay = self.alpha / total
        self._fit(source, PenalisedBackPropagation(self._loss), 1, optimiser=solver, weight_decay=decay)
        network.to(kept)
        result = solver.made[-1].result
        assert result is not None
        self.loss_ = self._their_loss(float(result.fun), decay / 2 * _squares(network))
        self.n_iter_ = min(int(result.nit), self.max_iter)
        if result.status != 0:
            warnings.warn(
                f"lbfgs failed to converge after {result.nit} iteration(s) (status={result.status}): {result.message}: "
                f"increase max_iter or max_fun, or scale the data",
                ConvergenceWarning,
                stacklevel=4,
            )

    def _descend(self, X: Any, y: np.ndarray, Y: np.ndarray, weights: np.ndarray | None, incremental: bool) -> None:
        """The other solvers, batch by batch."""
        train, held = self._split(Y)
        score = None if held is None else partial(self._score_rows, X[held], y[held], _taken(weights, held))
        self._prepare_optimiser(incremental)
        listener = Convergence(self, len(train), self._rate, self._loss_of, score, self._keep_best)
        source = self._source(_taken(X, train), Y[train], _taken(weights, train), self._rows_per_batch(len(train)))
        epochs, self.n_iter_ = 1 if incremental else self.max_iter, 0
        if held is None:
            self._run(source, epochs, listener)
        else:
            self._run_to_the_best(source, epochs, listener)
        if self.n_iter_ == epochs and not (incremental or self._rate.stop):
            warnings.warn(
                f"Stochastic Optimizer: Maximum iterations ({epochs}) reached and the optimization hasn't converged "
                f"yet.",
                ConvergenceWarning,
                stacklevel=4,
            )

    def _run_to_the_best(self, source: OrderedRows, epochs: int, listener: Convergence) -> None:
        """Takes the weights of the best score, also where training diverged after it."""
        self._keep_best()
        try:
            self._run(source, epochs, listener)
        except DataError as problem:
            listener.diverged()
            warnings.warn(f"{problem}; the best weights before are kept", ConvergenceWarning, stacklevel=5)
        self._network.load_state_dict(self._best)
        del self._best

    def _run(self, source: OrderedRows, epochs: int, listener: Convergence) -> None:
        settings = {
            "optimiser": Kept(self._optimiser),
            "learning_rate": self._rate,
            "momentum": self.momentum if self.solver == "sgd" else 0.0,
            "penalties": () if self.max_norm is None else (MaxNorm(self.max_norm),),
            "callbacks": (listener,),
        }
        self._fit(source, PenalisedBackPropagation(self._loss, alpha=self.alpha), epochs, **settings)

    def _fit(self, source: OrderedRows, rule: Any, epochs: int, **settings: Any) -> None:
        seed = int(self._numpy.randint(2**31 - 1)) if self.dropout or self.input_dropout else 0
        settings |= {"epochs": epochs, "batch_size": source.batch_size, "random_state": seed}
        try:
            self.history_ = fit(self._network, source, rule, **settings)
        except DivergenceError as problem:
            raise DataError(f"{NOT_FINITE}. ({problem})") from None
        except Interrupted:
            warnings.warn("Training interrupted by user.", stacklevel=5)

    def _split(self, Y: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Rows to learn from, and those kept aside with early stopping, drawn as scikit-learn draws them."""
        if not self.early_stopping:
            return np.arange(len(Y)), None
        try:
            train, held = train_test_split(
                np.arange(len(Y)),
                test_size=self.validation_fraction,
                random_state=self._numpy,
                stratify=self._strata(Y),
            )
        except ValueError as problem:
            raise DataError(str(problem)) from None
        if len(held) < 2:
            raise DataError(
                "The validation set is too small. Increase 'validation_fraction' or the size of your dataset."
            )
        return train, held

    def _strata(self, Y: np.ndarray) -> np.ndarray | None:
        return None

    def _rows_per_batch(self, n: int) -> int:
        if self.batch_size == "auto":
            return min(ROWS, n)
        if self.batch_size > n:
            warnings.warn(
                f"batch_size is {self.batch_size}, more than the {n} rows to learn from. It is going to be clipped",
                stacklevel=5,
            )
        return min(int(self.batch_size), n)

    def _keep_best(self) -> None:
        self._best = {name: value.clone() for name, value in self._network.state_dict().items()}

    def _loss_of(self, measures: dict[str, float]) -> float:
        return self._their_loss(measures["training loss"], measures.get("penalty", 0.0))

    def _their_loss(self, cost: float, penalty: float) -> float:
        """scikit-learn takes the mean over outputs of the squared error, though it descends the sum."""
        share = self.n_outputs_ if self._loss == "squared" else 1
        return (cost - penalty) / share + penalty

    # optimisers ------------------------------------------------------------------------------------------------------

    def _prepare_optimiser(self, incremental: bool) -> None:
        """A new optimiser and rate, or, in a partial fit, those of the call before."""
        before = self.__dict__.pop("_optimiser", None) if incremental else None
        state = self.__dict__.pop("_optimiser_state", None) if incremental else None
        parameters = list(self._network.parameters())
        if before is not None and before.param_groups[0]["params"][0] is parameters[0]:
            self._optimiser = before
            return
        self._optimiser = self._new_optimiser(parameters)
        state = state if before is None else before.state_dict()
        if state is not None:
            self._optimiser.load_state_dict(state)
        else:
            self._rate = Rate(
                self.learning_rate_init, self.learning_rate if self.solver == "sgd" else "constant", self.power_t
            )

    def _new_optimiser(self, parameters: list[nn.Parameter]) -> Any:
        if self.solver == "sgd":
            return VelocityMomentum(parameters, nesterov=self.nesterovs_momentum)
        if self.solver == "adam":
            return PlainEpsilonAdam(parameters, beta1=self.beta_1, beta2=self.beta_2, epsilon=self.epsilon)
        if self.solver == "adagrad":
            return torch.optim.Adagrad(parameters, lr=0.0, eps=self.epsilon)
        return torch.optim.RMSprop(parameters, lr=0.0, eps=self.epsilon)

    # the state -------------------------------------------------------------------------------------------------------

    def _share(self) -> None:
        """``coefs_`` and ``intercepts_`` become the network's (copies where it is not on the CPU)."""
        network = self._network
        self.coefs_ = [W.detach().cpu().numpy() for W in network.W]
        self.intercepts_ = [b.detach().cpu().numpy() for b in network.b]
        if self.activation == "prelu":
            self.slopes_ = [a.detach().cpu().numpy() for a in network.a]
        self._shared = tuple(self._arrays())

    def _arrays(self) -> list[np.ndarray]:
        return [*self.coefs_, *self.intercepts_, *(self.slopes_ if self.activation == "prelu" else ())]

    def _perceptron(self) -> MLP:
        """The network with the fitted arrays, made anew where those were replaced or read from a file."""
        arrays = self._arrays()
        shared = self.__dict__.get("_shared", ())
        if len(arrays) == len(shared) and all(a is b for a, b in zip(arrays, shared, strict=True)):
            return self._network
        first, last = np.asarray(arrays[0]), np.asarray(self.coefs_[-1])
        units = [np.shape(W)[0] for W in self.coefs_[1:]]
        dtype = np.float32 if first.dtype == np.float32 else np.float64
        network = MLP((first.shape[0], *units, last.shape[1]), **self._shape_of_network(), dtype=torch_type(dtype))
        for parameter, array in zip(network.parameters(), arrays, strict=True):
            parameter.data = torch.from_numpy(np.array(array, dtype=dtype)).reshape(parameter.shape)
        self._network = network.to(check_device(self.device))
        self._share()
        return self._network

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        if "_optimiser" in state:
            state["_optimiser_state"] = state.pop("_optimiser").state_dict()
        for name in ("_network", "_shared"):
            state.pop(name, None)
        return state

    # using -----------------------------------------------------------------------------------------------------------

    @property
    def network_(self) -> MLP:
        """The fitted network, `lamina.MLP`: outputs before softmax, sigmoid or exp."""
        check_is_fitted(self, "coefs_")
        return self._perceptron()

    def _outputs(self, link: Callable[[Tensor], Tensor], X: Any, checked: bool = False) -> np.ndarray:
        """``link`` of the network's outputs for rows ``X``: (n_rows, n_outputs)."""
        network = self.network_
        rows = X if checked else checked_rows(self, X, accept_sparse="csr")
        out = in_chunks(lambda x: link(network(x)), rows, network.W[0])
        return out.astype(np.result_type(rows.dtype, out.dtype), copy=False)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


def has_batches(estimator: Any) -> bool:
    """Whether the solver goes batch by batch, as ``partial_fit`` needs."""
    if estimator.solver == "lbfgs":
        raise AttributeError("partial_fit is only available for stochastic optimizers. lbfgs is not stochastic.")
    return True


def rows_in_place(X: np.ndarray) -> Any:
    """``X`` as a tensor on the same memory, which the loop reads without a copy; as it is where it lies on a disk."""
    if isinstance(X, np.memmap) or X.nbytes > IN_MEMORY or not X.flags.writeable:
        return X
    return torch.from_numpy(np.ascontiguousarray(X))


def _taken(array: Any, rows: np.ndarray) -> Any:
    """``array`` at ``rows``; itself where they are all rows, or where it is None."""
    return array if array is None or len(rows) == array.shape[0] else array[rows]


def _squares(network: MLP) -> float:
    return float(sum(W.detach().double().square().sum() for W in network.W))


def numpy_state(random_state: Any) -> np.random.RandomState:
    """What scikit-learn makes of ``random_state``; a state drawn from a lamina `Random` or a NumPy Generator."""
    if isinstance(random_state, (Random, np.random.Generator)):
        stream = as_random(random_state)  # type: ignore[arg-type]  # it takes generators too
        random_state = int(stream.child("perceptron").numpy().integers(2**31 - 1))
    return check_random_state(random_state)
