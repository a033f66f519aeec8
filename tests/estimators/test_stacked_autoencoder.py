"""`StackedAutoencoder`: what is learnt greedily, what fine-tuning adds, codes and rows back (`test_battery` has the
checks of scikit-learn)."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lamina.core.errors import DataError, SettingError
from lamina.estimators import StackedAutoencoder
from lamina.estimators.deep_layers import LAYERS, default_sizes
from lamina.training.layer_kinds import KINDS

SHORT = {"hidden": (8, 3), "epochs_pretrain": 3, "epochs": 3, "random_state": 0}


def rows(n=80, seed=0):
    """Points on a plane in six dimensions, with a little noise."""
    generator = np.random.default_rng(seed)
    plane = np.random.default_rng(9).normal(size=(2, 6))
    return generator.normal(size=(n, 2)) @ plane + 0.05 * generator.normal(size=(n, 6)) + 3.0


@pytest.mark.parametrize("layer", LAYERS)
def test_every_kind_of_layer(layer):
    unit = 1 / (1 + np.exp(-rows(30)))
    for X, kind in ((rows(30), "gaussian"), (unit, "bernoulli")):
        found = StackedAutoencoder(layer=layer, **SHORT).fit(X)
        assert found.visible_ == kind
        assert type(found.stack_[0]) is type(KINDS[layer].build(6, 8, kind))
        assert found.transform(X).shape == (30, 3)
        back = found.inverse_transform(found.transform(X))
        assert back.shape == X.shape
        assert np.isfinite(back).all()
        assert len(found.history_) == 3


def test_fine_tuning_gives_rows_back_better_than_the_layers_and_than_means():
    X = rows()
    options = {"hidden": (12, 2), "epochs_pretrain": 5, "epochs": 150, "random_state": 0, "layer": "autoencoder"}
    tuned = StackedAutoencoder(**options).fit(X)
    greedy = StackedAutoencoder(fine_tune=False, **options).fit(X)
    assert tuned.score(X) > greedy.score(X)
    assert tuned.score(X) > -0.5  # −1 is what the means would give
    assert len(greedy.history_) == 2


def test_without_fine_tuning_the_code_is_the_stacks():
    X = rows()
    found = StackedAutoencoder(fine_tune=False, dtype="float64", **SHORT).fit(X)
    scaled = torch.from_numpy((X - X.mean(0)) / X.std(0))
    with torch.no_grad():
        expected = found.stack_.encode(scaled)
        assert np.allclose(found.transform(X), expected)
        back = found.stack_.decode(expected).numpy() * X.std(0) + X.mean(0)
    assert np.allclose(found.inverse_transform(found.transform(X)), back)


def test_the_score_is_minus_the_mean_square_of_scaled_values():
    X = rows()
    found = StackedAutoencoder(dtype="float64", **SHORT).fit(X)
    back = found.inverse_transform(found.transform(X))
    assert found.score(X) == pytest.approx(-np.mean(((back - X) / X.std(0)) ** 2))


def test_fine_tuning_leaves_the_layers_as_greedy_learning_left_them():
    X = rows()
    tuned, greedy = (StackedAutoencoder(fine_tune=which, **SHORT).fit(X) for which in (True, False))
    for one, other in zip(tuned.stack_.state_dict().values(), greedy.stack_.state_dict().values(), strict=True):
        assert torch.equal(one, other)
    assert not torch.equal(tuned.network_.W[0], tuned.stack_[0].W)


@pytest.mark.parametrize(("n", "sizes"), [(1, (8, 4)), (4, (16, 8)), (64, (256, 128)), (784, (500, 250))])
def test_sizes_follow_the_number_of_features(n, sizes):
    assert default_sizes(n) == sizes


def test_sizes_unless_told():
    found = StackedAutoencoder(epochs_pretrain=1, epochs=1, random_state=0).fit(rows(20))
    assert found.stack_.sizes == (24, 12)
    assert found.transform(rows(5)).shape == (5, 12)


def test_passes_per_layer():
    found = StackedAutoencoder(**{**SHORT, "epochs_pretrain": (2, 5)}).fit(rows(20))
    assert [len(history) for history in found.history_] == [2, 5, 3]


def test_codes_of_another_width():
    found = StackedAutoencoder(**SHORT).fit(rows())
    with pytest.raises(DataError, match="2 features"):
        found.inverse_transform(np.zeros((4, 2)))
    with pytest.raises(DataError, match="NaN"):
        found.inverse_transform(np.full((4, 3), np.nan))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"layer": "denoise"}, "did you mean 'denoising'"),
        ({"layer": "sparse-coding"}, "layer is 'sparse-coding'"),
        ({"fine_tune": "yes"}, "fine_tune is 'yes'"),
        ({"hidden": (5, 0)}, r"hidden\[1\]"),
        ({"visible": "poisson"}, "visible"),
    ],
)
def test_settings_outside_their_limits(options, words):
    with pytest.raises(SettingError, match=words):
        StackedAutoencoder(**{**SHORT, **options}).fit(rows())
