"""Losses against closed forms row by row, weights of rows and of classes, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import special, stats

from lamina.core.errors import DataError, LabelError, SettingError
from lamina.training.losses import NAMES, Loss

GENERATOR = np.random.default_rng(0)
OUT = GENERATOR.normal(size=(9, 3))
CODES = GENERATOR.permutation(np.arange(9) % 3)
REAL = GENERATOR.normal(size=(9, 3))
YES = (GENERATOR.random((9, 3)) < 0.5).astype(float)
COUNTS = GENERATOR.poisson(2.0, size=(9, 3)).astype(float)
TARGETS = {"cross-entropy": CODES, "squared": REAL, "binary cross-entropy": YES, "poisson": COUNTS}


def by_row(name: str, out: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Losses (n,) by formulas that share nothing with ours."""
    if name == "cross-entropy":
        return -special.log_softmax(out, axis=1)[np.arange(len(y)), y]
    if name == "squared":
        return np.linalg.norm(out - y, axis=1) ** 2
    if name == "poisson":  # up to log y!, which no weight can change
        return -(stats.poisson.logpmf(y, np.exp(out)) + special.gammaln(y + 1)).sum(1)
    p = special.expit(out)
    return -np.log(np.where(y == 1, p, 1 - p)).sum(1)


def of(name: str, weights=None, **options) -> float:
    given = None if weights is None else torch.from_numpy(weights)
    return float(Loss(name, **options).sum(torch.from_numpy(OUT), torch.from_numpy(TARGETS[name]), given))


@pytest.mark.parametrize("name", NAMES)
def test_every_loss_is_its_closed_form_with_and_without_weights(name):
    rows = by_row(name, OUT, TARGETS[name])
    weights = GENERATOR.random(9)
    assert of(name) == pytest.approx(rows.sum(), rel=1e-12)
    assert of(name, weights) == pytest.approx(rows @ weights, rel=1e-12)
    assert of(name, np.ones(9)) == pytest.approx(of(name), rel=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_gradients_by_differences(name):
    y = torch.from_numpy(TARGETS[name])
    weights = torch.from_numpy(GENERATOR.random(9))
    out = torch.from_numpy(OUT).requires_grad_()
    assert torch.autograd.gradcheck(lambda out: Loss(name).sum(out, y, weights), (out,))


@pytest.mark.parametrize("name", ["squared", "binary cross-entropy", "poisson"])
def test_the_slope_is_zero_where_the_mean_is_the_target(name):
    """A constant output learns the mean of its targets: m, log m/(1 − m), log m."""
    y = np.abs(TARGETS[name])[:, :1] if name == "squared" else TARGETS[name][:, :1]
    m = torch.tensor(y.mean())
    best = {"squared": m, "binary cross-entropy": torch.logit(m), "poisson": m.log()}[name]
    best = best.clone().requires_grad_()
    Loss(name).sum(best.expand(9, 1), torch.from_numpy(y)).backward()
    assert abs(float(best.grad)) < 1e-12


def test_class_weights_are_row_weights_by_class():
    weight = np.array([0.5, 2.0, 0.0])
    rows = by_row("cross-entropy", OUT, CODES)
    assert of("cross-entropy", class_weight=weight) == pytest.approx(rows @ weight[CODES], rel=1e-12)
    both = GENERATOR.random(9)
    found = of("cross-entropy", both, class_weight=weight.tolist())
    assert found == pytest.approx(rows @ (weight[CODES] * both), rel=1e-12)


def test_what_is_wrong_is_counted():
    out = torch.from_numpy(OUT)
    assert int(Loss("cross-entropy").wrong(out, torch.from_numpy(CODES))) == (OUT.argmax(1) != CODES).sum()
    share = ((OUT > 0) != (YES > 0.5)).mean(1).sum()
    assert float(Loss("binary cross-entropy").wrong(out, torch.from_numpy(YES))) == pytest.approx(share)
    assert Loss("squared").wrong(out, torch.from_numpy(REAL)) is None


@pytest.mark.parametrize("name", ["squared", "binary cross-entropy", "poisson"])
def test_targets_of_one_output_may_be_a_column_or_flat(name):
    out, y = torch.from_numpy(OUT[:, :1]), torch.from_numpy(TARGETS[name][:, 0])
    loss = Loss(name)
    loss.check(out[:1], y, None)
    assert float(loss.sum(out, y)) == float(loss.sum(out, y[:, None]))
    if name != "squared":
        assert float(loss.sum(out, y.long())) == float(loss.sum(out, y))


def test_descriptions_leave_out_what_is_at_its_default():
    assert Loss("squared").describe() == {"loss": "squared"}
    weighted = Loss("cross-entropy", torch.tensor([1.0, 2.0]))
    assert weighted.describe() == {"loss": "cross-entropy", "class_weight": [1.0, 2.0]}


def test_settings_that_make_no_loss_are_refused():
    for arguments, message in [
        (("squarred",), "did you mean 'squared'"),
        (("squared", [1.0, 2.0]), "class_weight needs the loss 'cross-entropy'"),
        (("cross-entropy", [1.0, -2.0]), r"class_weight\[1\] is -2.0"),
        (("cross-entropy", 3.0), "one number per class"),
        (("cross-entropy", ["a"]), r"class_weight\[0\] is 'a'"),
    ]:
        with pytest.raises(SettingError, match=message):
            Loss(*arguments)


def test_data_that_do_not_fit_are_refused():
    out, codes = torch.from_numpy(OUT[:1]), torch.from_numpy(CODES)
    ones = torch.ones(9, dtype=torch.float64)
    for name, y, weights, error, message in [
        ("cross-entropy", codes.double(), None, DataError, "class codes"),
        ("cross-entropy", codes[:, None], None, DataError, "class codes"),
        ("cross-entropy", codes - 1, None, LabelError, r"lie in \[-1, 1\]; expected 0 to 2"),
        ("cross-entropy", codes + 1, None, LabelError, "3 outputs"),
        ("cross-entropy", codes, ones[:4], DataError, r"row weights have shape \(4,\)"),
        ("cross-entropy", codes, -ones, DataError, "at least 0"),
        ("squared", torch.from_numpy(REAL[:, :2]), None, DataError, r"expected \(rows, 3\)"),
        ("squared", torch.from_numpy(REAL[:, 0]), None, DataError, r"expected \(rows, 3\)"),
        ("poisson", torch.from_numpy(COUNTS) - 100, None, DataError, "at least 0"),
        ("binary cross-entropy", torch.from_numpy(COUNTS), None, DataError, r"expects values in \[0, 1\]"),
    ]:
        with pytest.raises(error, match=message):
            Loss(name).check(out, y, weights)
    with pytest.raises(SettingError, match="class_weight has 2 entries; expected 3"):
        Loss("cross-entropy", [1.0, 2.0]).check(out, codes, None)
