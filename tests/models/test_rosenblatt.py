"""Rosenblatt's perceptron: its function, its decisions, where it starts, what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from perceptron_models import small_models

from lamina.core.errors import DataError, SettingError
from lamina.models.networks import Perceptron
from lamina.models.registry import build

X = torch.from_numpy(np.random.default_rng(0).normal(size=(30, 4)))


@pytest.mark.parametrize("n_classes", [2, 3])
def test_fields_and_decisions_are_the_formula(n_classes):
    network = Perceptron(4, n_classes, initial=1.0, dtype=torch.float64, random_state=1)
    with torch.no_grad():
        network.b.copy_(torch.linspace(-0.5, 0.5, network.n_out))
    fields = X.numpy() @ network.W.detach().numpy() + network.b.detach().numpy()
    np.testing.assert_allclose(network(X).detach().numpy(), fields, rtol=1e-12)
    expected = (fields[:, 0] > 0).astype(int) if n_classes == 2 else fields.argmax(1)
    assert network.predict(X).tolist() == expected.tolist()
    assert len(set(expected.tolist())) == n_classes
    assert network.hidden_means(X) == []
    assert torch.equal(network.encode(X), X)


def test_it_starts_at_zero_where_every_answer_is_class_0():
    network = Perceptron(4)
    assert not network.W.any()
    assert network.predict(X.float()).tolist() == [0] * 30
    drawn = Perceptron(4, initial=0.5, random_state=1)
    assert not torch.equal(drawn.W, Perceptron(4, initial=0.5, random_state=2).W)
    assert [len(layer) for layer in drawn.layer_parameters()] == [2]


@pytest.mark.parametrize("name", sorted(small_models()))
def test_every_small_model_comes_back_from_its_description(name):
    network = small_models()[name]
    again = build(network.spec(), network.state_dict())
    x = torch.from_numpy(np.random.default_rng(1).normal(size=(6, 5)))
    assert torch.equal(again(x), network(x))
    assert again.spec() == network.spec()


def test_what_is_no_perceptron_is_refused():
    for options, message in [({"n_visible": 0}, "n_visible"), ({"n_visible": 3, "n_classes": 1}, "n_classes")]:
        with pytest.raises(SettingError, match=message):
            Perceptron(**options)
    with pytest.raises(SettingError, match="initial"):
        Perceptron(3, initial=-1.0)
    with pytest.raises(DataError, match=r"expected \(..., 4\)"):
        Perceptron(4)(torch.zeros(2, 3))
