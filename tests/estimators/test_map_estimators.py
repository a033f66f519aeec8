"""The scikit-learn faces of maps and Hebbian units: scikit-learn's checks, attributes, oracles, bad input."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA
from sklearn.utils.estimator_checks import parametrize_with_checks

from lamina.core.errors import DataError, DeviceError, LabelError, SettingError
from lamina.estimators import CounterPropagation, CounterPropagationClassifier, HebbianPCA, SelfOrganisingMap
from lamina.estimators.limits import LIMITS

SMALL = [
    SelfOrganisingMap(3, 2, epochs=4, random_state=0),
    CounterPropagation(60, epochs=10, random_state=0),
    CounterPropagationClassifier(12, epochs=10, random_state=0),
    HebbianPCA(2, epochs=8, random_state=0),
]
IDS = [type(one).__name__ for one in SMALL]
FLOWERS, KINDS = load_iris(return_X_y=True)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@parametrize_with_checks(SMALL)
def test_scikit_learns_checks(estimator, check):
    check(estimator)


def short(estimator):
    return clone(estimator).set_params(epochs=3)


def outputs(estimator, X):
    names = ("predict", "predict_proba", "transform")
    return [getattr(estimator, name)(X) for name in names if hasattr(estimator, name)]


@pytest.mark.parametrize("estimator", SMALL, ids=IDS)
class TestEach:
    def test_seeds_and_pickles(self, estimator):
        settings = {"initial": "rows"} if isinstance(estimator, SelfOrganisingMap) else {}
        one, two, other = (
            short(estimator).set_params(random_state=seed, **settings).fit(FLOWERS, KINDS) for seed in (3, 3, 4)
        )
        again = pickle.loads(pickle.dumps(one))
        for a, b, c in zip(outputs(one, FLOWERS), outputs(two, FLOWERS), outputs(again, FLOWERS), strict=True):
            np.testing.assert_array_equal(a, b)
            np.testing.assert_array_equal(a, c)
        different = zip(outputs(one, FLOWERS), outputs(other, FLOWERS), strict=True)
        assert not all(np.array_equal(a, b) for a, b in different)

    def test_bad_rows(self, estimator):
        bad = FLOWERS.copy()
        bad[4, 2] = np.nan
        with pytest.raises(DataError, match=r"row\(s\) 4, column\(s\) 2"):
            short(estimator).fit(bad, KINDS)
        fitted = short(estimator).fit(FLOWERS, KINDS)
        with pytest.raises(DataError, match="X has 3 features"):
            outputs(fitted, FLOWERS[:, :3])

    def test_a_constant_column_gives_finite_numbers(self, estimator):
        rows = FLOWERS.copy()
        rows[:, 0] = 0.3
        for out in outputs(short(estimator).fit(rows, KINDS), rows):
            assert np.isfinite(out).all()

    def test_settings_outside_their_limits(self, estimator):
        bad = [("learning_rate", -0.1), ("batch_size", 0), ("epochs", 2.5), ("verbose", -1), ("random_state", "x")]
        for name, value in bad:
            with pytest.raises(SettingError, match=name):
                short(estimator).set_params(**{name: value}).fit(FLOWERS, KINDS)
        with pytest.raises(DeviceError, match="nowhere"):
            short(estimator).set_params(device="nowhere").fit(FLOWERS, KINDS)

    def test_every_parameter_has_a_limit(self, estimator):
        assert set(estimator.get_params()) - {"random_state", "device"} <= set(LIMITS)


class TestSelfOrganisingMap:
    def test_attributes_belong_together(self):
        fitted = SelfOrganisingMap(5, 4, random_state=0).fit(FLOWERS)
        rows = (FLOWERS - FLOWERS.mean(0)) / FLOWERS.std(0)
        prototypes = (fitted.prototypes_ - FLOWERS.mean(0)) / FLOWERS.std(0)
        apart = np.linalg.norm(rows[:, None] - prototypes[None], axis=2)
        np.testing.assert_array_equal(fitted.predict(FLOWERS), apart.argmin(1))
        np.testing.assert_array_equal(fitted.labels_, apart.argmin(1))
        assert fitted.quantisation_error_ == pytest.approx(apart.min(1).mean())
        first, second = apart.argsort(1)[:, :2].T
        steps = np.linalg.norm(fitted.places_[first] - fitted.places_[second], axis=1)
        assert fitted.topographic_error_ == pytest.approx(np.mean(steps > 1.01))
        np.testing.assert_array_equal(fitted.transform(FLOWERS), fitted.places_[apart.argmin(1)])
        np.testing.assert_array_equal(fitted.hits(FLOWERS).reshape(-1), np.bincount(apart.argmin(1), minlength=20))
        assert fitted.u_matrix().shape == (5, 4)
        np.testing.assert_array_equal(fitted.component_planes()[1].reshape(-1), fitted.prototypes_[:, 1])

    @pytest.mark.parametrize("output", ["coordinates", "distances"])
    def test_back_from_its_output_is_the_winners_prototype(self, output):
        fitted = SelfOrganisingMap(4, 3, epochs=5, output=output, random_state=0).fit(FLOWERS)
        Z = fitted.transform(FLOWERS)
        assert Z.shape == (150, 2 if output == "coordinates" else 12)
        np.testing.assert_allclose(fitted.inverse_transform(Z), fitted.prototypes_[fitted.predict(FLOWERS)])

    def test_labels_by_majority(self):
        fitted = SelfOrganisingMap(6, 5, random_state=0).fit(FLOWERS)
        with pytest.raises(LabelError, match="label"):
            fitted.predict_labels(FLOWERS)
        names = np.array(["setosa", "versicolor", "virginica"])[KINDS]
        fitted.label(FLOWERS[::2], names[::2])
        assert (fitted.unit_labels_ == -1).any()  # passed over in favour of the nearest unit that has a name
        assert (fitted.predict_labels(FLOWERS[1::2]) == names[1::2]).mean() > 0.85
        with pytest.raises(LabelError, match="150 rows"):
            fitted.label(FLOWERS, names[:5])

    def test_the_online_rule_orders_a_map_too(self):
        settings = {"algorithm": "online", "initial": "rows", "epochs": 6, "random_state": 0}
        fitted = SelfOrganisingMap(5, 4, **settings).fit(FLOWERS)
        batch = SelfOrganisingMap(5, 4, initial="rows", random_state=0).fit(FLOWERS)
        assert fitted.quantisation_error_ < 1.3 * batch.quantisation_error_
        assert fitted.topographic_error_ < 0.3

    def test_what_is_refused(self):
        for settings, message in (
            ({"topology": "round"}, "topology"),
            ({"topology": "hexagonal", "toroidal": True, "rows": 3}, "even number"),
            ({"last_radius": 0.0}, "last_radius"),
            ({"output": "names"}, "output"),
            ({"learning_rate": 1.5}, r"\(0, 1\]"),
        ):
            with pytest.raises(SettingError, match=message):
                SelfOrganisingMap(**settings).fit(FLOWERS)


class TestCounterPropagation:
    def test_answers_are_the_means_of_what_units_win(self):
        fitted = CounterPropagation(15, epochs=5, random_state=0, dtype="float64").fit(FLOWERS[:, :3], FLOWERS[:, 2:])
        winners = fitted.winners(FLOWERS[:, :3])
        for unit in np.unique(winners):
            np.testing.assert_allclose(fitted.answers_[unit], FLOWERS[winners == unit, 2:].mean(0))
        np.testing.assert_allclose(fitted.predict(FLOWERS[:, :3]), fitted.answers_[winners])
        np.testing.assert_allclose(fitted.inverse(fitted.answers_[winners]), fitted.prototypes_[winners])

    def test_several_winners_and_full_competition(self):
        X = np.linspace(0, 6, 300).reshape(-1, 1)
        y = np.sin(X[:, 0])
        scores = {
            n: CounterPropagation(12, n_winners=n, epochs=8, random_state=0).fit(X, y).score(X, y) for n in (1, 2)
        }
        assert 0.9 < scores[1] < scores[2]
        assert CounterPropagation(12, full=True, epochs=8, random_state=0).fit(X, y).score(X, y) > 0.9
        with pytest.raises(SettingError, match="n_winners is 13 for 12 units"):
            CounterPropagation(12, n_winners=13).fit(X, y)

    def test_classes_by_share(self):
        names = np.array(["a", "b", "c"])[KINDS]
        fitted = CounterPropagationClassifier(20, full=True, epochs=20, random_state=0).fit(FLOWERS, names)
        winners = fitted.winners(FLOWERS)
        shares = fitted.predict_proba(FLOWERS)
        for unit in np.unique(winners):
            np.testing.assert_allclose(
                shares[winners == unit][0],
                np.bincount(KINDS[winners == unit], minlength=3) / (winners == unit).sum(),
                atol=1e-6,
            )
        assert fitted.score(FLOWERS, names) > 0.9
        assert (fitted.predict(fitted.inverse(["c", "a"])) == ["c", "a"]).all()
        with pytest.raises(LabelError, match="did not see"):
            fitted.inverse(["d"])
        with pytest.raises(LabelError, match="1 class"):
            clone(fitted).fit(FLOWERS, ["a"] * 150)
        with pytest.raises(LabelError, match=r"149 .* 150 rows"):
            clone(fitted).fit(FLOWERS, names[:-1])
        with pytest.raises(DataError, match=r"149 .* 150 rows"):
            CounterPropagation().fit(FLOWERS, np.arange(149.0))


class TestHebbianPCA:
    TURN = np.linalg.qr(np.random.default_rng(1).normal(size=(4, 4)))[0]
    ROWS = 5 * np.random.default_rng(2).normal(size=(100, 4)) * (1.0, 0.6, 0.2, 0.1) @ TURN + 7.0

    def test_components_are_those_of_an_exact_method(self):
        X = self.ROWS
        fitted = HebbianPCA(2, epochs=160, random_state=0).fit(X)
        exact = PCA(2).fit(X)
        cosines = np.abs((fitted.components_ * exact.components_).sum(1))
        np.testing.assert_allclose(cosines, 1, atol=2e-3)
        np.testing.assert_allclose(fitted.explained_variance_, exact.explained_variance_, rtol=0.01)
        np.testing.assert_allclose(fitted.explained_variance_ratio_, exact.explained_variance_ratio_, rtol=0.01)
        assert (fitted.components_[range(2), np.abs(fitted.components_).argmax(1)] > 0).all()
        H = fitted.transform(X)
        np.testing.assert_allclose(H, (X - X.mean(0)) @ fitted.components_.T)
        np.testing.assert_allclose(fitted.inverse_transform(H), X.mean(0) + H @ fitted.components_)

    def test_ojas_rule_finds_the_space(self):
        fitted = HebbianPCA(2, rule="oja", epochs=160, random_state=0).fit(self.ROWS)
        both = PCA(2).fit(self.ROWS).components_
        np.testing.assert_allclose(fitted.components_ @ both.T @ both @ fitted.components_.T, np.eye(2), atol=0.02)

    def test_what_is_refused(self):
        with pytest.raises(SettingError, match="n_components is 5 for 4 features"):
            HebbianPCA(5).fit(FLOWERS)
        with pytest.raises(SettingError, match="rule"):
            HebbianPCA(rule="hebb").fit(FLOWERS)
        fitted = HebbianPCA(2, epochs=2).fit(FLOWERS)
        with pytest.raises(DataError, match="codes have 3 features"):
            fitted.inverse_transform(np.zeros((2, 3)))
