"""Schedules of temperatures: the paper's, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from lamina.core.errors import SettingError
from lamina.inference.betas import as_betas, salakhutdinov_betas


def test_the_papers_schedule_has_its_three_step_lengths():
    """Salakhutdinov and Murray 2008: 500 steps of 0.001, 4,000 of 0.0001, 10,000 of 0.00001."""
    betas = np.array(salakhutdinov_betas())
    paper = np.unique(np.r_[np.linspace(0, 0.5, 501), np.linspace(0.5, 0.9, 4001), np.linspace(0.9, 1, 10001)].round(9))
    assert len(betas) == 14_501
    np.testing.assert_allclose(betas, paper, atol=1e-12)


@pytest.mark.parametrize("n", [1, 2, 3, 29, 100, 1001])
def test_any_number_of_temperatures_goes_from_0_to_1(n):
    betas = salakhutdinov_betas(n)
    assert len(betas) == n + 1
    assert (betas[0], betas[-1]) == (0.0, 1.0)
    assert (np.diff(betas) > 0).all()
    assert as_betas(n) == betas


def test_a_schedule_of_ones_own_is_taken_as_it_is():
    assert as_betas(np.linspace(0, 1, 4)) == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert as_betas([0, 1]) == [0.0, 1.0]
    assert len(as_betas(None)) == 14_501


@pytest.mark.parametrize(
    ("betas", "words"),
    [
        ([0.0, 0.5, 0.4, 1.0], "0.5 to 0.4"),
        ([0.0, 0.5, 0.5, 1.0], "larger"),
        ([0.1, 1.0], "from 0.1 to 1"),
        ([0.0, 0.9], "from 0 to 0.9"),
        ([0.0, float("nan"), 1.0], "nan"),
        ([0.0], "1 value"),
        ([], "no value"),
        (["a", "b"], "no number"),
        ("0,1", "expected a number"),
        (0, "number of temperatures"),
        (True, "expected a number"),
        (2.5, "expected a number"),
    ],
)
def test_bad_schedules_are_refused(betas, words):
    with pytest.raises(SettingError, match=words):
        as_betas(betas)
