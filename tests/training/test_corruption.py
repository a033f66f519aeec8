"""Corruption of inputs: rates within four standard errors, values that it may take, and what is drawn again."""

from __future__ import annotations

import math

import pytest
import torch

from lamina.core.errors import SettingError
from lamina.core.random import Random
from lamina.training import GaussianNoise, Masking, SaltAndPepper
from lamina.training.corruption import Corruption

ROWS = 0.25 + 0.5 * Random(8).uniform((400, 250), torch.float64)  # none is 0 or 1
N = ROWS.numel()
ALL = [Masking(0.3), SaltAndPepper(0.3), GaussianNoise(0.3)]


def share(mask: torch.Tensor) -> float:
    return float(mask.double().mean())


def four_errors(p: float) -> float:
    return 4 * math.sqrt(p * (1 - p) / N)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_masking_sets_a_share_to_zero_and_leaves_the_rest(rate):
    found = Masking(rate).apply(ROWS, Random(1))
    assert share(found == 0) == pytest.approx(rate, abs=four_errors(rate))
    assert torch.equal(found[found != 0], ROWS[found != 0])


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-2.0, 3.0)])
def test_salt_and_pepper_replaces_by_both_ends_alike(low, high):
    found = SaltAndPepper(0.4, low=low, high=high).apply(ROWS, Random(1))
    assert share(found == low) == pytest.approx(0.2, abs=four_errors(0.2))
    assert share(found == high) == pytest.approx(0.2, abs=four_errors(0.2))
    kept = (found != low) & (found != high)
    assert torch.equal(found[kept], ROWS[kept])


def test_gaussian_noise_has_its_moments():
    noise = GaussianNoise(0.7).apply(ROWS, Random(1)) - ROWS
    assert float(noise.mean()) == pytest.approx(0, abs=4 * 0.7 / math.sqrt(N))
    assert float(noise.square().mean()) == pytest.approx(0.49, abs=4 * 0.49 * math.sqrt(2 / N))


def test_masks_of_columns_are_independent():
    masked = (Masking(0.5).apply(ROWS, Random(1)) == 0).double()
    pairs = (masked[:, :-1] * masked[:, 1:]).mean()
    assert float(pairs) == pytest.approx(0.25, abs=4 * math.sqrt(0.25 * 0.75 / N) * 2)


@pytest.mark.parametrize("noise", ALL, ids=repr)
def test_drawn_anew_at_each_step_and_tied_to_the_row(noise):
    before = ROWS.clone()
    places = torch.arange(len(ROWS))
    random = Random(4)
    first = noise.apply(ROWS, random.at(0, places)).clone()
    assert not torch.equal(noise.apply(ROWS, random.at(1, places)), first)
    assert torch.equal(noise.apply(ROWS, random.at(0, places)), first)
    some = torch.tensor([7, 3, 250])
    assert torch.equal(noise.apply(ROWS[some], random.at(0, some)), first[some])
    assert torch.equal(ROWS, before)


@pytest.mark.parametrize("nothing", [Masking(0.0), SaltAndPepper(0.0), GaussianNoise(0.0)], ids=repr)
def test_no_noise_changes_nothing(nothing):
    assert torch.equal(nothing.apply(ROWS, Random(0)), ROWS)


def test_everything_may_go():
    assert float(Masking(1.0).apply(ROWS, Random(0)).abs().sum()) == 0
    ends = SaltAndPepper(1.0).apply(ROWS, Random(0))
    assert bool(((ends == 0) | (ends == 1)).all())


@pytest.mark.parametrize("noise", ALL, ids=repr)
def test_pictures_and_empty_batches_keep_their_shape(noise):
    pictures = ROWS[:40].view(40, 1, 10, 25)
    flat = noise.apply(ROWS[:40], Random(2).at(0, torch.arange(40)))
    assert torch.equal(noise.apply(pictures, Random(2).at(0, torch.arange(40))).view(40, 250), flat)
    nothing = torch.arange(0)
    assert noise.apply(ROWS[:0], Random(2).at(0, nothing)).shape == (0, 250)


def test_settings_are_told_and_checked():
    assert SaltAndPepper(0.1).describe() == {"corruption": "SaltAndPepper", "rate": 0.1, "low": 0.0, "high": 1.0}
    assert all(isinstance(noise, Corruption) for noise in ALL)
    with pytest.raises(SettingError, match=r"rate is 1.5; expected a number in \[0.0, 1.0\]"):
        Masking(1.5)
    with pytest.raises(SettingError, match=r"rate is '0\.1'"):
        SaltAndPepper("0.1")  # type: ignore[arg-type]
    with pytest.raises(SettingError, match=r"high is 0\.0"):
        SaltAndPepper(0.1, low=0.5, high=0.0)
    with pytest.raises(SettingError, match=r"sd is -1"):
        GaussianNoise(-1)
