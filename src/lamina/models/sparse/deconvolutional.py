"""A deconvolutional network: convolutional sparse coders, each on the pooled maps of the one below.

Going up, a layer's codes are searched for (`ConvolutionalSparseCoding`) and pooled by magnitude; the place of each
maximum, its switch, is kept. Going down, values are put back at their switches and drawn with the layer's filters,
layer by layer to the pixels: what is lost on the way up is what was pooled away and what was not coded.

Sources: Zeiler, Krishnan, Taylor, Fergus 2010 (the layers, trained one after another, each on its own input); Zeiler,
Taylor, Fergus 2011 (pooling with switches). The later paper's inference of all layers from the pixels is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from lamina.core.checks import check_number
from lamina.core.errors import SettingError
from lamina.models.sparse.convolutional import ConvolutionalSparseCoding
from lamina.models.sparse.switches import pool_with_switches, unpool


@dataclass(frozen=True)
class LayerCodes:
    """One layer's answer to n images: maps ``z`` (n, n_maps, *places), ``pooled`` maxima and their ``switches``."""

    z: Tensor
    pooled: Tensor
    switches: Tensor


class DeconvolutionalNetwork(nn.Module):
    """``layers`` from the pixels up, and the side of the ``pooling`` blocks of each (one number: the same for all).

    A layer has as many channels as the one below has maps. Raises `SettingError` where they do not fit.
    """

    def __init__(self, layers: Sequence[ConvolutionalSparseCoding], pooling: int | Sequence[int] = 2) -> None:
        super().__init__()
        if not layers:
            raise SettingError("a deconvolutional network needs at least one layer; 0 given")
        for k, (below, above) in enumerate(pairwise(layers), start=1):
            if below.n_maps != above.n_channels:
                raise SettingError(
                    f"layer {k} has {below.n_maps} maps but layer {k + 1} expects {above.n_channels} channels: "
                    f"expected equal numbers"
                )
        sides = [pooling] * len(layers) if isinstance(pooling, int) else list(pooling)
        if len(sides) != len(layers):
            raise SettingError(f"pooling has {len(sides)} entries for {len(layers)} layers; expected one for each")
        for side in sides:
            check_number("pooling", side, low=1, integer=True)
        self.layers: Any = nn.ModuleList(layers)
        self.pooling = tuple(int(side) for side in sides)

    def __len__(self) -> int:
        return len(self.layers)

    def __getitem__(self, k: int) -> ConvolutionalSparseCoding:
        return self.layers[k]

    # up and down ----------------------------------------------------------------------------------------------------

    def coded(self, k: int, below: Tensor) -> LayerCodes:
        """What layer k (from 0) answers to its input: images, or pooled maps of layer k − 1."""
        z = self.layers[k].mean_h_from_v(below)
        return LayerCodes(z, *pool_with_switches(z, self.pooling[k]))

    def codes(self, x: Tensor, depth: int | None = None) -> list[LayerCodes]:
        """Codes of the first ``depth`` layers (all), from the pixels up: images (n, n_channels, *size)."""
        found: list[LayerCodes] = []
        for k in range(self._depth(depth)):
            found.append(self.coded(k, found[-1].pooled if found else x))
        return found

    def encode(self, x: Tensor, depth: int | None = None) -> Tensor:
        """Pooled maps of layer ``depth`` (the top): (n, n_channels, *size) → (n, n_maps, *blocks)."""
        return self.codes(x, depth)[-1].pooled

    def decode(self, codes: Sequence[LayerCodes], pooled: Tensor | None = None) -> Tensor:
        """From the top of ``codes`` through the switches to the pixels: (n, n_channels, *size).

        ``pooled`` stands for the top's own pooled maps where it is given (a single unit of them, say).
        """
        p = codes[-1].pooled if pooled is None else pooled
        for layer, code in zip(reversed(self.layers[: len(codes)]), reversed(codes), strict=True):
            p = layer.mean_v_from_h(unpool(p, code.switches, (code.z.shape[2], code.z.shape[3])))
        return p

    def reconstruct(self, x: Tensor, depth: int | None = None) -> Tensor:
        """``x`` (n, n_channels, *size) coded by the first ``depth`` layers (all) and drawn again."""
        return self.decode(self.codes(x, depth))

    def strongest(self, x: Tensor, depth: int | None = None) -> Tensor:
        """For each map of layer ``depth`` (the top), its largest pooled unit over all images drawn down to the pixels
        alone, by the switches of the image where it stood: (n_maps, n_channels, *size).

        A picture of what the map stands for, with the variation that switches allow; black elsewhere.
        """
        codes = self.codes(x, depth)
        top = codes[-1].pooled
        n_maps, cells = top.shape[1], top.shape[2] * top.shape[3]
        by_map = top.transpose(0, 1).flatten(1)  # (maps, n · cells)
        at = by_map.abs().argmax(1)
        image, cell = at // cells, at % cells
        alone = torch.zeros(n_maps, n_maps, cells, dtype=top.dtype, device=top.device)
        own = torch.arange(n_maps, device=top.device)
        alone[own, own, cell] = by_map[own, at]
        picked = [LayerCodes(code.z[image], code.pooled[image], code.switches[image]) for code in codes]
        return self.decode(picked, alone.view(n_maps, n_maps, *top.shape[2:]))

    def _depth(self, depth: int | None) -> int:
        depth = len(self) if depth is None else depth
        if not 1 <= depth <= len(self):
            raise SettingError(f"depth is {depth}; expected a layer from 1 to {len(self)}")
        return depth

    # files ----------------------------------------------------------------------------------------------------------

    def spec(self) -> dict:
        """What JSON must hold to build this network again; the arrays are the state dict."""
        return {
            "class": "DeconvolutionalNetwork",
            "layers": [layer.spec() for layer in self.layers],
            "pooling": list(self.pooling),
        }

    @classmethod
    def from_spec(cls, spec: dict, build: Callable[[dict], Any]) -> DeconvolutionalNetwork:
        """The network that `spec` describes; ``build`` makes its layers."""
        return cls([build(layer) for layer in spec["layers"]], spec["pooling"])
