"""`SelfOrganisingMap`: rows laid out on a grid, so that rows alike lie side by side."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_array, check_is_fitted

from lamina.core.checks import check_device, check_matrix
from lamina.core.errors import DataError, LabelError, SettingError
from lamina.core.random import Random, as_random
from lamina.estimators.base import FLOATS, Scaling, checked_rows, in_chunks, progress, tensor, torch_type
from lamina.estimators.limits import check_settings
from lamina.metrics import majority_labels
from lamina.models.maps import SelfOrganisingMap as Map
from lamina.training import BatchMap, OnlineMap, fit, prototypes_from_plane, prototypes_from_rows, shrinking


class SelfOrganisingMap(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Self-organising map (Kohonen 1982): prototypes on a grid, each pulled by the rows that it and its neighbours win.

    The batch rule, w_j ← Σ_c h_jc s_c / Σ_c h_jc n_c, or Kohonen's row by row, with a neighbourhood that shrinks.

    Parameters
    ----------
    rows, columns : int, default=10
        Size of the grid.
    topology : {"rectangular", "hexagonal"}, default="hexagonal"
        A unit touches 8 others, or 6 all equally far away.
    toroidal : bool, default=False
        Whether the grid has no edge. A hexagonal torus has an even number of rows.
    neighbourhood : {"gaussian", "bubble"}, default="gaussian"
        How a row's pull falls off with the distance from its winner.
    initial : {"plane", "rows"}, default="plane"
        First prototypes: laid into the plane of the first two principal components (nothing is random), or rows drawn
        without repetition.
    algorithm : {"batch", "online"}, default="batch"
        All rows at once, or ``batch_size`` at a time with a ``learning_rate``.
    epochs : int, default=20
        Passes over the data.
    first_radius : float or None, default=None
        Radius of the neighbourhood at the start. None: half the longer side.
    last_radius : float, default=1.0
        Radius at the end. Smaller: less quantisation error, more topographic error.
    batch_size : int, default=1
        Rows per step of the online rule; one is Kohonen's.
    learning_rate : float, default=0.5
        First step length of the online rule, in (0, 1]; falls to a hundredth in a straight line.
    output : {"coordinates", "distances"}, default="coordinates"
        What `transform` gives: the place of the winner on the grid (n, 2), or distances to all prototypes (n, n_units).
    standardise : bool, default=True
        Subtract the mean and divide by the standard deviation of every column (1 for a constant column).
    random_state : int, RandomState, Generator, lamina.Random or None, default=None
        Source of all random numbers; an int gives the same result each time.
    device : str or None, default=None
        Where to compute: None is the CPU.
    verbose : int, default=0
        Above 0, progress on standard error.

    Attributes
    ----------
    map_ : lamina.SelfOrganisingMap
        The model, on standardised rows; float32 where ``X`` is, else float64.
    prototypes_ : ndarray of shape (rows * columns, n_features)
        In the units of the data; unit k stands in row k // columns and column k % columns.
    places_ : ndarray of shape (rows * columns, 2)
        Where units stand, (x, y), neighbours 1 apart.
    labels_ : ndarray of shape (n_rows,)
        The unit that won each row of `fit`.
    quantisation_error_ : float
        Mean distance of the rows of `fit` to their winner, in standardised units.
    topographic_error_ : float
        Share of the rows of `fit` whose two nearest units do not touch.
    mean_, scale_ : ndarray of shape (n_features,)
        What was subtracted, and divided by: 0 and 1 without ``standardise``.
    history_ : lamina.History
    classes_, unit_labels_ : ndarray
        After `label`: the classes, and the class code of every unit (-1 where no labelled row fell).
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Only where ``X`` has names for its columns.

    Raises
    ------
    DataError, LabelError, SettingError (all ValueErrors), DeviceError

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from lamina.estimators import SelfOrganisingMap
    >>> X, y = load_iris(return_X_y=True)
    >>> found = SelfOrganisingMap(6, 4, random_state=0).fit(X)
    >>> found.transform(X).shape, found.u_matrix().shape
    ((150, 2), (6, 4))
    >>> bool((found.label(X, y).predict_labels(X) == y).mean() > 0.9)
    True
    """

    def __init__(
        self,
        rows: int = 10,
        columns: int = 10,
        *,
        topology: str = "hexagonal",
        toroidal: bool = False,
        neighbourhood: str = "gaussian",
        initial: str = "plane",
        algorithm: str = "batch",
        epochs: int = 20,
        first_radius: float | None = None,
        last_radius: float = 1.0,
        batch_size: int = 1,
        learning_rate: float = 0.5,
        output: str = "coordinates",
        standardise: bool = True,
        random_state: Any = None,
        device: str | None = None,
        verbose: int = 0,
    ) -> None:
        self.rows = rows
        self.columns = columns
        self.topology = topology
        self.toroidal = toroidal
        self.neighbourhood = neighbourhood
        self.initial = initial
        self.algorithm = algorithm
        self.epochs = epochs
        self.first_radius = first_radius
        self.last_radius = last_radius
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.output = output
        self.standardise = standardise
        self.random_state = random_state
        self.device = device
        self.verbose = verbose

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn from rows ``X`` (n_rows, n_features); ``y`` is ignored. One row is too few to standardise by."""
        check_settings(self)
        if self.learning_rate > 1:
            raise SettingError(
                f"learning_rate is {self.learning_rate!r}; expected a number in (0, 1]: a share of a way"
            )
        X = checked_rows(self, X, fitting=True, ensure_min_samples=2 if self.standardise else 1)
        scaling = Scaling.of(X) if self.standardise else Scaling.none(X.shape[1])
        rows = scaling.apply(X)
        random = as_random(self.random_state).child("SelfOrganisingMap")
        self.map_ = self._first(rows, random)
        self.history_ = self._learn(rows, random)
        self.mean_, self.scale_ = scaling.mean, scaling.scale
        weights = self.map_.weights.detach().cpu().numpy()
        self.prototypes_ = scaling.undo(weights)
        self.places_ = self.map_.places.cpu().numpy()
        self.labels_ = in_chunks(self.map_.winners, rows, self.map_.weights)
        self.quantisation_error_ = float(in_chunks(self.map_.errors, rows, self.map_.weights).mean())
        self.topographic_error_ = float(in_chunks(self.map_.topographic_error, rows, self.map_.weights).mean())
        return self

    def _first(self, rows: np.ndarray, random: Random) -> Map:
        made = Map(
            rows.shape[1],
            self.rows,
            self.columns,
            topology=self.topology,
            toroidal=bool(self.toroidal),
            dtype=torch_type(rows.dtype),
            random_state=random,
        )
        if self.initial == "plane":
            return prototypes_from_plane(made, rows)
        return prototypes_from_rows(made, rows, random)

    def _learn(self, rows: np.ndarray, random: Random) -> Any:
        epochs, batch = int(self.epochs), self.algorithm == "batch"
        steps = epochs if batch else epochs * -(-len(rows) // self.batch_size)
        first = max(self.rows, self.columns) / 2 if self.first_radius is None else self.first_radius
        radius = shrinking(max(first, self.last_radius), self.last_radius, max(1, steps))
        rate = self.learning_rate
        return fit(
            self.map_,
            rows,
            (BatchMap if batch else OnlineMap)(radius, self.neighbourhood),
            epochs=epochs,
            batch_size=min(4096, len(rows)) if batch else self.batch_size,
            learning_rate=shrinking(rate, rate / 100, max(1, epochs), "linear"),
            random_state=random,
            device=check_device(self.device),
            callbacks=progress(self.verbose, "SelfOrganisingMap"),
        )

    def _rows(self, X: Any) -> tuple[np.ndarray, Any]:
        check_is_fitted(self)
        X = checked_rows(self, X)
        return Scaling(self.mean_, self.scale_).apply(X), X.dtype

    def transform(self, X: Any) -> np.ndarray:
        """Places of the winners (n_rows, 2), or distances to all prototypes (n_rows, n_units), by ``output``."""
        rows, dtype = self._rows(X)
        apply = self.map_.encode if self.output == "coordinates" else self.map_.distances
        found = in_chunks(apply, rows, self.map_.weights)
        return found.astype(np.result_type(dtype, found.dtype), copy=False)

    def predict(self, X: Any) -> np.ndarray:
        """The unit that wins each row of ``X`` (n_rows, n_features): (n_rows,) int64."""
        rows, _ = self._rows(X)
        return in_chunks(self.map_.winners, rows, self.map_.weights)

    def u_matrix(self) -> np.ndarray:
        """Mean distance of each prototype to its neighbours', (rows, columns): ridges part what is unlike."""
        check_is_fitted(self)
        return self.map_.u_matrix().cpu().numpy()

    def component_planes(self) -> np.ndarray:
        """Each feature over the grid, in the units of the data: (n_features, rows, columns)."""
        check_is_fitted(self)
        return self.prototypes_.T.reshape(-1, self.map_.rows, self.map_.columns)

    def hits(self, X: Any) -> np.ndarray:
        """Rows of ``X`` that each unit wins: (rows, columns) int64."""
        counts = np.bincount(self.predict(X), minlength=self.map_.n_units)
        return counts.reshape(self.map_.rows, self.map_.columns)

    def label(self, X: Any, y: Any) -> Self:
        """Name every unit after the class that most of the rows ``X`` which it wins have, ``y`` (n_rows,)."""
        winners = self.predict(X)
        try:
            y = check_array(y, ensure_2d=False, dtype=None, ensure_all_finite=False, input_name="y")
        except ValueError as problem:
            raise LabelError(str(problem)) from None
        if y.shape != winners.shape:
            raise LabelError(f"labels have shape {y.shape} for {len(winners)} rows; expected one class per row")
        self.classes_, codes = np.unique(y, return_inverse=True)
        self.unit_labels_ = majority_labels(winners, codes, self.map_.n_units, len(self.classes_))
        return self

    def predict_labels(self, X: Any) -> np.ndarray:
        """The class of the nearest unit that has one, after `label`: (n_rows,)."""
        rows, _ = self._rows(X)
        if not hasattr(self, "unit_labels_"):
            raise LabelError("the units have no labels yet; expected label(X, y) first")
        named = np.flatnonzero(self.unit_labels_ >= 0)
        kept = self.map_.weights.detach()[torch.from_numpy(named).to(self.map_.weights.device)]
        nearest = in_chunks(lambda x: torch.cdist(x, kept).argmin(1), rows, self.map_.weights)
        return self.classes_[self.unit_labels_[named[nearest]]]

    def inverse_transform(self, Z: Any) -> np.ndarray:
        """The prototype of the unit nearest to each place ``Z`` (n_rows, 2) on the grid, or that with the least of the
        distances ``Z`` (n_rows, n_units), by ``output``: (n_rows, n_features)."""
        check_is_fitted(self)
        try:
            Z = check_array(Z, dtype=FLOATS, ensure_all_finite=False)
        except ValueError as problem:
            raise DataError(str(problem)) from None
        check_matrix(Z, name="the codes", n_features=self._n_features_out)
        if self.output == "distances":
            return self.prototypes_[Z.argmin(1)]
        places = self.map_.places
        units = torch.cdist(tensor(Z, places.dtype).to(places.device), places).argmin(1)
        return self.prototypes_[units.cpu().numpy()]

    @property
    def _n_features_out(self) -> int:
        return 2 if self.output == "coordinates" else self.map_.n_units

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
