import numpy as np
import pytest
import torch

from lamina.core.errors import LabelError, SettingError
from lamina.estimators import ClassificationRBM


def clusters(n=200, seed=0):
    """Binary rows (n, 12) of three noisy patterns, and names of the patterns."""
    generator = np.random.default_rng(seed)
    patterns = np.random.default_rng(9).integers(0, 2, (3, 12))
    which = generator.integers(0, 3, n)
    return (patterns[which] ^ (generator.random((n, 12)) < 0.15)).astype(float), np.array(["a", "b", "c"])[which]


SMALL = {"n_hidden": 8, "epochs": 40, "batch_size": 20, "random_state": 0}


def test_learns_named_classes_from_rows_in_the_unit_interval():
    machine = ClassificationRBM(**SMALL).fit(*clusters())
    X, y = clusters(400, seed=1)
    assert machine.visible_ == "bernoulli"
    assert list(machine.classes_) == ["a", "b", "c"]
    assert machine.score(X, y) > 0.93  # chance is 0.33; the patterns differ in 5 to 8 of 12 places
    np.testing.assert_allclose(machine.predict_proba(X).sum(1), 1, rtol=1e-5)
    assert set(machine.predict(X)) == {"a", "b", "c"}


def test_learns_from_columns_in_odd_units():
    X, y = clusters()
    X = (X + np.random.default_rng(0).normal(0, 0.2, X.shape)) * 10.0 ** np.arange(-3, 9) + 5
    machine = ClassificationRBM(**SMALL).fit(X, y)
    assert machine.visible_ == "gaussian"
    assert machine.score(X, y) > 0.93


def test_rows_without_labels_take_part_unless_they_weigh_nothing():
    X, y = clusters()
    some = np.where(np.arange(len(y)) < 30, y, "")
    with_all = ClassificationRBM(**SMALL).fit(X, some)
    labelled_alone = ClassificationRBM(unlabelled_weight=0.0, **SMALL).fit(X, some)
    only_they = ClassificationRBM(unlabelled_weight=0.0, **SMALL).fit(X[:30], y[:30])
    np.testing.assert_array_equal(labelled_alone.predict_proba(X), only_they.predict_proba(X))
    assert not np.array_equal(with_all.predict_proba(X), only_they.predict_proba(X))
    assert with_all.score(*clusters(400, seed=1)) > 0.9
    assert list(with_all.classes_) == ["a", "b", "c"]


def test_numbers_agree_with_the_machine():
    X, y = clusters()
    fitted = ClassificationRBM(dtype="float64", **SMALL).fit(X, y)
    rows = torch.from_numpy(X)
    np.testing.assert_allclose(fitted.predict_proba(X), fitted.rbm_.p_y_from_v(rows).detach(), rtol=1e-12)
    np.testing.assert_allclose(fitted.transform(X), fitted.rbm_.mean_h_from_v(rows).detach(), rtol=1e-12)
    assert fitted.transform(X).shape == (200, 8)


def test_labels_that_cannot_be_learnt_from():
    X, y = clusters(20)
    with pytest.raises(LabelError, match="target y is None"):
        ClassificationRBM().fit(X, None)
    with pytest.raises(LabelError, match="19 labels for 20 rows"):
        ClassificationRBM().fit(X, y[:-1])
    with pytest.raises(LabelError, match=r"y holds 1 class\(es\) in 20 labelled row"):
        ClassificationRBM().fit(X, np.full(20, "a"))
    with pytest.raises(LabelError, match=r"y holds 0 class\(es\) in 0 labelled"):
        ClassificationRBM().fit(X, np.full(20, -1))


def test_settings_outside_their_limits():
    X, y = clusters(20)
    for name in ("generative_weight", "unlabelled_weight", "weight_decay"):
        with pytest.raises(SettingError, match=f"{name} is -1"):
            ClassificationRBM(**{name: -1}).fit(X, y)
