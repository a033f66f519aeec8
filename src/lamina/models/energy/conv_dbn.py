"""The convolutional deep belief network (Lee, Grosse, Ranganath, Ng 2009): machines stacked on pooled maps.

The pooled units p_l of one machine are the visible units of the next. Trained greedily, the machines together are given
the energy of the paper's section 3.6,

    E(v, h_1 … h_L) = Σ E_v(v; b_1) − Σ_l ( Σ_k c_lk Σ_r h_lk(r) + ⟨h_l, W_l ⋆ p_{l−1}⟩ ),   p_0 = s_v(v)       (eq. 56)

so that a detection map feels the maps below it and, through its pooled units, those above (`infer`). The visible biases
of the upper machines do not enter it: how often a pooled unit is on is said once, by the machine that it belongs to
(greedy training keeps them at the pooled units' mean, so that the field from above says only what departs from it).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from torch import Tensor, nn

from lamina.core.errors import SettingError
from lamina.models.energy.conv_rbm import ConvolutionalRBM
from lamina.models.energy.correlate import adjoint
from lamina.units import Bernoulli, pooling
from lamina.units.pooling import Sizes


class ConvolutionalDBN(nn.Module):
    """Machines from the bottom up: ``ConvolutionalDBN([ConvolutionalRBM(1, 40, 12), ConvolutionalRBM(40, 40, 6)])``."""

    def __init__(self, layers: Sequence[ConvolutionalRBM]) -> None:
        super().__init__()
        if not layers or not all(isinstance(layer, ConvolutionalRBM) for layer in layers):
            raise SettingError(f"layers are {list(layers)!r}; expected at least one ConvolutionalRBM")
        for k, (below, above) in enumerate(pairwise(layers), start=1):
            if above.n_channels != below.n_filters or above.dimensions != below.dimensions:
                raise SettingError(
                    f"layer {k} has {below.n_filters} filters over {below.dimensions} axes, but layer {k + 1} expects "
                    f"{above.n_channels} channels over {above.dimensions}: expected equal numbers"
                )
            if not isinstance(above.visible, Bernoulli):
                raise SettingError(
                    f"layer {k + 1} has {type(above.visible).__name__} visible units; expected Bernoulli ones, as the "
                    f"pooled units below are"
                )
        self.layers: Any = nn.ModuleList(layers)

    def __len__(self) -> int:
        return len(self.layers)

    def __getitem__(self, k: int) -> ConvolutionalRBM:
        return self.layers[k]

    def sizes(self, size: Sequence[int]) -> list[Sizes]:
        """Sizes of the visible maps of every layer, and of the top's pooled maps, over visible maps of ``size``."""
        sizes = [tuple(size)]
        for layer in self.layers:
            sizes.append(layer.blocks(sizes[-1]))
        return sizes

    # features -------------------------------------------------------------------------------------------------------

    def features(self, v: Tensor) -> list[Tensor]:
        """Pooled means of every layer, each from those of the layer below: (n, channels, *size) → L maps."""
        maps = []
        for layer in self.layers:
            v = layer.mean_p_from_v(v)
            maps.append(v)
        return maps

    def encode(self, v: Tensor, depth: int | None = None) -> Tensor:
        """Pooled means of the top of the first ``depth`` layers (all): (n, channels, *size) → (n, filters, *blocks)."""
        for layer in list(self.layers)[:depth]:
            v = layer.mean_p_from_v(v)
        return v

    def decode(self, p: Tensor, size: Sequence[int], depth: int | None = None) -> Tensor:
        """Means downward from pooled maps ``p`` of layer ``depth`` (the top) to visible maps of ``size``.

        Places within blocks are not known from above, so each is taken to be as likely (`mean_v_from_p`): blurred.
        """
        depth = len(self) if depth is None else depth
        sizes = self.sizes(size)
        for k in reversed(range(depth)):
            p = self.layers[k].mean_v_from_p(p, sizes[k])
        return p

    # the layers together --------------------------------------------------------------------------------------------

    def energy(self, v: Tensor, hidden: Sequence[Tensor]) -> Tensor:
        """E(v, h_1 … h_L), eq. 56: maps (n, ...) and one detection map per layer → (n,)."""
        total = self.layers[0].energy(v, hidden[0])
        for k in range(1, len(self)):
            field = self.layers[k].field_h(self.layers[k - 1].pool(hidden[k - 1]))
            total = total - (field * hidden[k]).flatten(1).sum(1)
        return total

    def means_given(self, k: int, below: Tensor, hidden_above: Tensor | None) -> tuple[Tensor, Tensor]:
        """E[h_k] and E[p_k] given the maps below layer k (from 0) and the detection map of layer k + 1, if any.

        p(h_ij = 1) ∝ e^{I(h_ij) + I(p)} with I(h) = c + W ⋆ below and I(p) = W_{k+1}ᵀ ⋆ h_{k+1} (section 3.6; eq. 57).
        """
        above = None if hidden_above is None else self.layers[k + 1].input_v(hidden_above)
        return self.layers[k].means_from_v(below, above)

    # pictures -------------------------------------------------------------------------------------------------------

    def filters(self, depth: int | None = None) -> Tensor:
        """What each filter of layer ``depth`` (from 1; the top) looks for: (n_filters, channels, *seen).

        Layer 1: its weights. Above: the filter's weights on the pooled units below combine the filters below, linearly,
        each at its block, spread evenly over the block's places (the paper's section 4.1 shows such combinations). This
        leaves out all non-linearity: a picture of the weights, not of the most exciting input.
        """
        depth = len(self) if depth is None else depth
        if not 1 <= depth <= len(self):
            raise SettingError(f"depth is {depth}; expected a layer from 1 to {len(self)}")
        picture = self.layers[depth - 1].W.detach()
        for layer in reversed(list(self.layers)[: depth - 1]):
            places = tuple(n * p for n, p in zip(picture.shape[2:], layer.pooling, strict=True))
            picture = adjoint(pooling.spread(picture, layer.pooling, places), layer.W.detach())
        return picture

    # files ----------------------------------------------------------------------------------------------------------

    def spec(self) -> dict:
        """What JSON must hold to build this network again; the arrays are the state dict."""
        return {"class": "ConvolutionalDBN", "layers": [layer.spec() for layer in self.layers]}

    @classmethod
    def from_spec(cls, spec: dict, build: Callable[[dict], Any]) -> ConvolutionalDBN:
        """The network that `spec` describes; ``build`` makes its machines."""
        return cls([build(layer) for layer in spec["layers"]])
