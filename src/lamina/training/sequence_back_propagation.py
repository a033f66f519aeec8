"""Back-propagation through time: the gradient of a loss through a recurrent network, by autograd (Werbos 1990).

Data are X (n, T, n_visible), ``lengths`` (n,) whole numbers where sequences differ in length, and targets:

    one answer per sequence   class codes (n,), or real rows (n, n_out)
    one per frame             class codes (n, T), −1 where a frame has no label; or real frames (n, T, n_out)
    next step                 none: at each frame the target is the next one of the sequence

as a tuple (X, lengths, targets), (X, targets) where all have T frames; (X, lengths) or (X,) for the next step. With ℓ
the loss of an answer, a sequence i costs (docs/mathematics.md, eq. 210)

    J_i = ℓ(y_i, target_i),   or the mean of ℓ(y_it, target_it) over its frames that have a target

and a batch the mean over its sequences: a long sequence weighs no more than a short one. A sequence none of whose
frames has a label costs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from lamina.core.checks import check_number
from lamina.core.errors import DataError, LabelError, SettingError, nearest_names
from lamina.core.random import Random
from lamina.models.networks import RecurrentNetwork
from lamina.models.ragged import check_sequences, clear_padding, frame_mask
from lamina.training.health import layer_health
from lamina.training.loss_rule import LossRule
from lamina.training.sources import Batch

LOSSES = ("binary cross-entropy", "cross-entropy", "squared")
CHUNK = 256  # validation sequences computed together


class SequenceBackPropagation(LossRule):
    """The loss above, for a `RecurrentNetwork`: "cross-entropy" of classes, "squared" of real values summed over the
    outputs, or "binary cross-entropy" of outputs that are each 0 or 1.

    ``next_step``: the targets are the sequences themselves, one step later; the network answers each frame, in one
    direction. ``truncate``: slopes go back through time at most to the start of a stretch of so many frames, which
    bounds what an update costs in memory, and makes the gradient ignore what is remembered for longer (Williams and
    Peng 1990). ``class_weight``: one factor per class on the loss of its answers. ``frozen``: the number of lowest
    layers that stay as they are, bit for bit.

    Measures: ``training loss``, and with classes ``training error``, the share of wrong answers, a mean over sequences.
    Gradients of long sequences now and then explode: pass `fit` ``penalties=[MaxGradientNorm(1.0)]``.
    """

    def __init__(
        self,
        loss: str = "cross-entropy",
        *,
        next_step: bool = False,
        truncate: int | None = None,
        class_weight: Sequence[float] | None = None,
        frozen: int = 0,
    ) -> None:
        if loss not in LOSSES:
            raise SettingError(f"loss is {loss!r}; {nearest_names(str(loss), list(LOSSES))}")
        if loss == "cross-entropy" and next_step:
            raise SettingError(
                "loss is 'cross-entropy' and next_step is True: the next frame is no class; expected loss='squared', "
                "or 'binary cross-entropy' for frames of 0 and 1"
            )
        if truncate is not None:
            check_number("truncate", truncate, low=1, integer=True)
        check_number("frozen", frozen, low=0, integer=True)
        self.loss_name, self.next_step, self.frozen = loss, bool(next_step), int(frozen)
        self.truncate = None if truncate is None else int(truncate)
        self.class_weight = _checked_weights(class_weight, loss)

    def describe(self) -> dict:
        settings = {"loss": self.loss_name, "next_step": self.next_step, "truncate": self.truncate}
        return {"rule": "SequenceBackPropagation", **settings, "class_weight": self.class_weight, "frozen": self.frozen}

    def parameters(self, model: Any) -> list[nn.Parameter]:
        return [parameter for layer in model.layer_parameters()[self.frozen :] for parameter in layer]

    # checks -----------------------------------------------------------------------------------------------------------

    def check(self, model: Any, values: tuple[Tensor, ...]) -> None:
        if not isinstance(model, RecurrentNetwork):
            raise SettingError(f"SequenceBackPropagation trains a RecurrentNetwork; {type(model).__name__} given")
        if self.frozen >= len(model.layer_parameters()):
            raise SettingError(
                f"frozen is {self.frozen} and the network has {len(model.layer_parameters())} layers, its head one of "
                f"them; expected fewer: nothing would be learnt"
            )
        if self.class_weight is not None and len(self.class_weight) != model.n_out:
            raise SettingError(
                f"class_weight has {len(self.class_weight)} entries and the network {model.n_out} outputs; expected "
                f"one per class"
            )
        X, lengths, targets = self._parts(values)
        lengths = check_sequences(X, lengths, model.n_visible)
        if targets is None:
            self._check_next(model, X, lengths)
        elif self.loss_name == "cross-entropy":
            _check_codes(model, targets, X, lengths)
        else:
            self._check_real(model, targets, X, lengths)

    def _parts(self, values: tuple[Tensor, ...]) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Sequences, lengths and targets, None for what is not given."""
        expected = (1, 2) if self.next_step else (2, 3)
        if len(values) not in expected:
            what = "(X,) or (X, lengths)" if self.next_step else "(X, targets) or (X, lengths, targets)"
            raise DataError(f"the data are {len(values)} arrays; expected {what}")
        if self.next_step:
            return values[0], values[1] if len(values) == 2 else None, None
        return values[0], values[1] if len(values) == 3 else None, values[-1]

    def _check_next(self, model: Any, X: Tensor, lengths: Tensor) -> None:
        if model.answer != "each" or model.bidirectional or model.n_out != model.n_visible:
            raise SettingError(
                f"next_step needs a network with answer='each', one direction (two would see the target) and as many "
                f"outputs as values per frame; this one has answer={model.answer!r}, bidirectional="
                f"{model.bidirectional}, {model.n_visible} values and {model.n_out} outputs"
            )
        if int(lengths.min()) < 2:
            raise DataError(
                f"sequence {int(lengths.argmin())} has 1 frame; expected at least 2, one to read and one to foretell: "
                f"drop it"
            )
        self._check_binary(clear_padding(X, lengths))

    def _check_real(self, model: Any, targets: Tensor, X: Tensor, lengths: Tensor) -> None:
        each = model.answer == "each"
        shape = (*X.shape[: 2 if each else 1], model.n_out)
        if tuple(targets.shape) != shape:
            raise DataError(
                f"the targets have shape {tuple(targets.shape)}; expected {shape}: {model.n_out} value(s) per "
                f"{'frame' if each else 'sequence'} (the network has answer={model.answer!r})"
            )
        self._check_binary(clear_padding(targets, lengths) if each else targets)

    def _check_binary(self, targets: Tensor) -> None:
        if self.loss_name == "binary cross-entropy" and (targets.min() < 0 or targets.max() > 1):
            raise DataError(
                f"the targets lie in [{float(targets.min()):g}, {float(targets.max()):g}]; binary cross-entropy needs "
                f"[0, 1]: scale them, or use loss='squared'"
            )

    # the loss ---------------------------------------------------------------------------------------------------------

    def loss(self, model: Any, batch: Batch, random: Random) -> tuple[Tensor, Mapping[str, Tensor]]:
        measures = self.sequence_losses(model, batch.values, random)
        return measures["loss"].sum(), {f"training {name}": value.sum() for name, value in measures.items()}

    def sequence_losses(
        self, model: Any, values: tuple[Tensor, ...], random: Random | None = None
    ) -> dict[str, Tensor]:
        """ "loss" of each sequence (n,), and "error", its share of wrong answers (n,), where there are classes.

        With ``random``, dropout is on.
        """
        X, lengths, targets = self._asked(model, values)
        return self._losses(model.outputs(X, lengths, random, self.truncate), targets)

    def _asked(self, model: Any, values: tuple[Tensor, ...]) -> tuple[Tensor, Tensor, Tensor]:
        """Sequences with cleared padding, lengths, and targets that say themselves where nothing is asked: by a code of
        −1 or by NaN."""
        X, lengths, targets = self._parts(values)
        if lengths is None:
            lengths = torch.full((len(X),), X.shape[1], device=X.device)
        X = clear_padding(X, lengths)
        asked = frame_mask(lengths, X.shape[1])
        if targets is None:
            asked, targets = frame_mask(lengths - 1, X.shape[1]), torch.roll(X, -1, 1)
        if self.loss_name == "cross-entropy":
            targets = targets.long()
            return X, lengths, torch.where(asked, targets, -1) if model.answer == "each" else targets
        return X, lengths, torch.where(asked[:, :, None], targets, torch.nan) if model.answer == "each" else targets

    def _losses(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        if self.loss_name != "cross-entropy":
            asked = ~torch.isnan(targets).any(-1)
            targets = torch.where(asked.unsqueeze(-1), targets, 0.0)
            return {"loss": _mean_of_frames(self._real_losses(outputs, targets), asked)}
        asked = targets >= 0
        codes = torch.where(asked, targets, 0)
        weight = None if self.class_weight is None else outputs.new_tensor(self.class_weight)
        losses = functional.cross_entropy(outputs.flatten(0, -2), codes.flatten(), weight, reduction="none")
        wrong = (outputs.detach().argmax(-1) != codes).to(outputs.dtype)
        return {"loss": _mean_of_frames(losses.view_as(codes), asked), "error": _mean_of_frames(wrong, asked)}

    def _real_losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        if self.loss_name == "squared":
            return (outputs - targets).square().sum(-1)
        return (functional.softplus(outputs) - targets * outputs).sum(-1)

    def health(self, model: Any, values: tuple[Tensor, ...]) -> dict[str, list[float]]:
        return layer_health(
            model, self._asked(model, values), lambda y, targets: self._losses(y, targets)["loss"].sum()
        )

    @torch.no_grad()
    def validate(self, model: Any, values: tuple[Tensor, ...], train: tuple[Tensor, ...]) -> dict[str, float]:
        self.check(model, values)
        sums: dict[str, float] = {}
        for chunk in zip(*(value.split(CHUNK) for value in values), strict=True):
            for name, value in self.sequence_losses(model, chunk).items():
                sums[name] = sums.get(name, 0.0) + float(value.double().sum())
        return {f"validation {name}": total / len(values[0]) for name, total in sums.items()}


def _mean_of_frames(losses: Tensor, asked: Tensor) -> Tensor:
    """(n, T) → (n,), the mean over the frames that are ``asked``, 0 where none are; (n,) stays as it is."""
    if losses.dim() == 1:
        return losses
    return torch.where(asked, losses, 0.0).sum(1) / asked.sum(1).clamp(min=1)


def _check_codes(model: Any, targets: Tensor, X: Tensor, lengths: Tensor) -> None:
    each = model.answer == "each"
    shape = tuple(X.shape[: 2 if each else 1])
    if tuple(targets.shape) != shape:
        raise DataError(
            f"the class codes have shape {tuple(targets.shape)}; expected {shape}, one per "
            f"{'frame' if each else 'sequence'} (the network has answer={model.answer!r})"
        )
    codes = targets[frame_mask(lengths, X.shape[1])] if each else targets
    low, high = float(codes.min()), float(codes.max())
    if bool((codes != codes.floor()).any()) or low < (-1 if each else 0) or high >= model.n_out:
        raise LabelError(
            f"class codes lie in [{low:g}, {high:g}]; expected whole numbers from 0 to {model.n_out - 1}, the "
            f"network's outputs{', and -1 for frames without a label' if each else ''}"
        )


def _checked_weights(weights: Sequence[float] | None, loss: str) -> list[float] | None:
    if weights is None:
        return None
    if loss != "cross-entropy":
        raise SettingError(f"class_weight is given and loss is {loss!r}, which has no classes: leave it out")
    for k, weight in enumerate(weights):
        check_number(f"class_weight[{k}]", weight, low=0.0)
    return [float(weight) for weight in weights]
