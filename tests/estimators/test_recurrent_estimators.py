"""Recurrent estimators: scikit-learn's checks on tables, lists of sequences, frames, what comes next, bad input."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.utils.estimator_checks import parametrize_with_checks

from lamina.core.errors import DataError, DeviceError, LabelError, SettingError
from lamina.estimators import RecurrentClassifier, RecurrentRegressor
from lamina.frontends import pad_sequences

CHECKED = [
    RecurrentClassifier(4, cell="elman", epochs=8, batch_size=64, learning_rate=0.1, random_state=0),
    RecurrentRegressor(12, cell="elman", epochs=12, learning_rate=0.05, random_state=0),
]
CLASSIFIER = RecurrentClassifier(6, epochs=2, learning_rate=0.02, batch_size=8, dtype="float64", random_state=0)
REGRESSOR = RecurrentRegressor(6, epochs=2, learning_rate=0.02, batch_size=8, dtype="float64", random_state=0)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@parametrize_with_checks(CHECKED)
def test_scikit_learns_checks(estimator, check):
    check(estimator)


def sequences(n=20, seed=0):
    """Waves of two frequencies in two channels, the classes, with noise; 6 to 12 frames."""
    generator, y = np.random.default_rng(seed), np.arange(n) % 2
    X = []
    for label, length in zip(y, generator.integers(6, 13, n), strict=True):
        t = np.arange(length)[:, None] * (0.5, 1.5)[label] + generator.uniform(0, 6)
        X.append(np.sin(t + [0, 1]) * [1, 100] + [0, 500] + 0.05 * generator.normal(size=(length, 2)))
    return X, y


class TestClassifier:
    def test_sequences_of_any_length_are_told_apart(self):
        X, y = sequences(40)
        X_test, y_test = sequences(40, seed=1)
        names = np.array(["slow", "quick"])
        for options in ({}, {"cell": "elman", "bidirectional": True, "answer": "mean"}, {"hidden": (6, 6)}):
            learnt = clone(CLASSIFIER).set_params(epochs=10, learning_rate=0.1, **options).fit(X, names[y])
            assert learnt.classes_.tolist() == ["quick", "slow"]
            assert learnt.score(X_test, names[y_test]) > 0.9, options
        assert learnt.n_features_in_ == 2

    def test_probabilities_are_the_networks_on_standardised_frames(self):
        X, y = sequences()
        learnt = clone(CLASSIFIER).fit(X, y)
        frames = np.concatenate(X)
        np.testing.assert_allclose(learnt.mean_, frames.mean(0))
        np.testing.assert_allclose(learnt.scale_, frames.std(0))
        padded, lengths = (
            torch.from_numpy(a) for a in pad_sequences([(x - frames.mean(0)) / frames.std(0) for x in X])
        )
        expected = torch.softmax(learnt.network_(padded, lengths=lengths), 1).detach().numpy()
        np.testing.assert_allclose(learnt.predict_proba(X), expected, rtol=0, atol=1e-12)
        np.testing.assert_array_equal(learnt.predict(X), expected.argmax(1))

    def test_every_frame_gets_a_label(self):
        """Whether the wave rises: a thing of the frame before, for each frame but the first, which has no label."""
        X, _ = sequences(40)
        rises = [np.concatenate([[-1], np.diff(x[:, 0]) > 0]).astype(int) for x in X]
        learnt = (
            clone(CLASSIFIER)
            .set_params(epochs=20, learning_rate=0.05)
            .fit(X, [np.where(r < 0, r, r + 4) for r in rises])
        )
        assert learnt.classes_.tolist() == [4, 5]
        assert learnt.network_.answer == "each"
        test = sequences(20, seed=2)[0]
        truth = [np.concatenate([[-1], 4 + (np.diff(x[:, 0]) > 0)]) for x in test]
        assert learnt.score(test, truth) > 0.9
        assert [p.shape for p in learnt.predict_proba(test)] == [(len(x), 2) for x in test]
        found = learnt.predict(test)
        right = sum(int((f[1:] == t[1:]).sum()) for f, t in zip(found, truth, strict=True))
        assert learnt.score(test, truth) == pytest.approx(right / sum(len(t) - 1 for t in truth))

    def test_texts_and_blanks_in_frames(self):
        X, _ = sequences(6)
        y = [["up", None, *["down"] * (len(x) - 2)] for x in X]
        learnt = clone(CLASSIFIER).fit(X, y)
        assert learnt.classes_.tolist() == ["down", "up"]
        assert all(len(f) == len(x) for f, x in zip(learnt.predict(X), X, strict=True))

    def test_sequences_without_a_label_are_left_out(self):
        X, y = sequences()
        y[4:8] = 2
        y[:4] = -1
        one = clone(CLASSIFIER).fit(X, y)
        other = clone(CLASSIFIER).fit([x * 0 + 500 if k < 4 else x for k, x in enumerate(X)], y)
        assert one.classes_.tolist() == [0, 1, 2]
        assert not np.array_equal(one.mean_, other.mean_)  # frames are standardised by all
        assert len(one.predict(X)) == 20

    def test_weights_of_classes(self):
        X, y = sequences(40)
        y = np.where(np.arange(40) < 6, 1, 0)  # nothing to learn but how often
        X = [X[k % 2] for k in range(40)]
        shares = [
            clone(CLASSIFIER)
            .set_params(class_weight=w, epochs=8, learning_rate=0.1, cell="elman")
            .fit(X, y)
            .predict_proba(X)[:, 1]
            .mean()
            for w in (None, "balanced", {1: 100.0})
        ]
        assert shares[0] < 0.35 < shares[1] < 0.65 < 0.8 < shares[2]
        with pytest.raises(SettingError, match="class_weight"):
            clone(CLASSIFIER).set_params(class_weight="even").fit(X, y)

    def test_rows_kept_aside_are_watched(self):
        X, _ = sequences(20)
        y = np.random.default_rng(0).integers(0, 2, 20)  # labels that mean nothing
        options = {"epochs": 40, "validation_fraction": 0.3, "patience": 2, "learning_rate": 0.1}
        learnt = clone(CLASSIFIER).set_params(**options).fit(X, y)
        assert len(learnt.history_) < 40
        assert "validation error" in learnt.history_.names

    def test_bad_labels(self):
        X, y = sequences()
        for labels, message in (
            (None, "requires y"),
            (np.zeros(20, int), r"1 class\(es\)"),
            (y[:-1], "19 labels for 20"),
            (np.linspace(0, 1, 20), "continuous"),
            ([np.zeros(len(x), int) for x in X], r"1 class\(es\) in"),
        ):
            with pytest.raises(LabelError, match=message):
                clone(CLASSIFIER).fit(X, labels)
        with pytest.raises(DataError, match=r"sequence 0 has \d+ frames and labels of shape \(3,\)"):
            clone(CLASSIFIER).fit(X, [[0, 1, 0] for _ in X])
        with pytest.raises(DataError, match="19 arrays of labels for 20"):
            clone(CLASSIFIER).fit(X, [[0] * len(x) for x in X[1:]])


class TestRegressor:
    def test_targets_of_sequences(self):
        generator = np.random.default_rng(0)
        X = [generator.normal(size=(n, 2)) for n in generator.integers(4, 9, 40)]
        means = 1000 * np.array([x.mean(0) for x in X])
        learnt = clone(REGRESSOR).set_params(epochs=25, answer="mean", cell="elman", learning_rate=0.05).fit(X, means)
        assert learnt.score(X, means) > 0.9
        assert learnt.task_ == "sequence"
        np.testing.assert_allclose(learnt.target_mean_, means.mean(0))
        single = clone(REGRESSOR).fit(X, means[:, 0])
        assert single.predict(X).shape == (40,)
        assert clone(REGRESSOR).fit(X, means.tolist()).predict(X).shape == (40, 2)

    def test_targets_of_frames(self):
        """The value one frame before: 0 before the first."""
        generator = np.random.default_rng(0)
        X = [generator.normal(size=(n, 1)) for n in generator.integers(4, 9, 60)]
        y = [10 * np.concatenate([[0.0], x[:-1, 0]]) for x in X]
        learnt = clone(REGRESSOR).set_params(epochs=25, hidden=12, cell="elman", learning_rate=0.05).fit(X, y)
        assert learnt.task_ == "frame"
        assert learnt.score(X, y) > 0.9
        assert [p.shape for p in learnt.predict(X)] == [x.shape[:1] for x in X]
        both = clone(REGRESSOR).fit(X, [np.stack([one, -one], 1) for one in y])
        assert both.predict(X)[0].shape == (len(X[0]), 2)

    def test_what_comes_next(self):
        X = [500 + 100 * np.sin(np.arange(k, k + 25)[:, None] / 2 + [0, 1]) for k in range(16)]
        learnt = clone(REGRESSOR).set_params(epochs=60, hidden=12, truncate=10, learning_rate=0.05, cell="elman").fit(X)
        assert learnt.task_ == "next"
        assert learnt.score(X) > 0.98
        foretold = learnt.predict_next(X)
        assert [one.shape for one in foretold] == [x.shape for x in X]
        ahead = learnt.forecast(X, 3)
        np.testing.assert_allclose(ahead[:, 0], [one[-1] for one in foretold], atol=1e-9)
        np.testing.assert_allclose(learnt.predict(X), ahead[:, 0], atol=1e-9)
        truth = np.stack([500 + 100 * np.sin(np.arange(k + 25, k + 28)[:, None] / 2 + [0, 1]) for k in range(16)])
        stays = np.stack([x[-1:] for x in X])
        assert np.square(ahead - truth).mean() < 0.2 * np.square(stays - truth).mean()
        with pytest.raises(SettingError, match="steps is 0"):
            learnt.forecast(X, 0)
        with pytest.raises(SettingError, match="y=None"):
            clone(REGRESSOR).fit(X, np.arange(16.0)).forecast(X)

    def test_a_table_of_signals_goes_on_as_one(self):
        table = np.sin(np.arange(12)[:, None] + np.arange(20) / 2)
        learnt = clone(REGRESSOR).fit(table)
        as_list = clone(REGRESSOR).fit([row[:, None] for row in table])
        assert learnt.forecast(table, 4).shape == (12, 4)
        np.testing.assert_allclose(learnt.forecast(table, 4), as_list.forecast([r[:, None] for r in table], 4)[:, :, 0])
        assert learnt.predict_next(table).shape == table.shape
        assert learnt.predict(table).shape == (12,)

    def test_bad_targets(self):
        X, _ = sequences()
        for targets, message in (
            (np.arange(19.0), "19 targets for 20"),
            (np.full(20, np.nan), "NaN"),
            (np.array(["a"] * 20), "could not convert|dtype"),
            ([np.zeros(3) for _ in X], r"sequence 0 has \d+ frames and targets of shape \(3,\)"),
            ([np.full(len(x), np.nan) for x in X], "NaN"),
        ):
            with pytest.raises(DataError, match=message):
                clone(REGRESSOR).fit(X, targets)
        with pytest.raises(SettingError, match="would see the target"):
            clone(REGRESSOR).set_params(bidirectional=True).fit(X)


@pytest.mark.parametrize("estimator", [CLASSIFIER, REGRESSOR], ids=["classifier", "regressor"])
class TestBoth:
    def test_a_cube_is_a_list_and_no_sequence_hangs_on_its_neighbours(self, estimator):
        X, y = np.random.default_rng(0).normal(size=(12, 5, 3)), np.arange(12) % 2
        one, two = clone(estimator).fit(X, y), clone(estimator).fit(list(X), y)
        np.testing.assert_array_equal(one.predict(X), two.predict(list(X)))
        get = "predict_proba" if hasattr(one, "predict_proba") else "predict"
        np.testing.assert_allclose(getattr(one, get)(X[3:4]), getattr(one, get)(X)[3:4], atol=1e-12)

    def test_seeds_clones_pickles(self, estimator):
        X, y = sequences()
        get = "predict_proba" if isinstance(estimator, RecurrentClassifier) else "predict"
        one, two, other = (clone(estimator).set_params(random_state=seed).fit(X, y) for seed in (3, 3, 4))
        np.testing.assert_array_equal(getattr(one, get)(X), getattr(two, get)(X))
        assert not np.array_equal(getattr(one, get)(X), getattr(other, get)(X))
        again = pickle.loads(pickle.dumps(one))
        np.testing.assert_array_equal(getattr(again, get)(X), getattr(one, get)(X))
        for dtype in ("float32", "float64"):
            fitted = clone(estimator).set_params(dtype=dtype).fit(X, y)
            assert str(fitted.network_.head_W.dtype) == f"torch.{dtype}"

    def test_every_optimiser_and_cell(self, estimator):
        X, y = sequences(6)
        for options in (
            *({"optimiser": name} for name in ("adagrad", "momentum", "nesterov", "rmsprop", "sgd")),
            {"cell": "fully-recurrent"},
            {"hidden": (3, 2), "dropout": 0.4, "weight_decay": 0.1, "clip": float("inf")},
        ):
            fitted = clone(estimator).set_params(epochs=1, **options).fit(X, y)
            assert np.isfinite(fitted.history_["training loss"][0])

    def test_a_grid_over_lists(self, estimator):
        X, y = sequences(12)
        X = np.array([*X, None], dtype=object)[:-1]  # a grid takes rows by number
        search = GridSearchCV(clone(estimator).set_params(epochs=1), {"hidden": [2, 3]}, cv=2).fit(X, y)
        assert search.best_params_["hidden"] in (2, 3)

    def test_bad_input(self, estimator):
        X, y = sequences()
        for name, value in (
            ("hidden", 0),
            ("cell", "gru"),
            ("answer", "each"),
            ("bidirectional", 1),
            ("optimiser", "lbfgs"),
            ("clip", 0.0),
            ("dropout", 1.0),
            ("learning_rate", -1.0),
            ("dtype", "float16"),
        ):
            with pytest.raises(SettingError, match=name):
                clone(estimator).set_params(**{name: value}).fit(X, y)
        with pytest.raises(SettingError, match="patience needs"):
            clone(estimator).set_params(patience=2).fit(X, y)
        with pytest.raises(DeviceError, match="nowhere"):
            clone(estimator).set_params(device="nowhere").fit(X, y)
        with pytest.raises(NotFittedError):
            clone(estimator).predict(X)
        fitted = clone(estimator).fit(X, y)
        for data, message in (
            ([x[:, :1] for x in X], "1 features; expected 2"),
            (np.zeros((4, 6)), "table of one signal per row, but a list of sequences was given to fit"),
            ([X[0], np.full((3, 2), np.nan)], "sequence 1 holds NaN"),
            ([X[0], X[1][:0]], "no frames"),
        ):
            with pytest.raises(DataError, match=message):
                fitted.predict(data)
        few = clone(estimator).set_params(validation_fraction=0.3, patience=1)
        n = 2 if isinstance(estimator, RecurrentClassifier) else 1  # a class keeps at least one to learn from
        with pytest.raises(DataError, match="too few to keep some aside"):
            few.fit(X[:n], y[:n])
