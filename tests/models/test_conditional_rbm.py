"""Conditional and temporal machines: for each condition an RBM, held against enumeration of that machine."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import oracles
from lamina.core.errors import DataError, SettingError
from lamina.core.random import Random
from lamina.models.energy import ConditionalRBM, TemporalRBM
from lamina.models.registry import build
from lamina.storage import load, save
from lamina.units import Bernoulli, Concatenated, Gaussian, Softmax, Spin


def scatter(model, scale: float = 0.6, seed: int = 0):
    """``model`` with all parameters far from zero."""
    generator = np.random.default_rng(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.from_numpy(generator.normal(0, scale, tuple(parameter.shape))))
    return model


def conditional(visible=4, hidden=3, **options) -> ConditionalRBM:
    return scatter(ConditionalRBM(visible, hidden, 2, dtype=torch.float64), **options)


def conditions(n: int = 5, width: int = 2) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(7).normal(size=(n, width)))


def close(ours: torch.Tensor, exact: np.ndarray) -> None:
    np.testing.assert_allclose(ours.detach().numpy(), exact, rtol=1e-10, atol=1e-12)


def test_each_condition_is_a_machine_with_shifted_biases():
    """Means and energies of rows with conditions of their own equal enumeration of b + x A, c + x B, W."""
    model, x = conditional(), conditions()
    W, A, B, b, c = (t.detach().numpy() for t in (model.W, model.A, model.B, model.b, model.c))
    v, h = oracles.states(4), oracles.states(3)
    for row in x:
        shifted_b, shifted_c = b + row.numpy() @ A, c + row.numpy() @ B
        energy = -(v @ shifted_b)[:, None] - (h @ shifted_c)[None, :] - v @ W @ h.T
        pairs = [torch.from_numpy(a) for a in (v.repeat(8, 0), np.tile(h, (16, 1)))]
        close(model.energy(*pairs, row).reshape(16, 8), energy)
        close(model.free_energy(torch.from_numpy(v), row), -oracles.log_sum(-energy, 1))
        close(model.free_energy_h(torch.from_numpy(h), row), -oracles.log_sum(-energy, 0))
        joint = np.exp(-energy - oracles.log_sum(-energy))
        close(model.mean_h_from_v(torch.from_numpy(v), row), (joint / joint.sum(1, keepdims=True)) @ h)
        close(model.mean_v_from_h(torch.from_numpy(h), row), (joint / joint.sum(0)).T @ v)


MIXED = Concatenated([Gaussian(2), Bernoulli(2)])


@pytest.mark.parametrize(
    "visible", [4, Gaussian(4, sigma=0.7), Gaussian(4, learn_sigma=True), Softmax(2, 2), MIXED], ids=str
)
@pytest.mark.parametrize("hidden", [3, Spin(3)])
def test_rows_with_conditions_agree_with_one_machine_per_row(visible, hidden):
    model, x = conditional(visible, hidden), conditions()
    v = model.visible.sample(torch.zeros(5, 4, dtype=torch.float64), Random(1))
    h = model.hidden.sample(torch.zeros(5, 3, dtype=torch.float64), Random(2))
    for k, row in enumerate(x):
        alone = model.as_rbm(row)
        torch.testing.assert_close(model.free_energy(v, x)[k], alone.free_energy(v[k]))
        torch.testing.assert_close(model.free_energy_h(h, x)[k], alone.free_energy_h(h[k]))
        torch.testing.assert_close(model.energy(v, h, x)[k], alone.energy(v[k], h[k]))
        torch.testing.assert_close(model.mean_h_from_v(v, x)[k], alone.mean_h_from_v(v[k]))
        torch.testing.assert_close(model.mean_v_from_h(h, x)[k], alone.mean_v_from_h(h[k]))


def test_draws_have_the_means_of_their_rows():
    model, x = conditional(), conditions(3)
    n = 20_000
    many = x.repeat_interleave(n, 0)
    h = model.sample_h_from_v(torch.ones(len(many), 4, dtype=torch.float64), many, Random(3)).view(3, n, 3)
    expected = model.mean_h_from_v(torch.ones(3, 4, dtype=torch.float64), x).detach()
    assert float(((h.mean(1) - expected) / (expected * (1 - expected) / n).sqrt()).abs().max()) < 5
    v = model.sample_v_from_h(torch.ones(len(many), 3, dtype=torch.float64), many, Random(4)).view(3, n, 4)
    expected = model.mean_v_from_h(torch.ones(3, 3, dtype=torch.float64), x).detach()
    assert float(((v.mean(1) - expected) / (expected * (1 - expected) / n).sqrt()).abs().max()) < 5


def test_a_condition_of_zero_is_the_base_machine():
    model = conditional()
    v = torch.from_numpy(oracles.states(4))
    torch.testing.assert_close(model.free_energy(v, torch.zeros(16, 2).double()), model.base.free_energy(v))


def test_initial_values_follow_the_data_and_the_stream():
    mean = torch.tensor([0.2, 0.9], dtype=torch.float64)
    one, two, other = (
        ConditionalRBM(2, 3, 4, dtype=torch.float64).initialise(seed, mean, scale=0.1) for seed in (1, 1, 2)
    )
    close(one.visible.mean(one.b), mean.numpy())
    for a, b, c in ((one.W, two.W, other.W), (one.A, two.A, other.A), (one.B, two.B, other.B)):
        assert torch.equal(a, b)
        assert not torch.equal(a, c)
    assert 0.02 < float(one.A.detach().std()) < 0.3


# sequences ----------------------------------------------------------------------------------------------------------


def temporal(visible=2, hidden=3, n_lags: int = 3, **options) -> TemporalRBM:
    return scatter(TemporalRBM(visible, hidden, n_lags, dtype=torch.float64), **options)


def test_windows_hold_each_frame_and_what_came_before_it():
    """Frame t of channel i is 10 t + i: every value tells where it came from."""
    lengths = (6, 4, 9)
    sequences = [10.0 * np.arange(n)[:, None] + np.arange(2) + 1000 * k for k, n in enumerate(lengths)]
    model = temporal()
    frames, pasts = model.windows(sequences)
    assert frames.shape == (3 + 1 + 6, 2)
    assert pasts.shape == (10, 6)
    row = 0
    for sequence in sequences:
        for t in range(3, len(sequence)):
            close(frames[row], sequence[t])
            close(pasts[row], np.concatenate([sequence[t - 1], sequence[t - 2], sequence[t - 3]]))
            row += 1
    close(model.condition(model.last_past(sequences[0][:5])), pasts[2].numpy())
    alone = model.windows(sequences[1])
    assert torch.equal(alone[0], frames[3:4])
    assert torch.equal(alone[1], pasts[3:4])


def test_without_hidden_weights_the_machine_is_an_autoregression():
    model = temporal(Gaussian(2), 3)
    with torch.no_grad():
        model.conditional.W.zero_()
    sequence = np.random.default_rng(0).normal(size=(8, 2))
    _, x = model.windows(sequence)
    mean = model.conditional.mean_v_from_h(torch.ones(len(x), 3, dtype=torch.float64), x)
    A, b = model.autoregression.detach().numpy(), model.conditional.b.detach().numpy()
    for row, t in enumerate(range(3, 8)):
        close(mean[row], b + sum(sequence[t - 1 - k] @ A[k] for k in range(3)))


def test_the_machine_of_one_frame():
    model = temporal()
    past = torch.from_numpy(np.random.default_rng(1).integers(0, 2, (3, 2)).astype(float))
    v = torch.from_numpy(oracles.states(2))
    x = model.condition(past).expand(4, -1)
    torch.testing.assert_close(model.as_rbm(past).free_energy(v), model.conditional.free_energy(v, x))


@pytest.mark.parametrize("model", [conditional(Gaussian(4, learn_sigma=True), Spin(3)), temporal(Gaussian(2))])
def test_a_saved_machine_comes_back(model, tmp_path):
    save(model, tmp_path / "m")
    for again in (build(model.spec(), model.state_dict()), load(tmp_path / "m")):
        assert again.spec() == model.spec()
        for a, b in zip(model.state_dict().values(), again.state_dict().values(), strict=True):
            assert torch.equal(a, b)


def test_what_does_not_fit_is_refused():
    model, v = conditional(), torch.zeros(2, 4, dtype=torch.float64)
    with pytest.raises(DataError, match=r"conditions have shape \(2, 3\); expected \(..., 2\)"):
        model.free_energy(v, torch.zeros(2, 3, dtype=torch.float64))
    with pytest.raises(DataError, match=r"shape \(2, 5\); expected \(..., 4\)"):
        model.mean_h_from_v(torch.zeros(2, 5, dtype=torch.float64), conditions(2))
    with pytest.raises(DataError, match=r"shape \(2, 2\); expected one, \(2,\)"):
        model.as_rbm(conditions(2))
    with pytest.raises(SettingError, match="unbounded"):
        ConditionalRBM(Gaussian(2), Gaussian(2), 1)
    for n in (0, 1.5):
        with pytest.raises(SettingError, match="n_condition"):
            ConditionalRBM(2, 2, n)
        with pytest.raises(SettingError, match="n_lags"):
            TemporalRBM(2, 2, n)


def test_sequences_that_cannot_be_learnt_from_are_refused():
    model = temporal()
    fine = np.zeros((5, 2))
    for bad, message in (
        ([], "0 sequences"),
        ([fine, np.zeros((3, 2))], r"sequence 1 have 3 row\(s\); at least 4 needed"),
        ([np.zeros((5, 3))], r"sequence 0 has shape \(5, 3\); expected \(time, 2\)"),
        ([np.full((5, 2), np.nan)], "NaN"),
        ([np.zeros(5)], r"shape \(5,\)"),
    ):
        with pytest.raises(DataError, match=message):
            model.windows(bad)
    with pytest.raises(DataError, match=r"shape \(2, 2\); expected \(..., 3, 2\)"):
        model.condition(torch.zeros(2, 2))
    with pytest.raises(DataError, match="at least 3 needed"):
        model.last_past(fine[:2])
