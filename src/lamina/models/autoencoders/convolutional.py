"""The convolutional autoencoder (Masci, Meier, Cireşan, Schmidhuber 2011): filters shared by all places of an image.

Stage k of the encoder correlates its maps with filters, adds a bias per map, activates, and halves the maps (or cuts
them by any ``pooling``); the decoder mirrors it (docs/mathematics.md, eq. 157 and 158), with ⋆ of `resampling`:

    up:     x_0 = v,  x_k = down_k(φ(c_k + W_k ⋆ x_{k−1}))              code h = x_K
    down:   r_K = h,  r_{k−1} = ψ_{k−1}(b_k + V_kᵀ ⋆ up_k(r_k))          ψ_0 = output, else φ

============= =========================== ==============================================================
downsampling  down_k                      up_k
============= =========================== ==============================================================
"max"         the largest of each block   its value at every place of the block: the code says all
"switches"    the same                    its value where the maximum was, zeros elsewhere (Masci et al.)
"stride"      every pooling-th place of the correlation alone, and the adjoint of that
============= =========================== ==============================================================

Switches hold more of the input than the code does: `reconstruct` has them, `mean_v_from_h` has not and spreads each
value evenly over its block. With ``code`` a dense layer of that many units comes on top.

Rows are flattened maps, channels first: (..., channels · height · width), or (..., channels · length) for signals.
Sizes that pooling does not divide end in smaller blocks, and reconstructions have the input's size.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from lamina.core.checks import check_number
from lamina.core.errors import DataError, SettingError, nearest_names
from lamina.core.random import Random, as_random
from lamina.models.activations import ACTIVATIONS, check_activation
from lamina.models.autoencoders import resampling
from lamina.models.autoencoders.output_bias import field_of_mean
from lamina.units import pooling as blockwise
from lamina.units.pooling import Sizes, count_blocks

DOWNSAMPLING = ("max", "switches", "stride")
#: Activations whose weights start by He et al. (2015); those of the others by Glorot & Bengio (2010).
_HALF_LINEAR = ("relu", "elu", "silu", "gelu")
_OPTIONS = ("downsampling", "code", "code_activation", "tied", "activation", "output")


class ConvolutionalAutoencoder(nn.Module):
    """Filters, pooling, and back: ``ConvolutionalAutoencoder((1, 28, 28), n_maps=(16, 32), kernel=5, pooling=2)``.

    ``shape``: (channels, height, width) or (channels, length) of one row. ``n_maps``: maps of each stage. ``kernel``
    (odd) and ``pooling``: one number, or one per axis; ``pooling=1`` keeps the size. ``code``: units of a dense layer
    on top with ``code_activation``; None: the code is the last maps. ``tied=True`` decodes with the encoder's own
    filters, else the decoder has its own.

    Parameters: lists ``W`` (maps, maps below, *kernel), ``c`` (maps,), ``b`` (maps below,), and ``V`` like ``W`` where
    untied; ``code_W``, ``code_V`` (n_maps, code), ``code_c``, ``code_b`` of the dense layer. Weights start by He et al.
    (2015) before relu, elu, silu and gelu, by Glorot & Bengio (2010) before the others; biases at 0.

    Raises `SettingError` for even filters, unknown names, or strides longer than the filters.
    """

    def __init__(
        self,
        shape: Sequence[int],
        n_maps: int | Sequence[int] = (16, 32),
        kernel: int | Sequence[int] = 5,
        pooling: int | Sequence[int] = 2,
        *,
        downsampling: str = "max",
        code: int | None = None,
        code_activation: str = "identity",
        tied: bool = False,
        activation: str = "relu",
        output: str = "sigmoid",
        dtype: torch.dtype = torch.float32,
        random_state: int | Random | None = 0,
    ) -> None:
        super().__init__()
        self.shape = _checked_shape(shape)
        self.n_maps = _numbers("n_maps", n_maps)
        self.kernel = _numbers("kernel", kernel, self.dimensions)
        self.pooling = _numbers("pooling", pooling, self.dimensions)
        self.downsampling, self.tied, self.activation, self.output = downsampling, bool(tied), activation, output
        self.code, self.code_activation = code, activation if code is None else code_activation
        self._check()
        self._make(dtype)
        self.initialise(random_state)

    def _check(self) -> None:
        for name in ("activation", "output", "code_activation"):
            check_activation(getattr(self, name), name)
        if self.downsampling not in DOWNSAMPLING:
            raise SettingError(
                f"downsampling is {self.downsampling!r}; {nearest_names(str(self.downsampling), list(DOWNSAMPLING))}"
            )
        if self.code is not None:
            check_number("code", self.code, low=1, integer=True)
        if any(n % 2 == 0 for n in self.kernel):
            raise SettingError(f"kernel is {self.kernel}; expected odd numbers, so that a filter has a middle place")
        if self.downsampling == "stride" and any(s > n for s, n in zip(self.pooling, self.kernel, strict=True)):
            raise SettingError(
                f"pooling is {self.pooling} and kernel {self.kernel}; expected strides no longer than the filters, "
                f"which would skip places"
            )

    def _make(self, dtype: torch.dtype) -> None:
        def parameters(*shapes: Sizes) -> nn.ParameterList:
            return nn.ParameterList(nn.Parameter(torch.zeros(shape, dtype=dtype)) for shape in shapes)

        maps = [self.shape[0], *self.n_maps]
        filters = [(above, below, *self.kernel) for below, above in pairwise(maps)]
        self.W = parameters(*filters)
        self.c = parameters(*((above,) for above in maps[1:]))
        self.b = parameters(*((below,) for below in maps[:-1]))
        if not self.tied:
            self.V = parameters(*filters)
        if self.code is not None:
            n = math.prod(self.map_shape)
            self.code_W = nn.Parameter(torch.zeros(n, self.code, dtype=dtype))
            self.code_c = nn.Parameter(torch.zeros(self.code, dtype=dtype))
            self.code_b = nn.Parameter(torch.zeros(n, dtype=dtype))
            if not self.tied:
                self.code_V = nn.Parameter(torch.zeros(n, self.code, dtype=dtype))

    # sizes ----------------------------------------------------------------------------------------------------------

    @property
    def dimensions(self) -> int:
        """2 for images, 1 for signals."""
        return len(self.shape) - 1

    @property
    def depth(self) -> int:
        """Number of stages."""
        return len(self.n_maps)

    @property
    def sizes(self) -> list[Sizes]:
        """Size of the maps at the input and after every stage: ⌈size / pooling⌉ from one to the next."""
        sizes = [self.shape[1:]]
        for _ in self.n_maps:
            sizes.append(count_blocks(sizes[-1], self.pooling))
        return sizes

    @property
    def map_shape(self) -> Sizes:
        """Shape of the last stage's maps: (n_maps[−1], *size)."""
        return (self.n_maps[-1], *self.sizes[-1])

    @property
    def n_visible(self) -> int:
        return math.prod(self.shape)

    @property
    def n_hidden(self) -> int:
        return math.prod(self.map_shape) if self.code is None else int(self.code)

    def extra_repr(self) -> str:
        return f"shape={self.shape}, n_maps={self.n_maps}, kernel={self.kernel}, pooling={self.pooling}"

    @torch.no_grad()
    def initialise(
        self, random_state: int | Random | None, data_mean: Tensor | None = None
    ) -> ConvolutionalAutoencoder:
        """Draw the weights afresh; biases to 0, those of the output so that they alone give each channel's mean.

        ``data_mean`` is (n_visible,), the mean of the rows.
        """
        random = as_random(random_state).child("weights")
        for name in ("W", "V"):
            for k, filters in enumerate(getattr(self, name, ())):
                inside = math.prod(self.kernel)
                inputs, outputs = filters.shape[1] * inside, filters.shape[0] * inside
                to = self.activation if name == "W" or k else self.output
                fans = (inputs, outputs) if name == "W" else (outputs, inputs)
                _draw(filters, to, random.child(name, k), *fans)
        for name, to in (("code_W", self.code_activation), ("code_V", self.activation)):
            if hasattr(self, name):
                n, code = self.code_W.shape
                _draw(getattr(self, name), to, random.child(name), *((n, code) if name == "code_W" else (code, n)))
        for bias in (*self.b, *self.c, *(getattr(self, name) for name in ("code_b", "code_c") if self.code)):
            bias.zero_()
        if data_mean is not None:
            means = data_mean.to(self.b[0]).reshape(self.shape[0], -1).mean(1)
            self.b[0].copy_(field_of_mean(self.output, means))
        return self

    # upwards --------------------------------------------------------------------------------------------------------

    def mean_h_from_v(self, v: Tensor) -> Tensor:
        """The code: (..., n_visible) → (..., n_hidden)."""
        return self.code_and_switches(v)[0]

    def code_and_switches(self, v: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The code (..., n_hidden), and for every stage where in their blocks the maxima were (none for strides)."""
        maps, switches = self._stages(v)
        h = maps.reshape(*v.shape[:-1], math.prod(self.map_shape))
        if self.code is not None:
            h = ACTIVATIONS[self.code_activation](functional.linear(h, self.code_W.T, self.code_c))
        return h, switches

    def maps_from_v(self, v: Tensor) -> Tensor:
        """The last stage's maps, below any dense code: (..., n_visible) → (..., n_maps[−1], *size)."""
        return self._stages(v)[0].reshape(*v.shape[:-1], *self.map_shape)

    def _stages(self, v: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The last stage's maps (rows, *map_shape), and the switches of every stage."""
        _check_width(v, self.n_visible, "rows", f"flattened maps of shape {self.shape}")
        maps, switches = v.reshape(-1, *self.shape), []
        for W, c in zip(self.W, self.c, strict=True):
            maps = self._activate(resampling.correlate(maps, W, self._stride) + self._over_places(c))
            if self.downsampling != "stride":
                maps, places = resampling.max_pool(maps, self.pooling)
                switches.append(places)
        return maps, switches

    # downwards ------------------------------------------------------------------------------------------------------

    def field_v(self, h: Tensor, switches: Sequence[Tensor] | None = None) -> Tensor:
        """What the output units see, before their activation: (..., n_hidden) → (..., n_visible).

        ``switches`` (of `code_and_switches`) place the values of ``downsampling="switches"``; without them every value
        is spread evenly over its block, the mean over all places where the maximum may have been.
        """
        _check_width(h, self.n_hidden, "codes", "as many values as the autoencoder's code has")
        lead = h.shape[:-1]
        if self.code is not None:
            h = self._activate(functional.linear(h, self.code_W if self.tied else self.code_V, self.code_b))
        maps = h.reshape(-1, *self.map_shape)
        sizes = self.sizes
        for k in reversed(range(self.depth)):
            maps = self._upsampled(maps, sizes[k], switches[k] if switches else None)
            filters = self.W[k] if self.tied else self.V[k]
            maps = resampling.adjoint(maps, filters, self._stride, sizes[k]) + self._over_places(self.b[k])
            if k:
                maps = self._activate(maps)
        return maps.reshape(*lead, self.n_visible)

    def _upsampled(self, maps: Tensor, size: Sizes, switches: Tensor | None) -> Tensor:
        if self.downsampling == "stride":
            return maps
        if self.downsampling == "max":
            return blockwise.repeat(maps, self.pooling, size)
        if switches is None:
            return blockwise.spread(maps, self.pooling, size)
        return resampling.unpool(maps, switches, self.pooling, size)

    def mean_v_from_h(self, h: Tensor) -> Tensor:
        """The reconstruction from a code alone: (..., n_hidden) → (..., n_visible)."""
        return ACTIVATIONS[self.output](self.field_v(h))

    def reconstruct(self, v: Tensor) -> Tensor:
        """The input given back, by its code and, with ``downsampling="switches"``, its switches; same shape."""
        h, switches = self.code_and_switches(v)
        return ACTIVATIONS[self.output](self.field_v(h, switches))

    # Names that users of autoencoders look for.
    encode = mean_h_from_v
    decode = mean_v_from_h

    # pieces ---------------------------------------------------------------------------------------------------------

    @property
    def _stride(self) -> Sizes:
        return self.pooling if self.downsampling == "stride" else (1,) * self.dimensions

    def _activate(self, x: Tensor) -> Tensor:
        return ACTIVATIONS[self.activation](x)

    def _over_places(self, bias: Tensor) -> Tensor:
        return bias.view(-1, *(1 for _ in self.kernel))

    # joining and files ------------------------------------------------------------------------------------------------

    @classmethod
    @torch.no_grad()
    def joined(cls, layers: Sequence[ConvolutionalAutoencoder]) -> ConvolutionalAutoencoder:
        """One deep autoencoder with copies of the weights of a stack's layers: to be trained on as a whole.

        It encodes and, but for switches, decodes exactly as ``Stack(layers)``. Layers must differ in nothing but their
        shapes and maps, have no dense code but the last, and give back what the layer below answers with: an upper
        layer's output must be the common activation. Raises `SettingError` otherwise.
        """
        layers = list(layers)
        _check_joinable(layers)
        first, last = layers[0], layers[-1]
        options = {name: getattr(first, name) for name in _OPTIONS} | {
            name: getattr(last, name) for name in ("code", "code_activation")
        }
        n_maps = [n for layer in layers for n in layer.n_maps]
        like = first.W[0]
        whole = cls(first.shape, n_maps, first.kernel, first.pooling, **options, dtype=like.dtype).to(like.device)
        for name in ("W", "c", "b", "V"):
            for mine, given in zip(
                getattr(whole, name, ()), (p for layer in layers for p in getattr(layer, name, ())), strict=True
            ):
                mine.copy_(given)
        for name, parameter in last.named_parameters(recurse=False):
            getattr(whole, name).copy_(parameter)
        return whole

    def spec(self) -> dict:
        """What JSON must hold to build this autoencoder again; the arrays are the state dict."""
        lists = {name: list(getattr(self, name)) for name in ("shape", "n_maps", "kernel", "pooling")}
        return {"class": "ConvolutionalAutoencoder", **lists, **{name: getattr(self, name) for name in _OPTIONS}}

    @classmethod
    def from_spec(cls, spec: dict, build: Callable[[dict], Any]) -> ConvolutionalAutoencoder:
        """The autoencoder that `spec` describes."""
        lists = [spec[name] for name in ("shape", "n_maps", "kernel", "pooling")]
        return cls(*lists, **{name: spec[name] for name in _OPTIONS})


def _checked_shape(shape: Sequence[int]) -> Sizes:
    if not isinstance(shape, (tuple, list)) or len(shape) not in (2, 3):
        raise SettingError(f"shape is {shape!r}; expected (channels, height, width), or (channels, length) for signals")
    return _numbers("shape", shape)


def _numbers(name: str, value: int | Sequence[int], n: int | None = None) -> Sizes:
    """Positive integers: ``n`` of them (one may stand for all), or as many as are given."""
    entries: tuple[Any, ...] = tuple(value) if isinstance(value, (tuple, list)) else (value,) * (n or 1)
    if len(entries) != (n or len(entries)) or not entries:
        wanted = "at least one number" if n is None else f"one number, or one for each of {n} axis/axes"
        raise SettingError(f"{name} is {value!r}; expected {wanted}")
    for entry in entries:
        check_number(name, entry, low=1, integer=True)
    return tuple(int(entry) for entry in entries)


def _check_joinable(layers: Sequence[Any]) -> None:
    if not layers or not all(isinstance(layer, ConvolutionalAutoencoder) for layer in layers):
        raise SettingError("expected at least one layer, all of them ConvolutionalAutoencoder layers")
    for below, above in pairwise(layers):
        if above.shape != below.map_shape or below.code is not None:
            raise SettingError(
                f"a layer of shape {above.shape} follows one whose code is "
                f"{below.map_shape if below.code is None else below.code}; expected the maps of the layer below as "
                f"shape, and no dense code below the top"
            )
        for name in ("kernel", "pooling", "downsampling", "tied", "activation"):
            if getattr(above, name) != getattr(below, name):
                raise SettingError(
                    f"the layers have {name} {getattr(below, name)} and {getattr(above, name)}; expected the same"
                )
        if above.output != above.activation:
            raise SettingError(
                f"an upper layer has output {above.output!r} and activation {above.activation!r}; expected the same, "
                f"since it gives back what the layer below answers with"
            )


def _draw(W: Tensor, activation: str, random: Random, n_in: int, n_out: int) -> None:
    if activation in _HALF_LINEAR:
        W.copy_(random.normal(W.shape, W.dtype, W.device).mul_(math.sqrt(2 / n_in)))
    else:
        W.copy_(random.uniform(W.shape, W.dtype, W.device).mul_(2).sub_(1).mul_(math.sqrt(6 / (n_in + n_out))))


def _check_width(x: Tensor, expected: int, what: str, hint: str) -> None:
    if x.dim() == 0 or x.shape[-1] != expected:
        raise DataError(f"{what} have shape {tuple(x.shape)}; expected (..., {expected}), {hint}")
