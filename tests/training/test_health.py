"""The health of a network: closed forms, and that looking changes nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from lamina.core.errors import DivergenceError
from lamina.models import MLP
from lamina.models.networks import Convolution, ConvolutionalNetwork, MaxPooling, RecurrentNetwork
from lamina.training import BackPropagation, Classification, VirtualAdversarial, fine_tune, fit
from lamina.training.health import ROWS, in_first_half, layer_health, relative_slopes
from lamina.training.losses import Loss

CROSS_ENTROPY = Loss("cross-entropy").sum
SQUARED = Loss("squared").sum


def data(n: int = 40, n_in: int = 5, n_out: int = 3, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    random = np.random.default_rng(seed)
    return torch.from_numpy(random.normal(size=(n, n_in))), torch.from_numpy(random.integers(0, n_out, n))


def linear(W: torch.Tensor) -> MLP:
    """x ↦ x W, without a hidden layer."""
    network = MLP(tuple(W.shape), dtype=torch.float64)
    with torch.no_grad():
        network.W[0].copy_(W)
    return network


# closed forms --------------------------------------------------------------------------------------------------------


def test_gradients_of_a_linear_map_are_those_of_least_squares():
    X, _ = data(30)
    Y = torch.from_numpy(np.random.default_rng(1).normal(size=(30, 2)))
    W = torch.from_numpy(np.random.default_rng(2).normal(size=(5, 2)))
    found = layer_health(linear(W), (X, Y), SQUARED)
    wrong = X @ W - Y
    slope, bias = 2 * X.T @ wrong / 30, 2 * wrong.sum(0) / 30
    assert found["loss"][0] == pytest.approx(float(wrong.square().sum()) / 30)
    whole = torch.cat([slope.reshape(-1), bias])
    assert found["gradient norm"][0] == pytest.approx(float(whole.norm()))
    assert found["relative gradient"][0] == pytest.approx(float(slope.norm() / W.norm()))
    assert found["pull"][0] == pytest.approx(float(-(slope * W).sum() / slope.norm() / W.norm()))
    first = in_first_half(30)
    halves = [torch.cat([(X[k].T @ wrong[k]).reshape(-1), wrong[k].sum(0)]) for k in (first, ~first)]
    agreement = float(halves[0] @ halves[1] / halves[0].norm() / halves[1].norm())
    assert found["gradient agreement"][0] == pytest.approx(agreement)
    assert found["weight norm"][0] == pytest.approx(float(W.norm()))
    assert found["weight gain"][0] == pytest.approx(float(W.square().mean().sqrt()) * 5**0.5)
    assert found["dead"] == []
    assert found["input rms"][0] == pytest.approx(float(X.square().mean().sqrt()))
    spread = X.std(0, correction=0)
    assert found["input spread"][0] == pytest.approx(float(spread.max() / spread.median()))


def test_gradients_agree_fully_where_the_rows_repeat_and_pull_is_one_at_a_decayed_minimum():
    X, Y = data(20)[0], torch.from_numpy(np.random.default_rng(1).normal(size=(20, 2)))
    rows = torch.empty(40, dtype=torch.int64)  # each row once in either half
    rows[in_first_half(40)] = rows[~in_first_half(40)] = torch.arange(20)
    twice = (X[rows], Y[rows])
    decay = 0.7  # min mean squared error + decay/2 |W|², no bias in the minimum: rows and targets centred
    X, Y = twice[0] - twice[0].mean(0), twice[1] - twice[1].mean(0)
    W = torch.linalg.solve(2 * X.T @ X / 40 + decay * torch.eye(5, dtype=torch.float64), 2 * X.T @ Y / 40)
    found = layer_health(linear(W), (X, Y), SQUARED)
    assert found["gradient agreement"][0] == pytest.approx(1)
    assert found["pull"][0] == pytest.approx(1)
    assert found["relative gradient"][0] == pytest.approx(decay)


def test_weights_drawn_by_he_and_glorot_have_the_gains_of_the_table():
    X, y = data(10, n_in=300)
    relu = layer_health(MLP((300, 200, 3), dtype=torch.float64), (X, y), CROSS_ENTROPY)["weight gain"]
    assert relu[0] == pytest.approx(2**0.5, rel=0.02)
    tanh = MLP((300, 300, 3), activation="tanh", dtype=torch.float64)
    assert layer_health(tanh, (X, y), CROSS_ENTROPY)["weight gain"][0] == pytest.approx(1, rel=0.02)


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu", "scaled_tanh"])
def test_slopes_are_those_of_autograd(activation):
    z = torch.linspace(-3, 3, 21, dtype=torch.float64, requires_grad=True)
    network = MLP((1, 1, 1), activation=activation, dtype=torch.float64)
    with torch.no_grad():
        network.W[0].fill_(1)
    a = network.hidden_means(z[:, None])[0]
    (slope,) = torch.autograd.grad(a.sum(), z)
    steepest = {"sigmoid": 0.25, "tanh": 1.0, "relu": 1.0, "scaled_tanh": 1.7159 * 2 / 3}[activation]
    found = relative_slopes(a.detach(), activation)
    np.testing.assert_allclose(found[:, 0].numpy(), slope.numpy() / steepest, atol=1e-12)


def test_a_network_that_does_not_name_its_units_is_judged_by_their_range():
    low = torch.tensor([[0.001, 0.5], [0.2, 0.999]], dtype=torch.float64)
    assert torch.equal(relative_slopes(low, ""), 4 * low * (1 - low))
    assert torch.equal(relative_slopes(2 * low - 1, ""), 1 - (2 * low - 1) ** 2)
    assert relative_slopes(torch.tensor([[0.0, 3.0]]), "").tolist() == [[0.0, 1.0]]
    assert relative_slopes(torch.tensor([[-4.0, 3.0]]), "") is None


def test_dead_and_saturated_units_are_counted():
    X, y = data(50)
    network = MLP((5, 4, 3), dtype=torch.float64)
    with torch.no_grad():
        network.b[0][1:] = -1e3
    found = layer_health(network, (X, y), CROSS_ENTROPY)
    assert found["dead"] == [0.75]
    assert found["slope"][0] == pytest.approx(float((X @ network.W[0][:, 0] > 0).double().mean()) / 4)
    assert found["saturated"] == [0.0]
    sigmoid = MLP((5, 4, 3), activation="sigmoid", dtype=torch.float64)
    with torch.no_grad():
        sigmoid.b[0][:2] = 50
    found = layer_health(sigmoid, (X, y), CROSS_ENTROPY)
    assert found["saturated"] == [0.5]
    assert found["dead"] == [0.5]


def test_units_that_hardly_vary_are_not_dead_while_a_gradient_passes_them():
    X, y = data(50)
    sigmoid = MLP((5, 4, 3), activation="sigmoid", dtype=torch.float64)
    with torch.no_grad():
        sigmoid.W[0].mul_(1e-6)
    found = layer_health(sigmoid, (X, y), CROSS_ENTROPY)
    assert found["dead"] == [0.0]
    assert found["slope"][0] == pytest.approx(1)
    assert found["variation"][0] < 1e-5


def test_effective_units_count_equal_directions():
    X = torch.eye(6, dtype=torch.float64).repeat(8, 1)
    network = MLP((6, 6, 2), activation="identity", dtype=torch.float64)
    with torch.no_grad():
        network.W[0].copy_(torch.eye(6))
    y = torch.zeros(48, dtype=torch.int64)
    assert layer_health(network, (X, y), CROSS_ENTROPY)["effective units"][0] == pytest.approx(5)  # six points: 5 axes
    with torch.no_grad():
        network.W[0][:, 1:] = 0
    assert layer_health(network, (X, y), CROSS_ENTROPY)["effective units"][0] == pytest.approx(1)


# looking changes nothing ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("normalise", [False, True])
def test_training_is_the_same_bit_for_bit_with_and_without_looking(normalise):
    X, y = data(60)
    states = []
    for health in (False, True, 2):
        network = MLP((5, 8, 3), dropout=0.3, normalise=normalise, dtype=torch.float64)
        history = fit(network, (X, y), BackPropagation(), epochs=5, batch_size=16, random_state=4, health=health)
        states.append(network.state_dict())
        assert [bool(record.health) for record in history] == {
            False: [False] * 5,
            True: [True] * 5,
            2: [False, True, False, True, True],
        }[health]
        assert bool(history.start) == bool(health)
    for name, value in states[0].items():
        assert torch.equal(value, states[1][name])
        assert torch.equal(value, states[2][name])


def test_looking_writes_no_gradient_and_no_running_average():
    X, y = data(60)
    network = MLP((5, 8, 3), normalise=True, dropout=0.5, dtype=torch.float64)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with torch.no_grad():
        layer_health(network, (X, y), CROSS_ENTROPY)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())


@pytest.mark.parametrize("period", [2, 3, 4, 8, 10])
def test_classes_in_turn_fall_on_both_sides(period):
    first = in_first_half(ROWS)
    assert int(first.sum()) == ROWS // 2
    for turn in range(period):
        share = float(first[turn::period].double().mean())
        assert 0.3 < share < 0.7


def test_at_most_so_many_rows_are_looked_at():
    X, y = data(ROWS + 50)
    network = MLP((5, 4, 3), dtype=torch.float64)
    few = layer_health(network, (X[:ROWS], y[:ROWS]), CROSS_ENTROPY)
    assert layer_health(network, (X, y), CROSS_ENTROPY) == few


# every network, every rule -------------------------------------------------------------------------------------------


def test_a_convolutional_network_has_one_value_per_layer():
    network = ConvolutionalNetwork((1, 8, 8), [Convolution(3, 3), MaxPooling(2)], 3, dtype=torch.float64)
    X, y = data(20, n_in=64)
    found = layer_health(network, (X, y), CROSS_ENTROPY)
    assert len(found["gradient norm"]) == len(network.layer_parameters()) == 2
    assert len(found["dead"]) == len(network.hidden_means(X))
    assert all(np.isfinite(values).all() for values in found.values())


def test_a_map_is_a_unit_empty_borders_are_not_dead_and_a_silent_map_is():
    images = torch.zeros(40, 1, 8, 8, dtype=torch.float64)
    images[:, :, 3:5, 3:5] = torch.from_numpy(np.random.default_rng(0).random((40, 1, 2, 2)))
    y = torch.arange(40) % 2
    network = ConvolutionalNetwork((1, 8, 8), [Convolution(4, 3), MaxPooling(2)], 2, dtype=torch.float64)
    with torch.no_grad():
        network.W[0].copy_(torch.rand_like(network.W[0]))
        network.W[0][3] = -1.0
    rows = images.flatten(1)
    assert len(network.hidden_means(rows)[0].std(0).nonzero()) < 36  # places of the border are the same in every row
    assert layer_health(network, (rows, y), CROSS_ENTROPY)["dead"] == [0.25]
    assert [h.shape for h in network.hidden_maps(rows)] == [(40, 4, 3, 3)]


def test_a_recurrent_network_takes_rows_and_lengths():
    network = RecurrentNetwork(2, (4,), 3, dtype=torch.float64)
    X = torch.from_numpy(np.random.default_rng(0).normal(size=(6, 5, 2)))
    lengths, y = torch.tensor([5, 4, 5, 3, 5, 2]), torch.tensor([0, 1, 2, 0, 1, 2])
    found = layer_health(network, (X, lengths, y), CROSS_ENTROPY)
    assert len(found["gradient norm"]) == len(network.layer_parameters())
    assert all(np.isfinite(values).all() for values in found.values())


class _Strange(nn.Module):
    """A network that does not tell its layers."""

    def __init__(self) -> None:
        super().__init__()
        self.W = nn.Parameter(torch.zeros(5, 3, dtype=torch.float64))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.W


def test_what_cannot_be_looked_into_gives_nothing():
    X, y = data(20)
    assert Classification().health(_Strange(), (X, y)) == {}
    network = MLP((5, 4, 3), dtype=torch.float64)
    assert layer_health(network, (X,), CROSS_ENTROPY) == {}
    assert layer_health(network, (X[:1], y[:1]), CROSS_ENTROPY) == {}
    assert Classification().health(network, (X, y)) == BackPropagation().health(network, (X, y))


def test_fine_tuning_is_looked_at_and_adversarial_training_on_its_labelled_rows():
    X, y = data(40)
    network = MLP((5, 4, 3), dtype=torch.float64)
    rule = VirtualAdversarial(X[:10], y[:10])
    assert rule.health(network, (X,)) == BackPropagation().health(network, (X[:10], y[:10]))
    history = fine_tune(network, X[:10], y[:10], epochs=1, random_state=0, health=True)
    assert len(history.records[0].health["gradient norm"]) == 2


# the history ---------------------------------------------------------------------------------------------------------


def test_the_history_knows_the_settings_and_survives_a_resume(tmp_path):
    X, y = data(40)

    def run(folder, *, stop):
        network = MLP((5, 4, 3), dtype=torch.float64)

        def interrupt(record, epochs):
            if record.epoch == stop:
                raise KeyboardInterrupt

        class Stop:
            on_epoch = staticmethod(interrupt)

        options = {"epochs": 4, "random_state": 1, "health": True, "checkpoint_seconds": 0.0}
        return fit(network, (X, y), BackPropagation(), **options, checkpoint=folder, callbacks=[Stop()])

    whole = run(tmp_path / "a", stop=0)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "b", stop=2)
    again = run(tmp_path / "b", stop=0)
    assert whole.settings["model"]["sizes"] == [5, 4, 3]
    assert whole.settings["weight_decay"] == 0.0
    assert again.start == whole.start
    assert again.settings == whole.settings
    assert [record.health for record in again] == [record.health for record in whole]


def test_what_came_before_a_divergence_is_kept():
    X, _ = data(40)
    network = MLP((5, 4, 2), activation="identity", dtype=torch.float64)
    with pytest.raises(DivergenceError) as caught:
        fit(network, (1e3 * X, X[:, :2]), BackPropagation("squared"), epochs=50, learning_rate=10.0, health=True)
    history = caught.value.history
    assert history.stopped.startswith("diverged: training diverged")
    assert history.start["input rms"][0] > 100
    assert history.settings["rule"]["loss"] == "squared"
