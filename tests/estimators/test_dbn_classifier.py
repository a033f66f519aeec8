"""DBNClassifier: labels, protocols, defaults that follow the data."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits, make_blobs
from sklearn.preprocessing import StandardScaler

from lamina.core.errors import DataError, DivergenceError, LabelError, SettingError
from lamina.estimators import DBNClassifier

QUICK = {"hidden": (8,), "epochs_pretrain": 2, "epochs": 3, "random_state": 0}


def rows(n=60, seed=0):
    generator = np.random.default_rng(seed)
    y = np.arange(n) % 3
    return np.clip(np.eye(3)[y].repeat(2, axis=1) * 0.6 + 0.4 * generator.random((n, 6)), 0, 1), y


@pytest.mark.parametrize("hidden", [(10,), (20, 20)])
def test_defaults_learn_small_real_valued_data(hidden):
    X, y = make_blobs(n_samples=300, random_state=0)
    X = StandardScaler().fit_transform(X)
    assert DBNClassifier(hidden=hidden, random_state=0).fit(X, y).score(X, y) > 0.83


def test_unlabelled_rows_help_on_digits():
    """40 labels, mean of 3 random draws: the gain over the labels alone is 0.12 with a spread of 0.02 between draws."""
    X, y = load_digits(return_X_y=True)
    X, X_test, y, y_test = X[797:] / 16, X[:797] / 16, y[797:], y[:797]
    gains = []
    for draw in range(3):
        few = np.full(len(y), -1)
        drawn = np.random.default_rng(100 + draw).permutation(len(y))[:40]
        few[drawn] = y[drawn]
        scores = [
            DBNClassifier(hidden=(60,), semi_supervised=method, random_state=draw).fit(X, few).score(X_test, y_test)
            for method in ("auto", "none")
        ]
        gains.append(scores[0] - scores[1])
    assert np.mean(gains) > 0.05


def test_the_adversary_works_on_rectified_units_at_the_layers_filters():
    X, y = rows()
    few = np.where(np.arange(60) < 20, y, -1)
    dbn = DBNClassifier(hidden=(8,), epochs_pretrain=2, epochs=3, random_state=0).fit(X, few)
    assert [len(h) for h in dbn.history_] == [2, 3]
    assert "smoothness" in dbn.history_[-1].names
    assert dbn.network_.activation == "relu"
    assert dbn.network_.normalise
    begun = DBNClassifier(hidden=(8,), epochs_pretrain=2, epochs=0, random_state=0).fit(X, few)
    W, filters = begun.network_.W[0].detach().numpy(), begun.stack_[0].W.detach().numpy()
    cosine = (W * filters).sum(0) / np.linalg.norm(W, axis=0) / np.linalg.norm(filters, axis=0)
    np.testing.assert_allclose(cosine, 1, atol=1e-5)


def test_without_unlabelled_rows_the_network_is_the_stack_itself():
    X, y = rows()
    dbn = DBNClassifier(hidden=(8,), epochs_pretrain=2, epochs=3, random_state=0).fit(X, y)
    assert "training error" in dbn.history_[-1].names
    assert dbn.network_.activation == "sigmoid"


class TestLabels:
    def test_minus_one_is_unlabelled_where_two_classes_remain(self):
        X, y = rows()
        y = np.where(y == 2, -1, y)
        dbn = DBNClassifier(**QUICK).fit(X, y)
        assert dbn.classes_.tolist() == [0, 1]
        assert set(dbn.predict(X)) <= {0, 1}

    def test_minus_one_is_a_class_beside_one_other(self):
        X, y = rows()
        dbn = DBNClassifier(**QUICK).fit(X, np.where(y == 2, -1, 1))
        assert dbn.classes_.tolist() == [-1, 1]

    @pytest.mark.parametrize("blank", [None, ""])
    def test_blank_text_is_unlabelled(self, blank):
        X, y = rows()
        text = np.array(["ant", "bee", blank], dtype=object)[y]
        dbn = DBNClassifier(**QUICK).fit(X, text)
        assert list(dbn.classes_) == ["ant", "bee"]
        assert dbn.predict(X[:2])[0] in ("ant", "bee")
        assert list(DBNClassifier(**QUICK).fit(X, list(text)).classes_) == ["ant", "bee"]

    def test_unlabelled_overrides(self):
        X, y = rows()
        assert DBNClassifier(**QUICK, unlabelled=None).fit(X, y - 1).classes_.tolist() == [-1, 0, 1]
        assert DBNClassifier(**QUICK, unlabelled=2).fit(X, y).classes_.tolist() == [0, 1]

    def test_unlabelled_rows_take_part_in_pre_training_only_by_their_values(self):
        X, y = rows()
        y = np.where(np.arange(60) < 40, y, -1)
        one = DBNClassifier(**QUICK, semi_supervised="none").fit(X, y)
        moved = X.copy()
        moved[40:] = 1 - moved[40:]
        other = DBNClassifier(**QUICK, semi_supervised="none").fit(moved, y)
        assert not torch.equal(one.stack_[0].W, other.stack_[0].W)

    def test_auto_is_adversarial_where_half_the_rows_are_unlabelled(self):
        X, y = rows()
        for n, expected in ((30, "adversarial"), (31, "none")):
            dbn = DBNClassifier(**QUICK).fit(X, np.where(np.arange(60) < n, y, -1))
            assert dbn.semi_supervised_ == expected

    @pytest.mark.parametrize("y", [np.zeros(60, int), np.full(60, -1), np.full(60, "a")])
    def test_fewer_than_two_classes(self, y):
        with pytest.raises(LabelError, match=r"[01] class\(es\).* at least 2 classes"):
            DBNClassifier(**QUICK).fit(rows()[0], y)

    def test_fractions_are_no_classes(self):
        with pytest.raises(LabelError, match="continuous"):
            DBNClassifier(**QUICK).fit(rows()[0], np.linspace(0, 1, 60))


class TestUnits:
    def test_bernoulli_in_the_unit_interval_else_gaussian(self):
        X, y = rows()
        assert DBNClassifier(**QUICK).fit(X, y).visible_ == "bernoulli"
        assert DBNClassifier(**QUICK).fit(X * 2, y).visible_ == "gaussian"

    def test_bernoulli_asked_for_outside_the_unit_interval(self):
        X, y = rows()
        with pytest.raises(DataError, match=r"values reach .* scale pixels"):
            DBNClassifier(**QUICK, visible="bernoulli").fit(X * 255, y)

    def test_standardising_makes_the_unit_of_a_column_irrelevant(self):
        X, y = rows()
        one = DBNClassifier(**QUICK, dtype="float64", visible="gaussian").fit(X, y)
        other = DBNClassifier(**QUICK, dtype="float64", visible="gaussian").fit(X * 1000 + 5, y)
        np.testing.assert_allclose(one.predict_proba(X), other.predict_proba(X * 1000 + 5), atol=1e-8)


class TestNetwork:
    def test_without_fine_tuning_features_are_the_stacks(self):
        X, y = rows()
        dbn = DBNClassifier(hidden=(8, 5), epochs_pretrain=(2, 3), epochs=0, dtype="float64", random_state=0).fit(X, y)
        with torch.no_grad():
            code = dbn.stack_.encode(torch.tensor(X)).numpy()
        np.testing.assert_allclose(dbn.transform(X), code, rtol=1e-12)
        np.testing.assert_allclose(dbn.predict_proba(X), 1 / 3)  # the head begins at 0
        assert [len(history) for history in dbn.history_] == [2, 3, 0]

    def test_fine_tuning_changes_the_network_and_not_the_stack(self):
        X, y = rows()
        before = DBNClassifier(hidden=(8,), epochs_pretrain=2, epochs=0, random_state=0).fit(X, y)
        after = DBNClassifier(hidden=(8,), epochs_pretrain=2, epochs=5, random_state=0).fit(X, y)
        assert torch.equal(before.stack_[0].W, after.stack_[0].W)
        assert not torch.equal(after.network_.W[0], after.stack_[0].W)

    def test_dropout_is_off_in_predict_and_transform(self):
        X, y = rows()
        dbn = DBNClassifier(**QUICK, dropout=0.5, input_dropout=0.5).fit(X, y)
        np.testing.assert_array_equal(dbn.predict_proba(X), dbn.predict_proba(X))
        np.testing.assert_array_equal(dbn.transform(X), dbn.transform(X))

    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_type(self, dtype):
        X, y = rows()
        dbn = DBNClassifier(**QUICK, dtype=dtype).fit(X, y)
        assert dbn.predict_proba(X).dtype == dbn.transform(X).dtype == dtype
        assert str(dbn.network_.W[0].dtype) == f"torch.{dtype}"

    def test_pass_up_samples(self):
        X, y = rows()
        tops = [
            DBNClassifier(hidden=(8, 5), epochs_pretrain=3, epochs=1, random_state=0, pass_up=how).fit(X, y).stack_[1].W
            for how in ("mean", "sample")
        ]
        assert not torch.equal(*tops)

    def test_a_layer_list_of_the_wrong_length(self):
        with pytest.raises(SettingError, match="2 entries for 1 layers"):
            DBNClassifier(hidden=(8,), epochs_pretrain=[1, 2]).fit(*rows())


class TestStopping:
    def test_rows_kept_aside_are_watched(self):
        X, y = rows()
        dbn = DBNClassifier(hidden=(8,), epochs_pretrain=2, epochs=200, validation_fraction=0.2, patience=2)
        history = dbn.set_params(learning_rate=0.05, random_state=0).fit(X, y).history_[-1]
        assert len(history) < 200
        assert "validation loss" in history.names

    def test_patience_needs_rows(self):
        with pytest.raises(SettingError, match="set validation_fraction"):
            DBNClassifier(patience=2).fit(*rows())
        X, y = rows(3)
        with pytest.raises(LabelError, match="too few to keep some aside"):
            DBNClassifier(**QUICK, validation_fraction=0.5, patience=2).fit(X, y)

    def test_divergence(self):
        X, y = rows()
        with pytest.raises(DivergenceError, match="lower learning_rate"):
            DBNClassifier(hidden=(50,), learning_rate_pretrain=1e6, epochs_pretrain=300).fit(X * 3 - 1, y)


def test_labels_elsewhere_do_not_matter():
    """The labels of unlabelled rows are not looked at, whatever stands beside them."""
    X, y = rows()
    half = np.where(np.arange(60) < 30, y.astype(float), np.nan)
    one = DBNClassifier(**QUICK).fit(X, half)
    other = DBNClassifier(**QUICK).fit(X, np.where(np.isnan(half), -1, half))
    np.testing.assert_array_equal(one.predict_proba(X), other.predict_proba(X))
