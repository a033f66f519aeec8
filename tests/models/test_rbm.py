"""Every probability and the free energy of small machines against enumeration; Gaussian ones against closed forms.

Machines of every pair of families are held against the sum over their whole joint space.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

import oracles
from lamina import RBM, Gaussian
from lamina.core.errors import DataError, SettingError
from lamina.core.random import Random
from lamina.inference import exact_log_partition
from lamina.models.registry import build
from lamina.units import Bernoulli, Binomial, Concatenated, Rectified, Softmax, Spin

SHAPES = [(5, 4), (7, 5), (2, 6), (1, 1)]


@pytest.fixture(params=SHAPES, ids=str)
def binary(request):
    rbm = oracles.random_binary(*request.param, scale=1.3, seed=sum(request.param))
    return rbm, oracles.binary(rbm)


@pytest.fixture(params=[True, False], ids=["learnt sigma", "fixed sigma"])
def gaussian(request):
    rbm = oracles.random_gaussian(3, 4, scale=0.9, seed=7, learn_sigma=request.param)
    return rbm, oracles.mixture(rbm)


def close(ours: torch.Tensor, exact: np.ndarray) -> None:
    np.testing.assert_allclose(ours.detach().numpy(), exact, rtol=1e-10, atol=1e-12)


def test_joint_energy_of_a_binary_machine(binary):
    rbm, exact = binary
    v, h = (torch.from_numpy(a) for a in (exact.v, exact.h))
    energy = rbm.energy(v[:, None].expand(-1, len(h), -1), h.expand(len(v), -1, -1))
    close(torch.exp(-energy - exact.log_z), exact.joint)


def test_free_energies_of_a_binary_machine(binary):
    rbm, exact = binary
    close(torch.exp(-rbm.free_energy(torch.from_numpy(exact.v)) - exact.log_z), exact.p_v)
    close(torch.exp(-rbm.free_energy_h(torch.from_numpy(exact.h)) - exact.log_z), exact.p_h)


def test_conditional_means_of_a_binary_machine(binary):
    rbm, exact = binary
    close(rbm.mean_h_from_v(torch.from_numpy(exact.v)), exact.mean_h())
    close(rbm.mean_v_from_h(torch.from_numpy(exact.h)), exact.mean_v())


def test_free_energy_of_a_gaussian_machine(gaussian):
    rbm, exact = gaussian
    v = np.random.default_rng(0).normal(0, 2, (40, 3))
    close(-rbm.free_energy(torch.from_numpy(v)) - exact.log_z, exact.log_density(v))
    close(torch.exp(-rbm.free_energy_h(torch.from_numpy(exact.h)) - exact.log_z), exact.p_h)


def test_free_energy_of_a_gaussian_machine_is_the_sum_of_its_joint_energy(gaussian):
    rbm, exact = gaussian
    v = torch.from_numpy(np.random.default_rng(1).normal(0, 2, (6, 3)))
    h = torch.from_numpy(exact.h)
    energy = rbm.energy(v[:, None].expand(-1, len(h), -1), h.expand(len(v), -1, -1))
    close(rbm.free_energy(v), -torch.logsumexp(-energy, 1).detach().numpy())


def test_conditional_means_of_a_gaussian_machine(gaussian):
    rbm, exact = gaussian
    v = np.random.default_rng(2).normal(0, 2, (20, 3))
    close(rbm.mean_h_from_v(torch.from_numpy(v)), exact.mean_h(v))
    close(rbm.mean_v_from_h(torch.from_numpy(exact.h)), exact.means)


def test_conditional_samples_have_their_means_and_variances():
    n = 100_000
    rbm = oracles.random_gaussian(3, 4, scale=0.9, seed=7)
    v = torch.tensor([0.4, -1.0, 0.7], dtype=torch.float64)
    h = torch.tensor([1.0, 0.0, 1.0, 1.0], dtype=torch.float64)
    p = rbm.mean_h_from_v(v).detach()
    drawn = rbm.sample_h_from_v(v.expand(n, -1), Random(1))  # outside no_grad, as users call it
    assert ((drawn.mean(0) - p).abs() < 5 * (p * (1 - p) / n).sqrt()).all()
    s2 = oracles.variance(rbm)
    drawn = rbm.sample_v_from_h(h.expand(n, -1), Random(2)).numpy()
    assert (np.abs(drawn.mean(0) - rbm.mean_v_from_h(h).detach().numpy()) < 5 * np.sqrt(s2 / n)).all()
    assert (np.abs(drawn.var(0) - s2) < 5 * s2 * np.sqrt(2 / n)).all()


def test_a_binary_machine_is_symmetric_in_its_two_sides():
    rbm = oracles.random_binary(4, 3)
    turned = RBM(3, 4, dtype=torch.float64)
    with torch.no_grad():
        turned.W.copy_(rbm.W.T)
        turned.b.copy_(rbm.c)
        turned.c.copy_(rbm.b)
    h = torch.from_numpy(oracles.states(3))
    close(turned.free_energy(h), rbm.free_energy_h(h).detach().numpy())
    close(turned.mean_h_from_v(h), rbm.mean_v_from_h(h).detach().numpy())


def test_any_leading_dimensions_give_the_same_numbers():
    rbm = oracles.random_binary(5, 4)
    v = torch.from_numpy(oracles.states(5)[:24])
    flat = rbm.mean_h_from_v(v)
    close(rbm.mean_h_from_v(v.view(2, 3, 4, 5)).reshape(24, 4), flat.detach().numpy())
    close(rbm.mean_h_from_v(v[3]), flat[3].detach().numpy())
    close(rbm.free_energy(v.view(2, 12, 5)).reshape(24), rbm.free_energy(v).detach().numpy())


def test_initial_values_from_the_data():
    rbm = RBM(6, 200, dtype=torch.float64)
    with torch.no_grad():
        rbm.c.fill_(3.0)
    mean = torch.tensor([0.0, 0.1, 0.5, 0.9, 1.0, 0.25])
    rbm.initialise(4, mean)
    assert (rbm.c == 0).all()
    expected = torch.log(mean.clamp(0.01, 0.99) / (1 - mean.clamp(0.01, 0.99)))
    torch.testing.assert_close(rbm.b.detach(), expected.double(), rtol=1e-6, atol=1e-6)
    n = rbm.W.numel()
    assert abs(float(rbm.W.detach().std()) - 0.01) < 5 * 0.01 / np.sqrt(2 * n)
    again = RBM(6, 200, dtype=torch.float64, random_state=4)
    assert torch.equal(again.W, rbm.W)
    assert not torch.equal(RBM(6, 200, dtype=torch.float64, random_state=5).W, rbm.W)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_array_has_the_type_asked_for(dtype):
    rbm = RBM(Gaussian(3, sigma=0.5, learn_sigma=True), 2, dtype=dtype)
    assert {t.dtype for t in rbm.state_dict().values()} == {dtype}
    assert rbm.sample_v_from_h(rbm.sample_h_from_v(torch.zeros(2, 3, dtype=dtype), Random(0)), Random(1)).dtype == dtype


def test_a_fixed_variance_is_no_parameter():
    names = dict(RBM(Gaussian(3), 2).named_parameters())
    assert set(names) == {"W", "b", "c"}
    assert "visible.log_variance" in dict(RBM(Gaussian(3, learn_sigma=True), 2).named_parameters())


def test_wrong_widths_repeat_the_shapes():
    rbm = RBM(5, 4)
    with pytest.raises(DataError, match=r"visible values have shape \(2, 4\); expected \(..., 5\)"):
        rbm.mean_h_from_v(torch.zeros(2, 4))
    with pytest.raises(DataError, match=r"hidden values have shape \(2, 5\); expected \(..., 4\)"):
        rbm.mean_v_from_h(torch.zeros(2, 5))
    with pytest.raises(SettingError):
        RBM(0, 4)


# every pair of families ----------------------------------------------------------------------------------------------


def spread_gaussian() -> Gaussian:
    family = Gaussian(2, learn_sigma=True).double()
    with torch.no_grad():
        family.log_variance.copy_(torch.tensor([-0.7, 0.4]))
    return family


SIDES = {
    "bernoulli": lambda: Bernoulli(3),
    "binomial": lambda: Binomial(2, trials=3),
    "concatenated": lambda: Concatenated([Bernoulli(2), Softmax(3), Spin(1)]),
    "concatenated real": lambda: Concatenated([Gaussian(1, sigma=0.8), Bernoulli(2), Rectified(1)]).double(),
    "gaussian": spread_gaussian,
    "rectified": lambda: Rectified(2),
    "softmax": lambda: Softmax(3, n_groups=2),
    "spin": lambda: Spin(3),
}
UNBOUNDED = {"concatenated real", "gaussian", "rectified"}
PAIRS = [(v, h) for v in sorted(SIDES) for h in sorted(SIDES) if not {v, h} <= UNBOUNDED]


@pytest.fixture(params=PAIRS, ids="-".join, scope="module")
def any_pair(request):
    visible, hidden = (SIDES[name]() for name in request.param)
    rbm = oracles.random_pair(visible, hidden, seed=PAIRS.index(request.param))
    return rbm, oracles.pair(rbm)


def some(x: np.ndarray, most: int = 40) -> tuple[np.ndarray, torch.Tensor]:
    """Numbers of at most ``most`` rows spread over ``x``, and those rows: where a quadrature has weight."""
    near = np.flatnonzero((np.abs(x) <= 4).all(1))
    rows = near[:: max(1, len(near) // most)]
    return rows, torch.from_numpy(x[rows])


@torch.no_grad()
def test_free_energies_of_any_pair(any_pair):
    rbm, exact = any_pair
    rows, v = some(exact.v)
    np.testing.assert_allclose(rbm.free_energy(v).numpy(), exact.free_energy[rows], rtol=1e-6, atol=1e-8)
    rows, h = some(exact.h)
    np.testing.assert_allclose(rbm.free_energy_h(h).numpy(), exact.free_energy_h[rows], rtol=1e-6, atol=1e-8)


@torch.no_grad()
def test_joint_energy_of_any_pair(any_pair):
    rbm, exact = any_pair
    (rows, v), (columns, h) = some(exact.v), some(exact.h)
    ours = rbm.energy(v[:, None].expand(-1, len(h), -1), h.expand(len(v), -1, -1))
    np.testing.assert_allclose(-ours.numpy(), exact.log_weights[rows][:, columns], rtol=1e-6, atol=1e-8)


@torch.no_grad()
def test_conditional_means_of_any_pair(any_pair):
    rbm, exact = any_pair
    rows, v = some(exact.v)
    np.testing.assert_allclose(rbm.mean_h_from_v(v).numpy(), exact.mean_h[rows], rtol=1e-6, atol=1e-8)
    rows, h = some(exact.h)
    np.testing.assert_allclose(rbm.mean_v_from_h(h).numpy(), exact.mean_v[rows], rtol=1e-6, atol=1e-8)


def test_log_partition_of_any_pair(any_pair):
    rbm, exact = any_pair
    assert exact_log_partition(rbm) == pytest.approx(exact.log_z, rel=1e-7, abs=1e-7)


@torch.no_grad()
def test_samples_of_any_pair_have_the_conditional_means(any_pair):
    rbm, exact = any_pair
    n = 4_000
    for x, values, mean, sample in (
        (exact.v, exact.h, exact.mean_h, rbm.sample_h_from_v),
        (exact.h, exact.v, exact.mean_v, rbm.sample_v_from_h),
    ):
        rows, few = some(x, 3)
        for row, given in zip(rows[:3], few[:3], strict=True):
            drawn = sample(given.expand(n, -1), Random(int(row))).numpy()
            assert drawn.shape == (n, values.shape[1])
            assert (np.abs(drawn.mean(0) - mean[row]) < 6 * (drawn.std(0) + 0.02) / np.sqrt(n)).all()


def test_any_pair_is_built_again_from_its_description(any_pair):
    rbm, _ = any_pair
    again = build(rbm.spec(), rbm.state_dict())
    assert again.spec() == rbm.spec()
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), rbm.parameters(), strict=True))


@pytest.mark.parametrize("visible", sorted(UNBOUNDED))
@pytest.mark.parametrize("hidden", sorted(UNBOUNDED))
def test_two_unbounded_sides_are_refused(visible, hidden):
    with pytest.raises(SettingError, match="both sides are unbounded"):
        RBM(SIDES[visible](), SIDES[hidden]())
