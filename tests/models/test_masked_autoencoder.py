"""The masked autoencoder: how many patches are hidden, which, that nothing hidden is read, and what a guess is."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lamina.core.errors import SettingError
from lamina.core.random import Random
from lamina.models.autoencoders import MaskedAutoencoder
from lamina.models.networks import VisionTransformer
from lamina.storage import load, save

SHAPE = (1, 4, 6)


def images(n: int = 7, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).random((n, 24)))


def model(**options) -> MaskedAutoencoder:
    chosen = {"width": 8, "depth": 1, "heads": 2, "hidden": 6, "decoder_width": 4, "decoder_heads": 1}
    return MaskedAutoencoder(SHAPE, 2, **(chosen | {"masked": 0.5, "dtype": torch.float64} | options))


def patches(v: torch.Tensor) -> torch.Tensor:
    return v.view(-1, 2, 2, 3, 2).permute(0, 1, 3, 2, 4).reshape(-1, 6, 4)


@pytest.mark.parametrize(("masked", "seen"), [(0.75, 12), (0.5, 24), (0.6, 19), (0.9, 4), (1 / 49, 48)])
def test_the_number_of_visible_patches_is_exact(masked, seen):
    chosen = MaskedAutoencoder((1, 28, 28), 4, width=8, depth=0, decoder_width=8, masked=masked)
    assert chosen.n_seen == seen
    visible, hidden = chosen.draw_places(40, Random(0))
    assert visible.shape == (40, seen)
    assert torch.equal(torch.cat([visible, hidden], 1).sort(1).values, torch.arange(49).expand(40, -1))


def test_masks_are_each_rows_own_uniform_and_reproducible():
    chosen = model()
    rows = torch.arange(3000)
    stream = Random(1).child("masks")
    visible, _ = chosen.draw_places(3000, stream.at(4, rows))
    again, _ = chosen.draw_places(3000, Random(1).child("masks").at(4, rows))
    later, _ = chosen.draw_places(3000, stream.at(5, rows))
    some, _ = chosen.draw_places(10, stream.at(4, rows[50:60]))  # a row's mask does not hang on its batch
    assert torch.equal(visible, again)
    assert not torch.equal(visible, later)
    assert torch.equal(visible[50:60], some)
    counts = torch.bincount(visible.sort(1).values @ torch.tensor([36, 6, 1]))
    counts = counts[counts > 0].double()
    assert len(counts) == 20  # of 6 patches 3 are visible: all 20 choices occur, equally often
    chi_square = float(((counts - 150) ** 2 / 150).sum())
    assert chi_square < 43.8  # 0.999 quantile for 19 degrees of freedom


@pytest.mark.parametrize("pooling", ["mean", "class"])
def test_a_guess_never_reads_what_is_hidden(pooling):
    chosen = model(pooling=pooling)
    v = images()
    visible, hidden = chosen.draw_places(len(v), Random(0))
    guess = chosen.predict(v, visible, hidden)
    assert guess.shape == (7, 3, 4)
    assert torch.equal(chosen.predict(chosen.hide(v, hidden), visible, hidden), guess)  # NaN in the holes
    assert not torch.allclose(chosen.predict(v + 0.1, visible, hidden), guess)


def test_a_guess_does_not_hang_on_the_order_of_patches():
    chosen = model()
    v = images()
    visible, hidden = chosen.draw_places(len(v), Random(0))
    guess = chosen.predict(v, visible, hidden)
    torch.testing.assert_close(chosen.predict(v, visible.flip(1), hidden.flip(1)), guess.flip(1))


def test_holes_and_fillings_are_where_they_belong():
    chosen = model()
    v = images()
    visible, hidden = chosen.draw_places(len(v), Random(3))
    holes = patches(torch.isnan(chosen.hide(v, hidden)))
    for row in range(len(v)):
        assert holes[row, hidden[row]].all()
        assert not holes[row, visible[row]].any()
    filled, truth, guess = patches(chosen.fill_in(v, visible, hidden)), patches(v), chosen.predict(v, visible, hidden)
    for row in range(len(v)):
        assert torch.equal(filled[row, visible[row]], truth[row, visible[row]])
        assert torch.equal(filled[row, hidden[row]], guess[row])
        assert torch.equal(chosen.targets(v, hidden)[row], truth[row, hidden[row]])


def test_normalised_targets_and_their_way_back():
    chosen = model(normalise=True)
    v = images()
    visible, hidden = chosen.draw_places(len(v), Random(3))
    targets = chosen.targets(v, hidden)
    torch.testing.assert_close(targets.mean(2), torch.zeros(7, 3, dtype=torch.float64), atol=1e-12, rtol=0)
    np.testing.assert_allclose(targets.numpy().std(2), 1, atol=1e-3)
    chosen.predict = lambda v, visible, hidden: chosen.targets(v, hidden)  # a perfect guess gives the image itself
    torch.testing.assert_close(chosen.fill_in(v, visible, hidden), v)


def test_as_a_layer_it_pools_the_encoder_and_has_no_way_back():
    chosen = model()
    v = images()
    assert torch.equal(chosen.mean_h_from_v(v), chosen.encoder.mean_h_from_v(v))
    assert (chosen.n_visible, chosen.n_hidden) == (24, 8)
    with pytest.raises(SettingError, match="fill_in"):
        chosen.mean_v_from_h(chosen.mean_h_from_v(v))
    network = chosen.classifier(3)
    assert isinstance(network, VisionTransformer)
    assert torch.equal(network.mean_h_from_v(v), chosen.mean_h_from_v(v))


def test_the_data_mean_sets_what_it_says_at_first():
    chosen = model()
    mean = images(1)[0]
    chosen.initialise(2, mean)
    assert torch.equal(chosen.b_out, patches(mean[None])[0].mean(0))


def test_files_bring_back_the_same_guesses(tmp_path):
    chosen = model(normalise=True, pooling="class", decoder_depth=2)
    save(chosen, tmp_path)
    found = load(tmp_path)
    v = images()
    places = chosen.draw_places(len(v), Random(0))
    assert found.spec() == chosen.spec()
    assert torch.equal(found.predict(v, *places), chosen.predict(v, *places))
    assert torch.equal(found.fill_in(v, *places), chosen.fill_in(v, *places))


def test_what_hides_nothing_or_all_is_refused():
    for masked in (0.0, 0.9, 1.0, -1, "half"):
        with pytest.raises(SettingError, match="masked"):
            model(masked=masked)
    for options in ({"decoder_width": 6}, {"decoder_width": 8, "decoder_heads": 3}, {"decoder_depth": -1}):
        with pytest.raises(SettingError):
            model(**options)
