"""Bounds of a variational autoencoder, held against models whose log p(v) is known exactly."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch.distributions import MultivariateNormal

from lamina.core.errors import DataError, SettingError
from lamina.core.random import Random
from lamina.inference.importance_bound import DRAWS, elbo, importance_weighted_bound
from lamina.models.autoencoders import VariationalAutoencoder

VARIANCE = 0.3


def linear(error: float = 0.0) -> VariationalAutoencoder:
    """p(v) = N(b, V Vᵀ + σ² I) with orthogonal columns in V, so that the posterior N(M⁻¹ Vᵀ (v − b)/σ², M⁻¹) with
    M = I + Vᵀ V/σ² has independent units and the encoder can hold it. ``error`` puts the encoder off."""
    model = VariationalAutoencoder(
        4, 2, hidden=(), likelihood="gaussian", variance=VARIANCE, dtype=torch.float64, random_state=0
    )
    V = torch.tensor([[1.0, 0.5], [-0.5, 1.0], [0.4, 0.8], [0.8, -0.4]]).double()  # orthogonal columns
    b = torch.tensor([0.1, -0.2, 0.3, 0.5]).double()
    M = 1 + (V.T @ V).diag() / VARIANCE
    with torch.no_grad():
        model.decoder.W[0].copy_(V.T)
        model.decoder.b[0].copy_(b)
        model.encoder.W[0].copy_(torch.cat([V / VARIANCE / M, torch.zeros(4, 2).double()], 1))
        model.encoder.b[0].copy_(torch.cat([-(b @ V) / VARIANCE / M, -M.log()]))
        model.encoder.W[0].add_(error * torch.tensor([[1.0, -1.0, 0.5, -0.5]]).double())
        model.encoder.b[0].add_(error)
    return model


def exact(model: VariationalAutoencoder, v: torch.Tensor) -> torch.Tensor:
    V, b = model.decoder.W[0].detach().T, model.decoder.b[0].detach()
    return MultivariateNormal(b, V @ V.T + VARIANCE * torch.eye(4).double()).log_prob(v)


def some_rows(n: int) -> torch.Tensor:
    return torch.randn((n, 4), generator=torch.Generator().manual_seed(5), dtype=torch.float64)


def test_all_are_equal_where_the_encoder_gives_the_posterior():
    model, v = linear(), some_rows(6)
    truth = exact(model, v)
    for samples in (1, 7, 120):  # every weight is p(v) itself
        found = importance_weighted_bound(model, v, samples, Random(0))
        torch.testing.assert_close(found, truth, rtol=0, atol=1e-10)
    found = elbo(model, v, 20_000, Random(1))
    assert ((found - truth).abs() < 0.1).all()
    assert (found.mean() - truth.mean()).abs() < 0.03


def test_bounds_grow_with_the_number_of_draws_and_stay_below():
    """One row many times over: means over independent estimates, at five standard errors."""
    model, v = linear(0.25), some_rows(1).expand(4000, -1)
    truth = float(exact(model, v[:1]))
    means, errors = [], []
    for samples in (1, 4, 16, 64):
        found = importance_weighted_bound(model, v, samples, Random(samples))
        means.append(float(found.mean()))
        errors.append(float(found.std()) / len(v) ** 0.5)
    for (low, high), (a, b) in zip(pairwise(means), pairwise(errors), strict=True):
        assert high - low > 5 * (a**2 + b**2) ** 0.5
    assert means[-1] < truth + 5 * errors[-1]
    assert truth - means[-1] < 0.05 * (truth - means[0])
    evidence = elbo(model, v, 1, Random(9))
    error = (float(evidence.var()) / len(v) + errors[0] ** 2) ** 0.5
    assert abs(float(evidence.mean()) - means[0]) < 5 * error  # one draw: the same bound, its KL term exact


def test_the_exponential_is_unbiased():
    model, v = linear(0.15), some_rows(1).expand(20_000, -1)
    for samples in (1, 8):
        ratio = (importance_weighted_bound(model, v, samples, Random(2)) - exact(model, v[:1])).exp()
        error = float(ratio.std()) / len(v) ** 0.5
        assert error < 0.02
        assert abs(float(ratio.mean()) - 1) < 5 * error


def test_a_binary_model_against_quadrature():
    model = VariationalAutoencoder(5, 1, hidden=(4,), dtype=torch.float64, random_state=2)
    v = (some_rows(4).repeat(1, 2)[:, :5] > 0).double()
    h = torch.linspace(-9, 9, 2001, dtype=torch.float64).view(-1, 1, 1)
    log_joint = model.log_p_v_given_h(v, h) + model.log_p_h(h)
    truth = torch.logsumexp(log_joint, 0).detach() + torch.log(h[1, 0, 0] - h[0, 0, 0])
    found = importance_weighted_bound(model, v, 20_000, Random(0))
    torch.testing.assert_close(found, truth, rtol=0, atol=0.03)
    assert (elbo(model, v, 5000, Random(0)) < truth).all()


def test_the_memory_limit_changes_nothing():
    model, v = linear(0.1), some_rows(9)
    whole = importance_weighted_bound(model, v, 2 * DRAWS + 7, Random(3))
    for memory in (1, 40 * DRAWS * 4):
        in_pieces = importance_weighted_bound(model, v, 2 * DRAWS + 7, Random(3), memory=memory)
        torch.testing.assert_close(in_pieces, whole, rtol=1e-12, atol=1e-12)
        pieces = elbo(model, v, DRAWS + 7, Random(3), memory=memory)
        torch.testing.assert_close(pieces, elbo(model, v, DRAWS + 7, Random(3)), rtol=1e-12, atol=1e-12)


def test_far_tails_do_not_underflow():
    model = linear(0.1)
    v = some_rows(3) + 200.0
    found = importance_weighted_bound(model, v, 50, Random(0))
    assert torch.isfinite(found).all()
    assert (found < -10_000).all()
    single = importance_weighted_bound(linear(0.1).float(), v.float(), 50, Random(0))
    assert single.dtype == torch.float64
    torch.testing.assert_close(single, found, rtol=0.05, atol=0)


@pytest.mark.parametrize("bound", [importance_weighted_bound, elbo])
def test_bad_input_is_refused(bound):
    model = linear()
    with pytest.raises(SettingError, match="samples is 0"):
        bound(model, some_rows(2), 0, Random(0))
    with pytest.raises(DataError, match=r"expected \(rows, 4\)"):
        bound(model, some_rows(2)[0], 1, Random(0))
    with pytest.raises(DataError, match=r"expected \(\.\.\., 4\)"):
        bound(model, some_rows(2)[:, :3], 1, Random(0))
    with pytest.raises(DataError, match="Bernoulli"):
        bound(VariationalAutoencoder(4, 2, hidden=(3,)), 2 + some_rows(2).float(), 1, Random(0))
