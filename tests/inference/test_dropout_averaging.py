"""Dropout's averages: exact over all masks where the theory says so, and within sampling error where it is measured."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from lamina.core.errors import SettingError
from lamina.core.random import Random
from lamina.inference import averaged_outputs, sampled_outputs
from lamina.inference.dropout_averaging import softmax
from lamina.models import MLP

X = torch.from_numpy(np.random.default_rng(0).normal(size=(5, 3)))


class Masks:
    """In place of a stream: hands the network one given mask after another."""

    def __init__(self, masks) -> None:
        self.masks = iter(masks)

    def bernoulli(self, mean: torch.Tensor) -> torch.Tensor:
        return next(self.masks).expand_as(mean).clone()


def network(activation: str, **options) -> MLP:
    options = {"dropout": 0.4, "input_dropout": 0.2, **options}
    made = MLP((3, 4, 2), activation=activation, dtype=torch.float64, random_state=1, **options)
    with torch.no_grad():
        for b in made.b:
            b.copy_(torch.linspace(-0.5, 1.0, len(b)))
    return made


def all_thinned(made: MLP) -> tuple[torch.Tensor, torch.Tensor]:
    """Outputs of all 2⁷ thinned networks (128, 5, 2) and their probabilities (128,)."""
    outputs, chances = [], []
    for bits in itertools.product([0.0, 1.0], repeat=7):
        inputs, hidden = torch.tensor(bits[:3], dtype=torch.float64), torch.tensor(bits[3:], dtype=torch.float64)
        outputs.append(made(X, Masks([inputs, hidden])).detach())
        kept = inputs.sum(), hidden.sum()
        chances.append(0.8 ** kept[0] * 0.2 ** (3 - kept[0]) * 0.6 ** kept[1] * 0.4 ** (4 - kept[1]))
    return torch.stack(outputs), torch.stack(chances)


def test_of_a_linear_network_the_scaled_one_is_the_mean_of_all_thinned_ones_exactly():
    made = network("identity")
    outputs, chances = all_thinned(made)
    assert float(chances.sum()) == pytest.approx(1.0)
    mean = (chances[:, None, None] * outputs).sum(0)
    torch.testing.assert_close(mean, made(X).detach(), rtol=1e-12, atol=1e-12)
    assert float((outputs - mean).abs().max()) > 0.5  # the thinned networks do differ


def test_of_a_linear_network_it_gives_the_normalised_geometric_mean_of_their_probabilities():
    made = network("identity")
    outputs, chances = all_thinned(made)
    logs = (chances[:, None, None] * torch.log_softmax(outputs, -1)).sum(0)
    torch.testing.assert_close(torch.softmax(logs, -1), softmax(made(X)).detach(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("activation", ["relu", "maxout", "tanh"])
@pytest.mark.parametrize("of", [None, softmax])
def test_sampled_means_approach_the_exact_ones_and_the_scaled_network_does_not(activation, of):
    made = network(activation)
    outputs, chances = all_thinned(made)
    values = outputs if of is None else of(outputs)
    exact = (chances[:, None, None] * values).sum(0)
    variance = (chances[:, None, None] * (values - exact).square()).sum(0)
    n = 300
    found = averaged_outputs(made, X, n, Random(2), of=of)
    assert bool(((found - exact).abs() < 4.5 * (variance / n).sqrt()).all())
    scaled = made(X).detach() if of is None else of(made(X).detach())
    assert float((scaled - exact).abs().max()) > 1e-3


def test_samples_belong_to_their_number_and_row():
    made = network("relu")
    three = list(sampled_outputs(made, X, 3, Random(4)))
    two = list(sampled_outputs(made, X[:3], 2, Random(4)))
    for few, many in zip(two, three, strict=False):
        torch.testing.assert_close(few, many[:3], rtol=1e-12, atol=1e-12)
    assert not torch.equal(three[0], three[1])
    torch.testing.assert_close(averaged_outputs(made, X, 3, Random(4)), torch.stack(three).mean(0))


def test_without_dropout_every_sample_is_the_network(monkeypatch):
    monkeypatch.setattr("lamina.inference.dropout_averaging.CHUNK", 2)
    made = network("relu", dropout=0.0, input_dropout=0.0)
    torch.testing.assert_close(averaged_outputs(made, X, 2, Random(0)), made(X).detach())


def test_looking_leaves_running_averages_alone():
    made = network("relu", normalise=True)
    before = {name: value.clone() for name, value in made.state_dict().items()}
    averaged_outputs(made, X, 2, Random(0))
    for name, value in made.state_dict().items():
        assert torch.equal(value, before[name]), name


@pytest.mark.parametrize("n", [0, 1.5])
def test_no_samples_are_refused(n):
    with pytest.raises(SettingError, match="n_samples"):
        averaged_outputs(network("relu"), X, n, Random(0))
