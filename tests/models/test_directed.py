"""Directed layers: probabilities that sum to one, directions that do not mix, and a tie that holds."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import oracles
from lamina import RBM, Bernoulli, Gaussian
from lamina.core.errors import DataError
from lamina.core.random import Random
from lamina.models.energy import DirectedLayer
from lamina.units import Softmax


def layer_of(visible, hidden) -> DirectedLayer:
    layer = DirectedLayer(visible, hidden, dtype=torch.float64)
    generator = np.random.default_rng(0)
    with torch.no_grad():
        for parameter in (layer.W, layer.R, layer.b, layer.c):
            parameter.copy_(torch.from_numpy(generator.normal(size=tuple(parameter.shape))))
    return layer


@pytest.mark.parametrize("visible", [Bernoulli(4), Softmax(3, 2)], ids=["bernoulli", "softmax"])
def test_probabilities_of_all_states_sum_to_one(visible):
    layer = layer_of(visible, 3)
    x = visible.states()
    y = torch.tensor([1.0, 0.0, 1.0], dtype=torch.float64).expand(len(x), -1)
    assert layer.log_p_v_from_h(x, y).exp().sum().item() == pytest.approx(1, abs=1e-12)
    h = Bernoulli(3).states()
    v = x[2].expand(len(h), -1)
    assert layer.log_q_h_from_v(h, v).exp().sum().item() == pytest.approx(1, abs=1e-12)


def test_a_gaussian_side_has_the_normal_density():
    layer = layer_of(Gaussian(3, sigma=0.7), 2)
    v, h = torch.from_numpy(np.random.default_rng(1).normal(size=(5, 3))), torch.ones(5, 2).double()
    sigma = torch.exp(layer.visible.log_variance / 2)
    expected = torch.distributions.Normal(layer.b + h @ layer.W.T, sigma).log_prob(v).sum(-1)
    assert float(sigma[0]) == pytest.approx(0.7, rel=1e-6)
    torch.testing.assert_close(layer.log_p_v_from_h(v, h), expected, rtol=1e-10, atol=1e-12)


def test_each_direction_has_its_own_weights():
    layer = layer_of(4, 3)
    v, h = torch.ones(2, 4).double(), torch.ones(2, 3).double()
    torch.testing.assert_close(layer.mean_h_from_v(v), torch.sigmoid(v @ layer.R + layer.c), rtol=1e-13, atol=0)
    torch.testing.assert_close(layer.mean_v_from_h(h), torch.sigmoid(h @ layer.W.T + layer.b), rtol=1e-13, atol=0)
    assert not torch.allclose(layer.W, layer.R)


def test_tied_to_a_machine_both_directions_are_its_own():
    rbm = oracles.random_gaussian(4, 3, learn_sigma=True)
    layer = DirectedLayer(Gaussian(4, learn_sigma=True), 3, dtype=torch.float64).tie_to(rbm)
    v = torch.from_numpy(np.random.default_rng(1).normal(size=(6, 4)))
    h = rbm.sample_h_from_v(v, Random(0))
    torch.testing.assert_close(layer.mean_h_from_v(v), rbm.mean_h_from_v(v), rtol=1e-13, atol=0)
    torch.testing.assert_close(layer.mean_v_from_h(h), rbm.mean_v_from_h(h), rtol=1e-13, atol=1e-14)
    assert torch.equal(layer.visible.log_variance, rbm.visible.log_variance)
    with torch.no_grad():
        layer.R.add_(1.0)
    assert torch.equal(layer.W, rbm.W)  # untied: one direction moved alone


def test_draws_have_the_right_means():
    layer = layer_of(4, 3)
    h = torch.tensor([1.0, 0.0, 1.0], dtype=torch.float64).expand(20_000, -1)
    mean = layer.mean_v_from_h(h[0])
    draws = layer.sample_v_from_h(h, Random(3)).mean(0)
    assert bool(((draws - mean).abs() < 5 * (mean * (1 - mean) / 20_000).sqrt()).all())


def test_wrong_widths_are_refused():
    layer = DirectedLayer(4, 3)
    with pytest.raises(DataError, match="visible values have shape"):
        layer.mean_h_from_v(torch.zeros(2, 3))
    with pytest.raises(DataError, match="hidden values have shape"):
        layer.mean_v_from_h(torch.zeros(2, 4))


def test_an_rbm_upside_down_is_no_layer_of_other_sizes():
    with pytest.raises(RuntimeError):
        DirectedLayer(4, 3).tie_to(RBM(3, 4))
