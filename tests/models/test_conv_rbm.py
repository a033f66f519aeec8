"""The convolutional machine against brute force: conditionals, energies, free energies, adjoints, files."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import lamina
import oracles
from convolutional_oracle import block_numbers, dense, enumerate_machine, hidden_states, places_of, random_machine
from lamina.core.errors import DataError, SettingError
from lamina.core.random import Random
from lamina.models.energy import ConvolutionalRBM
from lamina.models.energy.correlate import adjoint, correlate, slope
from lamina.units import Gaussian

# machine settings and size of the visible map; in each of the last three a border block is smaller
TINY = {
    "1-D, one block": ((1, 2, 3, 4, 1), (6,)),
    "1-D, no pooling": ((2, 2, 2, 1, 1), (5,)),
    "1-D, border": ((2, 2, 2, 3, 1), (5,)),
    "2-D": ((1, 2, 2, 2, 2), (3, 3)),
    "2-D, border": ((1, 2, 2, 2, 2), (3, 4)),
    "2-D, unequal axes": ((1, 1, (1, 2), (2, 3), 2), (3, 4)),
}


def tiny(name):
    settings, size = TINY[name]
    machine = random_machine(*settings)
    return machine, size, enumerate_machine(machine, size)


def as_maps(machine, size, rows: np.ndarray, hidden: bool = False) -> torch.Tensor:
    shape = (machine.n_filters, *places_of(machine, size)) if hidden else (machine.n_channels, *size)
    return torch.from_numpy(rows).reshape(len(rows), *shape)


@pytest.mark.parametrize("name", TINY)
class TestAgainstEnumeration:
    def test_means_given_the_other_side(self, name):
        machine, size, exact = tiny(name)
        v, h = as_maps(machine, size, exact.v), as_maps(machine, size, exact.h, hidden=True)
        np.testing.assert_allclose(machine.mean_h_from_v(v).detach().flatten(1).numpy(), exact.mean_h(), rtol=1e-9)
        np.testing.assert_allclose(machine.mean_v_from_h(h).detach().flatten(1).numpy(), exact.mean_v(), rtol=1e-9)

    def test_pooled_units_are_on_where_a_block_is(self, name):
        machine, size, exact = tiny(name)
        v = as_maps(machine, size, exact.v)
        expected = (exact.joint / exact.p_v[:, None]) @ exact.pooled()
        np.testing.assert_allclose(machine.mean_p_from_v(v).detach().flatten(1).numpy(), expected, rtol=1e-9)
        h = as_maps(machine, size, exact.h, hidden=True)
        np.testing.assert_array_equal(machine.pool(h).flatten(1).numpy(), exact.pooled())

    def test_energies(self, name):
        machine, size, exact = tiny(name)
        generator = np.random.default_rng(0)
        i, j = generator.integers(len(exact.v), size=50), generator.integers(len(exact.h), size=50)
        v, h = as_maps(machine, size, exact.v[i]), as_maps(machine, size, exact.h[j], hidden=True)
        np.testing.assert_allclose(machine.energy(v, h).detach().numpy(), exact.energies[i, j], rtol=1e-9, atol=1e-12)

    def test_free_energies(self, name):
        machine, size, exact = tiny(name)
        v, h = as_maps(machine, size, exact.v), as_maps(machine, size, exact.h, hidden=True)
        expected = -oracles.log_sum(-exact.energies, 1)
        np.testing.assert_allclose(machine.free_energy(v).detach().numpy(), expected, rtol=1e-9, atol=1e-12)
        expected = -oracles.log_sum(-exact.energies, 0)
        np.testing.assert_allclose(machine.free_energy_h(h).detach().numpy(), expected, rtol=1e-9, atol=1e-12)

    def test_one_gibbs_step_leaves_the_distribution_as_it_is(self, name):
        """Exact draws, one step h ~ p(h|v), v ~ p(v|h): means of v within five standard errors, as before."""
        machine, size, exact = tiny(name)
        n = 8000
        rows = exact.v[np.random.default_rng(2).choice(len(exact.v), size=n, p=exact.p_v)]
        h = machine.sample_h_from_v(as_maps(machine, size, rows), Random(1))
        assert machine.pool(h).max() <= 1
        v = machine.sample_v_from_h(h, Random(2))
        mean = exact.p_v @ exact.v
        error = np.sqrt(mean * (1 - mean) / n)
        assert (np.abs(v.flatten(1).mean(0).numpy() - mean) < 5 * error).all()
        mean = exact.joint.sum(0) @ exact.h
        error = np.sqrt(mean * (1 - mean) / n)
        assert (np.abs(h.flatten(1).mean(0).numpy() - mean) < 5 * error).all()


class TestGaussian:
    """Two real channels with another σ each; given h the machine is normal, so that log Z is a sum over h."""

    def machine(self):
        return random_machine(Gaussian(2), 2, 2, 2, 1, scale=0.5), (4,)

    def by_hand(self, v: np.ndarray):
        machine, size = self.machine()
        M, h = dense(machine, size), hidden_states(block_numbers(machine, size))
        b = np.repeat(machine.b.detach().numpy(), 4)
        c = np.repeat(machine.c.detach().numpy(), 3)
        s2 = np.repeat(np.exp(machine.visible.log_variance.numpy()), 4)
        energy = ((v - b) ** 2 / (2 * s2)).sum(1)[:, None] - h @ c - (v / s2) @ M @ h.T
        return machine, size, M, h, b, c, s2, energy

    def test_means_and_free_energy(self):
        v = np.random.default_rng(4).normal(size=(20, 8))
        machine, size, M, h, b, _, _, energy = self.by_hand(v)
        weights = np.exp(-energy - oracles.log_sum(-energy, 1)[:, None])
        maps = as_maps(machine, size, v)
        np.testing.assert_allclose(machine.mean_h_from_v(maps).detach().flatten(1).numpy(), weights @ h, rtol=1e-9)
        np.testing.assert_allclose(machine.free_energy(maps).detach().numpy(), -oracles.log_sum(-energy, 1), rtol=1e-9)
        means = machine.mean_v_from_h(as_maps(machine, size, h, hidden=True)).detach().flatten(1).numpy()
        np.testing.assert_allclose(means, b + h @ M.T, rtol=1e-9)

    def test_free_energy_of_hidden_states(self):
        machine, size, M, h, b, c, s2, _ = self.by_hand(np.zeros((1, 8)))
        expected = -(h @ c + (((b + h @ M.T) ** 2 - b**2) / s2 + np.log(2 * np.pi * s2)).sum(1) / 2)
        ours = machine.free_energy_h(as_maps(machine, size, h, hidden=True)).detach().numpy()
        np.testing.assert_allclose(ours, expected, rtol=1e-9)

    def test_draws_have_each_channels_deviation(self):
        machine, _ = self.machine()
        v = machine.sample_v_from_mean(torch.zeros(4000, 2, 4, dtype=torch.float64), Random(0))
        variance = machine.visible.log_variance.exp()
        error = variance * np.sqrt(2 / 16_000)
        assert ((v.square().mean((0, 2)) - variance).abs() < 5 * error).all()


@pytest.mark.parametrize(
    ("size", "kernel", "channels"), [((9,), (4,), 2), ((6, 7), (3, 2), 1), ((6, 7), (3, 2), 7), ((5, 5), (5, 5), 2)]
)
def test_up_and_down_are_adjoint(float64, size, kernel, channels):
    """⟨W ⋆ x, y⟩ = ⟨x, Wᵀ ⋆ y⟩ = ⟨W, slope(x, y)⟩."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(4, channels, *size, generator=generator)
    W = torch.randn(3, channels, *kernel, generator=generator)
    y = torch.randn(correlate(x, W).shape, generator=generator)
    up = (correlate(x, W) * y).sum()
    torch.testing.assert_close((x * adjoint(y, W)).sum(), up)
    torch.testing.assert_close((W * slope(x, y, kernel)).sum(), up)
    assert slope(x[:0], y[:0], kernel).shape == W.shape


def test_the_field_from_above_is_felt_by_whole_blocks():
    """p(h | v, above) ∝ exp(−E(v, h) + ⟨above, pool(h)⟩), by enumeration."""
    machine, size, exact = tiny("2-D, border")
    v = as_maps(machine, size, exact.v[:40])
    above = np.random.default_rng(3).normal(size=exact.pooled().shape[1])
    log_weights = -exact.energies[:40] + exact.pooled() @ above
    weights = np.exp(log_weights - oracles.log_sum(log_weights, 1)[:, None])
    given = torch.from_numpy(above).reshape(1, machine.n_filters, *machine.blocks(size)).expand(40, -1, -1, -1)
    h, p = machine.means_from_v(v, given)
    np.testing.assert_allclose(h.detach().flatten(1).numpy(), weights @ exact.h, rtol=1e-9)
    np.testing.assert_allclose(p.detach().flatten(1).numpy(), weights @ exact.pooled(), rtol=1e-9)


def test_pooled_means_downwards_are_spread_over_their_blocks():
    machine, size, _ = tiny("2-D, border")
    p = torch.rand(3, 2, 1, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    h = torch.empty(3, 2, 2, 3, dtype=torch.float64)
    h[..., :2] = p[..., :1] / 4
    h[..., 2:] = p[..., 1:] / 2  # the border block has two places
    torch.testing.assert_close(machine.mean_v_from_p(p, size), machine.mean_v_from_h(h))


def test_one_machine_serves_maps_of_any_size_and_moves_with_them():
    """A shift by one block's length shifts the pooled maps by one place, away from the border."""
    machine = random_machine(1, 3, 3, 2, 2)
    v = torch.rand(2, 1, 11, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    p = machine.mean_p_from_v(v)
    assert p.shape == (2, 3, 5, 5)
    torch.testing.assert_close(machine.mean_p_from_v(v[:, :, 2:, 2:])[..., :4, :4], p[..., 1:, 1:][..., :4, :4])


@pytest.mark.parametrize("visible", [1, Gaussian(3, learn_sigma=True)], ids=["bernoulli", "gaussian"])
def test_a_saved_machine_is_the_same(tmp_path, visible):
    machine = random_machine(visible, 2, (3, 2), (2, 1), 2)
    again = lamina.load(lamina.save(machine, tmp_path / "model"))
    assert isinstance(again, ConvolutionalRBM)
    assert again.spec() == machine.spec()
    v = torch.rand(2, machine.n_channels, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert torch.equal(again.free_energy(v), machine.free_energy(v))


def test_initial_values_follow_stream_and_data():
    one, two, other = (ConvolutionalRBM(2, 3, 5, random_state=seed) for seed in (1, 1, 2))
    assert torch.equal(one.W, two.W)
    assert not torch.equal(one.W, other.W)
    assert float(one.W.detach().std()) == pytest.approx(0.01, rel=0.2)
    one.initialise(0, torch.tensor([0.5, 0.2]))
    torch.testing.assert_close(one.visible.mean(one.b.detach()), torch.tensor([0.5, 0.2]))
    one.initialise(0, scale=0.0, activity=0.07)
    torch.testing.assert_close(one.mean_h_from_v(torch.zeros(1, 2, 8, 8)).detach(), torch.full((1, 3, 4, 4), 0.07))
    with pytest.raises(SettingError, match="activity"):
        one.initialise(0, activity=0.25)


def test_settings_outside_their_limits():
    for wrong in (
        {"n_filters": 0},
        {"kernel": 0},
        {"kernel": (3, 3, 3)},
        {"pooling": 1.5},
        {"dimensions": 3},
        {"visible": 0},
    ):
        with pytest.raises(SettingError):
            ConvolutionalRBM(**{"visible": 1, "n_filters": 2, "kernel": 3, **wrong})


def test_maps_of_the_wrong_shape_are_refused():
    machine = ConvolutionalRBM(1, 2, 3)
    with pytest.raises(DataError, match=r"shape \(4, 9\); expected \(n, 1, height, width\)"):
        machine.mean_h_from_v(torch.zeros(4, 9))
    with pytest.raises(DataError, match=r"shape \(4, 3, 9, 9\); expected \(n, 1"):
        machine.free_energy(torch.zeros(4, 3, 9, 9))
    with pytest.raises(DataError, match=r"size \(2, 9\) given; .* as long as the filters, \(3, 3\)"):
        machine.mean_h_from_v(torch.zeros(4, 1, 2, 9))
    with pytest.raises(DataError, match="2 filters"):
        machine.mean_v_from_h(torch.zeros(4, 1, 5, 5))
    with pytest.raises(DataError, match=r"expected \(n, 2, 3, 3\) for visible maps of size \(7, 8\)"):
        machine.mean_v_from_p(torch.zeros(4, 2, 2, 3), (7, 8))
