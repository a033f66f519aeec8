"""Scaling: which units the values ask for, and numbers that come back as they were."""

from __future__ import annotations

import numpy as np
import pytest

from lamina.core.errors import DataError, SettingError
from lamina.frontends import ScaledRows, Scaling, choose_scaling, scaling
from lamina.frontends.scaling import scale_rows


def normal(n=50, width=4, seed=0):
    return np.random.default_rng(seed).normal(3.0, [[0.1, 1.0, 10.0, 100.0][:width]], (n, width)).astype(np.float32)


def test_bytes_of_a_known_range_go_to_bernoulli_units():
    X = np.random.default_rng(0).integers(0, 200, (20, 5), dtype=np.uint8)
    found = choose_scaling(X, known_range=(0.0, 255.0))
    assert found.units == "bernoulli"
    assert np.array_equal(found.apply(X), (X / 255).astype(np.float32))
    assert "[0, 255]" in found.why


def test_a_known_range_below_zero_is_moved_to_the_unit_interval():
    found = choose_scaling(np.array([[-1.0, 1.0], [0.0, 0.5]]), known_range=(-1.0, 1.0))
    assert found.apply(np.array([[-1.0, 1.0]])).tolist() == [[0.0, 1.0]]


def test_bytes_without_a_known_range_are_columns_of_a_table():
    X = np.random.default_rng(0).integers(0, 200, (20, 5), dtype=np.uint8)
    assert choose_scaling(X).units == "gaussian"


def test_values_outside_the_known_range_fall_back_to_what_they_show():
    assert choose_scaling(np.array([[0.0, 3.0], [1.0, 2.0]]), known_range=(0.0, 1.0)).units == "gaussian"


@pytest.mark.parametrize("X", [np.random.default_rng(0).random((9, 3)), np.eye(4), np.eye(4, dtype=bool)])
def test_the_unit_interval_is_left_as_it_is(X):
    found = choose_scaling(X)
    assert found.units == "bernoulli"
    assert np.array_equal(found.apply(X), X.astype(np.float32))


def test_anything_else_is_standardised():
    X = normal(500)
    found = choose_scaling(X)
    assert found.units == "gaussian"
    scaled = found.apply(X).astype(np.float64)
    assert np.allclose(scaled.mean(0), 0, atol=1e-5)
    assert np.allclose(scaled.std(0), 1, atol=1e-5)


def test_gaussian_units_may_be_asked_for():
    found = choose_scaling(np.random.default_rng(0).random((50, 3)), "gaussian")
    assert found.units == "gaussian"
    assert not np.array_equal(found.factor, np.ones(3))


def test_gaussian_units_ignore_a_known_range():
    X = np.random.default_rng(0).integers(0, 200, (20, 5), dtype=np.uint8)
    assert choose_scaling(X, "gaussian", (0.0, 255.0)).units == "gaussian"


def test_bernoulli_units_refuse_values_outside_the_unit_interval():
    with pytest.raises(DataError, match=r"need \[0, 1\]"):
        choose_scaling(np.array([[0.0, 255.0]]), "bernoulli")


def test_unknown_units_are_refused():
    with pytest.raises(SettingError, match="expected auto, bernoulli or gaussian"):
        choose_scaling(np.zeros((2, 2)), "softmax")


def test_a_constant_column_becomes_zero_and_comes_back():
    X = np.column_stack([normal(20, 1), np.full(20, 7.0)])
    found = choose_scaling(X)
    assert (found.apply(X)[:, 1] == 0).all()
    assert np.isfinite(found.apply(X)).all()
    assert (found.invert(found.apply(X))[:, 1] == 7.0).all()


@pytest.mark.parametrize("known_range", [None, (-500.0, 500.0)])
def test_invert_undoes_apply(known_range):
    X = normal()
    found = choose_scaling(X, known_range=known_range)
    assert np.allclose(found.invert(found.apply(X)), X, rtol=1e-5, atol=1e-4)


def test_standardised_units_mean_the_same_in_other_units_of_measurement():
    X = normal(200).astype(np.float64)
    one, other = choose_scaling(X), choose_scaling(1000 * X - 7)
    assert np.allclose(one.apply(X), other.apply(1000 * X - 7), atol=1e-5)


def test_scaling_is_chosen_on_the_rows_it_is_given_alone():
    X = normal()
    found = choose_scaling(X)
    assert np.array_equal(choose_scaling(X.copy()).shift, found.shift)
    assert found.apply(np.full((1, 4), 1e6)).max() > 1000  # new rows neither clip nor move it


@pytest.mark.parametrize("select", [np.array([3, 1, 30]), slice(5, 17), slice(None), np.arange(50) % 2 == 0])
def test_a_view_of_a_memory_map_gives_what_a_copy_would(tmp_path, select):
    np.save(tmp_path / "rows.npy", normal())
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
    found = choose_scaling(mapped)
    view = ScaledRows(mapped, found)
    assert np.array_equal(view[select], found.apply(mapped)[select])
    assert (len(view), view.shape, view.ndim, view.dtype, view.size, view.nbytes) == (50, (50, 4), 2, "f4", 200, 800)


def test_large_rows_are_scaled_as_they_are_read(monkeypatch):
    X = normal()
    found = choose_scaling(X)
    assert isinstance(scale_rows(X, found), np.ndarray)
    monkeypatch.setattr(scaling, "MATERIALISE", 50 * 4 * 4 - 1)
    assert isinstance(scale_rows(X, found), ScaledRows)
    assert np.array_equal(scale_rows(X, found)[:], found.apply(X))


def test_a_view_and_a_copy_teach_the_same_weights():
    import torch

    from lamina import RBM, ContrastiveDivergence, fit
    from lamina.units import Gaussian

    X = normal(40)
    found = choose_scaling(X)
    learnt = []
    for data in (found.apply(X), ScaledRows(X, found)):
        rbm = RBM(Gaussian(4), 3)
        fit(rbm, data, ContrastiveDivergence(), epochs=2, batch_size=10, learning_rate=0.01, random_state=0)
        learnt.append(rbm.W.detach().clone())
    assert torch.equal(*learnt)
    assert learnt[0].any()


def test_identity_scaling_only_changes_the_type():
    same = Scaling("bernoulli", np.zeros(2), np.ones(2), "")
    assert same.apply(np.array([[0, 1]], np.uint8)).dtype == np.float32
