"""Convolutional sparse coding: an image is a sum of maps, mostly 0, each convolved with one filter.

    E(x, z) = ½ ‖x − Σ_k z_k ∗ f_k‖² + cost Σ |z|                                        (docs/mathematics.md, eq. 154)
    (z ∗ f)_c(r) = Σ_k Σ_s f_kc(s) z_k(r − s)

with filters F (n_maps, n_channels, *size), each of length 1. Maps reach beyond the image by a filter's size less one:
every pixel, those at the border too, is covered by every place of every filter, and over n pixels z has n + size − 1.
A filter is one for all places: no patch needs to learn what its neighbour knows, and shifted copies are not needed.

Sources: Zeiler, Krishnan, Taylor, Fergus 2010 (deconvolutional networks); codes by FISTA, Beck and Teboulle 2009.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from lamina.core.checks import check_number
from lamina.core.errors import DataError, SettingError
from lamina.core.random import Random, as_random


class ConvolutionalSparseCoding(nn.Module):
    """``n_maps`` filters of ``size`` (one number, or height and width) for images of ``n_channels`` channels.

    With ``positive`` codes are at least 0. A search for codes ends after ``iterations`` of FISTA, or when no place
    violates its optimality condition by more than ``tolerance`` · cost. Parameters: ``F`` (n_maps, n_channels, height,
    width), of which only directions count. Raises `SettingError`.
    """

    def __init__(
        self,
        n_channels: int,
        n_maps: int,
        size: int | Sequence[int],
        *,
        cost: float = 0.1,
        positive: bool = False,
        iterations: int = 50,
        tolerance: float = 1e-2,
        dtype: torch.dtype = torch.float32,
        random_state: int | Random | None = 0,
    ) -> None:
        super().__init__()
        kernel = (size, size) if isinstance(size, int) else tuple(size)
        if len(kernel) != 2:
            raise SettingError(f"size is {size!r}; expected one number, or height and width of a filter")
        named = (("n_channels", n_channels), ("n_maps", n_maps), ("size", kernel[0]), ("size", kernel[1]))
        for name, value in (*named, ("iterations", iterations)):
            check_number(name, value, low=1, integer=True)
        check_number("cost", cost, low=1e-30)
        check_number("tolerance", tolerance, low=0.0)
        self.cost, self.positive = float(cost), bool(positive)
        self.iterations, self.tolerance = int(iterations), float(tolerance)
        self.F = nn.Parameter(torch.empty(int(n_maps), int(n_channels), *kernel, dtype=dtype))
        self.initialise(random_state)

    @property
    def n_channels(self) -> int:
        return self.F.shape[1]

    @property
    def n_maps(self) -> int:
        return self.F.shape[0]

    @property
    def kernel(self) -> tuple[int, int]:
        """Height and width of a filter."""
        return self.F.shape[2], self.F.shape[3]

    def extra_repr(self) -> str:
        return f"{self.n_channels}, {self.n_maps}, size={self.kernel}, cost={self.cost:g}, positive={self.positive}"

    @torch.no_grad()
    def initialise(self, random_state: int | Random | None) -> ConvolutionalSparseCoding:
        """Draw filters from N(0, 1), brought to length 1."""
        random = as_random(random_state).child("weights")
        self.F.copy_(random.normal(self.F.shape, self.F.dtype, self.F.device))
        self.F.copy_(self.filters())
        return self

    def filters(self) -> Tensor:
        """Filters of length 1, (n_maps, n_channels, height, width): what a single 1 in a map draws."""
        return functional.normalize(self.F.flatten(1), dim=1, eps=1e-30).view_as(self.F)

    # the linear map and its adjoint ---------------------------------------------------------------------------------

    def places(self, size: Sequence[int]) -> tuple[int, int]:
        """Height and width of the maps over images of ``size``: size + kernel − 1."""
        return size[0] + self.kernel[0] - 1, size[1] + self.kernel[1] - 1

    def mean_v_from_h(self, z: Tensor) -> Tensor:
        """Σ_k z_k ∗ f_k: maps (n, n_maps, *places) → images (n, n_channels, *size)."""
        if z.dim() != 4 or z.shape[1] != self.n_maps or z.shape[2] < self.kernel[0] or z.shape[3] < self.kernel[1]:
            raise DataError(
                f"the maps have shape {tuple(z.shape)}; expected (n, {self.n_maps}, height, width) of at least "
                f"{self.kernel[0]} × {self.kernel[1]} places"
            )
        return _drawn(z, self.filters())

    def adjoint(self, x: Tensor) -> Tensor:
        """How much each filter, at each place, is like the image: (n, n_channels, *size) → (n, n_maps, *places).

        The adjoint of `mean_v_from_h`: ⟨mean_v_from_h(z), x⟩ = ⟨z, adjoint(x)⟩.
        """
        self.check_images(x)
        return _matched(x, self.filters())

    def curvature(self, size: Sequence[int]) -> float:
        """An upper bound of the largest eigenvalue of AᵀA, A = `mean_v_from_h`, for images of ``size``.

        A is a part of the circular convolution on all places, whose largest singular value is that of the filters'
        transforms (n_channels, n_maps), frequency by frequency.
        """
        with torch.no_grad():
            waves = torch.fft.rfft2(self.filters().double(), s=self.places(size)).flatten(2).permute(2, 1, 0)
            if self.n_channels == 1:
                return float(waves.abs().square().sum((1, 2)).max())
            gram = waves @ waves.mH if self.n_channels <= self.n_maps else waves.mH @ waves
            return float(torch.linalg.eigvalsh(gram)[:, -1].max())

    # codes ----------------------------------------------------------------------------------------------------------

    def energy(self, x: Tensor, z: Tensor) -> Tensor:
        """E(x, z), eq. 154: images (n, ...), maps (n, ...) → (n,). Differentiable in the filters and the maps."""
        apart = (x - self.mean_v_from_h(z)).square().flatten(1).sum(1) / 2
        return apart + self.cost * z.abs().flatten(1).sum(1)

    @torch.no_grad()
    def mean_h_from_v(self, x: Tensor, iterations: int | None = None) -> Tensor:
        """The codes of least energy, without a slope: images (n, n_channels, *size) → maps (n, n_maps, *places).

        FISTA with the momentum begun anew in images whose energy it would raise (O'Donoghue and Candès 2015), from 0.
        """
        self.check_images(x)
        filters, step = self.filters(), 1.0 / max(self.curvature(tuple(x.shape[2:])), 1e-30)
        z = ahead = x.new_zeros(len(x), self.n_maps, *self.places(tuple(x.shape[2:])))
        t = x.new_ones(len(x), 1, 1, 1)
        for k in range(self.iterations if iterations is None else iterations):
            new = self._shrunk(ahead - step * _matched(_drawn(ahead, filters) - x, filters), step * self.cost)
            move = new - z
            uphill = ((ahead - new) * move).flatten(1).sum(1).view_as(t) > 0
            t_new = torch.where(uphill, 1.0, (1 + torch.sqrt(1 + 4 * t * t)) / 2)
            ahead = new + torch.where(uphill, 0.0, (t - 1) / t_new) * move
            z, t = new, t_new
            if k % 10 == 9 and float(self._violations(z, x, filters).max()) <= self.tolerance:
                break
        return z

    @torch.no_grad()
    def violations(self, x: Tensor, z: Tensor) -> Tensor:
        """Largest departure from optimality over places, as a share of the cost: (n,).

        |g + cost sign z| where z ≠ 0 and max(0, |g| − cost) where z = 0, with g the slope of the quadratic part; with
        positive codes max(0, −g − cost) where z = 0.
        """
        self.check_images(x)
        return self._violations(z, x, self.filters())

    def _violations(self, z: Tensor, x: Tensor, filters: Tensor) -> Tensor:
        if z.numel() == 0:
            return z.new_zeros(1)
        g = _matched(_drawn(z, filters) - x, filters)
        at_zero = (-g if self.positive else g.abs()) - self.cost
        off = torch.where(z == 0, at_zero.clamp(min=0), (g + self.cost * z.sign()).abs())
        return off.flatten(1).amax(1) / self.cost

    def _shrunk(self, z: Tensor, threshold: float) -> Tensor:
        return (z - threshold).clamp_(min=0) if self.positive else functional.softshrink(z, threshold)

    def check_images(self, x: Tensor) -> None:
        """Raise `DataError` where ``x`` are no images (n, n_channels, height, width)."""
        if x.dim() != 4 or x.shape[1] != self.n_channels or 0 in x.shape[2:]:
            raise DataError(
                f"the images have shape {tuple(x.shape)}; expected (n, {self.n_channels}, height, width): grey images "
                f"of a 3-D array need .unsqueeze(1)"
            )

    # files ----------------------------------------------------------------------------------------------------------

    def spec(self) -> dict:
        """What JSON must hold to build this model again; the arrays are the state dict."""
        return {
            "class": "ConvolutionalSparseCoding",
            "n_channels": self.n_channels,
            "n_maps": self.n_maps,
            "size": list(self.kernel),
            "cost": self.cost,
            "positive": self.positive,
            "iterations": self.iterations,
            "tolerance": self.tolerance,
        }

    @classmethod
    def from_spec(cls, spec: dict, build: Callable[[dict], Any]) -> ConvolutionalSparseCoding:
        """The model that `spec` describes."""
        settings = {name: spec[name] for name in ("cost", "positive", "iterations", "tolerance")}
        return cls(spec["n_channels"], spec["n_maps"], spec["size"], **settings)


def _drawn(z: Tensor, filters: Tensor) -> Tensor:
    """Σ_k z_k ∗ f_k where all of a filter meets the image: (n, maps, *places) → (n, channels, *size)."""
    return functional.conv2d(z, filters.flip(2, 3).transpose(0, 1))


def _matched(x: Tensor, filters: Tensor) -> Tensor:
    """The adjoint of `_drawn`: (n, channels, *size) → (n, maps, *places)."""
    return functional.conv2d(x, filters, padding=(filters.shape[2] - 1, filters.shape[3] - 1))
