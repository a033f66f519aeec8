"""The convolutional network, from a list of layers: maps of units that share their weights over all places.

x_0 = rows as maps,  x_k = φ_k(b_k + W_k ⋆ x_{k−1}) or a pooling of x_{k−1},  output = ψ(flat(x_K) W + b)

(docs/mathematics.md, eq. 188 to 195.) The layers are the records of `lamina.models.networks.layers`; the affine head
comes on top of them. Rows are flattened maps, channels first: (..., channels · height · width), or
(..., channels · length) for signals. PyTorch convolves and pools; what is ours is the composition.

Two things are done for speed and change no result but for rounding: on a CPU the maps lie channels last in memory, and
an activation that never falls is applied after the max pooling that follows it, to fewer numbers: max φ = φ(max).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from lamina.core.checks import check_number
from lamina.core.errors import DataError, SettingError, nearest_names
from lamina.core.random import Random, as_random
from lamina.models.activations import ACTIVATIONS, PRELU_START, check_activation, check_network_activation, prelu
from lamina.models.networks.layers import (
    Convolution,
    Dropout,
    Layer,
    MaxPooling,
    Sizes,
    Subsampling,
    from_document,
    to_document,
)

INITIAL = ("auto", "he", "glorot", "lecun")
#: Activations whose weights start by He et al. (2015) with initial="auto"; those of the others by Glorot & Bengio.
_HALF_LINEAR = ("relu", "leaky_relu", "prelu", "elu", "silu", "gelu", "maxout")
#: Activations that never fall, and so change places with a maximum.
_RISING = ("sigmoid", "tanh", "scaled_tanh", "relu", "leaky_relu", "elu", "softplus", "identity")


@dataclass(frozen=True)
class LayerSize:
    """What one layer has: ``shape`` of its units, how many ``units``, ``connections`` (biases count) and learnable
    ``parameters``."""

    name: str
    shape: Sizes
    units: int
    connections: int
    parameters: int


@dataclass(frozen=True)
class _Stage:
    """A layer in its place: the shape that reaches it, its activation, and where its parameters are (None: none)."""

    layer: Any  # a `Learning` layer where it has a place, else one that pools or drops
    shape: Sizes
    after: Sizes
    activation: str
    pieces: int
    place: int | None


class ConvolutionalNetwork(nn.Module):
    """``ConvolutionalNetwork((1, 28, 28), [Convolution(16, 5), MaxPooling(2), Dense(100)], 10)``.

    ``shape``: (channels, height, width) or (channels, length) of one row. ``layers``: records, lowest first; each may
    name its own activation, the others have ``activation``. ``n_out`` outputs come on top, with the activation
    ``output``. ``pieces``: fields per unit of "maxout" layers. ``initial``: "auto" is He et al. (2015) N(0, 2/n_in)
    before units that are linear on one side at least, and Glorot & Bengio (2010) U(±√(6/(n_in + n_out))) before the
    others and the outputs; "he", "glorot", "lecun" (LeCun et al. 1989, U(±2.4/n_in)) and a number (the deviation of a
    normal) hold for all. Biases start at 0, slopes of "prelu" (one per map or unit) at 0.25.

    Parameters: lists ``W`` and ``b``, one entry per layer that learns and the head last (see the layers for their
    shapes), and ``a`` with the slopes of "prelu". Raises `SettingError` where a layer does not suit the shape that
    reaches it.
    """

    def __init__(
        self,
        shape: Sequence[int],
        layers: Sequence[Layer],
        n_out: int,
        *,
        activation: str = "relu",
        output: str = "identity",
        pieces: int = 2,
        initial: str | float = "auto",
        dtype: torch.dtype = torch.float32,
        random_state: int | Random | None = 0,
    ) -> None:
        super().__init__()
        check_network_activation(activation)
        check_activation(output, "output")
        check_number("n_out", n_out, low=1, integer=True)
        check_number("pieces", pieces, low=1, integer=True)
        _check_initial(initial)
        self.shape, self.layers = _checked_shape(shape), tuple(layers)
        self.n_out, self.activation, self.output, self.pieces = int(n_out), activation, output, int(pieces)
        self.initial = initial if isinstance(initial, str) else float(initial)
        self._stages = self._placed()
        self._make(dtype)
        self.initialise(random_state)

    def _placed(self) -> list[_Stage]:
        """The layers one after another, each with the shape that reaches it."""
        stages: list[_Stage] = []
        shape, place = self.shape, 0
        for layer in self.layers:
            if not isinstance(layer, Layer):
                raise SettingError(
                    f"layers holds {layer!r}; expected records such as Convolution(16, 5), MaxPooling(2) or Dense(100)"
                )
            activation = (getattr(layer, "activation", None) or self.activation) if layer.trainable else "identity"
            if activation == "maxout" and isinstance(layer, Subsampling):
                raise SettingError("the activation is 'maxout', which Subsampling has not: name one for that layer")
            after = layer.shape_after(shape)
            pieces = self.pieces if activation == "maxout" else 1
            stages.append(_Stage(layer, shape, after, activation, pieces, place if layer.trainable else None))
            shape, place = after, place + layer.trainable
        return stages

    def _make(self, dtype: torch.dtype) -> None:
        shapes = [one.layer.parameter_shapes(one.shape, one.pieces) for one in self._stages if one.place is not None]
        shapes.append(((self.n_hidden, self.n_out), (self.n_out,)))
        self.W = nn.ParameterList(nn.Parameter(torch.zeros(W, dtype=dtype)) for W, _ in shapes)
        self.b = nn.ParameterList(nn.Parameter(torch.zeros(b, dtype=dtype)) for _, b in shapes)
        slopes = {str(one.place): one.after[0] for one in self._stages if one.activation == "prelu"}
        self.a = nn.ParameterDict({k: nn.Parameter(torch.zeros(n, dtype=dtype)) for k, n in slopes.items()})
        for one in self._stages:
            if isinstance(one.layer, Convolution):
                kernels = one.layer.kernels(one.shape[0], one.pieces)
                self.register_buffer(f"kernels_{one.place}", kernels, persistent=False)

    # sizes ----------------------------------------------------------------------------------------------------------

    @property
    def n_visible(self) -> int:
        return math.prod(self.shape)

    @property
    def n_hidden(self) -> int:
        """Values that reach the head."""
        return math.prod(self._stages[-1].after) if self._stages else self.n_visible

    def extra_repr(self) -> str:
        return f"shape={self.shape}, layers=[{', '.join(map(str, self.layers))}], n_out={self.n_out}"

    def layer_parameters(self) -> list[list[nn.Parameter]]:
        """The learnable tensors of each layer that learns, the lowest first, the head last."""
        return [
            [W, b, *([self.a[str(k)]] if str(k) in self.a else [])]
            for k, (W, b) in enumerate(zip(self.W, self.b, strict=True))
        ]

    def layer_sizes(self) -> list[LayerSize]:
        """Units, connections and parameters of every layer and the head: what papers print of a network.

        A unit of a layer that learns has one connection per input it sees (those beyond the border count) and one for
        its bias; of maxout every field counts so. Layers without weights connect what they gather.
        """
        learnt = [sum(p.numel() for p in parameters) for parameters in self.layer_parameters()]
        found = []
        for one in self._stages:
            units = math.prod(one.after)
            seen = math.prod(one.shape) / units
            if one.place is not None:
                seen = (one.layer.fans(one.shape)[0] + 1) * one.pieces
            name = type(one.layer).__name__
            parameters = 0 if one.place is None else learnt[one.place]
            found.append(LayerSize(name, one.after, units, round(units * seen), parameters))
        connections = self.n_out * (self.n_hidden + 1)
        return [*found, LayerSize("head", (self.n_out,), self.n_out, connections, learnt[-1])]

    # initial values -------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def initialise(self, random_state: int | Random | None) -> ConvolutionalNetwork:
        """Draw the weights afresh; biases to 0, learnt slopes to where they start."""
        random = as_random(random_state).child("weights")
        for one in self._stages:
            if one.place is None:
                continue
            W = self.W[one.place]
            if isinstance(one.layer, Subsampling):
                W.fill_(1 / one.layer.fans(one.shape)[0])
            else:
                _draw(W, self._kind(one.activation), random.child(one.place), *one.layer.fans(one.shape))
        _draw(self.W[-1], self._kind("outputs"), random.child(len(self.W) - 1), self.n_hidden, self.n_out)
        for b in self.b:
            b.zero_()
        for a in self.a.values():
            a.fill_(PRELU_START)
        return self

    def _kind(self, activation: str) -> str | float:
        if self.initial != "auto":
            return self.initial
        return "he" if activation in _HALF_LINEAR else "glorot"

    # upwards --------------------------------------------------------------------------------------------------------

    def forward(self, x: Tensor, random: Random | None = None, track: bool = False) -> Tensor:
        """Outputs before any softmax: (..., n_visible) → (..., n_out). With ``random``, dropout is on.

        ``track`` is there for networks that keep running averages; this one has none.
        """
        top = rows = self._rows(x)
        for _, top in self._rising(rows, random):  # noqa: B007 - the last is wanted
            pass
        outputs = functional.linear(top.flatten(1), self.W[-1].T, self.b[-1])
        return ACTIVATIONS[self.output](outputs).reshape(*x.shape[:-1], self.n_out)

    def hidden_means(self, x: Tensor, random: Random | None = None, track: bool = False) -> list[Tensor]:
        """What each layer that learns sends on, after its activation and all pooling (and dropout, with ``random``)
        up to the next such layer, flattened: (..., n_visible) → list of (..., units)."""
        return [maps.reshape(*x.shape[:-1], -1) for maps in self.hidden_maps(x, random)]

    def hidden_maps(self, x: Tensor, random: Random | None = None) -> list[Tensor]:
        """The same as maps: (..., n_visible) → list of (n, channels, ...), or (n, units) where there are no maps."""
        hidden: list[Tensor] = []
        for stage, maps in self._rising(self._rows(x), random):
            if stage.place is not None:
                hidden.append(maps)
            elif hidden:
                hidden[-1] = maps
        return hidden

    def maps(self, x: Tensor) -> list[Tensor]:
        """What leaves each layer of the list, those that only pool too: (n, n_visible) → list of (n, channels, ...)."""
        return [maps for _, maps in self._rising(self._rows(x), None, one_by_one=True)]

    def encode(self, x: Tensor) -> Tensor:
        """What reaches the head: (..., n_visible) → (..., n_hidden)."""
        hidden = self.hidden_means(x)
        return hidden[-1] if hidden else x

    def _rows(self, x: Tensor) -> Tensor:
        if x.dim() == 0 or x.shape[-1] != self.n_visible:
            raise DataError(
                f"inputs have shape {tuple(x.shape)}; expected (..., {self.n_visible}), flattened maps of shape "
                f"{self.shape}: x.reshape(len(x), -1)"
            )
        return x.reshape(-1, *self.shape)

    def _rising(self, x: Tensor, random: Random | None, one_by_one: bool = False) -> Iterator[tuple[_Stage, Tensor]]:
        """Each layer with what leaves it; where two are done as one, only the upper of them, with the lower's place."""
        waiting: _Stage | None = None
        for k, stage in enumerate(self._stages):
            above = self._stages[k + 1] if k + 1 < len(self._stages) else None
            if stage.place is None:
                x = _dropped(x, stage.layer.rate, random) if isinstance(stage.layer, Dropout) else stage.layer.pooled(x)
            else:
                x = stage.layer.fields_of(x, self._weights(stage), self.b[stage.place])
                if not one_by_one and above is not None and _swaps(stage, above):
                    waiting = stage
                    continue
            if waiting is not None:
                stage, waiting = waiting, None  # the pooling was done first
            yield stage, (x := self._activated(stage, x))

    def _activated(self, stage: _Stage, x: Tensor) -> Tensor:
        if stage.activation == "maxout":
            return x.unflatten(1, (-1, stage.pieces)).max(2).values
        if stage.activation == "prelu":
            return prelu(x, self.a[str(stage.place)].view(-1, *(1 for _ in stage.after[1:])))
        return ACTIVATIONS[stage.activation](x)

    def _weights(self, stage: _Stage) -> Tensor:
        """The weights of a layer as it convolves with them."""
        assert stage.place is not None
        W = self.W[stage.place]
        if not isinstance(stage.layer, Convolution):
            return W
        kernels = getattr(self, f"kernels_{stage.place}")
        if kernels is not None:
            n, channels = stage.layer.filters * stage.pieces, stage.shape[0]
            size = W.shape[1:]
            W = W.new_zeros(n * channels, *size).index_copy(0, kernels, W).view(n, channels, *size)
        if W.dim() == 4 and W.device.type == "cpu":
            W = W.to(memory_format=torch.channels_last)  # about twice as fast there; the maps follow the weights
        return W

    # files ----------------------------------------------------------------------------------------------------------

    def spec(self) -> dict:
        """What JSON must hold to build this network again; the arrays are the state dict."""
        return {
            "class": "ConvolutionalNetwork",
            "shape": list(self.shape),
            "layers": [to_document(layer) for layer in self.layers],
            **{name: getattr(self, name) for name in ("n_out", "activation", "output", "pieces", "initial")},
        }

    @classmethod
    def from_spec(cls, spec: dict, build: Callable[[dict], Any]) -> ConvolutionalNetwork:
        """The network that `spec` describes."""
        options = {name: spec[name] for name in ("activation", "output", "pieces", "initial")}
        return cls(spec["shape"], [from_document(one) for one in spec["layers"]], spec["n_out"], **options)


def _swaps(stage: _Stage, above: _Stage) -> bool:
    return isinstance(above.layer, MaxPooling) and stage.activation in _RISING


def _dropped(x: Tensor, rate: float, random: Random | None) -> Tensor:
    if random is None or rate == 0.0:
        return x
    return x * random.bernoulli(torch.full_like(x, 1 - rate)).div_(1 - rate)


def _draw(W: Tensor, kind: str | float, random: Random, n_in: float, n_out: float) -> None:
    if isinstance(kind, float) or kind == "he":
        deviation = kind if isinstance(kind, float) else math.sqrt(2 / n_in)
        W.copy_(random.normal(W.shape, W.dtype).mul_(deviation))
    else:
        limit = 2.4 / n_in if kind == "lecun" else math.sqrt(6 / (n_in + n_out))
        W.copy_(random.uniform(W.shape, W.dtype).mul_(2).sub_(1).mul_(limit))


def _check_initial(initial: Any) -> None:
    if not isinstance(initial, str):
        check_number("initial", initial, low=0.0)
    elif initial not in INITIAL:
        raise SettingError(f"initial is {initial!r}; {nearest_names(initial, list(INITIAL))}, or a number")


def _checked_shape(shape: Any) -> Sizes:
    if not isinstance(shape, (tuple, list)) or len(shape) not in (2, 3):
        raise SettingError(f"shape is {shape!r}; expected (channels, height, width), or (channels, length) for signals")
    for size in shape:
        check_number("shape", size, low=1, integer=True)
    return tuple(int(size) for size in shape)
