"""A head on features: what it computes, what it refuses, and that no slope reaches the features."""

from __future__ import annotations

import pytest
import torch
from feature_classifier_models import small_models

from lamina.core.errors import SettingError
from lamina.core.random import Random
from lamina.models import MLP, RBM, Stack
from lamina.models.networks import FeatureClassifier
from lamina.storage import load, save

ROWS = torch.rand(6, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", list(small_models()))
def test_the_head_sees_the_code(name):
    model = small_models()[name]
    code = model.features.encode(ROWS)
    assert torch.equal(model.encode(ROWS), code)
    assert torch.equal(model(ROWS), model.head(code))
    assert (model.n_visible, model.n_hidden, model.n_out) == (5, code.shape[1], model.head.n_out)


@pytest.mark.parametrize("name", list(small_models()))
def test_a_folder_gives_the_same_back(name, tmp_path):
    model = small_models()[name]
    again = load(save(model, tmp_path))
    assert isinstance(again, FeatureClassifier)
    assert again.spec() == model.spec()
    assert torch.equal(again(ROWS), model(ROWS))


def test_no_slope_reaches_the_features():
    model = small_models()["FeatureClassifier of machines"]
    model(ROWS).sum().backward()
    assert all(parameter.grad is None for parameter in model.features.parameters())
    assert all(parameter.grad is not None for parameter in model.head.parameters())


def test_dropout_is_on_in_the_head_alone():
    features = Stack([RBM(5, 4, dtype=torch.float64)])
    head = MLP((4, 8, 2), dropout=0.5, dtype=torch.float64)
    model = FeatureClassifier(features, head)
    assert not torch.equal(model(ROWS, Random(0)), model(ROWS))
    assert torch.equal(model(ROWS), model(ROWS))


def test_sizes_that_do_not_fit():
    with pytest.raises(SettingError, match="4 values but the head expects 3"):
        FeatureClassifier(Stack([RBM(5, 4)]), MLP((3, 2)))


def test_features_that_cannot_encode():
    with pytest.raises(SettingError, match="RBM, which cannot encode"):
        FeatureClassifier(RBM(5, 4), MLP((4, 2)))
