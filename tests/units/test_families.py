"""The battery that every family of units passes: mean, cumulant, sample and energy tell one story.

The oracle knows only the energy and the interaction value: it sums exp(−E(x; b) + s(x)(f − b)) over all values of a
unit (a fine grid for real units, where the trapezium rule converges faster than any power of its step).
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lamina.core.errors import DataError, SettingError
from lamina.core.random import Random
from lamina.models.registry import _family
from lamina.units import Bernoulli, Family, Gaussian, as_family

N = 4


def spread_gaussian() -> Gaussian:
    family = Gaussian(N, learn_sigma=True).double()
    with torch.no_grad():
        family.log_variance.copy_(torch.tensor([-1.2, -0.1, 0.4, 0.9]))
    return family


FAMILIES = {
    "bernoulli": lambda: Bernoulli(N),
    "gaussian": lambda: Gaussian(N).double(),
    "gaussian sigma 0.6": lambda: Gaussian(N, sigma=0.6).double(),
    "gaussian learnt": spread_gaussian,
}


@pytest.fixture(params=sorted(FAMILIES))
def family(request) -> Family:
    return FAMILIES[request.param]()


FIELD = torch.tensor([-1.7, -0.2, 0.6, 2.3], dtype=torch.float64)
BIAS = torch.tensor([0.3, -0.8, 0.0, 1.1], dtype=torch.float64)


def values(family: Family) -> tuple[torch.Tensor, float]:
    """Values of one unit (k,) and the width that each stands for."""
    if isinstance(family, Bernoulli):
        return torch.tensor([0.0, 1.0], dtype=torch.float64), 1.0
    grid = torch.linspace(-30, 30, 60_001, dtype=torch.float64)
    return grid, float(grid[1] - grid[0])


def unit_energies(family: Family, bias: torch.Tensor) -> torch.Tensor:
    """E(x; b_i) for every value x and unit i, (k, n), from the energies of whole vectors.

    All other units stand where their own energy is 0: Bernoulli units at 0, Gaussian ones at their bias.
    """
    x, _ = values(family)
    rest = torch.zeros_like(bias) if isinstance(family, Bernoulli) else bias
    columns = []
    for i in range(family.n):
        vectors = rest.repeat(len(x), 1)
        vectors[:, i] = x
        columns.append(family.energy(vectors, bias))
    return torch.stack(columns, 1)


def interactions(family: Family) -> torch.Tensor:
    """s_i(x) for every value x and unit i, (k, n)."""
    x, _ = values(family)
    return family.interaction(x[:, None].expand(-1, family.n))


def density(family: Family, field: torch.Tensor, bias: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """p(x | f) for every value and unit (k, n), normalised over values, and the log of its sum or integral (n,)."""
    _, width = values(family)
    log_weights = -unit_energies(family, bias) + interactions(family) * (field - bias)
    log_total = torch.logsumexp(log_weights, 0) + np.log(width)
    return torch.exp(log_weights - log_total) * width, log_total


@torch.no_grad()
def test_cumulant_is_the_log_of_the_sum_over_all_values(family):
    _, log_total = density(family, FIELD, BIAS)
    torch.testing.assert_close(family.cumulant(FIELD, BIAS), log_total.sum(), rtol=1e-10, atol=1e-10)


@torch.no_grad()
def test_mean_and_mode_are_those_of_the_density(family):
    x, _ = values(family)
    p, _ = density(family, FIELD, BIAS)
    torch.testing.assert_close(family.mean(FIELD), (p * x[:, None]).sum(0), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(family.mode(FIELD), x[p.argmax(0)], rtol=0, atol=1e-3)


def test_slope_of_the_cumulant_is_the_mean_interaction(family):
    """∂Γ/∂f = E[s(x)] : the identity on which every gradient of a machine rests."""
    field = torch.cat([FIELD, torch.zeros(1, dtype=torch.float64)])[:N].clone()
    field[0] = 0.0  # a field of exactly 0 is where every machine starts
    field.requires_grad_()
    (slope,) = torch.autograd.grad(family.cumulant(field, BIAS), field)
    expected = family.interaction(family.mean(field.detach()))
    torch.testing.assert_close(slope, expected.detach(), rtol=1e-12, atol=1e-12)


@torch.no_grad()
def test_samples_have_the_mean_and_variance_of_the_density(family):
    n = 400_000
    x, _ = values(family)
    p, _ = density(family, FIELD, BIAS)
    mean = (p * x[:, None]).sum(0)
    centred = x[:, None] - mean
    variance = (p * centred**2).sum(0)
    fourth = (p * centred**4).sum(0)
    drawn = family.sample(FIELD.expand(n, -1), Random(3))
    assert ((drawn.mean(0) - mean).abs() < 5 * (variance / n).sqrt()).all()
    spread = ((drawn - mean) ** 2).mean(0)
    assert ((spread - variance).abs() < 5 * ((fourth - variance**2) / n).sqrt() + 1e-12).all()
    correlation = torch.corrcoef(drawn.T) - torch.eye(N, dtype=torch.float64)
    assert correlation.abs().max() < 5 / n**0.5


@torch.no_grad()
def test_a_sample_may_be_written_over_its_mean(family):
    field = FIELD.expand(50, -1)
    expected = family.sample(field, Random(4))
    mean = family.mean(field)
    buffer = torch.empty_like(mean)
    assert torch.equal(family.sample_from_mean(mean, Random(4), out=buffer), expected)
    assert torch.equal(buffer, expected)
    family.sample_from_mean(mean, Random(4), out=mean)
    assert torch.equal(mean, expected)


@torch.no_grad()
def test_mean_leaves_the_field_alone_and_its_twin_writes_over_it(family):
    field = FIELD.clone()
    mean = family.mean(field)
    assert torch.equal(field, FIELD)
    assert torch.equal(family.mean_(field), mean)
    assert torch.equal(field, mean)


@torch.no_grad()
def test_leading_dimensions_are_kept(family):
    field = FIELD.expand(2, 3, -1)
    assert family.energy(field, BIAS).shape == (2, 3)
    assert family.cumulant(field, BIAS).shape == (2, 3)
    assert family.sample(field, Random(0)).shape == (2, 3, N)


@torch.no_grad()
def test_bias_from_data_gives_the_free_unit_the_mean_of_the_data(family):
    mean = torch.tensor([0.02, 0.3, 0.5, 0.97], dtype=torch.float64)
    torch.testing.assert_close(family.mean(family.bias_from_data(mean)), mean)
    extreme = family.bias_from_data(torch.tensor([0.0, 1.0, 0.0, 1.0], dtype=torch.float64))
    assert torch.isfinite(extreme).all()


def test_spec_builds_the_family_again(family):
    other = _family(family.spec())
    assert type(other) is type(family)
    assert other.spec() == family.spec()
    assert set(other.state_dict()) == set(family.state_dict())


def test_extreme_fields_stay_finite(family):
    field = torch.tensor([-1e4, 1e4, -800.0, 800.0], dtype=torch.float64)
    assert torch.isfinite(family.cumulant(field, BIAS))
    assert torch.isfinite(family.mean(field)).all()


@pytest.mark.parametrize("kind", [Bernoulli, Gaussian])
@pytest.mark.parametrize("n", [0, -1, 2.5, True, "3", None])
def test_impossible_numbers_of_units_are_refused(kind, n):
    with pytest.raises(SettingError, match="number of units"):
        kind(n)


@pytest.mark.parametrize("sigma", [0, -1.0, float("nan"), "1"])
def test_impossible_sigmas_are_refused(sigma):
    with pytest.raises(SettingError, match="sigma"):
        Gaussian(3, sigma=sigma)


def test_energies_are_the_formulas_of_the_documents():
    x = torch.tensor([0.0, 1.0, 1.0, 0.0], dtype=torch.float64)
    assert float(Bernoulli(N).energy(x, BIAS)) == pytest.approx(-(-0.8 + 0.0))
    gaussian = spread_gaussian()
    s2 = np.exp([-1.2, -0.1, 0.4, 0.9])
    v = np.array([1.5, 0.0, -2.0, 1.0])
    expected = ((v - BIAS.numpy()) ** 2 / (2 * s2)).sum()
    assert gaussian.energy(torch.from_numpy(v), BIAS).item() == pytest.approx(expected, rel=1e-6)


def test_statistic_of_the_variance_is_minus_the_slope_of_the_energy():
    """−∂E/∂log σ² of E_v(v; b) − s(v)·input, by autograd."""
    family = spread_gaussian()
    v = torch.tensor([[0.4, -1.0, 2.0, 0.1]], dtype=torch.float64)
    inputs = torch.tensor([[1.0, -0.3, 0.2, 0.9]], dtype=torch.float64)
    energy = family.energy(v, BIAS) - (family.interaction(v) * inputs).sum(-1)
    (slope,) = torch.autograd.grad(energy.sum(), family.log_variance)
    torch.testing.assert_close(family.log_variance_statistic(v, BIAS, inputs)[0].detach(), -slope)


def test_what_cannot_be_values_of_the_units_is_refused():
    with pytest.raises(DataError, match="values reach 255"):
        Bernoulli(2).check(np.array([[0.0, 255.0], [3.0, 9.0]]))
    with pytest.raises(DataError, match="not standardised"):
        Gaussian(2).check(np.random.default_rng(0).normal(100, 9, (50, 2)))
    Gaussian(2, learn_sigma=True).check(np.random.default_rng(0).normal(100, 9, (50, 2)))
    Bernoulli(2).check(np.array([[0.0, 1.0], [0.5, 0.25]]))


def test_an_integer_means_bernoulli_units():
    assert isinstance(as_family(5), Bernoulli)
    family = Gaussian(2)
    assert as_family(family) is family
