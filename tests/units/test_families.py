"""The battery that every family of units passes: mean, cumulant, sample and energy tell one story.

The oracle sums exp(−E(x; b) + s(x)(f − b)) over all values of a unit or group, by quadrature for real units.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

import oracles
from lamina.core.errors import DataError, SettingError
from lamina.core.random import Random
from lamina.models.registry import build
from lamina.units import Bernoulli, Binomial, Concatenated, Family, Gaussian, Rectified, Softmax, Spin, as_family

N = 4


def spread_gaussian() -> Gaussian:
    family = Gaussian(N, learn_sigma=True).double()
    with torch.no_grad():
        family.log_variance.copy_(torch.tensor([-1.2, -0.1, 0.4, 0.9]))
    return family


FAMILIES = {
    "bernoulli": lambda: Bernoulli(N),
    "binomial": lambda: Binomial(N, trials=5),
    "binomial of one": lambda: Binomial(N, trials=1),
    "concatenated": lambda: Concatenated([Bernoulli(2), Softmax(3), Spin(1)]),
    "concatenated real": lambda: Concatenated([Gaussian(2, sigma=0.7), Bernoulli(2), Rectified(2)]).double(),
    "gaussian": lambda: Gaussian(N).double(),
    "gaussian learnt": spread_gaussian,
    "gaussian sigma 0.6": lambda: Gaussian(N, sigma=0.6).double(),
    "rectified": lambda: Rectified(N),
    "softmax": lambda: Softmax(5),
    "softmax groups": lambda: Softmax(3, n_groups=2),
    "spin": lambda: Spin(N),
}
COUNTABLE = {
    "bernoulli": 2**4,
    "binomial": 6**4,
    "binomial of one": 2**4,
    "concatenated": 2**2 * 3 * 2,
    "softmax": 5,
    "softmax groups": 9,
    "spin": 2**4,
}
NO_SLOPE = {"concatenated", "concatenated real", "rectified", "softmax", "softmax groups"}

FIELDS = torch.tensor([-1.7, -0.2, 0.6, 2.3, -0.9, 1.4], dtype=torch.float64)
BIASES = torch.tensor([0.3, -0.8, 0.0, 1.1, 0.5, -0.4], dtype=torch.float64)


@pytest.fixture(params=sorted(FAMILIES))
def name(request) -> str:
    return request.param


@pytest.fixture
def family(name) -> Family:
    return FAMILIES[name]()


def field_of(family: Family) -> torch.Tensor:
    return FIELDS[: family.n].clone()


def bias_of(family: Family) -> torch.Tensor:
    return BIASES[: family.n].clone()


def exact(family: Family, field: torch.Tensor | None = None) -> list[oracles.Conditional]:
    field = field_of(family) if field is None else field
    return oracles.conditionals(family, field.numpy(), bias_of(family).numpy())


def exact_mean(family: Family, field: torch.Tensor | None = None) -> torch.Tensor:
    return torch.from_numpy(np.concatenate([block.mean for block in exact(family, field)]))


# functions of the field ---------------------------------------------------------------------------------------------


@torch.no_grad()
def test_energy_is_the_formula_of_the_documents(family):
    x = family.sample(field_of(family).expand(7, -1), Random(0))
    expected = oracles.energy(family, x.numpy(), bias_of(family).numpy()).sum(-1)
    np.testing.assert_allclose(family.energy(x, bias_of(family)).numpy(), expected, rtol=1e-6)


@torch.no_grad()
def test_cumulant_is_the_log_of_the_sum_over_all_values(family):
    log_total = sum(block.log_total for block in exact(family))
    assert float(family.cumulant(field_of(family), bias_of(family))) == pytest.approx(log_total, rel=1e-10, abs=1e-10)


@torch.no_grad()
def test_mean_and_mode_are_those_of_the_density(family):
    torch.testing.assert_close(family.mean(field_of(family)), exact_mean(family), rtol=1e-9, atol=1e-9)
    mode = np.concatenate([block.x[block.log_density.argmax()] for block in exact(family)])
    np.testing.assert_allclose(family.mode(field_of(family)).numpy(), mode, rtol=0, atol=2e-3)


def test_slope_of_the_cumulant_is_the_mean_interaction(family):
    """∂Γ/∂f = E[s(x)]: the identity on which every gradient of a machine rests."""
    field = field_of(family)
    field[0] = 0.0  # a field of exactly 0 is where every machine starts
    field.requires_grad_()
    (slope,) = torch.autograd.grad(family.cumulant(field, bias_of(family)), field)
    expected = family.interaction(family.mean(field.detach()))
    torch.testing.assert_close(slope, expected.detach(), rtol=1e-12, atol=1e-12)


def test_the_mean_has_the_slope_of_the_exact_mean(family):
    """Autograd through `mean` along a direction, against a difference of the oracle's means."""
    direction = torch.linspace(-1, 1, family.n, dtype=torch.float64) + 0.1
    step = 1e-4
    ahead, behind = (exact_mean(family, field_of(family) + sign * step * direction) for sign in (1, -1))
    _, slope = torch.autograd.functional.jvp(lambda field: family.mean(field), field_of(family), direction)
    torch.testing.assert_close(slope, (ahead - behind) / (2 * step), rtol=1e-6, atol=1e-7)


def test_slope_of_mean_is_the_second_derivative_of_the_cumulant(name, family):
    mean = family.mean(field_of(family))
    if name in NO_SLOPE:
        with pytest.raises(SettingError, match="slope of the mean"):
            family.slope_of_mean(mean)
        return
    hessian = torch.autograd.functional.hessian(lambda f: family.cumulant(f, bias_of(family)), field_of(family))
    slope = family.interaction(family.slope_of_mean(mean))
    torch.testing.assert_close(hessian, torch.diag(slope.detach()), rtol=1e-10, atol=1e-12)


def test_the_statistic_of_the_bias_is_minus_the_slope_of_the_energy(family):
    x = family.sample(field_of(family).detach().expand(5, -1), Random(1)).detach()
    biases = bias_of(family).expand(5, -1).clone().requires_grad_()
    energy = torch.stack([family.energy(row, bias) for row, bias in zip(x, biases, strict=True)])
    (slope,) = torch.autograd.grad(energy.sum(), biases)
    torch.testing.assert_close(family.bias_statistic(x, bias_of(family)).detach(), -slope)


# samples --------------------------------------------------------------------------------------------------------------


@torch.no_grad()
def test_samples_have_the_means_and_covariances_of_the_density(family):
    n = 100_000
    drawn = family.sample(field_of(family).expand(n, -1), Random(3)).numpy()
    mean = exact_mean(family).numpy()
    covariance, spread = moments(family)
    assert (np.abs(drawn.mean(0) - mean) < 5 * np.sqrt(np.diag(covariance) / n)).all()
    centred = drawn - mean
    assert (np.abs(centred.T @ centred / n - covariance) < 5 * np.sqrt(spread / n) + 1e-12).all()


def moments(family: Family) -> tuple[np.ndarray, np.ndarray]:
    """Covariance of the units (n, n), and variance of each product of two centred units, by the oracle."""
    found = exact(family)
    covariance = np.zeros((family.n, family.n))
    fourth = np.zeros((family.n, family.n))
    for block in found:
        centred = block.x - block.mean
        covariance[block.columns, block.columns] = (centred * block.p[:, None]).T @ centred
        fourth[block.columns, block.columns] = (centred**2 * block.p[:, None]).T @ centred**2
    variances = np.diag(covariance)
    together = np.zeros_like(fourth, dtype=bool)
    for block in found:
        together[block.columns, block.columns] = True
    return covariance, np.where(together, fourth - covariance**2, np.outer(variances, variances))


@pytest.mark.parametrize("name", sorted(COUNTABLE))
@torch.no_grad()
def test_samples_of_countable_units_follow_their_probabilities(name):
    family = FAMILIES[name]()
    n = 20_000
    drawn = family.sample(field_of(family).expand(n, -1), Random(11)).numpy()
    for block in exact(family):
        counts = (drawn[:, None, block.columns] == block.x).all(-1).sum(0)
        assert counts.sum() == n
        assert stats.chisquare(counts, n * block.p).pvalue > 1e-6


@torch.no_grad()
def test_mean_and_draw_at_once(family):
    field = field_of(family).repeat(50, 1)
    given, out = field.clone(), torch.empty(50, family.n, dtype=torch.float64)
    mean, drawn = family.mean_and_sample_(given, Random(4), out=out)
    torch.testing.assert_close(
        mean, family.mean(field), rtol=1e-14, atol=0
    )  # vector units may differ in the last digit
    assert torch.equal(given, mean)
    assert torch.equal(drawn, family.sample(field, Random(4)))
    assert torch.equal(out, drawn)
    both = field.clone()
    _, drawn_over = family.mean_and_sample_(both, Random(4), out=both)
    assert torch.equal(both, drawn)
    assert torch.equal(drawn_over, drawn)


@torch.no_grad()
def test_a_sample_may_be_written_over_its_mean(name, family):
    field = field_of(family).expand(50, -1)
    mean = family.mean(field)
    if name in ("rectified", "concatenated real"):
        with pytest.raises(SettingError, match="drawn from its field"):
            family.sample_from_mean(mean, Random(4))
        return
    expected = family.sample(field, Random(4))
    buffer = torch.empty_like(mean)
    assert torch.equal(family.sample_from_mean(mean, Random(4), out=buffer), expected)
    assert torch.equal(buffer, expected)
    family.sample_from_mean(mean, Random(4), out=mean)
    assert torch.equal(mean, expected)


@torch.no_grad()
def test_mean_leaves_the_field_alone_and_its_twin_writes_over_it(family):
    field = field_of(family)
    mean = family.mean(field)
    assert torch.equal(field, field_of(family))
    torch.testing.assert_close(family.mean_(field), mean, rtol=1e-14, atol=0)
    torch.testing.assert_close(field, mean, rtol=1e-14, atol=0)


@torch.no_grad()
def test_rows_draw_the_same_numbers_whatever_rows_are_drawn_beside_them(family):
    field = torch.linspace(-1, 1, 6 * family.n, dtype=torch.float64).view(6, family.n)
    rows = torch.arange(6)
    whole = family.sample(field, Random(8).at(2, rows))
    part = family.sample(field[2:5], Random(8).at(2, rows[2:5]))
    assert torch.equal(whole[2:5], part)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@torch.no_grad()
def test_leading_dimensions_and_types_are_kept(family, dtype):
    family = family.to(dtype)
    field, bias = field_of(family).to(dtype), bias_of(family).to(dtype)
    for leading in ((), (3,), (2, 3)):
        several = field.expand(*leading, -1)
        x = family.sample(several, Random(0))
        for result in (x, family.mean(several), family.mode(several), family.bias_statistic(x, bias)):
            assert result.shape == (*leading, family.n)
            assert result.dtype == dtype
        for result in (family.energy(x, bias), family.cumulant(several, bias)):
            assert result.shape == leading
            assert result.dtype == dtype


def test_extreme_fields_stay_finite(family):
    for extreme in ([-1e4, 1e4], [800.0, -800.0], [0.0, -0.0]):
        field = torch.tensor((extreme * 3)[: family.n], dtype=torch.float64, requires_grad=True)
        cumulant = family.cumulant(field, bias_of(family))
        (slope,) = torch.autograd.grad(cumulant, field)
        assert torch.isfinite(cumulant)
        assert torch.isfinite(slope).all()
        assert torch.isfinite(family.mean(field)).all()
        assert torch.isfinite(family.sample(field.detach().expand(9, -1), Random(0))).all()


# enumeration, data, files --------------------------------------------------------------------------------------------


def test_states_are_all_different_and_are_what_the_family_can_be(name, family):
    if name not in COUNTABLE:
        assert family.n_states is None
        assert not family.bounded
        with pytest.raises(SettingError, match="real-valued"):
            family.states()
        return
    states = family.states()
    assert family.bounded
    assert family.n_states == COUNTABLE[name] == len(states)
    assert len(torch.unique(states, dim=0)) == len(states)
    family.check(states.numpy())
    log_weights = -family.energy(states, bias_of(family)) + states @ (field_of(family) - bias_of(family))
    expected = family.cumulant(field_of(family), bias_of(family))
    torch.testing.assert_close(torch.logsumexp(log_weights, 0), expected, rtol=1e-12, atol=1e-12)
    assert torch.equal(family.states_at(torch.tensor([3, 1])), states[[3, 1]])


def test_too_many_states_are_refused():
    with pytest.raises(SettingError, match=r"25 units have 2\^25 states"):
        Bernoulli(25).states()
    with pytest.raises(SettingError, match=r"about 10\^38"):
        Binomial(80, 2).states()
    with pytest.raises(SettingError, match=r"80 units have 2\^160"):
        Concatenated([Softmax(10), Binomial(80, 3)]).states_at(torch.arange(2))


@torch.no_grad()
def test_bias_from_data_gives_the_free_unit_the_mean_of_the_data(family):
    mean = family.mean(0.9 * field_of(family))
    torch.testing.assert_close(family.mean(family.bias_from_data(mean)), mean)
    for extreme in (0.0, 1.0):
        assert torch.isfinite(family.bias_from_data(torch.full((family.n,), extreme, dtype=torch.float64))).all()


def test_spec_builds_the_family_again(family):
    other = build(family.spec(), family.state_dict() or None)
    assert type(other) is type(family)
    assert other.spec() == family.spec()
    assert set(other.state_dict()) == set(family.state_dict())
    assert repr(other) == repr(family)


def test_samples_of_the_units_are_taken_as_data(name, family):
    rows = family.sample(field_of(family).detach().expand(60, -1), Random(5)).detach().numpy()
    if "gaussian" in name or name == "concatenated real":
        rows = (rows - rows.mean(0)) / rows.std(0)
        rows[:, -1] = np.abs(rows[:, -1])
    if name == "concatenated real":
        rows[:, 2:4], rows[:, 4:] = rows[:, 2:4] > 0, np.abs(rows[:, 4:])
    family.check(rows)


@pytest.mark.parametrize(
    ("family", "rows", "message"),
    [
        (Bernoulli(2), [[0.0, 255.0], [3.0, 9.0]], "values reach 255"),
        (Gaussian(1), [[100.0], [130.0]], "not standardised"),
        (Spin(2), [[0.0, -1.5], [1.0, 1.0]], r"lie in \[-1.5, 1\]; spins need \[-1, 1\]"),
        (Spin(2), [[0.0, np.nan], [1.0, 1.0]], "NaN or infinite"),
        (Binomial(2, 3), [[0.0, 4.0]], r"lie in \[0, 4\]; binomial units of 3 trials need \[0, 3\]"),
        (Binomial(2, 3), [[-1.0, 2.0]], r"\[-1, 2\]"),
        (Rectified(2), [[-0.1, 4.0]], r"lie in \[-0.1, 4\]; rectified units need \[0, ∞\)"),
        (Rectified(2), [[np.inf, 4.0]], "NaN or infinite"),
        (Softmax(2, 2), [[1.0, 0.0, 0.0, 1.0], [1.0, 0.0, 1.0, 1.0]], "row 1, group 1 sums to 2"),
        (Softmax(2, 2), [[1.0, 0.0, 0.0, 0.0]], "group 1 sums to 0"),
        (Softmax(2), [[2.0, -1.0]], r"softmax units need \[0, 1\]"),
        (Softmax(3), [[1.0, 0.0]], r"have shape \(1, 2\); expected \(rows, 3\)"),
        (
            Concatenated([Bernoulli(2), Softmax(2)]),
            [[0.0, 1.0, 1.0, 1.0]],
            "columns 2 to 3 of the data: row 0, group 0 sums to 2",
        ),
        (Concatenated([Bernoulli(2), Softmax(2)]), [[0.0, 1.0, 1.0]], r"expected \(rows, 4\)"),
    ],
)
def test_what_cannot_be_values_of_the_units_is_refused(family, rows, message):
    with pytest.raises(DataError, match=message):
        family.check(np.array(rows))


def test_probabilities_within_each_group_are_taken_as_softmax_values():
    Softmax(3, 2).check(np.array([[0.2, 0.3, 0.5, 0.0, 1.0, 0.0]], dtype=np.float32))


def test_a_learnt_variance_takes_data_of_any_scale():
    Gaussian(2, learn_sigma=True).check(np.random.default_rng(0).normal(100, 9, (50, 2)))


@pytest.mark.parametrize("kind", [Bernoulli, Gaussian, Spin, Rectified, lambda n: Binomial(n, 3)])
@pytest.mark.parametrize("n", [0, -1, 2.5, True, "3", None])
def test_impossible_numbers_of_units_are_refused(kind, n):
    with pytest.raises(SettingError, match="number of units"):
        kind(n)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Gaussian(3, sigma=0), "sigma"),
        (lambda: Gaussian(3, sigma=-1.0), "sigma"),
        (lambda: Gaussian(3, sigma=float("nan")), "sigma"),
        (lambda: Gaussian(3, sigma="1"), "sigma"),
        (lambda: Softmax(0), "n_values"),
        (lambda: Softmax(2, n_groups=0), "n_groups"),
        (lambda: Binomial(2, trials=0), "trials"),
        (lambda: Binomial(2, trials=1.5), "trials"),
        (lambda: Rectified(2, sampler="fast"), "sampler is 'fast'; expected one of 'exact', 'noisy'"),
        (lambda: Concatenated([]), "at least one family"),
        (lambda: Concatenated([3, Bernoulli(2)]), "at least one family"),
    ],
)
def test_impossible_settings_are_refused(make, message):
    with pytest.raises(SettingError, match=message):
        make()


def test_an_integer_means_bernoulli_units():
    assert isinstance(as_family(5), Bernoulli)
    family = Gaussian(2)
    assert as_family(family) is family


# what only some families have ----------------------------------------------------------------------------------------


def test_statistic_of_the_variance_is_minus_the_slope_of_the_energy():
    """−∂E/∂log σ² of E_v(v; b) − s(v)·input, by autograd."""
    family = spread_gaussian()
    bias = bias_of(family)
    v = torch.tensor([[0.4, -1.0, 2.0, 0.1]], dtype=torch.float64)
    inputs = torch.tensor([[1.0, -0.3, 0.2, 0.9]], dtype=torch.float64)
    energy = family.energy(v, bias) - (family.interaction(v) * inputs).sum(-1)
    (slope,) = torch.autograd.grad(energy.sum(), family.log_variance)
    torch.testing.assert_close(family.log_variance_statistic(v, bias, inputs)[0].detach(), -slope)


def test_the_columns_of_a_concatenation():
    family = Concatenated([Bernoulli(2), Softmax(3), Spin(1)])
    assert family.slices == (slice(0, 2), slice(2, 5), slice(5, 6))
    x = torch.arange(12.0).view(2, 6)
    first, second, third = family.split(x)
    assert torch.equal(torch.cat([first, second, third], 1), x)
    assert not family.learn_sigma
    assert Concatenated([Bernoulli(2), Gaussian(2, learn_sigma=True)]).learn_sigma


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rectified_units_hold_in_both_tails(dtype):
    """Mean, cumulant and draws against log-space formulas: for f → −∞, x is exponential with rate |f|."""
    family = Rectified(1)
    tolerance = 1e-12 if dtype == torch.float64 else 1e-5
    zero = torch.zeros(1, dtype=dtype)
    for f in (-3000.0, -300.0, -30.0):
        field = torch.tensor([f], dtype=dtype)
        a, square = -f, f**-2
        mean = (1 - 2 * square + 10 * square**2 - 74 * square**3) / a
        log_sum = -np.log(a) + np.log1p(-square + 3 * square**2 - 15 * square**3)
        assert float(family.mean(field)) == pytest.approx(mean, rel=max(tolerance, 1e3 * square**4))
        assert float(family.cumulant(field, zero)) == pytest.approx(log_sum, rel=max(tolerance, 1e3 * square**4))
        drawn = family.sample(field.expand(20_000, 1), Random(0)).double().numpy()[:, 0] * a
        if a > 100:
            assert stats.kstest(drawn, "expon").pvalue > 1e-4
    far = torch.tensor([40.0], dtype=dtype)
    assert float(family.mean(far)) == pytest.approx(40.0)
    assert float(family.cumulant(far, zero)) == pytest.approx(800 + np.log(2 * np.pi) / 2)


@pytest.mark.parametrize("field", [-12.0, -5.01, -1.01, -0.99, 0.0, 0.7, 3.0, 9.0])
def test_rectified_draws_are_those_of_the_truncated_normal(field):
    n = 20_000
    drawn = Rectified(1).sample(torch.full((n, 1), field, dtype=torch.float64), Random(2)).numpy()[:, 0]
    assert (drawn >= 0).all()
    assert stats.kstest(drawn, stats.truncnorm(-field, np.inf, loc=field).cdf).pvalue > 1e-4


def test_noisy_rectified_units_are_nair_and_hintons():
    n = 100_000
    family = Rectified(4, sampler="noisy")
    field = FIELDS[:4]
    assert torch.equal(family.mean(field), field.clamp(min=0))
    assert torch.equal(family.slope_of_mean(family.mean(field)), (field > 0).double())
    assert torch.equal(family.bias_from_data(field.clamp(min=0)), field.clamp(min=0))
    drawn = family.sample(field.expand(n, -1), Random(6)).numpy()
    deviation = np.sqrt(1 / (1 + np.exp(-field.numpy())))
    z = field.numpy() / deviation  # max(0, f + s ε): a normal variable with all below 0 put at 0
    mean = field.numpy() * stats.norm.cdf(z) + deviation * stats.norm.pdf(z)
    square = (field.numpy() ** 2 + deviation**2) * stats.norm.cdf(z) + field.numpy() * deviation * stats.norm.pdf(z)
    assert (np.abs(drawn.mean(0) - mean) < 5 * np.sqrt((square - mean**2) / n)).all()
    assert (np.abs((drawn == 0).mean(0) - stats.norm.cdf(-z)) < 5 * np.sqrt(0.25 / n)).all()


def test_a_value_of_probability_0_is_never_drawn():
    mean = torch.tensor([0.0, 0.7, 0.0, 0.3, 0.0]).expand(200_000, -1)
    counts = Softmax(5).sample_from_mean(mean, Random(3)).sum(0)
    assert counts[[0, 2, 4]].tolist() == [0.0, 0.0, 0.0]
    assert abs(float(counts[1]) / 200_000 - 0.7) < 5 * (0.21 / 200_000) ** 0.5
