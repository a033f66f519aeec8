"""`AutoencoderClassifier`: layers from all rows, labels from some (`test_battery` has the checks of scikit-learn)."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lamina.core.errors import LabelError, SettingError
from lamina.estimators import AutoencoderClassifier
from lamina.estimators.deep_layers import LAYERS

SHORT = {"hidden": (8, 5), "epochs_pretrain": 2, "epochs": 3, "random_state": 0}


def labelled(n=90, seed=0):
    generator = np.random.default_rng(seed)
    y = np.arange(n) % 3
    return generator.normal(size=(n, 6)) + 3 * np.random.default_rng(99).normal(size=(3, 6))[y], y


@pytest.mark.parametrize("layer", LAYERS)
def test_every_kind_of_layer(layer):
    X, y = labelled(30)
    found = AutoencoderClassifier(layer=layer, **SHORT).fit(X, y)
    assert found.predict_proba(X).shape == (30, 3)
    assert np.allclose(found.predict_proba(X).sum(1), 1, atol=1e-6)
    assert found.transform(X).shape == (30, 5)


def test_easy_classes_are_learnt_from_a_few_labels():
    X, y = labelled()
    some = np.where(np.arange(90) < 24, y, -1)
    found = AutoencoderClassifier(hidden=(24, 12), epochs_pretrain=20, epochs=60, random_state=0).fit(X, some)
    assert list(found.classes_) == [0, 1, 2]
    assert found.score(*labelled(60, seed=1)) > 0.9


def test_rows_without_a_label_shape_the_layers_alone():
    X, y = labelled()
    some = np.where(np.arange(90) < 24, y, -1)
    whole = AutoencoderClassifier(**SHORT).fit(X, some)
    other = AutoencoderClassifier(**SHORT).fit(np.concatenate([X[:24], labelled(66, seed=3)[0]]), some)
    assert not torch.equal(whole.stack_[0].W, other.stack_[0].W)
    labels = AutoencoderClassifier(**SHORT).fit(X, np.where(some >= 0, (some + 1) % 3, -1))
    for one, two in zip(whole.stack_.state_dict().values(), labels.stack_.state_dict().values(), strict=True):
        assert torch.equal(one, two)  # layers never see a label


def test_the_network_begins_at_the_layers():
    X, y = labelled(30)
    found = AutoencoderClassifier(**{**SHORT, "epochs": 0}, dtype="float64", dropout=0.0).fit(X, y)
    scaled = torch.from_numpy((X - X.mean(0)) / X.std(0))
    with torch.no_grad():
        assert np.allclose(found.transform(X), found.stack_.encode(scaled))
    assert np.allclose(found.predict_proba(X), 1 / 3)  # the head begins at 0


@pytest.mark.parametrize(
    ("y", "words"),
    [
        (None, "AutoencoderClassifier requires y"),
        (np.zeros(30), r"1 class\(es\) in 30 labelled"),
        (np.arange(29) % 2, "29 labels for 30 rows"),
        (np.full(30, -1), r"0 class\(es\) in 0 labelled"),
        (np.ones((30, 2)), "shape"),
    ],
)
def test_labels_that_cannot_be_learnt_from(y, words):
    with pytest.raises(LabelError, match=words):
        AutoencoderClassifier(**SHORT).fit(labelled(30)[0], y)


def test_text_labels_and_blanks():
    X, y = labelled(30)
    names = np.array(["red", "green", "blue"], dtype=object)[y]
    names[10:] = ""
    found = AutoencoderClassifier(**SHORT).fit(X, names)
    assert list(found.classes_) == ["blue", "green", "red"]
    assert set(found.predict(X)) <= {"blue", "green", "red"}


def test_layers_whose_codes_are_searched_for_are_refused():
    with pytest.raises(SettingError, match="layer is 'predictive-sparse'"):
        AutoencoderClassifier(layer="predictive-sparse").fit(*labelled(30))
