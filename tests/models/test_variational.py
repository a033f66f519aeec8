"""Variational autoencoders: densities against PyTorch's and quadrature, a layer's face, samples, files, bad input."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.distributions import Bernoulli, Normal
from variational_models import KINDS, small_models

import lamina
from lamina.core.errors import DataError, SettingError
from lamina.core.random import Random
from lamina.models.autoencoders import VariationalAutoencoder
from lamina.models.autoencoders.bernoulli_likelihood import bernoulli_log_likelihood
from lamina.models.stack import Stack

KIND = sorted(KINDS)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def rows(model: VariationalAutoencoder, n: int) -> torch.Tensor:
    v = normal(n, model.n_visible, seed=1)
    return (v > 0).double() if model.likelihood == "bernoulli" else v


@pytest.mark.parametrize("name", KIND)
def test_it_is_a_layer(name):
    model = small_models()[name]
    v, h = normal(3, 4, 6).sigmoid(), normal(3, 4, 2)
    assert model.mean_h_from_v(v).shape == (3, 4, 2)
    assert model.mean_v_from_h(h).shape == (3, 4, 6)
    assert torch.equal(model.mean_h_from_v(v)[1], model.mean_h_from_v(v[1]))
    stack = Stack([model])
    assert torch.equal(stack.encode(v), model.posterior(v)[0])
    assert torch.equal(stack.decode(h), model.mean_v_from_h(h))


@pytest.mark.parametrize("name", KIND)
def test_log_p_v_given_h_is_that_of_the_distribution(name):
    model = small_models()[name]
    v, h = rows(model, 5), normal(5, 2)
    mean = model.mean_v_from_h(h)
    if model.likelihood == "bernoulli":
        expected = Bernoulli(mean).log_prob(v).sum(1)
    else:
        deviation = (0.5 * model.log_variance_v(model.field_v(h))).exp()
        expected = Normal(mean, deviation).log_prob(v).sum(1)
    torch.testing.assert_close(model.log_p_v_given_h(v, h), expected, rtol=1e-12, atol=1e-12)
    many = model.log_p_v_given_h(v, normal(7, 5, 2))  # rows broadcast over draws
    assert many.shape == (7, 5)
    torch.testing.assert_close(many[3], model.log_p_v_given_h(v, normal(7, 5, 2)[3]), rtol=1e-12, atol=1e-12)


def test_prior_and_posterior_densities_are_those_of_the_distributions():
    model = small_models()["variational"]
    h, mean, log_variance = normal(5, 2), normal(5, 2, seed=1), normal(5, 2, seed=2)
    torch.testing.assert_close(model.log_p_h(h), Normal(0.0, 1.0).log_prob(h).sum(1), rtol=1e-12, atol=1e-12)
    expected = Normal(mean, (0.5 * log_variance).exp()).log_prob(h).sum(1)
    torch.testing.assert_close(model.log_q_h(h, mean, log_variance), expected, rtol=1e-12, atol=1e-12)


def test_kl_is_the_integral_that_defines_it():
    mean, log_variance = torch.tensor([[0.7], [-1.5]]).double(), torch.tensor([[-1.2], [0.4]]).double()
    x, weights = np.polynomial.hermite_e.hermegauss(60)
    h = mean + (0.5 * log_variance).exp() * torch.from_numpy(x)  # (2, 60)
    ratio = VariationalAutoencoder.log_q_h(h[..., None], mean[..., None], log_variance[..., None])
    ratio = ratio - VariationalAutoencoder.log_p_h(h[..., None])
    expected = (ratio * torch.from_numpy(weights / weights.sum())).sum(1)
    torch.testing.assert_close(VariationalAutoencoder.kl(mean, log_variance), expected, rtol=1e-12, atol=1e-12)
    assert VariationalAutoencoder.kl(torch.zeros(1, 3), torch.zeros(1, 3)) == 0


@pytest.mark.parametrize("n", [1, 7, 12, 32])
def test_fast_likelihood_is_the_plain_one_with_its_slope(n):
    v, field = normal(3, n).sigmoid().requires_grad_(), (3 * normal(2, 3, n)).requires_grad_()
    plain = (v * field - torch.logaddexp(field, torch.zeros(()).double())).sum(-1)
    torch.testing.assert_close(bernoulli_log_likelihood(v, field), plain, rtol=1e-12, atol=1e-12)
    assert torch.autograd.gradcheck(bernoulli_log_likelihood, (v, field))
    one = v.detach()[:1].unsqueeze(0)  # many fields of one row, without a graph
    torch.testing.assert_close(bernoulli_log_likelihood(one, field.detach()), bernoulli_log_likelihood(one, field))


def test_fast_likelihood_where_fields_are_extreme():
    field = torch.tensor([[-800.0, 800.0, 0.0, -40.0] * 8]).double()
    v = torch.tensor([[1.0, 1.0, 1.0, 0.0] * 8]).double()
    expected = -8 * (800 + math.log(2) + math.exp(-40))
    assert bernoulli_log_likelihood(v, field).item() == pytest.approx(expected, rel=1e-14)
    single = bernoulli_log_likelihood(v.float(), field.float())
    assert single.item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("name", KIND)
def test_samples_have_the_moments_of_the_densities(name):
    """Draws of q(h | v) and p(v | h) against mean and variance, at five standard errors."""
    model, n = small_models()[name], 20_000
    v, h = rows(model, 1).expand(n, -1), normal(1, 2).expand(n, -1)
    mean, log_variance = (moment[0] for moment in model.posterior(v[:1]))
    drawn = model.sample_h_from_v(v, Random(1))
    assert_moments(drawn, mean, log_variance.exp())
    mean = model.mean_v_from_h(h[:1])[0]
    if model.likelihood == "bernoulli":
        variance = mean * (1 - mean)
    else:
        variance = model.log_variance_v(model.field_v(h[:1])).expand(1, 6)[0].exp()
    assert_moments(model.sample_v_from_h(h, Random(2)), mean, variance)


def assert_moments(drawn: torch.Tensor, mean: torch.Tensor, variance: torch.Tensor) -> None:
    drawn, mean, variance = drawn.detach(), mean.detach(), variance.detach()
    n = len(drawn)
    assert ((drawn.mean(0) - mean).abs() < 5 * (variance / n).sqrt()).all()
    squares = (drawn - mean).square()
    assert ((squares.mean(0) - variance).abs() < 5 * squares.std(0) / n**0.5 + 1e-12).all()


def test_the_model_samples_its_own_mixture():
    """Linear and Gaussian: p(v) = N(b, V Vᵀ + σ² I), whose moments are known."""
    model, n = small_models()["variational, linear"], 20_000
    drawn = model.sample(n, Random(0))
    V, b = model.decoder.W[0].detach(), model.decoder.b[0].detach()
    covariance = V.T @ V + torch.diag(model.s.detach().exp())
    assert_moments(drawn, b, covariance.diag())
    products = (drawn - b)[:, 0] * (drawn - b)[:, 3]
    assert abs(products.mean() - covariance[0, 3]) < 5 * products.std() / n**0.5
    means = model.sample(3, Random(0), mean=True)
    h = Random(0).normal((3, 2), torch.float64)
    assert torch.equal(means, model.mean_v_from_h(h).detach())


def test_start_from_the_mean_of_the_data():
    mean = torch.tensor([0.0, 0.2, 0.5, 1.0]).double()
    model = VariationalAutoencoder(4, 2, hidden=(3,), dtype=torch.float64).initialise(1, mean)
    expected = torch.logit(mean.clamp(0.01, 0.99))
    torch.testing.assert_close(model.decoder.b[-1].detach(), expected)
    real = VariationalAutoencoder(4, 2, hidden=(3,), likelihood="gaussian", variance="predicted", dtype=torch.float64)
    real.initialise(1, mean)
    torch.testing.assert_close(real.decoder.b[-1].detach(), torch.cat([mean, torch.zeros(4).double()]))
    again = VariationalAutoencoder(4, 2, hidden=(3,), dtype=torch.float64).initialise(1, mean)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))


@pytest.mark.parametrize("name", KIND)
def test_saved_and_loaded(name, tmp_path):
    model = small_models()[name]
    found = lamina.load(lamina.save(model, tmp_path / "model"))
    assert found.spec() == model.spec()
    v = rows(model, 3)
    assert torch.equal(found.mean_v_from_h(found.mean_h_from_v(v)), model.mean_v_from_h(model.mean_h_from_v(v)))
    assert repr(found) == repr(model)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_visible": 0}, "n_visible is 0; expected an integer"),
        ({"n_hidden": 1.5}, "n_hidden is 1.5"),
        ({"hidden": 200}, "expected a sequence of layer sizes"),
        ({"hidden": (3, 0)}, "hidden is 0"),
        ({"activation": "tahn"}, "tanh"),
        ({"likelihood": "gausian"}, "did you mean 'gaussian'"),
        ({"variance": "known"}, "expected 'learnt', 'predicted' or a number above 0"),
        ({"variance": 0.0}, "expected 'learnt', 'predicted' or a finite number above 0"),
        ({"variance": -1.0}, "variance is -1.0"),
    ],
)
def test_bad_settings_are_refused(options, message):
    with pytest.raises(SettingError, match=message):
        VariationalAutoencoder(**{"n_visible": 4, "n_hidden": 2, **options})


def test_bad_rows_are_refused():
    model = small_models()["variational"]
    with pytest.raises(DataError, match=r"rows have shape \(2, 5\); expected \(\.\.\., 6\)"):
        model.mean_h_from_v(torch.zeros(2, 5).double())
    with pytest.raises(DataError, match="codes have shape"):
        model.mean_v_from_h(torch.zeros(2, 3).double())
    with pytest.raises(DataError, match=r"divide by 255"):
        model.check(torch.full((2, 6), 255.0))
    small_models()["variational, gaussian"].check(torch.full((2, 6), 255.0))
    with pytest.raises(SettingError, match="n is 0"):
        model.sample(0, Random(0))
