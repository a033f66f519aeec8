"""Distortions of images: new training examples that a reader would still give the same label.

The problem: labelled images are dear, and what a digit is does not change when the hand shakes. `ElasticDistortion`
(Simard, Steinkraus, Platt 2003) shakes it: every pixel is fetched from a place nearby, displaced by a random field that
is smooth over about ``sigma`` pixels, and optionally by a random rotation, scaling, shear and shift of the whole image.

With uniform noise ξ in (−1, 1) at every pixel, a Gaussian g of unit sum, and p a pixel   (docs/mathematics.md, 196-198)

    u(p) = α Σ_q g_σ(p − q) ξ(q)  for each of both directions,      sd u = α Σ_j g_j² / √3 ≈ α / (√(12π) σ)

with g_j in one dimension: 1.38 pixels for the paper's α = 34, σ = 4. A field that is smooth over σ needs no noise at
every pixel: from σ = 2 on the noise is drawn on a lattice σ/2 apart, which has the same variance everywhere (each
pixel's weights are scaled to it) and the same covariance to a share of 2 exp(−4π²) ~ 10⁻¹⁷ but for what is cut off
3σ from the image; only its fourth moment differs (excess kurtosis −0.05 where noise at every pixel has −0.19/σ²).

Distortions are drawn anew for each batch from the stream that the rule hands in, as `lamina.training.corruption` is.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from lamina.core.checks import check_number
from lamina.core.errors import DataError, SettingError
from lamina.core.random import Random

REACH = 3.0  # the lattice of noise goes so many sigma beyond the image
LATTICE = 0.5  # its spacing, in sigma, but never below one pixel


class Distortion(ABC):
    """Rows of images in, distorted rows out, of the same shape (n, channels · height · width)."""

    @abstractmethod
    def apply(self, x: Tensor, random: Random) -> Tensor:
        """Distorted copies of the rows ``x``; ``random`` stands at their row numbers."""

    def describe(self) -> dict:
        """Settings, for records and checkpoints."""
        settings = {k: v for k, v in vars(self).items() if not k.startswith("_")}
        return {"distortion": type(self).__name__, **settings}


class ElasticDistortion(Distortion):
    """Each pixel is fetched (bilinearly) from A(p − m) + m + t + u(p), m the middle of the image; see the module for u.

    ``sigma`` (pixels) smooths the field, ``alpha`` scales it (0: none). A = R(θ) [[1, k], [0, 1]] diag(s_x, s_y) with
    θ uniform within ± ``rotation`` (degrees), k within ± ``shear``, s_x and s_y each within 1 ± ``scaling``, and t
    within ± ``shift`` (pixels) in both directions. ``shape`` is (channels, height, width); all channels of an image
    move together. What comes from outside has the value ``fill``, or, with None, that of the nearest pixel.

    ``apply`` takes rows (n, channels · height · width), at most some thousands at once (it needs about 20 numbers of
    memory per pixel), and costs about 0.05 ms per image of 28 × 28 on one slow core. Every row's distortion depends on
    the stream, its step and the row's number alone, not on the rest of the batch. Raises `DataError` where rows do not
    fit ``shape``.
    """

    def __init__(
        self,
        sigma: float,
        alpha: float,
        shape: Sequence[int] = (1, 28, 28),
        rotation: float = 0.0,
        scaling: float = 0.0,
        shear: float = 0.0,
        shift: float = 0.0,
        fill: float | None = None,
    ) -> None:
        check_number("sigma", sigma, low=0.1)
        check_number("alpha", alpha, low=0.0)
        check_number("rotation", rotation, low=0.0, high=180.0)
        check_number("scaling", scaling, low=0.0, high=0.99)
        check_number("shear", shear, low=0.0)
        check_number("shift", shift, low=0.0)
        if fill is not None:
            check_number("fill", fill)
        self.sigma, self.alpha, self.shape = float(sigma), float(alpha), _checked_shape(shape)
        self.rotation, self.scaling = float(rotation), float(scaling)
        self.shear, self.shift = float(shear), float(shift)
        self.fill = None if fill is None else float(fill)
        self._made: dict[tuple, tuple[Tensor, Tensor]] = {}

    @property
    def displacement_sd(self) -> float:
        """Standard deviation of the elastic displacement of any pixel in either direction, in pixels: eq. 197."""
        return self.alpha * _square_sum(self.sigma) / math.sqrt(3)

    def apply(self, x: Tensor, random: Random) -> Tensor:
        channels, height, width = self.shape
        if x.dim() != 2 or x.shape[1] != channels * height * width:
            raise DataError(
                f"rows have shape {tuple(x.shape)}; expected (n, {channels * height * width}): images {self.shape} as "
                f"flat rows"
            )
        if not (self.alpha or self._moves_all):
            return x.clone()
        places = self.places(len(x), random, x.dtype, x.device)
        scale = torch.tensor([2 / width, 2 / height], dtype=x.dtype, device=x.device)
        grid = (places + 0.5).mul_(scale).sub_(1)  # the corners of the image at ±1
        images = x.reshape(-1, channels, height, width)
        if self.fill is None:
            found = functional.grid_sample(images, grid, padding_mode="border", align_corners=False)
        else:
            found = functional.grid_sample(images - self.fill, grid, align_corners=False) + self.fill
        return found.reshape(x.shape)

    def places(self, n: int, random: Random, dtype: torch.dtype, device: torch.device) -> Tensor:
        """Where each pixel of ``n`` images is fetched from: (n, height, width, 2) as (x, y), in pixels from 0."""
        _, height, width = self.shape
        y, x = torch.meshgrid(
            torch.arange(height, dtype=dtype, device=device),
            torch.arange(width, dtype=dtype, device=device),
            indexing="ij",
        )
        at = torch.stack([x, y], -1)
        if self._moves_all:
            middle = torch.tensor([(width - 1) / 2, (height - 1) / 2], dtype=dtype, device=device)
            matrix, shift = self._affine(n, random, dtype, device)
            at = ((at - middle).reshape(1, -1, 2) @ matrix.transpose(1, 2)).view(n, height, width, 2)
            at = at.add_((middle + shift).view(n, 1, 1, 2))
        return at + self.field(n, random, dtype, device) if self.alpha else at

    def field(self, n: int, random: Random, dtype: torch.dtype, device: torch.device) -> Tensor:
        """The elastic displacements u: (n, height, width, 2), in pixels."""
        _, height, width = self.shape
        down, across = self._smoothers(dtype, device)
        rows, columns = down.shape[1], across.shape[1]
        noise = random.uniform((n, 2 * rows * columns), dtype, device).mul_(2).sub_(1)
        smooth = noise.view(-1, columns) @ across.T
        smooth = smooth.view(2 * n, rows, width).transpose(1, 2).reshape(-1, rows) @ down.T
        return smooth.view(n, 2, width, height).permute(0, 3, 2, 1)

    @property
    def _moves_all(self) -> bool:
        return bool(self.rotation or self.scaling or self.shear or self.shift)

    def _affine(self, n: int, random: Random, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
        """Matrices (n, 2, 2) and shifts (n, 2)."""
        draw = random.uniform((n, 6), dtype, device).mul_(2).sub_(1)
        angle, shear = draw[:, 0] * math.radians(self.rotation), draw[:, 1] * self.shear
        scale_x, scale_y = 1 + draw[:, 2] * self.scaling, 1 + draw[:, 3] * self.scaling
        cos, sin = angle.cos(), angle.sin()
        top = torch.stack([cos * scale_x, (cos * shear - sin) * scale_y], 1)
        bottom = torch.stack([sin * scale_x, (sin * shear + cos) * scale_y], 1)
        return torch.stack([top, bottom], 1), draw[:, 4:] * self.shift

    def _smoothers(self, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
        """Weights of the lattice's noise, over rows (height, lattice rows) and over columns; α is in the first."""
        key = (dtype, device)
        if key not in self._made:
            _, height, width = self.shape
            down, across = smoother(height, self.sigma) * self.alpha, smoother(width, self.sigma)
            self._made[key] = (down.to(device, dtype), across.to(device, dtype))
        return self._made[key]


def smoother(size: int, sigma: float) -> Tensor:
    """Weights (size, points) float64 of noise on a lattice around ``size`` pixels: a Gaussian of width ``sigma``.

    The squares of each pixel's weights add up to Σ_j g_j², g the Gaussian of unit sum over whole pixels, so that noise
    of any lattice gives the variance that noise at every pixel would.
    """
    spacing = max(1.0, LATTICE * sigma)
    n_beyond = math.ceil(REACH * sigma / spacing)
    n_inside = math.ceil((size - 1) / spacing)
    points = spacing * torch.arange(-n_beyond, n_inside + n_beyond + 1, dtype=torch.float64)
    pixels = torch.arange(size, dtype=torch.float64)
    weights = torch.exp(-0.5 * ((pixels[:, None] - points) / sigma) ** 2)
    return weights * (math.sqrt(_square_sum(sigma)) / weights.norm(dim=1, keepdim=True))


def _square_sum(sigma: float) -> float:
    """Σ_j g_j² of the Gaussian of unit sum over whole numbers j, near 1/(2√π σ)."""
    j = torch.arange(-math.ceil(9 * sigma) - 1, math.ceil(9 * sigma) + 2, dtype=torch.float64)
    g = torch.exp(-0.5 * (j / sigma) ** 2)
    return float((g / g.sum()).square().sum())


def _checked_shape(shape: Sequence[int]) -> tuple[int, int, int]:
    try:
        sizes = tuple(int(size) for size in shape)
    except (TypeError, ValueError):
        sizes = ()
    if len(sizes) != 3 or min(sizes) < 1:
        raise SettingError(f"shape is {shape!r}; expected (channels, height, width) of the images, such as (1, 28, 28)")
    return sizes  # type: ignore[return-value]  # three, as just counted
