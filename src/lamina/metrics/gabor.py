"""How much a filter is a Gabor function: least squares from several starts, for many filters at once.

    g(x, y) = exp(−½ (x'²/σ_x² + y'²/σ_y²)) · (A cos 2πf x' + B sin 2πf x')            (docs/mathematics.md, eq. 149)
    x' = (x − x₀) cos θ + (y − y₀) sin θ,    y' = −(x − x₀) sin θ + (y − y₀) cos θ

a plane wave of frequency f along θ under a Gaussian window, the shape of simple cells' receptive fields in V1 (Marcelja
1980, Daugman 1985; Jones and Palmer 1987 fitted it to cells). Lengths are in pixels, frequencies in cycles per pixel,
angles in radians; x runs to the right and y down from the middle of the first pixel.

Fits are by Levenberg and Marquardt with the derivatives written out. Each filter starts from its spectrum's two highest
peaks, two centres and two widths; all starts take a few steps, the two best go on. A local method gives a lower bound
on the best R²; of random Gabor functions without noise it finds nearly all (``tests/metrics/test_gabor.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from lamina.core.errors import DataError

NARROWEST = 0.5  # σ in pixels: less is a single pixel
FASTEST = 0.5  # cycles per pixel: Nyquist's limit along an axis
SCOUT_STEPS, STEPS, KEPT = 6, 10, 2  # first all starts; then the best few, in rounds of so many steps
ROUNDS, SETTLED = 6, 1e-4  # a fit that a round improves by less than this share goes no further
AT_ONCE = 1 << 18  # numbers of one derivative that are held together
_X0, _Y0, _LOG_SX, _LOG_SY, _THETA, _F, _A, _B = range(8)


@dataclass(frozen=True)
class GaborFits:
    """One Gabor function per filter; every array has shape (n,).

    ``r2`` = 1 − Σ (w − g)² / Σ (w − w̄)². ``sigma_along`` is the window's deviation along the wave, ``sigma_across``
    that along the bars; ``orientation`` in [0, π) is the direction of the wave, at right angles to the bars.
    """

    r2: np.ndarray
    x: np.ndarray
    y: np.ndarray
    sigma_along: np.ndarray
    sigma_across: np.ndarray
    orientation: np.ndarray
    frequency: np.ndarray
    amplitude: np.ndarray
    phase: np.ndarray

    def __len__(self) -> int:
        return len(self.r2)

    @property
    def bandwidth(self) -> np.ndarray:
        """Full width at half height of the frequency tuning, in octaves (∞ where it reaches down to f = 0): (n,)."""
        half = np.sqrt(np.log(2) / 2) / np.pi
        product = self.frequency * self.sigma_along
        with np.errstate(divide="ignore", invalid="ignore"):
            octaves = np.log2((product + half) / (product - half))
        return np.where(product > half, octaves, np.inf)

    def functions(self, height: int, width: int) -> np.ndarray:
        """The functions that were fitted, (n, height, width)."""
        parameters = np.stack(
            [
                self.x,
                self.y,
                np.log(self.sigma_along),
                np.log(self.sigma_across),
                self.orientation,
                self.frequency,
                self.amplitude * np.cos(self.phase),
                self.amplitude * np.sin(self.phase),
            ],
            axis=1,
        )
        return _Problem(np.zeros((len(self), height, width))).functions(parameters)[0].reshape(-1, height, width)


def fit_gabor(filters: Any) -> GaborFits:
    """The Gabor function nearest to each of ``filters`` (n, height, width), at least 4 × 4 pixels.

    Centres stay within the patch, σ between `NARROWEST` and the longer side, f at most `FASTEST`. A constant filter has
    R² = 0. About 5 ms per filter of 12 × 12 pixels.
    """
    filters = np.asarray(filters)
    if filters.ndim != 3 or min(filters.shape[1:]) < 4 or filters.dtype.kind not in "fiub" or len(filters) == 0:
        raise DataError(
            f"the filters have shape {filters.shape} and type {filters.dtype}; expected numbers (n, height, width), at "
            f"least one of at least 4 × 4 pixels"
        )
    if not np.isfinite(filters).all():
        raise DataError("the filters hold NaN or infinite values; expected finite numbers: did training diverge?")
    scale = np.abs(filters).max((1, 2)).astype(np.float64)
    scale[scale == 0] = 1.0
    normed = filters / scale[:, None, None]
    per_filter = 8 * 8 * normed[0].size
    chunk = max(1, AT_ONCE // per_filter)
    parts = [_fitted(normed[k : k + chunk]) for k in range(0, len(normed), chunk)]
    return _record(np.concatenate([p for p, _ in parts]), np.concatenate([e for _, e in parts]), normed, scale)


def _record(parameters: np.ndarray, errors: np.ndarray, filters: np.ndarray, scale: np.ndarray) -> GaborFits:
    spread = filters.var((1, 2)) * filters[0].size
    flat = spread <= 1e-20
    r2 = np.where(flat, 0.0, 1 - errors / np.where(flat, 1.0, spread))
    a, b = parameters[:, _A], parameters[:, _B]
    turns = np.floor(parameters[:, _THETA] / np.pi)
    theta = parameters[:, _THETA] - np.pi * turns
    b = np.where(turns % 2 == 0, b, -b)  # half a turn changes the sign of x'
    return GaborFits(
        r2=r2,
        x=parameters[:, _X0],
        y=parameters[:, _Y0],
        sigma_along=np.exp(parameters[:, _LOG_SX]),
        sigma_across=np.exp(parameters[:, _LOG_SY]),
        orientation=theta,
        frequency=parameters[:, _F],
        amplitude=np.hypot(a, b) * scale,
        phase=np.arctan2(b, a),
    )


def _fitted(filters: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Best parameters (n, 8) and their squared errors (n,)."""
    starts = _starts(filters)  # (n, starts, 6)
    n, many = starts.shape[:2]
    scouts = _Problem(np.repeat(filters, many, 0))
    parameters, errors = scouts.descend(scouts.completed(starts.reshape(n * many, 6)), SCOUT_STEPS)
    parameters, errors = parameters.reshape(n, many, 8), errors.reshape(n, many)
    best = np.argsort(errors, axis=1)[:, :KEPT]
    chosen = np.take_along_axis(parameters, best[..., None], 1).reshape(-1, 8)
    parameters, errors = _settled(np.repeat(filters, best.shape[1], 0), chosen)
    errors = errors.reshape(n, -1)
    best_of = errors.argmin(1)
    return parameters.reshape(n, -1, 8)[np.arange(n), best_of], errors[np.arange(n), best_of]


def _settled(filters: np.ndarray, parameters: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Parameters (m, 8) and errors (m,) after rounds of descent, each with the problems that still improve."""
    parameters, errors = parameters.copy(), np.full(len(filters), np.inf)
    moving = np.arange(len(filters))
    for _ in range(ROUNDS):
        parameters[moving], found = _Problem(filters[moving]).descend(parameters[moving], STEPS)
        improved = found < errors[moving] * (1 - SETTLED)
        errors[moving] = found
        moving = moving[improved]
        if len(moving) == 0:
            break
    return parameters, errors


# starts -------------------------------------------------------------------------------------------------------------


def _starts(filters: np.ndarray) -> np.ndarray:
    """(n, 8, 6): two peaks of the spectrum × two centres × two widths, as x₀, y₀, log σ_x, log σ_y, θ, f."""
    centroid, peak, width = _extent(filters)
    found = []
    for (theta, f), centre, factor in product(_waves(filters), (centroid, peak), (0.5, 1.0)):
        log_sigma = np.log(np.clip(width * factor, 2 * NARROWEST, None))
        found.append(np.stack([*centre, log_sigma, log_sigma, theta, f], axis=1))
    return np.stack(found, axis=1)


def _extent(filters: np.ndarray) -> tuple[Any, Any, np.ndarray]:
    """Centroid of w² and the place of most energy in 3 × 3 pixels, each (x, y), and the deviation of w²: (n,)."""
    n, height, width = filters.shape
    energy = filters.astype(np.float64) ** 2
    weight = energy / np.maximum(energy.sum((1, 2), keepdims=True), 1e-300)
    y, x = np.mgrid[:height, :width]
    cx, cy = (weight * x).sum((1, 2)), (weight * y).sum((1, 2))
    square = (weight * ((x - cx[:, None, None]) ** 2 + (y - cy[:, None, None]) ** 2)).sum((1, 2)) / 2
    padded = np.pad(energy, ((0, 0), (1, 1), (1, 1)))
    blurred = sum(padded[:, i : i + height, j : j + width] for i in range(3) for j in range(3))
    at = np.asarray(blurred).reshape(n, -1).argmax(1)
    # the window multiplies w, so w² is narrower by √2
    return (cx, cy), (at % width * 1.0, at // width * 1.0), np.sqrt(2 * np.maximum(square, 0.25))


def _waves(filters: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """(θ, f) of the two highest separate peaks of each filter's amplitude spectrum, each (n,)."""
    n = len(filters)
    side = 4 * max(filters.shape[1:])
    spectrum = np.abs(np.fft.fft2(filters, s=(side, side)))[:, :, : side // 2 + 1]  # θ and θ + π are one wave
    fy, fx = np.meshgrid(np.fft.fftfreq(side), np.arange(side // 2 + 1) / side, indexing="ij")
    found = []
    for _ in range(2):
        at = spectrum.reshape(n, -1).argmax(1)
        u, v = fx.ravel()[at], fy.ravel()[at]
        found.append((np.arctan2(v, u), np.minimum(np.hypot(u, v), FASTEST)))
        near = np.minimum(
            np.hypot(fx - u[:, None, None], fy - v[:, None, None]),
            np.hypot(fx + u[:, None, None], fy + v[:, None, None]),
        )
        spectrum = np.where(near < 1.0 / max(filters.shape[1:]), 0.0, spectrum)
    return found


# least squares ------------------------------------------------------------------------------------------------------


class _Problem:
    """Least squares for m filters at once: parameters (m, 8), each row its own problem."""

    def __init__(self, filters: np.ndarray) -> None:
        m, height, width = filters.shape
        self.w = filters.reshape(m, -1).astype(np.float64)
        y, x = np.mgrid[:height, :width]
        self.x, self.y = x.ravel().astype(np.float64), y.ravel().astype(np.float64)
        longest = np.log(max(height, width))
        self.low = np.array([-0.5, -0.5, np.log(NARROWEST), np.log(NARROWEST), -np.inf, 0.0, -np.inf, -np.inf])
        self.high = np.array([width - 0.5, height - 0.5, longest, longest, np.inf, FASTEST, np.inf, np.inf])

    def functions(self, p: np.ndarray) -> tuple[np.ndarray, tuple]:
        """g (m, pixels), and the parts that the derivatives need."""
        x0, y0, log_sx, log_sy, theta, f, a, b = (column[:, None] for column in p.T)
        cos, sin = np.cos(theta), np.sin(theta)
        dx, dy = self.x - x0, self.y - y0
        along, across = dx * cos + dy * sin, dy * cos - dx * sin
        ratio_x, ratio_y = along * np.exp(-log_sx), across * np.exp(-log_sy)
        window = np.exp(-0.5 * (ratio_x**2 + ratio_y**2))
        even, odd = window * np.cos(2 * np.pi * f * along), window * np.sin(2 * np.pi * f * along)
        return a * even + b * odd, (along, across, ratio_x, ratio_y, even, odd, cos, sin)

    def derivatives(self, p: np.ndarray, g: np.ndarray, parts: tuple) -> np.ndarray:
        """∂g/∂p, (m, 8, pixels)."""
        along, across, ratio_x, ratio_y, even, odd, cos, sin = parts
        _, _, log_sx, log_sy, _, f, a, b = (column[:, None] for column in p.T)
        wave = 2 * np.pi * (b * even - a * odd)
        by_along = f * wave - g * ratio_x * np.exp(-log_sx)
        by_across = -g * ratio_y * np.exp(-log_sy)
        found = np.empty((len(p), 8, len(self.x)))
        found[:, _X0] = -by_along * cos + by_across * sin
        found[:, _Y0] = -by_along * sin - by_across * cos
        found[:, _LOG_SX] = g * ratio_x**2
        found[:, _LOG_SY] = g * ratio_y**2
        found[:, _THETA] = by_along * across - by_across * along
        found[:, _F] = along * wave
        found[:, _A], found[:, _B] = even, odd
        return found

    def completed(self, q: np.ndarray) -> np.ndarray:
        """(m, 6) with the A and B that are best for them: (m, 8)."""
        p = np.clip(np.concatenate([q, np.ones((len(q), 2))], axis=1), self.low, self.high)
        even, odd = self.functions(p)[1][4:6]
        ee, oo, eo = (even**2).sum(1), (odd**2).sum(1), (even * odd).sum(1)
        we, wo = (self.w * even).sum(1), (self.w * odd).sum(1)
        ee, oo = ee + 1e-9, oo + 1e-9
        det = ee * oo - eo**2
        p[:, _A], p[:, _B] = (oo * we - eo * wo) / det, (ee * wo - eo * we) / det
        return p

    def descend(self, p: np.ndarray, steps: int) -> tuple[np.ndarray, np.ndarray]:
        """Levenberg-Marquardt: p and its squared error (m,) after ``steps``; a step that raises it is not taken."""
        p = p.copy()
        g, parts = self.functions(p)
        error = ((self.w - g) ** 2).sum(1)
        damping = np.full(len(p), 1e-2)
        for _ in range(steps):
            slopes = self.derivatives(p, g, parts)
            normal = slopes @ slopes.transpose(0, 2, 1)
            right = (slopes @ (self.w - g)[:, :, None])[:, :, 0]
            diagonal = np.einsum("mii->mi", normal)
            diagonal += damping[:, None] * diagonal + 1e-9
            trial = np.clip(p + np.linalg.solve(normal, right[:, :, None])[:, :, 0], self.low, self.high)
            g_trial, parts_trial = self.functions(trial)
            error_trial = ((self.w - g_trial) ** 2).sum(1)
            better = error_trial < error
            damping = np.clip(np.where(better, damping / 3, damping * 4), 1e-9, 1e9)
            p[better], error[better], g[better] = trial[better], error_trial[better], g_trial[better]
            for new, old in zip(parts_trial, parts, strict=True):
                old[better] = new[better]
        return p, error
