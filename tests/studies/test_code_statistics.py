"""Statistics of codes against what they are on codes written by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lamina.models import RBM, Stack
from lamina.studies import code_statistics as module
from lamina.studies.code_statistics import code_statistics, histogram, hoyer_sparsity, largest
from lamina.studies.preparation import open_data, prepare
from small_studies import archive


@pytest.mark.parametrize("n", [2, 5, 400])
def test_hoyers_sparsity_at_its_ends(n):
    one = np.zeros((3, n))
    one[:, 1] = -4.0
    assert hoyer_sparsity(one) == pytest.approx(1.0)
    assert hoyer_sparsity(np.full((3, n), 0.3)) == pytest.approx(0.0, abs=1e-12)
    assert hoyer_sparsity(np.zeros((3, n))) == 1.0


def test_hoyers_sparsity_in_between():
    """Half of 16 units equally active: ‖h‖₁/‖h‖₂ = √8, (4 − √8)/3."""
    code = np.zeros((1, 16))
    code[0, ::2] = 0.7
    assert hoyer_sparsity(code) == pytest.approx((4 - 8**0.5) / 3)
    assert hoyer_sparsity(10 * code) == pytest.approx(hoyer_sparsity(code))  # whatever the scale


def test_a_single_unit_has_no_sparsity():
    assert hoyer_sparsity(np.ones((4, 1))) is None


def test_dead_units_and_near_zero_on_a_code_by_hand(monkeypatch):
    code = np.array([[1.0, 0.0, 0.005, 0.0], [0.5, 0.0, -0.004, 0.2]], np.float32)
    found = module._of_code(code)
    assert found["dead"] == 2  # the second is 0, the third below 1 % of 1
    assert found["near_zero"] == 5 / 8
    assert found["mean_activity"] == pytest.approx(np.abs(code).mean())


def test_a_code_of_zeros():
    found = module._of_code(np.zeros((4, 3), np.float32))
    assert (found["dead"], found["near_zero"], found["mean_activity"], found["hoyer"]) == (3, 1.0, 0.0, 1.0)
    assert sum(found["histogram"]["shares"]) == pytest.approx(1)


def test_a_very_sparse_code_keeps_its_scale():
    size = np.zeros((200, 100))
    size[0, 0] = 2.0  # one of 20,000: the percentile is 0
    assert largest(size) == 2.0


@pytest.mark.parametrize(("low", "high"), [(0.2, 0.9), (-1.0, 1.0), (-3.0, -1.0)])
def test_histograms_hold_zero_and_every_value(low, high):
    found = histogram(np.random.default_rng(0).uniform(low, high, (500, 4)))
    assert found["low"] <= 0 <= found["high"]
    assert found["low"] == pytest.approx(min(0, low), abs=0.01)
    assert found["high"] == pytest.approx(max(0, high), abs=0.01)
    assert len(found["shares"]) == module.BINS
    assert sum(found["shares"]) == pytest.approx(1)


def test_errors_are_those_of_rows_decoded_from_each_layer(tmp_path):
    prepared = prepare(open_data(str(archive(tmp_path / "a.npz"))))
    stack = Stack([RBM(6, 5, random_state=1), RBM(5, 3, random_state=2)])
    with torch.no_grad():
        stack[0].W.mul_(200)
    found = code_statistics(prepared, stack, 0)
    assert [(one["layer"], one["units"]) for one in found] == [(1, 5), (2, 3)]
    for part, name in ((prepared.X, "error_train"), (prepared.X_test, "error_test")):
        x = torch.from_numpy(np.asarray(part))
        for depth, one in enumerate(found, start=1):
            with torch.no_grad():
                back = stack.decode(stack.encode(x, depth), depth)
            assert one[name] == pytest.approx(float((back - x).square().mean()), rel=1e-5)


def test_without_test_rows_there_is_no_error_of_them(tmp_path):
    np.save(tmp_path / "a.npy", np.random.default_rng(0).random((20, 4)))
    prepared = prepare(open_data(str(tmp_path / "a.npy")))
    assert [one["error_test"] for one in code_statistics(prepared, Stack([RBM(4, 3)]), 0)] == [None]


def test_no_more_rows_than_allowed_are_looked_at(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MOST_ROWS", 7)
    seen = []
    monkeypatch.setattr(module, "_codes", lambda stack, X: seen.append(len(X)) or [])
    code_statistics(prepare(open_data(str(archive(tmp_path / "a.npz")))), Stack([RBM(6, 3)]), 0)
    assert seen == [7, 7]
