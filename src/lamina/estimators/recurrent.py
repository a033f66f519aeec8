"""What `RecurrentClassifier` and `RecurrentRegressor` share: sequences in, a recurrent network trained, answers out.

Data are lists of arrays (T_i, n_features), of any lengths, or one array (n, T, n_features). scikit-learn's table
(n, T) is taken too: each row is one signal, a sequence of T frames of one value, as the archives of time series have
it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from numbers import Integral
from typing import Any

import numpy as np
import torch
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from lamina.core.checks import check_device
from lamina.core.errors import DataError, SettingError
from lamina.core.random import Random, as_random
from lamina.estimators.base import Scaling, at_least_steps, checked_rows, progress, torch_type
from lamina.estimators.deep_belief import hold_out
from lamina.frontends import pad_sequences, split_sequences
from lamina.models.networks import RecurrentNetwork
from lamina.training import History, MaxGradientNorm, SequenceBackPropagation, falling, fit

EPOCHS, STEPS = 50, 1000  # passes where ``epochs`` is None, and the steps that they make at least
CHUNK = 256  # sequences that go through the network together


class Recurrent(BaseEstimator):
    """Base of the recurrent estimators; learns nothing by itself."""

    hidden: Any
    cell: str
    bidirectional: bool
    answer: str
    epochs: int | None
    batch_size: int
    learning_rate: float
    optimiser: str
    clip: float
    dropout: float
    weight_decay: float
    validation_fraction: float
    patience: int | None
    dtype: str
    random_state: Any
    device: str | None
    verbose: int
    n_features_in_: int
    network_: RecurrentNetwork
    history_: History

    # sequences --------------------------------------------------------------------------------------------------------

    def _sequences(self, X: Any, fitting: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """X (n, T, n_features) with zeros behind each end, and lengths (n,); of a table's rows (n, T, 1)."""
        if isinstance(X, (map, zip)) or hasattr(X, "__next__"):
            X = list(X)
        table = is_table(X)
        if fitting:
            self._table = table
        elif table != self._table:
            kinds = ("a list of sequences", "a table of one signal per row")
            raise DataError(f"X is {kinds[table]}, but {kinds[self._table]} was given to fit; expected the same kind")
        if table:
            rows = checked_rows(self, X, fitting=fitting)
            return rows[:, :, None], np.full(len(rows), rows.shape[1], dtype=np.int64)
        padded, lengths = pad_sequences(X, n_features=None if fitting else self.n_features_in_)
        self.n_features_in_ = padded.shape[2]
        return padded, lengths

    def _scale(self, padded: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Learn mean and deviation of every feature over all frames; scaled sequences."""
        scaling = Scaling.of(np.concatenate(split_sequences(padded, lengths)))
        self.mean_, self.scale_ = scaling.mean, scaling.scale
        return scaling.apply(padded)

    # learning ---------------------------------------------------------------------------------------------------------

    def _check_patience(self) -> None:
        if self.patience is not None and not self.validation_fraction:
            raise SettingError("patience needs sequences to watch: set validation_fraction, or leave patience out")

    def _stream(self) -> Random:
        return as_random(self.random_state).child(type(self).__name__)

    def _learn(
        self,
        values: tuple[np.ndarray, ...],
        rule: SequenceBackPropagation,
        n_out: int,
        each: bool,
        strata: np.ndarray | None = None,
    ) -> None:
        """Train a new network with ``n_out`` outputs, per frame where ``each``, on what ``rule`` takes."""
        random, n = self._stream(), len(values[0])
        learnt, watched = np.arange(n), np.arange(0)
        if self.validation_fraction:
            learnt, watched = hold_out(self.validation_fraction, n, random, strata)
        if self.patience is not None and not len(watched):
            raise DataError(f"{n} sequences are too few to keep some aside: leave patience out")
        network = self._new_network(values[0].shape[2], n_out, each, random)
        usual = at_least_steps(EPOCHS, STEPS, len(learnt), self.batch_size)
        epochs = usual if self.epochs is None else int(self.epochs)
        self.history_ = fit(
            network,
            tuple(value[learnt] for value in values),
            rule,
            epochs=epochs,
            batch_size=self.batch_size,
            learning_rate=falling(self.learning_rate, epochs),
            weight_decay=self.weight_decay,
            optimiser=self.optimiser,
            penalties=[MaxGradientNorm(self.clip)],
            validation=tuple(value[watched] for value in values) if len(watched) else None,
            patience=self.patience,
            random_state=random,
            device=check_device(self.device),
            callbacks=progress(self.verbose, type(self).__name__),
        )
        self.network_ = network

    def _new_network(self, n_features: int, n_out: int, each: bool, random: Random) -> RecurrentNetwork:
        return RecurrentNetwork(
            n_features,
            int(self.hidden) if isinstance(self.hidden, Integral) else [int(n) for n in self.hidden],
            n_out,
            cell=self.cell,
            bidirectional=bool(self.bidirectional),
            answer="each" if each else self.answer,
            dropout=self.dropout,
            dtype=torch_type(self.dtype),
            random_state=random.child("network"),
        )

    # using ------------------------------------------------------------------------------------------------------------

    def _outputs(self, X: Any, apply: Callable[[RecurrentNetwork, Tensor, Tensor], Tensor] | None = None) -> Any:
        """What the network answers to ``X``, (n, …) float64, and the lengths; ``apply`` for something else than that.

        Computed in float64: in float32 a sequence's last digits depend on how many others come with it.
        """
        check_is_fitted(self)
        padded, lengths = self._sequences(X)
        network = copy.deepcopy(self.network_)
        like = next(network.parameters())
        network = (network.cpu() if like.device.type == "mps" else network).to(torch.float64)
        place, parts = next(network.parameters()).device, []
        apply = apply or (lambda network, x, ends: network(x, lengths=ends))
        with torch.no_grad():
            for start in range(0, len(padded), CHUNK):
                chunk = slice(start, start + CHUNK)
                x = torch.from_numpy(Scaling(self.mean_, self.scale_).apply(padded[chunk].astype(np.float64)))
                parts.append(apply(network, x.to(place), torch.from_numpy(lengths[chunk]).to(place)).cpu().numpy())
        return np.concatenate(parts), lengths

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags


def is_table(X: Any) -> bool:
    """Whether ``X`` is rows of numbers rather than a list of (frames, features) arrays."""
    if sparse.issparse(X) or hasattr(X, "columns"):
        return True
    if is_plain(X):
        return np.asarray(X).ndim < 3
    if isinstance(X, (str, bytes)) or not isinstance(X, (Sequence, np.ndarray)) or len(X) == 0:
        return True
    return depth(X[0]) < 2


def is_plain(value: Any) -> bool:
    """Whether ``value`` is one array (or can become one), not a list of arrays or an array of objects."""
    if not hasattr(value, "__array__"):
        return False
    return bool(getattr(value, "dtype", None) != np.dtype(object) or np.asarray(value).ndim > 1)


def depth(value: Any) -> int:
    """Dimensions of an array or nested list; text and numbers have none."""
    if hasattr(value, "ndim"):
        return int(value.ndim)
    if isinstance(value, (list, tuple)):
        return 1 + (depth(value[0]) if len(value) else 0)
    return 0


def per_frame(y: Any, lengths: np.ndarray, what: str) -> list[np.ndarray]:
    """``y`` as one array per sequence whose first dimension counts its frames. Raises `DataError` where it does not."""
    found = [np.asarray(one) for one in y]
    if len(found) != len(lengths):
        raise DataError(f"there are {len(found)} arrays of {what} for {len(lengths)} sequences; expected one for each")
    for k, (one, length) in enumerate(zip(found, lengths, strict=True)):
        if one.ndim == 0 or len(one) != length:
            raise DataError(
                f"sequence {k} has {length} frames and {what} of shape {one.shape}; expected one entry per frame"
            )
    return found
