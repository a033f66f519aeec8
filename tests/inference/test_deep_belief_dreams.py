"""Dreams and bounds of deep belief networks, against sums over all states."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import lamina
import oracles
from deep_belief_oracle import exact, exact_bound, memory_states, random_dbn
from lamina import Gaussian, Stack
from lamina.core.errors import DataError, LabelError, SettingError
from lamina.core.random import Random
from lamina.inference import deep_belief_bound, dream, exact_log_partition
from lamina.inference.deep_belief import recognition_entropy
from lamina.models.energy import DBN, DirectedLayer
from lamina.training.deep_belief import start_memory

NETWORKS = {
    "one directed layer": ([4, 3, 3], 0),
    "two": ([4, 3, 3, 4], 0),
    "labels": ([4, 3, 3, 4], 3),
    "none": ([4, 3], 3),
}


def all_rows(dbn: DBN) -> torch.Tensor:
    return torch.from_numpy(oracles.states(dbn.n_visible))


# the bound --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("entropy", ["exact", "sampled"])
@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_the_bound_is_the_one_by_enumeration_and_below_the_truth(name, entropy):
    dbn = random_dbn(*NETWORKS[name], scale=0.7)
    log_z = exact_log_partition(dbn.top)
    assert log_z == pytest.approx(exact(dbn).log_z, abs=1e-10)
    found = deep_belief_bound(dbn, all_rows(dbn), log_z, n_samples=800, entropy=entropy, random_state=0)
    expected, truth = exact_bound(dbn), exact(dbn).log_p_v
    assert (expected <= truth + 1e-12).all()
    if len(dbn.directed):
        assert (expected < truth - 0.01).any()  # random recognition weights are no posterior
    rows, errors = found.rows.numpy(), found.standard_errors.numpy()
    assert (np.abs(rows - expected) <= 4.5 * errors + 1e-9).all()
    assert found.mean == pytest.approx(rows.mean())
    assert found.standard_error == pytest.approx(np.sqrt((errors**2).sum()) / len(rows))


def test_standard_errors_are_the_scatter_of_repetitions():
    dbn = random_dbn([4, 3, 3])
    runs = [deep_belief_bound(dbn, all_rows(dbn)[:3], 0.0, n_samples=20, random_state=s) for s in range(80)]
    scatter = torch.stack([run.rows for run in runs]).std(0)
    claimed = torch.stack([run.standard_errors for run in runs]).square().mean(0).sqrt()
    torch.testing.assert_close(claimed, scatter, rtol=0.4, atol=0)


def test_a_memory_that_is_the_machine_upside_down_makes_the_bound_tight():
    """Then q is the posterior: every single draw gives log p(v) of the machine, exactly."""
    rbm = oracles.random_binary(4, 3)
    dbn = DBN([4, 3, 4], dtype=torch.float64)
    dbn.directed[0].tie_to(rbm)
    start_memory(dbn, np.random.default_rng(0).random((50, 3)), None, "transposed", Random(0))
    truth = np.log(oracles.binary(rbm).p_v)
    log_z = exact_log_partition(dbn.top)
    assert log_z == pytest.approx(oracles.binary(rbm).log_z, abs=1e-10)
    for entropy, tolerance in (("sampled", 1e-10), ("exact", 0.2)):
        found = deep_belief_bound(dbn, all_rows(dbn), log_z, n_samples=500, entropy=entropy, random_state=1)
        np.testing.assert_allclose(found.rows.numpy(), truth, atol=tolerance)
    np.testing.assert_allclose(exact_bound(dbn), truth, atol=1e-10)
    np.testing.assert_allclose(exact(dbn).log_p_v, truth, atol=1e-10)


def test_the_entropy_of_the_recognition_pass_is_the_sum_over_states():
    layer = random_dbn([4, 3, 3]).directed[0]
    v, h = all_rows(random_dbn([4, 3, 3])), torch.from_numpy(oracles.states(3))
    log_q = torch.stack([layer.log_q_h_from_v(state.expand(16, -1), v) for state in h], 1)
    torch.testing.assert_close(recognition_entropy(layer, v), -(log_q.exp() * log_q).sum(1), rtol=1e-10, atol=1e-12)
    with pytest.raises(SettingError, match="sampled"):
        recognition_entropy(DirectedLayer(4, Gaussian(3)), torch.zeros(1, 4))


def test_the_bound_does_not_depend_on_how_rows_come_together():
    dbn, rows = random_dbn([4, 3, 3]), all_rows(random_dbn([4, 3, 3]))
    whole = deep_belief_bound(dbn, rows, 1.0, n_samples=2, random_state=0)
    head = deep_belief_bound(dbn, rows[:5], 1.0, n_samples=2, random_state=0)
    torch.testing.assert_close(whole.rows[:5], head.rows, rtol=1e-12, atol=0)
    single = deep_belief_bound(dbn, rows[:1], 1.0, n_samples=1, random_state=0)
    assert torch.isnan(single.standard_errors).all()


def test_gaussian_rows_have_a_bound_too():
    stack = Stack([oracles.random_gaussian(3, 2, scale=0.5), oracles.random_binary(2, 3, seed=1)])
    dbn = stack.dbn()
    v = torch.from_numpy(np.random.default_rng(0).normal(size=(6, 3)))
    found = deep_belief_bound(dbn, v, exact_log_partition(dbn.top), n_samples=2000, random_state=0)
    h = torch.from_numpy(oracles.states(2))
    log_p_h = -dbn.top.free_energy(h) - exact_log_partition(dbn.top)
    joint = torch.stack([dbn.directed[0].log_p_v_from_h(v, s.expand(6, -1)) for s in h], 1) + log_p_h
    truth = torch.logsumexp(joint, 1).detach()
    assert bool((found.rows <= truth + 4 * found.standard_errors).all())


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"n_samples": 0}, SettingError),
        ({"entropy": "none"}, SettingError),
        ({"log_z": float("inf")}, DataError),
        ({"log_z": "big"}, SettingError),
        ({"v": torch.zeros(2, 3)}, DataError),
        ({"v": torch.zeros(0, 4)}, DataError),
        ({"v": torch.full((2, 4), float("nan"))}, DataError),
    ],
)
def test_what_has_no_bound_is_refused(options, error):
    settings = {"v": torch.zeros(2, 4), "log_z": 1.0, **options}
    with pytest.raises(error):
        deep_belief_bound(random_dbn([4, 3, 3]), **settings)


# dreams -----------------------------------------------------------------------------------------------------------


def test_log_z_may_come_as_log_partition_gives_it():
    dbn = random_dbn([4, 3, 3])
    z = lamina.log_partition(dbn.top, "exact")
    options = {"n_samples": 5, "random_state": 0}
    one, other = (deep_belief_bound(dbn, all_rows(dbn), log_z, **options) for log_z in (z, z.log_z))
    assert torch.equal(one.rows, other.rows)
    assert one.log_z == z.log_z


def frequencies(rows: torch.Tensor) -> np.ndarray:
    n = rows.shape[1]
    places = (rows.numpy() @ 2 ** np.arange(n - 1, -1, -1)).astype(int)
    return np.bincount(places, minlength=2**n) / len(rows)


def close(found: np.ndarray, expected: np.ndarray, n: int) -> bool:
    return bool((np.abs(found - expected) <= 5 * np.sqrt(expected * (1 - expected) / n) + 1e-9).all())


def test_dreams_follow_the_networks_distribution():
    dbn, n = random_dbn([3, 3, 3], 2, scale=0.5), 20_000
    found = dream(dbn, n=n, steps=30, sample_visible=True, random_state=0)
    assert close(frequencies(found.v), np.exp(exact(dbn).log_p_v), n)


def test_dreams_with_a_label_held_follow_the_conditional_distribution():
    dbn, n = random_dbn([3, 3, 3], 2, scale=0.7), 20_000
    found = dream(dbn, torch.ones(n, dtype=torch.int64), steps=30, sample_visible=True, random_state=0)
    assert torch.equal(found.memory[:, 3:], torch.tensor([0.0, 1.0]).double().expand(n, -1))
    p = np.exp(exact(dbn).log_p_memory)[memory_states(dbn)[:, 4] == 1]
    layer, h = dbn.directed[0], torch.from_numpy(oracles.states(3))
    v = torch.from_numpy(oracles.states(3))
    given = torch.stack([layer.log_p_v_from_h(v, s.expand(8, -1)).exp() for s in h], 1).detach().numpy()
    assert close(frequencies(found.v), given @ (p / p.sum()), n)


def test_means_are_shown_unless_draws_are_asked_for():
    dbn = random_dbn([4, 3, 3, 4], 3)
    shown = dream(dbn, [0, 1, 2], steps=5, random_state=0)
    assert bool(((shown.v > 0) & (shown.v < 1)).all())
    drawn = dream(dbn, [0, 1, 2], steps=5, sample_visible=True, random_state=0)
    assert torch.equal(shown.memory, drawn.memory)
    assert set(drawn.v.unique().tolist()) <= {0.0, 1.0}


def test_a_dream_goes_on_from_where_it_was():
    dbn = random_dbn([4, 3, 3], 3)
    first = dream(dbn, [0, 1, 2], steps=5, random_state=0)
    same = dream(dbn, [0, 1, 2], steps=0, start=first, random_state=1)
    assert torch.equal(same.memory, first.memory)
    later = dream(dbn, start=first, steps=50, random_state=1)  # labels are free from here on
    assert later.memory.shape == first.memory.shape
    assert torch.equal(later.memory[:, 3:].sum(1), torch.ones(3).double())
    assert torch.equal(dream(dbn, [0, 1], steps=5, random_state=0).v, dream(dbn, [0, 1], steps=5, random_state=0).v)


def test_without_directed_layers_the_memory_itself_is_seen():
    dbn = random_dbn([4, 3], 2)
    found = dream(dbn, [0, 1], steps=3, random_state=0)
    assert torch.equal(found.v, found.memory[:, :4])


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({}, SettingError),
        ({"labels": [0, 1], "n": 3}, SettingError),
        ({"n": 0}, SettingError),
        ({"n": 2, "steps": -1}, SettingError),
        ({"labels": [0, 3]}, LabelError),
        ({"labels": [0.5, 1.0]}, LabelError),
    ],
)
def test_impossible_dreams_are_refused(options, error):
    with pytest.raises(error):
        dream(random_dbn([4, 3, 3], 3), **options)


def test_labels_cannot_be_held_where_there_are_none():
    with pytest.raises(SettingError, match="no label units"):
        dream(random_dbn([4, 3, 3]), [0, 1])
