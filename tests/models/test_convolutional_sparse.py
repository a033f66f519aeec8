"""Convolutional sparse coding and the deconvolutional network: adjoints, codes against dense solvers, switches."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.signal import convolve2d

import lamina
from lamina.core.errors import DataError, SettingError
from lamina.models.sparse import ConvolutionalSparseCoding, DeconvolutionalNetwork
from lamina.models.sparse.solvers import feature_sign
from lamina.models.sparse.switches import pool_with_switches, unpool

DOUBLE = {"dtype": torch.float64}


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


def coder(n_channels: int = 2, n_maps: int = 3, size=(2, 3), **options) -> ConvolutionalSparseCoding:
    return ConvolutionalSparseCoding(
        n_channels, n_maps, size, **{"cost": 0.3, "tolerance": 1e-8, "iterations": 2000, **DOUBLE, **options}
    )


def dense(of: ConvolutionalSparseCoding, size: tuple[int, int]) -> torch.Tensor:
    """The linear map as a matrix (pixels, places), column by column."""
    places = of.places(size)
    units = torch.eye(of.n_maps * places[0] * places[1], dtype=torch.float64)
    return of.mean_v_from_h(units.view(-1, of.n_maps, *places)).detach().flatten(1).T


def test_images_are_sums_of_convolutions():
    one, z = coder(), normal(2, 3, 5, 7)
    F = one.filters().detach().numpy()
    np.testing.assert_allclose((F**2).sum((1, 2, 3)), 1, rtol=1e-12)
    for image, maps in zip(one.mean_v_from_h(z).detach().numpy(), z.numpy(), strict=True):
        for channel in range(2):
            expected = sum(convolve2d(maps[k], F[k, channel], mode="valid") for k in range(3))
            np.testing.assert_allclose(image[channel], expected, rtol=1e-10, atol=1e-12)


def test_a_single_1_draws_its_filter():
    one = coder()
    z = torch.zeros(1, 3, *one.places((6, 8)), **DOUBLE)
    z[0, 1, 3, 4] = 1.0  # place r draws f(s) at r + s, less the border of kernel − 1
    image = one.mean_v_from_h(z)[0].detach()
    np.testing.assert_allclose(image[:, 2:4, 2:5], one.filters()[1].detach(), rtol=1e-12)
    assert float(image.square().sum()) == pytest.approx(1)


@pytest.mark.parametrize("size", [(4, 5), (1, 1), (7, 3)])
def test_the_adjoint(size):
    one = coder()
    z, x = normal(2, 3, *one.places(size)), normal(2, 2, *size, seed=1)
    left, right = (one.mean_v_from_h(z) * x).sum(), (z * one.adjoint(x)).sum()
    assert float(left.detach()) == pytest.approx(float(right.detach()), rel=1e-10)


@pytest.mark.parametrize(("channels", "maps"), [(1, 3), (2, 3), (4, 2)])
def test_the_curvature_bounds_the_largest_eigenvalue_closely(channels, maps):
    one = coder(channels, maps)
    A = dense(one, (6, 5))
    largest = float(torch.linalg.eigvalsh(A.T @ A)[-1])
    assert largest <= one.curvature((6, 5)) * (1 + 1e-9)
    assert one.curvature((6, 5)) < 1.5 * largest


@pytest.mark.parametrize("positive", [False, True])
def test_codes_are_those_of_the_dense_problem(positive):
    one, x = coder(positive=positive), normal(2, 2, 3, 4)
    A = dense(one, (3, 4))
    expected = feature_sign(x.flatten(1), A, one.cost, positive=positive, tolerance=1e-10).h
    found = one.mean_h_from_v(x)
    np.testing.assert_allclose(found.flatten(1), expected, atol=1e-6)
    assert (found == 0).any()
    assert float(one.violations(x, found).max()) < 1e-6
    energy = (x.flatten(1) - expected @ A.T).square().sum(1) / 2 + one.cost * expected.abs().sum(1)
    np.testing.assert_allclose(one.energy(x, found).detach(), energy, rtol=1e-9)


def test_violations_are_the_distance_from_optimality():
    one, x = coder(), normal(2, 2, 3, 4)
    z = normal(2, 3, *one.places((3, 4)), seed=2) * (normal(2, 3, *one.places((3, 4)), seed=3) > 0)
    A = dense(one, (3, 4))
    flat = z.flatten(1)
    g = (flat @ A.T - x.flatten(1)) @ A
    expected = torch.where(flat == 0, (g.abs() - one.cost).clamp(min=0), (g + one.cost * flat.sign()).abs())
    np.testing.assert_allclose(one.violations(x, z), expected.amax(1) / one.cost, rtol=1e-9)


def test_a_search_stops_where_its_tolerance_is_met():
    x = normal(2, 2, 6, 6)
    rough = coder(tolerance=0.2)
    found = rough.mean_h_from_v(x)
    assert float(rough.violations(x, found).max()) <= 0.2
    exact = coder().mean_h_from_v(x)
    assert float((found - exact).abs().max()) > 1e-6  # it did stop before
    few = coder(iterations=3)
    np.testing.assert_array_equal(few.mean_h_from_v(x), coder().mean_h_from_v(x, iterations=3))


def test_slopes_with_respect_to_the_filters():
    one, x = coder(size=2), normal(1, 2, 3, 3)
    z = normal(1, 3, 4, 4, seed=5)

    def energy(F):
        return torch.func.functional_call(_Energy(one), {"model.F": F}, (x, z)).sum()

    assert torch.autograd.gradcheck(energy, one.F.detach().clone().requires_grad_(True), fast_mode=True)


class _Energy(torch.nn.Module):
    def __init__(self, model) -> None:
        super().__init__()
        self.model = model

    def forward(self, x, z):
        return self.model.energy(x, z)


# pooling ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "pooling"), [((4, 6), 2), ((5, 7), 2), ((5, 7), 3), ((3, 3), 1), ((2, 2), 5)])
def test_maxima_and_switches_by_brute_force(size, pooling):
    z = normal(2, 3, *size)
    pooled, switches = pool_with_switches(z, pooling)
    assert pooled.shape == switches.shape == (2, 3, -(-size[0] // pooling), -(-size[1] // pooling))
    for n, m, i, j in np.ndindex(*pooled.shape):
        block = z[n, m, i * pooling : (i + 1) * pooling, j * pooling : (j + 1) * pooling].numpy()
        place = np.unravel_index(np.abs(block).argmax(), block.shape)
        assert pooled[n, m, i, j] == block[place]
        assert divmod(int(switches[n, m, i, j]), size[1]) == (i * pooling + place[0], j * pooling + place[1])


@pytest.mark.parametrize("size", [(4, 6), (5, 7)])
def test_pooling_and_unpooling_are_inverse_on_the_maxima(size):
    z = normal(2, 3, *size)
    pooled, switches = pool_with_switches(z, 2)
    back = unpool(pooled, switches, size)
    again, same = pool_with_switches(back, 2)
    assert torch.equal(again, pooled)
    assert torch.equal(same, switches)
    assert torch.equal(back[back != 0], z[back != 0])
    assert int((back != 0).sum()) == pooled.numel()
    p = normal(*pooled.shape, seed=4)  # the adjoint of pooling with fixed switches
    assert float((unpool(p, switches, size) * z).sum()) == pytest.approx(float((p * pooled).sum()))


def test_a_map_of_zeros_is_pooled_within_the_map():
    pooled, switches = pool_with_switches(torch.zeros(1, 1, 3, 3), 2)
    assert (pooled == 0).all()
    assert switches.flatten().tolist() == [0, 2, 6, 8]


# the network --------------------------------------------------------------------------------------------------------


def network(**options) -> DeconvolutionalNetwork:
    return DeconvolutionalNetwork([coder(1, 4, 3, **options), coder(4, 3, 2, **options)], (2, 1))


def test_layers_code_the_pooled_maps_below():
    net, x = network(iterations=20), normal(2, 1, 6, 6)
    first, second = net.codes(x)
    assert torch.equal(first.z, net[0].mean_h_from_v(x))
    assert torch.equal(first.pooled, pool_with_switches(first.z, 2)[0])
    assert torch.equal(second.z, net[1].mean_h_from_v(first.pooled))
    assert torch.equal(net.encode(x), second.pooled)
    assert torch.equal(net.encode(x, 1), first.pooled)


def test_going_down_is_unpooling_and_drawing():
    net, x = network(iterations=20), normal(2, 1, 6, 6)
    first, second = net.codes(x)
    p = net[1].mean_v_from_h(unpool(second.pooled, second.switches, (5, 5)))
    expected = net[0].mean_v_from_h(unpool(p, first.switches, (8, 8)))
    assert torch.equal(net.reconstruct(x), expected)


def test_without_pooling_and_at_no_cost_an_image_comes_back():
    net = DeconvolutionalNetwork([coder(1, 6, 3, cost=1e-4, tolerance=0.1, iterations=1000)], 1)
    x = normal(2, 1, 5, 5)
    np.testing.assert_allclose(net.reconstruct(x).detach(), x, atol=2e-3)


def test_the_strongest_unit_of_each_map_is_drawn_alone():
    net, x = network(iterations=20), normal(5, 1, 6, 6)
    found = net.strongest(x)
    assert found.shape == (3, 1, 6, 6)
    codes = net.codes(x)
    top = codes[-1].pooled
    for k in range(3):
        n, i, j = np.unravel_index(int(top[:, k].abs().argmax()), top[:, k].shape)
        alone = torch.zeros_like(top)
        alone[n, k, i, j] = top[n, k, i, j]
        np.testing.assert_allclose(found[k].detach(), net.decode(codes, alone)[n].detach(), atol=1e-12)


@pytest.mark.parametrize("name", ["convolutional sparse coding", "deconvolutional network"])
def test_they_come_back_from_a_folder(name, tmp_path):
    from sparse_encoder_models import small_models

    model = small_models()[name]
    found = lamina.load(lamina.save(model, tmp_path))
    assert found.spec() == model.spec()
    for key, value in model.state_dict().items():
        assert torch.equal(found.state_dict()[key], value)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ConvolutionalSparseCoding(0, 3, 2), "n_channels is 0"),
        (lambda: ConvolutionalSparseCoding(1, 3, (2, 2, 2)), "one number, or height and width"),
        (lambda: ConvolutionalSparseCoding(1, 3, 0), "size is 0"),
        (lambda: ConvolutionalSparseCoding(1, 3, 2, cost=0.0), "cost is 0"),
        (lambda: ConvolutionalSparseCoding(1, 3, 2, tolerance=-1.0), "tolerance is -1"),
        (lambda: DeconvolutionalNetwork([]), "at least one layer"),
        (lambda: DeconvolutionalNetwork([coder(1, 3), coder(2, 3)]), "layer 1 has 3 maps but layer 2 expects 2"),
        (lambda: DeconvolutionalNetwork([coder(1, 3)], (2, 2)), "pooling has 2 entries for 1 layers"),
        (lambda: DeconvolutionalNetwork([coder(1, 3)], 0), "pooling is 0"),
        (lambda: network().encode(normal(1, 1, 6, 6), 3), "depth is 3; expected a layer from 1 to 2"),
    ],
)
def test_what_does_not_fit_is_refused(make, message):
    with pytest.raises(SettingError, match=message):
        make()


def test_images_and_maps_of_other_shapes_are_refused():
    one = coder()
    for x in (normal(2, 6, 6), normal(2, 1, 6, 6), normal(2, 2, 0, 6)):
        with pytest.raises(DataError, match="the images have shape"):
            one.mean_h_from_v(x)
    for z in (normal(2, 2, 6, 6), normal(2, 3, 1, 6)):
        with pytest.raises(DataError, match="the maps have shape"):
            one.mean_v_from_h(z)
    with pytest.raises(DataError, match="a switch for each value"):
        unpool(normal(1, 1, 2, 2), torch.zeros(1, 1, 3, 3, dtype=torch.int64), (4, 4))
