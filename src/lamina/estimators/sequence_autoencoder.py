"""`SequenceAutoencoder`: one code per sequence, whatever its length, and forecasts of how it goes on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from lamina.core.checks import check_device, check_number
from lamina.core.errors import DataError, SettingError
from lamina.core.random import Random, as_random
from lamina.estimators.base import Scaling, at_least_steps, choose_visible, progress, torch_type
from lamina.estimators.limits import check_settings
from lamina.frontends import pad_sequences, split_sequences
from lamina.models.autoencoders import RecurrentAutoencoder
from lamina.training import Masking, MaxGradientNorm, SequenceReconstruction, fit

EPOCHS, STEPS = 50, 1000  # passes where ``epochs`` is None, and the steps that they make at least
CHUNK = 256  # sequences that go through the network together


class SequenceAutoencoder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """LSTM autoencoder of sequences (Srivastava, Mansimov, Salakhutdinov 2015), trained by Adam.

    An LSTM reads a sequence into one code; others write from the code the sequence back to front and, with a
    ``horizon``, the frames that follow. A sequence's features are its code.

    Data are lists of arrays (T_i, n_features), of any lengths; an array (n, T, n_features) will do too. That is not the
    table of rows that scikit-learn's own checks hand to estimators, so this one does not take part in
    ``check_estimator``; parameters, cloning, pickling, pipelines and errors are as its other rules ask.

    Parameters
    ----------
    n_hidden : int, default=64
        Values of the code, and of the state of every LSTM.
    horizon : int or None, default=None
        Frames at the end of every training sequence that are to be foretold from those before. None: no forecasts.
    conditional : bool, default=False
        Whether decoders are fed the frame before: the true one while learning, their own afterwards.
    visible : {"auto", "bernoulli", "gaussian"}, default="auto"
        Kind of the values: in [0, 1], with sigmoid outputs and cross-entropy, or real, standardised by column over all
        frames, with squared error. "auto" takes the first where all values lie in [0, 1].
    reconstruction : float, default=1.0
        Weight of writing the sequence again; 0 with a ``horizon`` learns to foretell alone.
    corruption : float, default=0.0
        Share of the values that are set to 0 in what is read while learning; 0 = none.
    learning_rate : float, default=0.003
        Step length of Adam.
    batch_size : int, default=32
        Sequences per step.
    epochs : int or None, default=None
        Passes over the data. None: 50, or as many as make 1000 steps.
    weight_decay : float, default=0.0
        Decoupled decay of the weights; biases are spared.
    max_gradient_norm : float, default=1.0
        Longer gradients are cut to this length; infinity: none are.
    random_state : int, RandomState, Generator, lamina.Random or None, default=None
        Source of all random numbers; an int gives the same result each time.
    device : str or None, default=None
        Where to compute: None is the CPU.
    verbose : int, default=0
        Above 0, progress on standard error.

    Attributes
    ----------
    autoencoder_ : lamina.models.autoencoders.RecurrentAutoencoder
        The network, on scaled frames; float32 where all sequences are, else float64.
    mean_, scale_ : ndarray of shape (n_features,)
        What was subtracted from every column, and divided by: 0 and 1 for values in [0, 1].
    history_ : lamina.History
        Measures per epoch.
    n_features_in_ : int
        Values of a frame.

    Raises
    ------
    DataError (a ValueError), SettingError (a ValueError), DivergenceError, DeviceError

    Examples
    --------
    >>> import numpy as np
    >>> from lamina.estimators import SequenceAutoencoder
    >>> X = [np.sin(np.arange(n) / 2)[:, None] for n in (9, 12, 15)]
    >>> learnt = SequenceAutoencoder(8, horizon=3, epochs=1, random_state=0).fit(X)
    >>> learnt.transform(X).shape, learnt.forecast(X).shape
    ((3, 8), (3, 3, 1))
    """

    def __init__(
        self,
        n_hidden: int = 64,
        *,
        horizon: int | None = None,
        conditional: bool = False,
        visible: str = "auto",
        reconstruction: float = 1.0,
        corruption: float = 0.0,
        learning_rate: float = 0.003,
        batch_size: int = 32,
        epochs: int | None = None,
        weight_decay: float = 0.0,
        max_gradient_norm: float = 1.0,
        random_state: Any = None,
        device: str | None = None,
        verbose: int = 0,
    ) -> None:
        self.n_hidden = n_hidden
        self.horizon = horizon
        self.conditional = conditional
        self.visible = visible
        self.reconstruction = reconstruction
        self.corruption = corruption
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.epochs = epochs
        self.weight_decay = weight_decay
        self.max_gradient_norm = max_gradient_norm
        self.random_state = random_state
        self.device = device
        self.verbose = verbose

    # learning ---------------------------------------------------------------------------------------------------------

    def fit(self, X: Iterable[Any], y: Any = None) -> Self:
        """Learn from the sequences ``X``, a list of (T_i, n_features) arrays; ``y`` is ignored."""
        check_settings(self)
        if not self.reconstruction and self.horizon is None:
            raise SettingError("reconstruction is 0 and there is no horizon: nothing would be learnt; set one of them")
        padded, lengths = pad_sequences(X)
        self._check_horizon(lengths)
        frames = np.concatenate(split_sequences(padded, lengths))
        self.n_features_in_ = padded.shape[2]
        gaussian = choose_visible(self.visible, frames) == "gaussian"
        scaling = Scaling.of(frames) if gaussian else Scaling.none(self.n_features_in_)
        self.mean_, self.scale_ = scaling.mean, scaling.scale
        random = as_random(self.random_state).child("SequenceAutoencoder")
        network = self._new_network(gaussian, padded.dtype)
        network.initialise(random, torch.from_numpy(scaling.apply(frames).mean(0)))
        self.history_ = fit(
            network,
            (scaling.apply(padded), lengths),
            self._rule(gaussian),
            epochs=at_least_steps(EPOCHS, STEPS, len(padded), self.batch_size) if self.epochs is None else self.epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            optimiser="adam",
            weight_decay=self.weight_decay,
            penalties=[MaxGradientNorm(self.max_gradient_norm)],
            random_state=random,
            device=check_device(self.device),
            callbacks=progress(self.verbose, "SequenceAutoencoder"),
        )
        self.autoencoder_ = network
        return self

    def _check_horizon(self, lengths: np.ndarray) -> None:
        shortest = int(lengths.argmin())
        if self.horizon is not None and lengths[shortest] <= self.horizon:
            raise DataError(
                f"sequence {shortest} has {lengths[shortest]} frame(s); expected more than the horizon of "
                f"{self.horizon}, which is foretold from those before: drop it, or take a smaller horizon"
            )

    def _new_network(self, gaussian: bool, dtype: Any) -> RecurrentAutoencoder:
        heads = [*(["reconstruction"] if self.reconstruction else []), *(["forecasting"] if self.horizon else [])]
        return RecurrentAutoencoder(
            self.n_features_in_,
            self.n_hidden,
            heads=heads,
            horizon=self.horizon,
            conditional=self.conditional,
            output="identity" if gaussian else "sigmoid",
            dtype=torch_type(dtype),
            random_state=Random(0),
        )

    def _rule(self, gaussian: bool) -> SequenceReconstruction:
        return SequenceReconstruction(
            "squared" if gaussian else "cross-entropy",
            reconstruction=self.reconstruction,
            corruption=Masking(self.corruption) if self.corruption else None,
        )

    # using ------------------------------------------------------------------------------------------------------------

    def transform(self, X: Iterable[Any]) -> np.ndarray:
        """The codes of the sequences ``X``: (n_sequences, n_hidden)."""
        return self._of_sequences(self._network().encode, X)[0]

    def reconstruct(self, X: Iterable[Any]) -> list[np.ndarray]:
        """The sequences ``X``, each written again from its code alone: a list of (T_i, n_features) arrays."""
        network = self._network()
        if not self.reconstruction:
            raise SettingError("this autoencoder has not learnt to reconstruct: fit it with reconstruction above 0")
        found, lengths = self._of_sequences(network.reconstruct, X)
        return split_sequences(self._scaling.undo(found), lengths)

    def forecast(self, X: Iterable[Any], steps: int | None = None) -> np.ndarray:
        """The ``steps`` frames that follow each of the sequences ``X`` (``horizon`` unless given).

        (n_sequences, steps, n_features). Raises `SettingError` where the estimator has no horizon.
        """
        network = self._network()
        if network.horizon is None:
            raise SettingError("this autoencoder has learnt no forecasts: fit it with horizon=")
        steps = network.horizon if steps is None else steps
        check_number("steps", steps, low=1, integer=True)
        found, _ = self._of_sequences(lambda x, lengths: network.forecast(x, lengths, steps), X)
        return self._scaling.undo(found)

    def _network(self) -> RecurrentAutoencoder:
        check_is_fitted(self)
        return self.autoencoder_

    def _of_sequences(self, apply: Any, X: Iterable[Any]) -> tuple[np.ndarray, np.ndarray]:
        """``apply`` to scaled sequences and lengths, some at a time: what it gives, and all lengths."""
        padded, lengths = pad_sequences(X, n_features=self.n_features_in_)
        like = next(self.autoencoder_.parameters())
        parts = []
        with torch.no_grad():
            for start in range(0, len(padded), CHUNK):
                chunk = slice(start, start + CHUNK)
                tensor: Tensor = torch.from_numpy(self._scaling.apply(padded[chunk])).to(like)
                parts.append(apply(tensor, torch.from_numpy(lengths[chunk]).to(like.device)).cpu().numpy())
        return np.concatenate(parts), lengths

    @property
    def _scaling(self) -> Scaling:
        return Scaling(self.mean_, self.scale_)

    @property
    def _n_features_out(self) -> int:
        return self.autoencoder_.n_hidden

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
