"""Learning the filters of convolutional sparse coders: a search for the codes, then a step of the filters.

For a batch of images, z* = argmin_z E(x, z) is held fixed and the filters, at length 1, descend ½ ‖x − Σ z* ∗ f‖² per
value (docs/mathematics.md, eq. 154), so that one learning rate suits images of any size. Layers of a
`DeconvolutionalNetwork` are trained one after another, each on the pooled maps below.

Source: Zeiler, Krishnan, Taylor, Fergus 2010.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lamina.core.checks import check_device
from lamina.core.errors import SettingError
from lamina.core.random import Random
from lamina.models.sparse.convolutional import ConvolutionalSparseCoding
from lamina.models.sparse.deconvolutional import DeconvolutionalNetwork
from lamina.training.convolutional_greedy import encode_maps
from lamina.training.distributed import world
from lamina.training.history import History
from lamina.training.loop import fit
from lamina.training.loss_rule import LossRule
from lamina.training.schedules import Schedule
from lamina.training.sources import Batch

CHUNK = 100  # validation images whose codes are searched together


class ConvolutionalDictionary(LossRule):
    """Trains a `ConvolutionalSparseCoding` on images (n, n_channels, *size), all of one size.

    Measures per image, as means over its values: "energy" and "reconstruction error" (squared); "active": the share of
    places of all maps that are not 0. Filters are brought to length 1 before each step, which changes no function.
    """

    watched = "validation energy"

    def check(self, model: nn.Module, values: tuple[Tensor, ...]) -> None:
        if not isinstance(model, ConvolutionalSparseCoding):
            raise SettingError(
                f"{type(self).__name__} trains a ConvolutionalSparseCoding; {type(model).__name__} given: a network of "
                f"several is trained by pretrain_deconvolutional"
            )
        model.check_images(values[0])

    def loss(
        self, model: ConvolutionalSparseCoding, batch: Batch, random: Random
    ) -> tuple[Tensor, Mapping[str, Tensor]]:
        x = batch.values[0]
        with torch.no_grad():
            model.F.copy_(model.filters())
        z = model.mean_h_from_v(x)
        values = x[0].numel()
        error = (x - model.mean_v_from_h(z)).square().sum() / values
        measures = {
            "energy": error / 2 + model.cost * z.abs().sum() / values,
            "reconstruction error": error,
            "active": (z != 0).flatten(1).to(x.dtype).mean(1).sum(),
        }
        return error / 2, measures

    @torch.no_grad()
    def validate(
        self, model: ConvolutionalSparseCoding, values: tuple[Tensor, ...], train: tuple[Tensor, ...]
    ) -> dict[str, float]:
        """Energy per value of the codes of validation images."""
        x = values[0]
        energy = sum(float(model.energy(part, model.mean_h_from_v(part)).sum()) for part in x.split(CHUNK))
        return {"validation energy": energy / x.numel()}


def pretrain_deconvolutional(
    network: DeconvolutionalNetwork,
    data: Any,
    *,
    epochs: int | Sequence[int] = 10,
    batch_size: int = 10,
    learning_rate: float | Schedule = 0.01,
    momentum: float | Schedule = 0.0,
    optimiser: str = "adam",
    random_state: int | Random | None = None,
    device: str | torch.device | None = None,
    checkpoint: str | Path | None = None,
    callbacks: Callable[[int], Sequence[Any]] = lambda k: (),
) -> list[History]:
    """Train the layers of ``network`` one after another on images ``data`` (n, channels, *size); a `History` for each.

    ``epochs`` may be given per layer. Each layer starts at random filters and learns from the pooled maps of the layer
    below, which are held in memory. ``callbacks(k)`` gives the loop's callbacks for layer k.
    """
    if not isinstance(epochs, int) and len(epochs) != len(network):
        raise SettingError(f"epochs has {len(epochs)} entries for {len(network)} layers; expected one for each")
    place = check_device(device) if device is not None else next(network.parameters()).device
    network.to(place)
    random = world().random(random_state, place)
    histories = []
    for k, layer in enumerate(network.layers):
        stream = random.child("layer", k)
        layer.initialise(stream)
        history = fit(
            layer,
            data,
            ConvolutionalDictionary(),
            epochs=epochs if isinstance(epochs, int) else epochs[k],
            batch_size=batch_size,
            learning_rate=learning_rate,
            momentum=momentum,
            optimiser=optimiser,
            random_state=stream,
            checkpoint=None if checkpoint is None else Path(checkpoint) / f"layer-{k + 1}",
            callbacks=callbacks(k),
        )
        histories.append(history)
        if k + 1 < len(network):
            data = encode_maps(lambda x, k=k: network.coded(k, x).pooled, data, layer.F)  # type: ignore[misc]
    return histories
