"""Checks of arrays, numbers and devices: each fails with a line that says what was given and what to do."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lamina.core import checks
from lamina.core.errors import DataError, DeviceError, SettingError


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.zeros(3), r"shape \(3,\).*reshape"),
        (np.zeros((2, 3, 4)), r"shape \(2, 3, 4\)"),
        (np.zeros((0, 3)), "0 row"),
        (np.zeros((3, 0)), "no features"),
        (np.array([["a", "b"]]), "expected numbers"),
        (np.zeros((2, 2), dtype=complex), "complex"),
    ],
)
def test_what_is_no_matrix_of_numbers_is_refused(X, message):
    with pytest.raises(DataError, match=message):
        checks.check_matrix(X)


def test_nan_and_infinity_are_named_by_row_and_column():
    X = np.ones((50, 7))
    X[31, 2] = np.nan
    X[40, 5] = -np.inf
    with pytest.raises(DataError, match=r"2 NaN or infinite value\(s\).*row\(s\) 31, 40, column\(s\) 2, 5"):
        checks.check_matrix(X)


def test_infinities_of_both_signs_do_not_cancel():
    X = np.ones((2, 2))
    X[0] = np.inf, -np.inf
    with pytest.raises(DataError, match="2 NaN or infinite"):
        checks.check_matrix(X)


def test_rows_beyond_the_first_chunk_are_read_too(monkeypatch):
    X = np.ones((1000, 4))
    X[999, 3] = np.nan
    monkeypatch.setattr(checks, "_chunks", lambda X: ((k, X[k : k + 100]) for k in range(0, 1000, 100)))
    with pytest.raises(DataError, match=r"row\(s\) 999"):
        checks.check_matrix(X)


def test_large_finite_numbers_are_finite():
    checks.check_matrix(np.full((3, 3), 1e308))


def test_feature_and_row_counts():
    checks.check_matrix(np.zeros((2, 3)), n_features=3, rows_at_least=2)
    with pytest.raises(DataError, match=r"3 features.*fitted with 4"):
        checks.check_matrix(np.zeros((2, 3)), n_features=4)
    with pytest.raises(DataError, match="at least 2"):
        checks.check_matrix(np.zeros((1, 3)), rows_at_least=2)


def test_pixels_are_recognised():
    with pytest.raises(DataError, match=r"values reach 255: scale pixels"):
        checks.check_unit_interval(np.array([[0.0, 255.0]]))
    with pytest.raises(DataError, match="standardise"):
        checks.check_unit_interval(np.array([[-0.1, 0.5]]))
    checks.check_unit_interval(np.array([[0.0, 1.0]]))


@pytest.mark.parametrize("check", [checks.check_unit_interval, checks.check_standardised])
def test_nan_passes_no_check_of_a_range(check):
    X = np.random.default_rng(0).uniform(0, 1, (30, 3))
    X[4, 1] = np.nan
    with pytest.raises(DataError, match=r"1 NaN .*row\(s\) 4, column\(s\) 1"):
        check(X)


def test_raw_data_are_no_standardised_data():
    X = np.random.default_rng(0).normal(size=(200, 3))
    checks.check_standardised(X)
    checks.check_standardised(np.concatenate([X, np.zeros((200, 1))], 1))  # a constant column is no scale
    for raw in (X * 100, X + 50, X / 100):
        with pytest.raises(DataError, match="not standardised"):
            checks.check_standardised(raw)


def test_column_moments_far_from_zero():
    X = np.random.default_rng(0).normal(size=(400, 2)) + 1e8
    mean, deviation = checks.column_moments(X)
    np.testing.assert_allclose(mean, X.mean(0), rtol=1e-14)
    np.testing.assert_allclose(deviation, X.std(0), rtol=1e-6)


def test_constant_columns():
    X = np.array([[1.0, 2.0, 3.0], [1.0, 2.5, 3.0]])
    assert checks.constant_columns(X).tolist() == [0, 2]


@pytest.mark.parametrize("value", [True, "1", None, 2.5, float("nan"), -1, 11])
def test_integers_within_limits(value):
    with pytest.raises(SettingError, match=r"n is .*expected an integer in \[0, 10\]"):
        checks.check_number("n", value, low=0, high=10, integer=True)


def test_numbers_of_numpy_are_numbers():
    checks.check_number("n", np.int32(3), integer=True)
    checks.check_number("x", np.float32(0.5), low=0, high=1)


def test_devices():
    assert checks.check_device(None) == torch.device("cpu")
    with pytest.raises(DeviceError, match="expected cpu"):
        checks.check_device("nonsense")
    with pytest.raises(DeviceError, match="CUDA device"):
        checks.check_device(f"cuda:{torch.cuda.device_count() + 3}")
