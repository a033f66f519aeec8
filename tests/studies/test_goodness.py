"""Likelihoods in the report: exact ones equal the sum, estimates agree with it, and doubts are passed on."""

from __future__ import annotations

import pytest
import torch

from lamina.core.random import Random
from lamina.core.storage import read_json
from lamina.inference import binary_states, exact_log_partition
from lamina.models import MLP
from lamina.models.energy import DBM, DBN, RBM, ClassificationRBM
from lamina.studies import goodness as module
from lamina.studies.goodness import Effort, Material, goodness, trace_value
from lamina.studies.trace import Trace

EFFORT = Effort(temperatures=150, chains=100, conservative=150)
ROWS = Random(3).bernoulli(torch.full((150, 6), 0.5, dtype=torch.float64))
Y = torch.arange(150) % 2
MODELS = {
    "rbm": lambda: RBM(6, 4, dtype=torch.float64),
    "classes": lambda: ClassificationRBM(6, 2, 4, dtype=torch.float64),
    "dbn": lambda: DBN([6, 4, 3], 2, dtype=torch.float64),
    "dbm": lambda: DBM(6, 4, 3, dtype=torch.float64),
}


def strong(name: str):
    model = MODELS[name]()
    with torch.no_grad():
        for k, parameter in enumerate(model.parameters()):
            parameter.copy_(0.6 * Random(5).child(k).normal(parameter.shape, parameter.dtype))
    return model


@torch.no_grad()
def exact_log_p(name: str, model) -> torch.Tensor:
    """log p(v) of each of `ROWS` by enumeration."""
    if name in ("rbm", "classes"):
        return -model.free_energy(ROWS) - exact_log_partition(model.as_rbm() if name == "classes" else model)
    if name == "dbm":
        upper = binary_states(3, torch.float64)
        joint = torch.cat([ROWS.repeat_interleave(len(upper), 0), upper.repeat(len(ROWS), 1)], 1)
        log_p = -model.as_rbm().free_energy(joint).view(len(ROWS), -1)
        return torch.logsumexp(log_p, 1) - exact_log_partition(model.as_rbm())
    h = binary_states(4, torch.float64)
    log_h = -model.free_energy_top(h) - exact_log_partition(model.top)
    layer = model.directed[0]
    log_v = torch.stack([layer.log_p_v_from_h(ROWS, one.expand(len(ROWS), -1)) for one in h], 1)
    return torch.logsumexp(log_v + log_h, 1)


def by_what(found) -> dict:
    return {row["what"]: row for row in found.measured}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("exactly", [True, False])
def test_likelihoods_and_bounds_against_enumeration(name, exactly, monkeypatch):
    if not exactly:
        monkeypatch.setattr(module, "EXACT_UP_TO", 0)
    model = strong(name)
    found = goodness(model, Material(ROWS, Y, ROWS), EFFORT, Random(1))
    rows = by_what(found)
    true = float(exact_log_p(name, model).mean())
    (what,) = [what for what in rows if what.endswith(", test rows")]
    row = rows[what]
    assert row["unit"] == "nats per row"
    if exactly:
        assert not [w for w in rows if "conservative" in w]
    else:
        assert row["low"] < row["ours"] < row["high"]
    slack = 1e-9 if exactly else row["high"] - row["ours"]
    if "bound" in what:
        # five draws of the recognition pass per row: a standard error of about 0.1 nats over 150 rows
        assert true - 3 < row["ours"] < true + slack + 0.3
    else:
        assert abs(row["ours"] - true) <= slack
    assert found.warnings == []


@pytest.mark.parametrize("name", ["rbm", "dbm", "classes"])
def test_the_conservative_side_is_below_within_its_error(name, monkeypatch):
    monkeypatch.setattr(module, "EXACT_UP_TO", 0)
    model = strong(name)
    rows = by_what(goodness(model, Material(ROWS, Y, ROWS), EFFORT, Random(1)))
    (what,) = [what for what in rows if "conservative" in what]
    few = ROWS[: module.FEW_ROWS]
    true = exact_log_p(name, model)[: len(few)]
    if name == "classes":
        true = true + model.log_p_y_from_v(few).detach()[torch.arange(len(few)), Y[: len(few)]]
    assert rows[what]["ours"] < float(true.mean()) + 0.2
    assert f"mean of {len(few)} rows" in rows[what]["note"]


def test_doubtful_estimates_are_said_to_be(monkeypatch):
    monkeypatch.setattr(module, "EXACT_UP_TO", 0)
    model = RBM(6, 4, dtype=torch.float64)
    with torch.no_grad():
        model.W.copy_(4.0 * Random(5).normal(model.W.shape, model.W.dtype))
    found = goodness(model, Material(ROWS, None, ROWS), Effort(1, 100, 0), Random(1))
    assert len(found.warnings) == 1
    assert "may be far off" in found.warnings[0]


def test_models_without_an_estimate_give_nothing():
    assert goodness(MLP((6, 2)), Material(ROWS, None, ROWS), EFFORT, Random(0)).measured == []
    assert trace_value(MLP((6, 2)), ROWS, ROWS, EFFORT, Random(0)) is None


def test_the_value_of_a_trace_is_that_of_the_table():
    model = strong("rbm")
    value = trace_value(model, ROWS, ROWS, EFFORT, Random(0))
    assert value == pytest.approx(float(exact_log_p("rbm", model).mean()))


def test_a_trace_keeps_its_values_and_asks_for_none_twice(tmp_path):
    class Record:
        def __init__(self, epoch: int) -> None:
            self.epoch = epoch

    asked = []
    path = tmp_path / "trace.json"
    trace = Trace(path, lambda: asked.append(0) or float(len(asked)))
    for epoch in range(1, 26):
        trace.on_epoch(Record(epoch), 25)
    assert sorted(trace.values) == [3, 6, 9, 12, 15, 18, 21, 24, 25]
    again = Trace(path, lambda: pytest.fail("asked twice"))
    for epoch in range(1, 26):
        again.on_epoch(Record(epoch), 25)
    assert again.values == trace.values
    assert read_json(path)["3"] == 1.0
