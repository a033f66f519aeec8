"""Elastic distortion: its displacements' moments against the formula, what it leaves alone, and what it depends on."""

from __future__ import annotations

import math

import pytest
import torch

from lamina.core.errors import DataError, SettingError
from lamina.core.random import Random
from lamina.training.distortions import ElasticDistortion, smoother

CPU = torch.device("cpu")
F64 = torch.float64


def field(distortion, n, seed=3):
    return distortion.field(n, Random(seed).at(0, torch.arange(n)), F64, CPU)


def blobs(n, size=28):
    """Images of one wide bright spot each, in the middle half."""
    centre = size / 4 + size / 2 * Random(5).uniform((n, 2), F64)
    axis = torch.arange(size, dtype=F64)
    near = torch.exp(-((axis - centre[..., None]) ** 2) / 18)  # (n, 2, size)
    return (near[:, 0, :, None] * near[:, 1, None, :]).reshape(n, -1)


def test_no_alpha_is_the_identity():
    x = Random(1).uniform((3, 784), F64)
    found = ElasticDistortion(4, 0).apply(x, Random(2))
    assert torch.equal(found, x)
    assert found is not x


def test_a_tiny_alpha_changes_tiny_things():
    x = Random(1).uniform((3, 784), F64)
    for fill in (None, 0.0):
        found = ElasticDistortion(4, 1e-9, fill=fill).apply(x, Random(2))
        assert not torch.equal(found, x)
        torch.testing.assert_close(found, x, rtol=0, atol=1e-8)


@pytest.mark.parametrize("sigma", [0.5, 1.5, 4.0, 8.0])
def test_displacements_have_the_predicted_standard_deviation_at_every_pixel(sigma):
    """The sd is known to 1/√(2n), of which the largest of 392 pixels' lies within five."""
    n, distortion = 3000, ElasticDistortion(sigma, 34, (1, 14, 14))
    found = field(distortion, n)
    expected = distortion.displacement_sd
    if sigma >= 1.5:
        assert expected == pytest.approx(34 / (math.sqrt(12 * math.pi) * sigma), rel=1e-6)
    sd = found.std(0)
    assert float((sd / expected - 1).abs().max()) < 5 / math.sqrt(2 * n)
    assert float((found.mean(0) / expected).abs().max()) < 5 / math.sqrt(n)


@pytest.mark.parametrize("sigma", [1.0, 4.0, 7.3])
def test_the_lattice_keeps_variance_exactly_and_covariance_nearly(sigma):
    """Noise at every pixel has covariance exp(−d²/4σ²) in one dimension, times the variance."""
    weights = smoother(28, sigma)
    covariance = weights @ weights.T
    variance = covariance.diagonal()
    torch.testing.assert_close(variance, torch.full_like(variance, float(variance[0])), rtol=1e-13, atol=0)
    distance = torch.arange(28, dtype=F64)[:, None] - torch.arange(28, dtype=F64)
    expected = torch.exp(-(distance**2) / (4 * sigma**2))
    torch.testing.assert_close(covariance / variance[0], expected, rtol=0, atol=2e-3)


def test_the_variance_is_that_of_noise_at_every_pixel_smoothed():
    j = torch.arange(-40, 41, dtype=F64)
    g = torch.exp(-0.5 * (j / 4) ** 2)
    g = g / g.sum()
    in_two_dimensions = (g[:, None] * g).square().sum()
    sd = 34 * math.sqrt(float(in_two_dimensions) / 3)  # a uniform number in (−1, 1) has variance 1/3
    assert ElasticDistortion(4, 34).displacement_sd == pytest.approx(sd, rel=1e-12)


def test_both_directions_and_all_rows_move_apart():
    found = field(ElasticDistortion(4, 34), 2000)[:, 10, 10]
    two = torch.stack([found[:, 0], found[:, 1], found[:, 0].roll(1)])
    off = torch.corrcoef(two) - torch.eye(3, dtype=F64)
    assert float(off.abs().max()) < 4 / math.sqrt(2000)


def test_mean_intensity_stays_roughly():
    x = blobs(400)
    found = ElasticDistortion(4, 34, rotation=10, shift=1).apply(x, Random(4))
    assert float(found.mean() / x.mean()) == pytest.approx(1, abs=0.05)
    assert float(found.min()) >= 0
    assert float(found.max()) <= float(x.max())


@pytest.mark.parametrize("distortion", [ElasticDistortion(4, 34), ElasticDistortion(4, 20, rotation=9, shift=2)])
def test_the_same_rows_distort_alike_whatever_the_batch_and_anew_at_each_step(distortion):
    x, rows = blobs(7), torch.tensor([3, 1, 4, 15, 9, 2, 6])
    random = Random(4)
    whole = distortion.apply(x, random.at(5, rows))
    parts = [distortion.apply(x[part], Random(4).at(5, rows[part])) for part in (slice(0, 3), slice(3, 7))]
    torch.testing.assert_close(torch.cat(parts), whole, rtol=0, atol=1e-12)
    assert torch.equal(distortion.apply(x, random.at(5, rows)), whole)
    assert not torch.allclose(distortion.apply(x, random.at(6, rows)), whole, atol=1e-3)


def test_a_whole_shift_moves_pixels_and_a_quarter_turn_turns_them(monkeypatch):
    """With the draws at their ends, places follow from the formula by hand."""
    draws = torch.zeros(1, 6, dtype=F64) + 0.5
    monkeypatch.setattr(Random, "uniform", lambda self, shape, dtype, device: draws.clone())
    x = torch.arange(12, dtype=F64).view(1, 12)
    draws[0, 4] = 1.0
    moved = ElasticDistortion(4, 0, (1, 3, 4), shift=1, fill=-1.0).apply(x, Random(0)).view(3, 4)
    picture = x.view(3, 4)
    torch.testing.assert_close(moved[:, :-1], picture[:, 1:])
    torch.testing.assert_close(moved[:, -1], torch.full((3,), -1.0, dtype=F64))
    edge = ElasticDistortion(4, 0, (1, 3, 4), shift=1).apply(x, Random(0)).view(3, 4)
    torch.testing.assert_close(edge[:, -1], picture[:, -1])
    draws[0] = torch.tensor([1.0, 0.5, 0.5, 0.5, 0.5, 0.5], dtype=F64)
    square = torch.arange(9, dtype=F64).view(1, 9)
    turned = ElasticDistortion(4, 0, (1, 3, 3), rotation=90).apply(square, Random(0)).view(3, 3)
    torch.testing.assert_close(turned, square.view(3, 3).rot90(1))


def test_channels_move_together_and_float32_stays():
    x = blobs(5).float()
    two = ElasticDistortion(4, 34, (2, 28, 28)).apply(torch.cat([x, x], 1), Random(1))
    one = ElasticDistortion(4, 34).apply(x, Random(1))
    assert torch.equal(two, torch.cat([one, one], 1))
    assert two.dtype == torch.float32


def test_it_describes_itself_for_checkpoints():
    distortion = ElasticDistortion(4, 34, shear=0.1)
    before = distortion.describe()
    distortion.apply(blobs(1), Random(1))
    assert distortion.describe() == before
    assert before["distortion"] == "ElasticDistortion"
    assert (before["sigma"], before["alpha"], before["shear"], before["fill"]) == (4.0, 34.0, 0.1, None)


def test_no_rows_give_no_rows():
    assert ElasticDistortion(4, 34).apply(torch.zeros(0, 784), Random(1)).shape == (0, 784)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sigma": 0.0}, "sigma"),
        ({"alpha": -1.0}, "alpha"),
        ({"rotation": 200.0}, "rotation"),
        ({"scaling": 1.0}, "scaling"),
        ({"shear": math.nan}, "shear"),
        ({"shift": -1}, "shift"),
        ({"fill": math.nan}, "fill"),
        ({"shape": (28, 28)}, "shape"),
        ({"shape": None}, "shape"),
    ],
)
def test_settings_outside_their_limits_are_refused(options, message):
    with pytest.raises(SettingError, match=message):
        ElasticDistortion(**{"sigma": 4.0, "alpha": 34.0, **options})


def test_rows_of_another_shape_are_refused():
    with pytest.raises(DataError, match=r"expected \(n, 784\)"):
        ElasticDistortion(4, 34).apply(torch.zeros(2, 256), Random(1))
