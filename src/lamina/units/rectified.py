"""Rectified units: x ≥ 0, E(x; b) = x²/2 − b x, a Gaussian of variance 1 cut off at 0 (eq. 23 to 26).

Given the field f the unit is N(f, 1) restricted to the half-line: the cumulant is f²/2 + log √(2π) Φ(f), the mean
f + φ(f)/Φ(f), with Φ and φ the normal distribution function and density. ``sampler="noisy"`` is the approximation of
Nair and Hinton (2010, section 2): draws max(0, f + N(0, σ(f))) and the mean max(0, f), which stand for infinitely many
Bernoulli units with shifted biases. It is faster, and close for f ≫ 0; its energy and cumulant are those of the exact
units, so that free energies and partition sums belong to a machine whose samples differ from its own.

Inside: `Rectified`, and the truncated normal in functions that hold in both tails.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from lamina.core.errors import SettingError
from lamina.core.random import Random
from lamina.units.family import Family
from lamina.units.limits import check_limits

SAMPLERS = ("exact", "noisy")
_FAR = -5.0  # below this field the mean comes from a continued fraction


class Rectified(Family):
    """``n`` units on the half-line x ≥ 0."""

    bounded = False

    def __init__(self, n: int, sampler: str = "exact") -> None:
        super().__init__(n)
        if sampler not in SAMPLERS:
            raise SettingError(f"sampler is {sampler!r}; expected one of {', '.join(map(repr, SAMPLERS))}")
        self.sampler = sampler

    def energy(self, x: Tensor, bias: Tensor) -> Tensor:
        return (x * x).sum(-1) / 2 - x @ bias

    def cumulant(self, field: Tensor, bias: Tensor) -> Tensor:
        return _LogHalfLine.apply(field).sum(-1)

    def mean_(self, field: Tensor) -> Tensor:
        if self.sampler == "noisy":
            return field.relu_()
        return field.copy_(half_line_mean(field))

    def mean(self, field: Tensor) -> Tensor:
        return field.relu() if self.sampler == "noisy" else half_line_mean(field)

    def mode(self, field: Tensor) -> Tensor:
        return field.clamp(min=0)

    def mean_and_sample_(self, field: Tensor, random: Random, out: Tensor | None = None) -> tuple[Tensor, Tensor]:
        draw = self._draw(field.detach(), random)
        mean = self.mean_(field)
        return mean, (draw if out is None else out.copy_(draw))

    def _draw(self, field: Tensor, random: Random) -> Tensor:
        if self.sampler == "exact":
            return half_line_draw(field, random.uniform(field.shape, field.dtype, field.device))
        noise = random.normal(field.shape, field.dtype, field.device)
        return noise.mul_(torch.sigmoid(field).sqrt_()).add_(field).relu_()

    def sample_from_mean(self, mean: Tensor, random: Random, out: Tensor | None = None) -> Tensor:
        raise SettingError(
            "a rectified unit is drawn from its field, which its mean does not hold to full precision: use "
            "mean_and_sample_ or sample with the field"
        )

    def bias_from_data(self, mean: Tensor) -> Tensor:
        if self.sampler == "noisy":
            return mean.clone()
        return _field_of_mean(mean.clamp(min=0.01))

    def slope_of_mean(self, mean: Tensor) -> Tensor:
        """1 where the mean is above 0, for ``sampler="noisy"``; the exact units' slope takes the field."""
        if self.sampler == "noisy":
            return (mean > 0).to(mean.dtype)
        return super().slope_of_mean(mean)

    def check(self, X: Any, name: str = "the data") -> None:
        check_limits(X, 0, math.inf, name, "rectified units", "use Gaussian units for values of both signs")

    def spec(self) -> dict:
        return {**super().spec(), "sampler": self.sampler}

    def extra_repr(self) -> str:
        return f"{self.n}, sampler={self.sampler!r}"


def log_half_line(field: Tensor) -> Tensor:
    """log ∫₀^∞ exp(−x²/2 + f x) dx = f²/2 + log √(2π) Φ(f), elementwise, to full precision for every f.

    For f < 0 the two terms cancel; there Φ(f) = ½ e^{−f²/2} erfcx(−f/√2) takes the square out before it is computed.
    """
    below = torch.special.erfcx(-field.clamp(max=0) / math.sqrt(2)).log() + math.log(math.pi / 2) / 2
    above = field.clamp(min=0)
    above = above**2 / 2 + torch.special.log_ndtr(above) + math.log(2 * math.pi) / 2
    return torch.where(field < 0, below, above)


def half_line_mean(field: Tensor) -> Tensor:
    """E[x] of N(f, 1) restricted to x ≥ 0: f + φ(f)/Φ(f), elementwise.

    For f ≪ 0 the two terms cancel; with a = −f the sum is Laplace's continued fraction 1/(a + 2/(a + 3/(a + ...))), of
    which 24 levels give full precision for a ≥ 5.
    """
    a = (-field).clamp(min=-_FAR)
    fraction = a
    for level in range(24, 1, -1):
        fraction = a + level / fraction
    near = field.clamp(min=_FAR)
    hazard = math.sqrt(2 / math.pi) / torch.special.erfcx(-near.clamp(max=10) / math.sqrt(2))
    return torch.where(field < _FAR, 1 / fraction, near + hazard)


class _LogHalfLine(torch.autograd.Function):
    """`log_half_line` with the mean as its slope: what autograd would make of erfcx cancels for f ≪ 0."""

    @staticmethod
    def forward(ctx: Any, field: Tensor) -> Tensor:
        ctx.save_for_backward(field)
        return log_half_line(field)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        (field,) = ctx.saved_tensors
        return slope * half_line_mean(field)


def half_line_draw(field: Tensor, uniform: Tensor) -> Tensor:
    """The x with P(X > x) = u for X from N(f, 1) restricted to x ≥ 0: a draw, where u is uniform in (0, 1)."""
    near = field.clamp(min=-1.0)
    draw = (near - torch.special.ndtri(uniform * torch.special.ndtr(near))).clamp_(min=0)
    far = field < -1.0
    draw[far] = _tail_draw(-field[far], -torch.log(uniform[far]))
    return draw


def _tail_draw(a: Tensor, exponential: Tensor) -> Tensor:
    """The x with log Φ(−a) − log Φ(−a − x) = e, for a ≥ 1 and e > 0, by Newton's method.

    The left side is x²/2 + a x + log erfcx(a/√2) − log erfcx((a + x)/√2), convex and increasing in x; begun at the x
    where the first two terms alone reach e, which is too far, the steps come down to the solution without passing it.
    """
    x = 2 * exponential / (a + torch.sqrt(a**2 + 2 * exponential))
    level = torch.special.erfcx(a / math.sqrt(2)).log()
    for _ in range(5):
        scaled = torch.special.erfcx((a + x) / math.sqrt(2))
        excess = x * (x / 2 + a) + level - scaled.log() - exponential
        x = (x - excess * scaled * math.sqrt(math.pi / 2)).clamp_(min=0)
    return x


def _field_of_mean(mean: Tensor) -> Tensor:
    """The field at which `half_line_mean` is ``mean`` > 0, by Newton's method in float64.

    The mean is a convex, increasing function of the field and above it, so that the steps from field = mean never pass
    the solution; its slope is the variance, 1 − (mean − f) mean.
    """
    wanted = mean.double()
    field = wanted.clone()
    for _ in range(40):
        reached = half_line_mean(field)
        field -= (reached - wanted) / (1 - (reached - field) * reached)
    return field.to(mean)
