"""Layers by name, from which `ConvolutionalNetwork` is put together: records that hold settings and no weights.

=================== ============================================================================================
`Convolution`       maps of fields: y_f = b_f + Σ_c W_fc ⋆ x_c, ⋆ correlation with stride and padding
`Subsampling`       LeNet-5's: y_c = w_c · (sum of a block) + b_c, one weight and one bias per map
`Dense`             y = x W + b, of whatever came before, flattened
`MaxPooling`        the largest of a block          `MeanPooling`   its mean        (neither learns)
`GlobalMeanPooling` the mean of each whole map      `Dropout`       some values set to 0 while learning
=================== ============================================================================================

Maps are (channels, height, width), or (channels, length) for signals; after a `Dense` or `GlobalMeanPooling` there are
no maps any more, just units. Places that a stride or a block does not reach at the far border are left out, as PyTorch
does. Sizes, strides and paddings are one number, or one per axis.

A record knows what becomes of a shape, which parameters it needs for it, and its own mathematics; it is frozen, and
`to_document`/`from_document` bring it to JSON and back. Source: LeCun et al. 1989 and 1998.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from lamina.core.checks import check_number
from lamina.core.errors import SettingError, nearest_names
from lamina.models.activations import check_network_activation

Sizes = tuple[int, ...]
PerAxis = int | tuple[int, ...]


@dataclass(frozen=True)
class Layer(ABC):
    """What all layers share. ``shape`` is always that of what reaches the layer, without the rows."""

    #: whether the layer has weights, and an activation of its own
    trainable: ClassVar[bool] = False

    @abstractmethod
    def shape_after(self, shape: Sizes) -> Sizes:
        """The shape that leaves the layer; `SettingError` where ``shape`` does not suit it."""

    def __str__(self) -> str:
        settings = (f"{one.name}={getattr(self, one.name)!r}" for one in fields(self) if one.name != "table")
        return f"{type(self).__name__}({', '.join(settings)})"


@dataclass(frozen=True)
class Learning(Layer):
    """A layer with weights."""

    trainable: ClassVar[bool] = True

    @abstractmethod
    def parameter_shapes(self, shape: Sizes, pieces: int = 1) -> tuple[Sizes, Sizes]:
        """Shapes of W and b; ``pieces`` fields per unit (maxout)."""

    @abstractmethod
    def fans(self, shape: Sizes) -> tuple[float, float]:
        """Inputs of a unit, and units that an input reaches, on average: what initial weights are scaled by."""

    @abstractmethod
    def fields_of(self, x: Tensor, W: Tensor, b: Tensor) -> Tensor:
        """The fields of the units, before the activation: (n, *shape) → (n, *shape after)."""


@dataclass(frozen=True)
class Pooling(Layer):
    """A layer without weights that makes maps smaller."""

    @abstractmethod
    def pooled(self, x: Tensor) -> Tensor:
        """What leaves the layer: (n, *shape) → (n, *shape after)."""


@dataclass(frozen=True)
class Convolution(Learning):
    """``filters`` maps, each unit of which sees ``size`` places of the maps below: (c, h, w) → (filters, h', w').

    h' = ⌊(h + 2 padding − size) / stride⌋ + 1. Beyond the border, where ``padding`` reaches, everything has the value
    ``background``. ``biases="map"``: one per map; ``"unit"``: one per unit, as in LeNet 1989. ``table``: for every
    filter the numbers (from 0) of the maps below that it sees; None: all. W is (filters, c, *size), with a table
    (kernels, *size), the kernels of the first filter first; b is flat. Raises `SettingError` for sizes below 1,
    unknown names, and tables that leave a filter blind.
    """

    filters: int
    size: PerAxis
    stride: PerAxis = 1
    padding: PerAxis = 0
    background: float = 0.0
    biases: str = "map"
    table: tuple[tuple[int, ...], ...] | None = None
    activation: str | None = None

    def __post_init__(self) -> None:
        check_number("filters", self.filters, low=1, integer=True)
        _keep_sizes(self, size=1, stride=1, padding=0)
        check_number("background", self.background)
        _check_activation(self.activation)
        if self.biases not in ("map", "unit"):
            raise SettingError(f"biases are {self.biases!r}; {nearest_names(str(self.biases), ['map', 'unit'])}")
        if self.table is not None:
            object.__setattr__(self, "table", _checked_table(self.table, self.filters))

    def shape_after(self, shape: Sizes) -> Sizes:
        axes = _axes(self, shape)
        if self.table is not None and max(max(row) for row in self.table) >= shape[0]:
            raise SettingError(
                f"{self}: the table names map {max(max(row) for row in self.table)}, but {shape[0]} maps reach the "
                f"layer; expected numbers from 0 to {shape[0] - 1}"
            )
        padded = [n + 2 * p for n, p in zip(shape[1:], _spread(self.padding, axes), strict=True)]
        return (self.filters, *_window(self, shape, padded, _spread(self.size, axes), _spread(self.stride, axes)))

    def parameter_shapes(self, shape: Sizes, pieces: int = 1) -> tuple[Sizes, Sizes]:
        after = self.shape_after(shape)
        size = _spread(self.size, len(after) - 1)
        n = self.filters * pieces
        kernels = (n, shape[0]) if self.table is None else (pieces * sum(len(row) for row in self.table),)
        return (*kernels, *size), (n if self.biases == "map" else n * math.prod(after[1:]),)

    def fans(self, shape: Sizes) -> tuple[float, float]:
        area = math.prod(_spread(self.size, len(shape) - 1))
        seen = self.filters * shape[0] if self.table is None else sum(len(row) for row in self.table)
        steps = math.prod(_spread(self.stride, len(shape) - 1))
        return area * seen / self.filters, area * seen / shape[0] / steps

    def kernels(self, channels: int, pieces: int = 1) -> Tensor | None:
        """Where the kernels of a table lie in (filters · pieces · channels), int64; None without a table."""
        if self.table is None:
            return None
        rows = [row for row in self.table for _ in range(pieces)]
        return torch.tensor([f * channels + c for f, row in enumerate(rows) for c in row])

    def fields_of(self, x: Tensor, W: Tensor, b: Tensor) -> Tensor:
        """As `Layer.fields_of`; ``W`` is (filters, channels, *size) here, the kernels of a table put in their places
        and zeros elsewhere."""
        axes = x.dim() - 2
        padding = _spread(self.padding, axes)
        if self.background and any(padding):
            x = functional.pad(x, [p for side in reversed(padding) for p in (side, side)], value=self.background)
            padding = (0,) * axes
        convolve: Any = functional.conv2d if axes == 2 else functional.conv1d
        shared = b if self.biases == "map" else None
        y = convolve(x, W, shared, stride=_spread(self.stride, axes), padding=padding)
        return y if shared is not None else y + b.view(y.shape[1:])


@dataclass(frozen=True)
class _Blocks(Layer):
    """Blocks of ``size`` places, one every ``stride`` places (None: blocks side by side)."""

    size: PerAxis
    stride: PerAxis | None = None

    def __post_init__(self) -> None:
        _keep_sizes(self, size=1, **({} if self.stride is None else {"stride": 1}))

    def shape_after(self, shape: Sizes) -> Sizes:
        size, stride = self._blocks(_axes(self, shape))
        return (shape[0], *_window(self, shape, shape[1:], size, stride))

    def _blocks(self, axes: int) -> tuple[Sizes, Sizes]:
        return _spread(self.size, axes), _spread(self.size if self.stride is None else self.stride, axes)


@dataclass(frozen=True)
class MaxPooling(_Blocks, Pooling):
    """The largest value of every block: (c, h, w) → (c, h', w'), h' = ⌊(h − size) / stride⌋ + 1."""

    def pooled(self, x: Tensor) -> Tensor:
        pool: Any = functional.max_pool2d if x.dim() == 4 else functional.max_pool1d
        return pool(x, *self._blocks(x.dim() - 2))


@dataclass(frozen=True)
class MeanPooling(_Blocks, Pooling):
    """The mean of every block: (c, h, w) → (c, h', w'), h' = ⌊(h − size) / stride⌋ + 1."""

    def pooled(self, x: Tensor) -> Tensor:
        pool: Any = functional.avg_pool2d if x.dim() == 4 else functional.avg_pool1d
        return pool(x, *self._blocks(x.dim() - 2))


@dataclass(frozen=True)
class Subsampling(_Blocks, Learning):
    """LeNet-5's: the sum of a block times one learnt weight per map, plus one bias per map, then the activation.

    W and b are (channels,). The weights start at 1 / (places of a block), as mean pooling.
    """

    activation: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_activation(self.activation)
        if self.activation == "maxout":
            raise SettingError("Subsampling has the activation 'maxout'; expected one with a single field per unit")

    def parameter_shapes(self, shape: Sizes, pieces: int = 1) -> tuple[Sizes, Sizes]:
        return (shape[0],), (shape[0],)

    def fans(self, shape: Sizes) -> tuple[float, float]:
        return float(math.prod(self._blocks(len(shape) - 1)[0])), 1.0

    def fields_of(self, x: Tensor, W: Tensor, b: Tensor) -> Tensor:
        size, stride = self._blocks(x.dim() - 2)
        pool: Any = functional.avg_pool2d if x.dim() == 4 else functional.avg_pool1d
        over = (-1, *(1 for _ in size))
        return pool(x, size, stride) * (W * math.prod(size)).view(over) + b.view(over)


@dataclass(frozen=True)
class GlobalMeanPooling(Pooling):
    """The mean of each map over all its places: (c, h, w) → (c,)."""

    def shape_after(self, shape: Sizes) -> Sizes:
        _axes(self, shape)
        return (shape[0],)

    def pooled(self, x: Tensor) -> Tensor:
        return x.flatten(2).mean(2)


@dataclass(frozen=True)
class Dense(Learning):
    """``units`` that see everything below: any shape of n values → (units,). W is (n, units), b is (units,)."""

    units: int
    activation: str | None = None

    def __post_init__(self) -> None:
        check_number("units", self.units, low=1, integer=True)
        _check_activation(self.activation)

    def shape_after(self, shape: Sizes) -> Sizes:
        return (self.units,)

    def parameter_shapes(self, shape: Sizes, pieces: int = 1) -> tuple[Sizes, Sizes]:
        return (math.prod(shape), self.units * pieces), (self.units * pieces,)

    def fans(self, shape: Sizes) -> tuple[float, float]:
        return float(math.prod(shape)), float(self.units)

    def fields_of(self, x: Tensor, W: Tensor, b: Tensor) -> Tensor:
        return functional.linear(x.flatten(1), W.T, b)


@dataclass(frozen=True)
class Dropout(Layer):
    """Sets a value to 0 with probability ``rate`` while learning, and divides those kept by 1 − rate; else nothing."""

    rate: float

    def __post_init__(self) -> None:
        check_number("rate", self.rate, low=0.0, high=0.95)

    def shape_after(self, shape: Sizes) -> Sizes:
        return shape


LAYERS: dict[str, type[Layer]] = {
    one.__name__: one for one in (Convolution, MaxPooling, MeanPooling, Subsampling, GlobalMeanPooling, Dense, Dropout)
}


def to_document(layer: Layer) -> dict[str, Any]:
    """The record as JSON keeps it: its kind and its settings."""
    return {"kind": type(layer).__name__, **{one.name: getattr(layer, one.name) for one in fields(layer)}}


def from_document(document: dict[str, Any]) -> Layer:
    """The inverse of `to_document`. `SettingError` for a kind that nobody knows or settings it has not."""
    settings = {name: _tuples(value) for name, value in document.items() if name != "kind"}
    kind = document.get("kind")
    if kind not in LAYERS:
        raise SettingError(f"a layer is of kind {kind!r}; {nearest_names(str(kind), list(LAYERS))}")
    try:
        return LAYERS[kind](**settings)
    except TypeError as error:
        raise SettingError(f"a layer of kind {kind} has settings {settings}: {error}") from None


def _tuples(value: Any) -> Any:
    return tuple(_tuples(one) for one in value) if isinstance(value, list) else value


def _keep_sizes(layer: Layer, **lowest: int) -> None:
    """Check that the settings named are whole numbers from their lowest on, and keep sequences as tuples."""
    for name, low in lowest.items():
        value = getattr(layer, name)
        entries = tuple(value) if isinstance(value, (tuple, list)) else (value,)
        if len(entries) not in (1, 2):
            raise SettingError(f"{name} is {value!r}; expected one number, or one per axis (height and width)")
        for entry in entries:
            check_number(name, entry, low=low, integer=True)
        if isinstance(value, (tuple, list)):
            object.__setattr__(layer, name, tuple(int(entry) for entry in entries))


def _spread(value: PerAxis, axes: int) -> Sizes:
    """One number per axis. The count of a tuple is checked by `_axes`."""
    return value if isinstance(value, tuple) else (int(value),) * axes


def _axes(layer: Any, shape: Sizes) -> int:
    """How many axes the maps of ``shape`` have; `SettingError` where there are no maps, or settings for other axes."""
    if len(shape) < 2:
        raise SettingError(
            f"{layer}: {shape[0]} units without places reach the layer; expected maps (channels, height, width): put "
            f"it before the dense layers"
        )
    for name in ("size", "stride", "padding"):
        value = getattr(layer, name, None)
        if isinstance(value, tuple) and len(value) != len(shape) - 1:
            raise SettingError(
                f"{layer}: {name} has {len(value)} numbers, but the maps that reach the layer have {len(shape) - 1} "
                f"axis/axes ({shape}); expected one number per axis, or one for all"
            )
    return len(shape) - 1


def _window(layer: Layer, shape: Sizes, padded: Sequence[int], size: Sizes, stride: Sizes) -> Sizes:
    """Places of a window of ``size`` every ``stride`` places; `SettingError` where it does not fit even once."""
    if any(s > n for s, n in zip(size, padded, strict=True)):
        raise SettingError(
            f"{layer}: maps of {' x '.join(map(str, shape[1:]))} places reach the layer, which needs at least "
            f"{' x '.join(map(str, size))}; expected fewer or smaller poolings and strides below, or padding"
        )
    return tuple((n - s) // t + 1 for n, s, t in zip(padded, size, stride, strict=True))


def _check_activation(activation: str | None) -> None:
    if activation is not None:
        check_network_activation(activation)


def _checked_table(table: Any, filters: int) -> tuple[tuple[int, ...], ...]:
    if not isinstance(table, (tuple, list)) or len(table) != filters:
        raise SettingError(
            f"table is {table!r}; expected one tuple of map numbers for each of the {filters} filters, or None"
        )
    for row in table:
        if not isinstance(row, (tuple, list)) or not row or len(set(row)) != len(row):
            raise SettingError(f"table has the row {row!r}; expected at least one map number, each at most once")
        for entry in row:
            check_number("a map number of table", entry, low=0, integer=True)
    return tuple(tuple(int(entry) for entry in row) for row in table)
