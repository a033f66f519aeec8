"""Numbers that change with the epochs."""

from __future__ import annotations

import pytest

from lamina.core.errors import SettingError
from lamina.training import Schedule, falling, warm_momentum
from lamina.training.schedules import as_schedule


def test_steps_hold_until_the_next_point():
    schedule = Schedule(((1, 0.5), (5, 0.9)))
    assert [schedule(e) for e in (0, 1, 4.99, 5, 100)] == [0.5, 0.5, 0.5, 0.9, 0.9]


def test_lines_run_from_point_to_point():
    schedule = Schedule(((1, 1.0), (3, 0.0), (4, 2.0)), linear=True)
    assert [schedule(e) for e in (0, 1, 2, 3, 3.5, 9)] == pytest.approx([1.0, 1.0, 0.5, 0.0, 1.0, 2.0])


def test_a_number_is_a_constant_schedule():
    assert as_schedule(0.3)(17.5) == 0.3
    schedule = Schedule(((0, 1),))
    assert as_schedule(schedule) is schedule


def test_named_schedules():
    rate = falling(1.0, 10)
    assert [rate(e) for e in (0, 5, 7.5, 10)] == pytest.approx([1.0, 1.0, 0.505, 0.01])
    momentum = warm_momentum(20)
    assert (momentum(4.9), momentum(5)) == (0.5, 0.9)
    assert (warm_momentum(4)(1.9), warm_momentum(4)(2)) == (0.5, 0.9)


@pytest.mark.parametrize("points", [(), ((3, 1.0), (2, 0.5))])
def test_points_out_of_order_are_refused(points):
    with pytest.raises(SettingError, match="in order of epoch"):
        Schedule(points)
