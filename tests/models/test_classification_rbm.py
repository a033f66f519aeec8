"""The classification machine against the sum over all rows, classes and hidden states, term by term of its energy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

import oracles
from lamina.core.errors import DataError, LabelError, SettingError
from lamina.core.random import Random
from lamina.inference import exact_log_partition, gibbs
from lamina.models.energy import ClassificationRBM
from lamina.models.registry import build
from lamina.storage import load, save
from lamina.units import Bernoulli, Gaussian, Spin

N_VISIBLE, N_CLASSES, N_HIDDEN = 4, 3, 3


def machine(visible=N_VISIBLE, hidden=N_HIDDEN, scale: float = 0.9, seed: int = 0) -> ClassificationRBM:
    model = ClassificationRBM(visible, N_CLASSES, hidden, dtype=torch.float64)
    generator = np.random.default_rng(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.from_numpy(generator.normal(0, scale, tuple(parameter.shape))))
    return model


def enumerated(model: ClassificationRBM) -> np.ndarray:
    """p(v, y, h), (2^n_visible, n_classes, 2^n_hidden), from E = −bᵀv − d_y − cᵀh − vᵀWh − U_y h."""
    W, U, b, d, c = (t.detach().numpy() for t in (model.W, model.U, model.b, model.d, model.c))
    v, h = oracles.states(len(b)), oracles.states(len(c))
    log_weights = (v @ b)[:, None, None] + d[None, :, None] + (h @ c)[None, None, :]
    log_weights = log_weights + (v @ W @ h.T)[:, None, :] + (U @ h.T)[None, :, :]
    return np.exp(log_weights - oracles.log_sum(log_weights))


def close(ours: torch.Tensor, exact: np.ndarray) -> None:
    np.testing.assert_allclose(ours.detach().numpy(), exact, rtol=1e-10, atol=1e-12)


def all_rows() -> torch.Tensor:
    return torch.from_numpy(oracles.states(N_VISIBLE))


def test_the_class_given_the_row():
    model = machine()
    p = enumerated(model).sum(2)
    close(model.p_y_from_v(all_rows()), p / p.sum(1, keepdims=True))
    close(model.log_p_y_from_v(all_rows()), np.log(p / p.sum(1, keepdims=True)))


def test_free_energies_are_log_probabilities_up_to_log_z():
    model = machine(seed=1)
    p = enumerated(model)
    log_z = exact_log_partition(model.as_rbm())
    close(-model.free_energies(all_rows()) - log_z, np.log(p.sum(2)))
    close(-model.free_energy(all_rows()) - log_z, np.log(p.sum((1, 2))))


def test_joined_rows_have_the_free_energy_of_row_and_class():
    model = machine(seed=2)
    v = all_rows()
    for k in range(N_CLASSES):
        joined = model.join(v, torch.full((len(v),), k))
        torch.testing.assert_close(model.as_rbm().free_energy(joined), model.free_energies(v)[:, k])


def test_a_layer_hides_the_class():
    model = machine(seed=3)
    p = enumerated(model).sum(1)
    h = oracles.states(N_HIDDEN)
    close(model.mean_h_from_v(all_rows()), (p / p.sum(1, keepdims=True)) @ h)
    close(model.mean_v_from_h(torch.from_numpy(h)), (p / p.sum(0)).T @ oracles.states(N_VISIBLE))


def test_real_rows_and_spins_match_the_joint_machine():
    """Families whose interaction or cumulant differs: p(y | v) is the ratio of the joint machine's free energies."""
    v = torch.from_numpy(np.random.default_rng(0).normal(size=(6, N_VISIBLE)))
    for visible, hidden in ((Gaussian(4, sigma=0.7), 3), (4, Spin(3)), (Bernoulli(4), Gaussian(3, sigma=0.6))):
        model = machine(visible, hidden, scale=0.5)
        rows = v if isinstance(visible, Gaussian) else (v > 0).double()
        free = [model.as_rbm().free_energy(model.join(rows, torch.full((6,), k))) for k in range(N_CLASSES)]
        torch.testing.assert_close(model.log_p_y_from_v(rows), torch.log_softmax(-torch.stack(free, 1), 1))
        torch.testing.assert_close(model.free_energies(rows), torch.stack(free, 1))


def test_fields_far_from_zero_neither_overflow_nor_lose_the_answer():
    """With W = ±1e4 every cumulant is about 1e4 in float32, and the answer hangs on differences of U alone."""
    model = ClassificationRBM(2, 2, 2)
    with torch.no_grad():
        model.joint.W.copy_(torch.tensor([[1e4, -1e4], [1e4, -1e4], [0.0, 0.0], [1.0, 0.0]]))
    p = model.p_y_from_v(torch.tensor([[1.0, 1.0], [1.0, 0.0]]))
    np.testing.assert_allclose(p[:, 1].detach(), 1 / (1 + np.exp(-1.0)), rtol=2e-3)
    assert torch.isfinite(model.log_p_y_from_v(torch.ones(1, 2))).all()


def test_rows_of_one_class_come_from_a_machine_of_their_own():
    model = machine(seed=4)
    p = enumerated(model).sum(2)
    for k in range(N_CLASSES):
        given = model.given_class(k)
        log_p = -given.free_energy(all_rows()) - exact_log_partition(given)
        close(log_p, np.log(p[:, k] / p[:, k].sum()))


def test_draws_follow_the_enumerated_probabilities():
    model = machine(seed=5)
    p, n = enumerated(model), 30_000
    for row in (0, 9):
        v = all_rows()[row].expand(n, -1)
        given = p[row] / p[row].sum()
        y = model.sample_y_from_v(v, Random(1).child(row))
        assert stats.chisquare(np.bincount(y, minlength=N_CLASSES), n * given.sum(1)).pvalue > 1e-6
        h = model.sample_h_from_v(v, Random(2).child(row)).numpy() @ [4, 2, 1]
        assert stats.chisquare(np.bincount(h.astype(int), minlength=8), n * given.sum(0)).pvalue > 1e-6


def test_gibbs_over_row_and_class_keeps_the_joint_distribution():
    model, n = machine(seed=6), 30_000
    p = enumerated(model).sum(2).reshape(-1)
    drawn = np.random.default_rng(0).choice(len(p), size=n, p=p)
    start = model.join(all_rows()[drawn // N_CLASSES], torch.from_numpy(drawn % N_CLASSES))
    after = gibbs(model.as_rbm(), start, 3, Random(7))
    rows = (after[:, :N_VISIBLE].numpy() @ [8, 4, 2, 1]).astype(int)
    found = rows * N_CLASSES + after[:, N_VISIBLE:].argmax(1).numpy()
    assert stats.chisquare(np.bincount(found, minlength=len(p)), n * p).pvalue > 1e-6


def test_initial_values_follow_the_data():
    model = ClassificationRBM(2, 2, 5, dtype=torch.float64)
    model.initialise(0, *torch.tensor([[0.5, 0.8], [0.25, 0.75]], dtype=torch.float64), scale=0.0)
    close(model.p_y_from_v(torch.zeros(1, 2, dtype=torch.float64)), np.array([[0.25, 0.75]]))
    close(model.visible.mean(model.b), np.array([0.5, 0.8]))


def test_a_saved_machine_comes_back(tmp_path):
    model = machine(Gaussian(4), Spin(3))
    v = torch.ones(2, 4, dtype=torch.float64)
    save(model, tmp_path / "m")
    for again in (build(model.spec(), model.state_dict()), load(tmp_path / "m")):
        assert again.spec() == model.spec()
        assert torch.equal(again.log_p_y_from_v(v), model.log_p_y_from_v(v))


def test_what_does_not_fit_is_refused():
    model = machine()
    with pytest.raises(SettingError, match="n_classes is 1"):
        ClassificationRBM(4, 1, 3)
    with pytest.raises(DataError, match=r"shape \(2, 5\); expected \(..., 4\)"):
        model.p_y_from_v(torch.zeros(2, 5, dtype=torch.float64))
    with pytest.raises(DataError, match=r"shape \(2, 4\); expected \(..., 3\)"):
        model.mean_v_from_h(torch.zeros(2, 4, dtype=torch.float64))
    for y, message in (([0, 3], r"lie in \[0, 3\]; expected 0 to 2"), ([0], "one whole number per row")):
        with pytest.raises(LabelError, match=message):
            model.join(torch.zeros(2, 4, dtype=torch.float64), torch.tensor(y))
    with pytest.raises(LabelError, match=r"type torch\.float64"):
        model.join(torch.zeros(2, 4, dtype=torch.float64), torch.zeros(2, dtype=torch.float64))
    with pytest.raises(SettingError, match="y is 3"):
        model.given_class(3)
