"""The convolutional restricted Boltzmann machine with probabilistic max-pooling (Lee, Grosse, Ranganath, Ng 2009).

One set of filters is shared by all places of an image or a signal. With maps v (channels, *size) and h (filters,
*places), places = size − kernel + 1, biases b per channel and c per filter, and ⋆ the valid correlation (`correlate`),

    E(v, h) = Σ_r E_v(v(r); b) − Σ_k c_k Σ_r h_k(r) − Σ_k ⟨h_k, (W ⋆ s_v(v))_k⟩            (docs/mathematics.md, eq. 50)

where h is cut into blocks of ``pooling`` places of which at most one is on (`lamina.units.pooling`), and a pooled unit
p says whether one is. ``pooling=1`` is the convolutional RBM without pooling. The visible family's units are the
channels of one place: an integer means Bernoulli channels, `Gaussian(3)` real-valued colours.

Maps are (n, channels, *size); any size from the kernel's on will do. The model holds no loop, file or optimiser.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lamina.core.checks import check_number
from lamina.core.errors import DataError, SettingError
from lamina.core.random import Random, as_random
from lamina.models.energy.correlate import adjoint, correlate
from lamina.models.energy.rbm import RBM
from lamina.units import Family, as_family, pooling
from lamina.units.pooling import Sizes


class ConvolutionalRBM(nn.Module):
    """Shared filters, blocks of detection units, pooled units: ``ConvolutionalRBM(1, 40, kernel=12, pooling=2)``.

    ``visible``: the family of the channels of one place, or their number (Bernoulli). ``kernel`` and ``pooling``: one
    number, or one per axis. ``dimensions``: 2 for images, 1 for signals. Weights W (filters, channels, *kernel) start
    at N(0, 0.01²), biases b (channels,) and c (filters,) at 0; `initialise` sets them from a stream and the data.
    """

    def __init__(
        self,
        visible: int | Family,
        n_filters: int,
        kernel: int | Sequence[int],
        pooling: int | Sequence[int] = 2,
        *,
        dimensions: int = 2,
        dtype: torch.dtype = torch.float32,
        random_state: int | Random | None = 0,
    ) -> None:
        super().__init__()
        check_number("dimensions", dimensions, low=1, high=2, integer=True)
        check_number("n_filters", n_filters, low=1, integer=True)
        self.visible = as_family(visible)
        self.n_filters = int(n_filters)
        self.kernel = _per_axis("kernel", kernel, dimensions)
        self.pooling = _per_axis("pooling", pooling, dimensions)
        self.W = nn.Parameter(torch.empty(self.n_filters, self.visible.n, *self.kernel))
        self.b = nn.Parameter(torch.zeros(self.visible.n))
        self.c = nn.Parameter(torch.zeros(self.n_filters))
        self.to(dtype)
        self.initialise(random_state)

    @property
    def n_channels(self) -> int:
        return self.visible.n

    @property
    def dimensions(self) -> int:
        return len(self.kernel)

    def extra_repr(self) -> str:
        return f"n_filters={self.n_filters}, kernel={self.kernel}, pooling={self.pooling}"

    @torch.no_grad()
    def initialise(
        self,
        random_state: int | Random | None,
        data_mean: Tensor | None = None,
        scale: float = 0.01,
        activity: float | None = None,
    ) -> ConvolutionalRBM:
        """Draw W from N(0, scale²); set b so that free visible units have the means (channels,) of data, and c to 0, or
        so that free detection units are on with probability ``activity``.

        With c = 0, a pixel begins inside thousands of active units, n_filters · Π kernel / (1 + Π pooling), whose sum
        makes the first steps wild: begin at the activity that is asked for (below 1 / Π pooling).
        """
        random = as_random(random_state).child("weights")
        self.W.copy_(random.normal(self.W.shape, self.W.dtype, self.W.device).mul_(scale))
        self.c.fill_(0.0 if activity is None else self._bias_of(activity))
        self.b.zero_() if data_mean is None else self.b.copy_(self.visible.bias_from_data(data_mean.to(self.b)))
        return self

    def _bias_of(self, activity: float) -> float:
        """The hidden bias at which free units of a whole block are on with this probability: t = e^c / (1 + m e^c)."""
        units = math.prod(self.pooling)
        check_number("activity", activity, low=1e-12, high=(1 - 1e-6) / units)
        return math.log(activity) - math.log1p(-units * activity)

    # sizes ----------------------------------------------------------------------------------------------------------

    def places(self, size: Sequence[int]) -> Sizes:
        """Places of a detection map over a visible map of ``size``: size − kernel + 1 along each axis."""
        if len(size) != self.dimensions or any(n < k for n, k in zip(size, self.kernel, strict=True)):
            raise DataError(
                f"maps of size {tuple(size)} given; expected {self.dimensions} axes, each at least as long as the "
                f"filters, {self.kernel}: enlarge the maps or take a smaller kernel"
            )
        return tuple(int(n) - k + 1 for n, k in zip(size, self.kernel, strict=True))

    def blocks(self, size: Sequence[int]) -> Sizes:
        """Places of a pooled map over a visible map of ``size``: ⌈places / pooling⌉."""
        return pooling.count_blocks(self.places(size), self.pooling)

    # fields ---------------------------------------------------------------------------------------------------------

    def field_h(self, v: Tensor, above: Tensor | None = None) -> Tensor:
        """c + W ⋆ s_v(v): (n, channels, *size) → (n, filters, *places).

        ``above`` (n, filters, *blocks) is a further field of the pooled units, such as a layer above gives: it is felt
        by every unit of its block (eq. 55).
        """
        self.check_maps(v)
        field = correlate(self._of_channels(self.visible.interaction, v), self.W) + self._over_places(self.c)
        if above is None:
            return field
        return field + pooling.repeat(above, self.pooling, tuple(field.shape[2:]))

    def input_v(self, h: Tensor) -> Tensor:
        """Wᵀ ⋆ h, what the visible units see of h beside their bias: (n, filters, *places) → (n, channels, *size)."""
        if h.dim() != self.dimensions + 2 or h.shape[1] != self.n_filters:
            raise DataError(
                f"hidden maps have shape {tuple(h.shape)}; expected (n, {self.n_filters}, and {self.dimensions} axes "
                f"of places): this machine has {self.n_filters} filters"
            )
        return adjoint(h, self.W)

    def field_v(self, h: Tensor) -> Tensor:
        """b + Wᵀ ⋆ h: (n, filters, *places) → (n, channels, *size)."""
        return self.input_v(h) + self._over_places(self.b)

    # upwards --------------------------------------------------------------------------------------------------------

    def means_from_v(self, v: Tensor, above: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """E[h | v] (n, filters, *places) and E[p | v] (n, filters, *blocks); ``above`` as in `field_h`."""
        return pooling.means(self.field_h(v, above), self.pooling)

    def mean_h_from_v(self, v: Tensor) -> Tensor:
        """E[h | v], the detection units: (n, channels, *size) → (n, filters, *places)."""
        return self.means_from_v(v)[0]

    def mean_p_from_v(self, v: Tensor) -> Tensor:
        """E[p | v] = 1 − p(block off | v), the pooled units: (n, channels, *size) → (n, filters, *blocks)."""
        return self.means_from_v(v)[1]

    @torch.no_grad()
    def sample_h_from_v(self, v: Tensor, random: Random, above: Tensor | None = None) -> Tensor:
        """h ~ p(h | v), at most one unit of a block on: (n, channels, *size) → (n, filters, *places)."""
        return self.sample_h_from_mean(self.means_from_v(v, above)[0], random)

    @torch.no_grad()
    def sample_h_from_mean(self, mean: Tensor, random: Random) -> Tensor:
        """h drawn block by block from the means (n, filters, *places); same shape."""
        return pooling.draw(mean, self.pooling, random)[0]

    def pool(self, h: Tensor) -> Tensor:
        """p from h, states or means, by sums over blocks: (n, filters, *places) → (n, filters, *blocks)."""
        return pooling.pool(h, self.pooling)

    # downwards ------------------------------------------------------------------------------------------------------

    def mean_v_from_h(self, h: Tensor) -> Tensor:
        """E[v | h]: (n, filters, *places) → (n, channels, *size)."""
        return self._of_channels(self.visible.mean, self.field_v(h))

    @torch.no_grad()
    def sample_v_from_h(self, h: Tensor, random: Random) -> Tensor:
        """v ~ p(v | h): (n, filters, *places) → (n, channels, *size)."""
        return self.sample_v_from_mean(self.mean_v_from_h(h), random)

    @torch.no_grad()
    def sample_v_from_mean(self, mean: Tensor, random: Random) -> Tensor:
        """v drawn given its means (n, channels, *size); same shape."""
        return self._of_channels(lambda x: self.visible.sample_from_mean(x, random), mean)

    def mean_v_from_p(self, p: Tensor, size: Sequence[int]) -> Tensor:
        """E[v | h] at the h that p spreads evenly over its blocks: (n, filters, *blocks) → (n, channels, *size).

        Which unit of a block was on is lost in p; without v, all have the same chance. ``size`` is the visible map's
        (several sizes have the same number of blocks).
        """
        places = self.places(size)
        expected = (self.n_filters, *pooling.count_blocks(places, self.pooling))
        if tuple(p.shape[1:]) != expected:
            raise DataError(
                f"pooled maps have shape {tuple(p.shape)}; expected (n, {', '.join(map(str, expected))}) for visible "
                f"maps of size {tuple(size)}"
            )
        return self.mean_v_from_h(pooling.spread(p, self.pooling, places))

    # energies -------------------------------------------------------------------------------------------------------

    def energy(self, v: Tensor, h: Tensor) -> Tensor:
        """E(v, h): (n, channels, *size), (n, filters, *places) → (n,). h must have at most one unit of a block on."""
        field = self.field_h(v)
        return self._energy_v(v) - (field * h).flatten(1).sum(1)

    def free_energy(self, v: Tensor) -> Tensor:
        """F(v) = Σ_r E_v(v(r); b) − Σ_blocks log(1 + Σ e^f), f from `field_h` (eq. 52): (n, channels, *size) → (n,)."""
        field = self.field_h(v)
        return self._energy_v(v) - pooling.log_partition(field, self.pooling).flatten(1).sum(1)

    def free_energy_h(self, h: Tensor) -> Tensor:
        """−log Σ_v exp(−E(v, h)) (an integral for real units): (n, filters, *places) → (n,)."""
        field = self.field_v(h).movedim(1, -1)
        cumulant = self.visible.cumulant(field, self.b).flatten(1).sum(1)
        return -cumulant - (h * self._over_places(self.c)).flatten(1).sum(1)

    def _energy_v(self, v: Tensor) -> Tensor:
        return self.visible.energy(v.movedim(1, -1), self.b).flatten(1).sum(1)

    def as_rbm(self, size: Sequence[int]) -> RBM:
        """The same machine over maps of ``size`` with every weight written out: see `written_out`."""
        from lamina.models.energy.written_out import written_out

        return written_out(self, tuple(size))

    # files ----------------------------------------------------------------------------------------------------------

    def spec(self) -> dict:
        """What JSON must hold to build this machine again; the arrays are the state dict."""
        return {
            "class": "ConvolutionalRBM",
            "visible": self.visible.spec(),
            "n_filters": self.n_filters,
            "kernel": list(self.kernel),
            "pooling": list(self.pooling),
        }

    @classmethod
    def from_spec(cls, spec: dict, build: Callable[[dict], Any]) -> ConvolutionalRBM:
        """The machine that `spec` describes; ``build`` makes its visible family."""
        sizes = {"kernel": spec["kernel"], "pooling": spec["pooling"], "dimensions": len(spec["kernel"])}
        return cls(build(spec["visible"]), spec["n_filters"], **sizes)

    # shapes ---------------------------------------------------------------------------------------------------------

    def check_maps(self, v: Tensor) -> None:
        """Raise `DataError` unless ``v`` is (n, channels, *size) with maps at least as large as the filters."""
        if v.dim() != self.dimensions + 2 or v.shape[1] != self.n_channels:
            axes = ("length",) if self.dimensions == 1 else ("height", "width")
            raise DataError(
                f"visible maps have shape {tuple(v.shape)}; expected (n, {self.n_channels}, {', '.join(axes)}): "
                f"reshape rows, with the number of channels second"
            )
        self.places(tuple(v.shape[2:]))

    def _of_channels(self, function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        """``function`` of the visible family, whose units come last, on maps, whose channels come second."""
        return function(x.movedim(1, -1)).movedim(-1, 1)

    def _over_places(self, bias: Tensor) -> Tensor:
        return bias.view(-1, *(1 for _ in self.kernel))


def _per_axis(name: str, value: int | Sequence[int], dimensions: int) -> Sizes:
    """One positive integer per axis; `SettingError` otherwise."""
    sizes: tuple[Any, ...] = tuple(value) if isinstance(value, (tuple, list)) else (value,) * dimensions
    if len(sizes) != dimensions:
        raise SettingError(f"{name} is {value!r}; expected one number, or one for each of {dimensions} axis/axes")
    for entry in sizes:
        check_number(name, entry, low=1, integer=True)
    return tuple(int(entry) for entry in sizes)
