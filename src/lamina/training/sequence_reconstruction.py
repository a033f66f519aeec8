"""Learning codes of sequences: write them again, back to front, and foretell how they go on (Srivastava et al. 2015).

Data are (X, lengths): X (n, T, n_visible) with ``lengths`` (n,) whole numbers, or X alone where all have T frames. With
a forecasting head the last ``model.horizon`` frames of every sequence are its target and hidden from the encoder, which
reads the first S = L − horizon; without one S = L. The loss of a sequence is, with ℓ the loss of a frame summed over
its values (docs/mathematics.md, eq. 162),

    w_rec · 1/S Σ_{t=1}^{S} ℓ(x_t, reconstruction_t) + w_for · 1/horizon Σ_{t=S+1}^{L} ℓ(x_t, forecast_t)

a mean per frame, so that long sequences weigh no more than short ones, and the batch's loss the mean over sequences.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from lamina.core.checks import check_number
from lamina.core.errors import DataError, SettingError, nearest_names
from lamina.core.random import Random
from lamina.models.autoencoders import RecurrentAutoencoder
from lamina.models.ragged import clear_padding, frame_mask, reverse
from lamina.training.corruption import Corruption
from lamina.training.loss_rule import LossRule
from lamina.training.sources import Batch

LOSSES = ("squared", "cross-entropy")
CHUNK = 256  # validation sequences computed together


class SequenceReconstruction(LossRule):
    """The loss above, for a `RecurrentAutoencoder`, by autograd through time.

    ``loss`` of a frame: "squared", or "cross-entropy" for sigmoid outputs and values in [0, 1]. ``reconstruction`` and
    ``forecasting`` weigh the heads (one that the model lacks has no part). ``corruption`` (`Masking`, ...) is drawn
    anew at every step for what the encoder reads; targets stay clean, and so do the frames that conditional decoders
    are fed.

    Measures: ``training loss``; ``reconstruction error`` and ``forecast error``, mean squares per value, of conditional
    decoders given the true frame before. On validation sequences the same, and ``validation free forecast error`` of
    decoders running freely. Gradients of long sequences now and then explode: pass `fit`
    ``penalties=[MaxGradientNorm(1.0)]``.

    NaN behind a sequence's end never reaches the loss, but `fit` refuses arrays in memory that hold any: fill them.
    Batches of an iterable must be padded to one T.
    """

    def __init__(
        self,
        loss: str = "squared",
        *,
        reconstruction: float = 1.0,
        forecasting: float = 1.0,
        corruption: Corruption | None = None,
    ) -> None:
        if loss not in LOSSES:
            raise SettingError(f"loss is {loss!r}; {nearest_names(str(loss), list(LOSSES))}")
        check_number("reconstruction", reconstruction, low=0.0)
        check_number("forecasting", forecasting, low=0.0)
        if corruption is not None and not isinstance(corruption, Corruption):
            raise SettingError(f"corruption is {corruption!r}; expected one such as Masking(0.25), or None")
        self.loss_name, self.corruption = loss, corruption
        self.weights = {"reconstruction": float(reconstruction), "forecasting": float(forecasting)}

    def describe(self) -> dict:
        corruption = None if self.corruption is None else self.corruption.describe()
        return {"rule": "SequenceReconstruction", "loss": self.loss_name, **self.weights, "corruption": corruption}

    # checks ---------------------------------------------------------------------------------------------------------

    def check(self, model: Any, values: tuple[Tensor, ...]) -> None:
        if not isinstance(model, RecurrentAutoencoder):
            raise SettingError(f"SequenceReconstruction trains a RecurrentAutoencoder; {type(model).__name__} given")
        if not any(self.weights[head] for head in model.heads):
            raise SettingError(
                f"the weights of all heads of the model are 0 ({', '.join(model.heads)}): nothing would be learnt"
            )
        if self.loss_name == "cross-entropy" and model.output != "sigmoid":
            raise SettingError(
                f"loss is 'cross-entropy' and the model's output {model.output!r}; expected output='sigmoid', or "
                f"loss='squared'"
            )
        X, lengths = _sequences(values)
        lengths = model.check_sequences(X, lengths)
        _observed(model, lengths)
        self._check_range(X, lengths)

    def _check_range(self, X: Tensor, lengths: Tensor) -> None:
        valid = clear_padding(X, lengths)
        if self.loss_name == "cross-entropy" and (valid.min() < 0 or valid.max() > 1):
            raise DataError(
                f"the frames lie in [{float(valid.min()):g}, {float(valid.max()):g}]; cross-entropy needs [0, 1]: "
                f"scale them, or use loss='squared'"
            )

    # the loss -------------------------------------------------------------------------------------------------------

    def loss(self, model: Any, batch: Batch, random: Random) -> tuple[Tensor, Mapping[str, Tensor]]:
        losses, measures = self.sequence_losses(model, batch.values, random)
        total = losses.sum()
        return total, {"training loss": total, **{name: value.sum() for name, value in measures.items()}}

    def sequence_losses(
        self, model: Any, values: tuple[Tensor, ...], random: Random | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of each sequence (n,), and each head's mean square per value (n,); corrupted with ``random``."""
        X, lengths = _sequences(values)
        if lengths is None:
            lengths = torch.full((len(X),), X.shape[1], device=X.device)
        X = clear_padding(X, lengths)
        observed = _observed(model, lengths)
        read = X if self.corruption is None or random is None else self.corruption.apply(X, random)
        code = model.encode_checked(read, observed)
        losses, measures = X.new_zeros(len(X)), {}
        for head, target, counted in _targets(model, X, observed):
            if not self.weights[head]:
                continue
            fields = model.fields(head, code, target.shape[1], target)
            mask = frame_mask(counted, target.shape[1])
            per_frame = torch.where(mask, self._frame_losses(model, fields, target), 0.0).sum(1) / counted
            losses = losses + self.weights[head] * per_frame
            measures[_ERRORS[head]] = _mean_squares(model.frames(fields.detach()), target, mask, counted)
        return losses, measures

    def _frame_losses(self, model: Any, fields: Tensor, target: Tensor) -> Tensor:
        """ℓ of every frame, summed over its values: (n, steps, n_visible) → (n, steps)."""
        if self.loss_name == "squared":
            return (model.frames(fields) - target).square().sum(2)
        return (functional.softplus(fields) - target * fields).sum(2)

    @torch.no_grad()
    def validate(self, model: Any, values: tuple[Tensor, ...], train: tuple[Tensor, ...]) -> dict[str, float]:
        sums: dict[str, float] = {}
        X, lengths = _sequences(values)
        lengths = model.check_sequences(X, lengths)
        for chunk in zip(X.split(CHUNK), lengths.split(CHUNK), strict=True):
            losses, measures = self.sequence_losses(model, chunk)
            if "forecasting" in model.heads:
                measures["free forecast error"] = _free_forecast_errors(model, *chunk)
            for name, value in {"loss": losses, **measures}.items():
                sums[name] = sums.get(name, 0.0) + float(value.double().sum())
        return {f"validation {name}": total / len(values[0]) for name, total in sums.items()}


_ERRORS = {"reconstruction": "reconstruction error", "forecasting": "forecast error"}


def _sequences(values: tuple[Tensor, ...]) -> tuple[Tensor, Tensor | None]:
    if len(values) > 2:
        raise DataError(f"the data are {len(values)} arrays; expected one or two: sequences and their lengths")
    return values[0], values[1] if len(values) == 2 else None


def _observed(model: Any, lengths: Tensor) -> Tensor:
    """How many frames of each sequence the encoder reads: all but the horizon."""
    horizon = model.horizon or 0
    if horizon and len(lengths) and int(lengths.min()) <= horizon:
        raise DataError(
            f"the shortest sequence has {int(lengths.min())} frame(s); expected more than the horizon of {horizon}, "
            f"which is foretold from those before: drop it, or take a smaller horizon"
        )
    return lengths - horizon


def _targets(model: Any, X: Tensor, observed: Tensor) -> list[tuple[str, Tensor, Tensor]]:
    """For each head the frames it has to write (n, steps, n_visible), and how many of them count (n,)."""
    found = []
    longest = int(observed.max()) if len(observed) else 0
    if "reconstruction" in model.heads:
        found.append(("reconstruction", reverse(X, observed)[:, :longest], observed))
    if "forecasting" in model.heads:
        steps = torch.arange(model.horizon, device=X.device)
        places = (observed.unsqueeze(1) + steps).unsqueeze(2).expand(-1, -1, X.shape[2])
        found.append(("forecasting", X.gather(1, places), torch.full_like(observed, model.horizon)))
    return found


def _mean_squares(written: Tensor, target: Tensor, mask: Tensor, counted: Tensor) -> Tensor:
    """Mean square per value of each sequence, (n,)."""
    squares = (written - target).square().mean(2)
    return torch.where(mask, squares, 0.0).sum(1) / counted


def _free_forecast_errors(model: Any, X: Tensor, lengths: Tensor) -> Tensor:
    X, observed = clear_padding(X, lengths), _observed(model, lengths)
    code = model.encode_checked(X, observed)
    written = model.frames(model.fields("forecasting", code, model.horizon))
    _, target, counted = _targets(model, X, observed)[-1]
    return _mean_squares(written, target, frame_mask(counted, model.horizon), counted)
