"""Reconstruction with switches: the decoder of a convolutional autoencoder is told where the maxima were.

`Reconstruction` asks a model for a code and for what the code gives back. Here the places of the maxima in their blocks
go from one to the other beside the code, as in Masci, Meier, Cireşan and Schmidhuber (2011), for models with
``downsampling="switches"``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from lamina.core.errors import SettingError
from lamina.core.random import Random
from lamina.training.reconstruction import Reconstruction
from lamina.training.sources import Batch


class SwitchedReconstruction(Reconstruction):
    """`Reconstruction` for `ConvolutionalAutoencoder` with ``downsampling="switches"``: same options, same measures.

    The error is that of ``model.reconstruct``, which knows more than the code: compare it with no error of a code
    alone.
    """

    def check(self, model: Any, values: tuple[Tensor, ...]) -> None:
        found = getattr(model, "downsampling", None)
        if found != "switches":
            raise SettingError(
                f"SwitchedReconstruction trains a ConvolutionalAutoencoder with downsampling='switches'; "
                f"{type(model).__name__}{'' if found is None else f' with downsampling={found!r}'} given: use "
                f"Reconstruction"
            )
        super().check(model, values)

    def loss(self, model: Any, batch: Batch, random: Random) -> tuple[Tensor, Mapping[str, Tensor]]:
        return super().loss(_Switched(model), batch, random)

    @torch.no_grad()
    def validate(self, model: Any, values: tuple[Tensor, ...], train: tuple[Tensor, ...]) -> dict[str, float]:
        return super().validate(_Switched(model), values, train)

    def describe(self) -> dict:
        return {**super().describe(), "rule": "SwitchedReconstruction"}


class _Switched:
    """A model as `Reconstruction` sees it, whose decoder gets the switches of the rows encoded last."""

    def __init__(self, model: Any) -> None:
        self.model, self.output = model, model.output
        self.switches: Sequence[Tensor] | None = None

    def mean_h_from_v(self, v: Tensor) -> Tensor:
        h, self.switches = self.model.code_and_switches(v)
        return h

    def field_v(self, h: Tensor) -> Tensor:
        return self.model.field_v(h, self.switches)
