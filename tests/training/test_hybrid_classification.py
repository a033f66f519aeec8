"""The hybrid rule: exact parts equal autograd's and enumeration's, sampled parts autograd's for fixed samples."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import lamina
import oracles
from lamina.core.errors import DataError, LabelError, SettingError
from lamina.core.random import Random
from lamina.inference import exact_log_partition
from lamina.models.energy import ClassificationRBM
from lamina.training import HybridClassification
from lamina.training.distributed import World
from lamina.training.rules import Setting
from lamina.training.sources import Batch
from lamina.units import Gaussian, Spin

CPU = torch.device("cpu")
WEIGHTS = {
    "discriminative": {"discriminative_weight": 1.0, "generative_weight": 0.0},
    "generative": {"discriminative_weight": 0.0, "generative_weight": 1.0},
    "hybrid": {"discriminative_weight": 0.7, "generative_weight": 0.3},
    "semi-supervised": {"discriminative_weight": 0.7, "generative_weight": 0.3, "unlabelled_weight": 0.4},
    "unlabelled alone": {"discriminative_weight": 0.0, "generative_weight": 0.0, "unlabelled_weight": 1.0},
}
CHAINS = {
    "cd-1": {},
    "cd-3, visible means": {"k": 3, "sample_visible": False},
    "pcd": {"k": 2, "n_chains": 6},
}


def machine(kind: str = "binary", scale: float = 0.8, seed: int = 0) -> ClassificationRBM:
    visible, hidden = {"binary": (4, 3), "gaussian": (Gaussian(4, sigma=0.8), Spin(3))}[kind]
    model = ClassificationRBM(visible, 3, hidden, dtype=torch.float64)
    generator = np.random.default_rng(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.from_numpy(generator.normal(0, scale, tuple(parameter.shape))))
    return model


def rows(n: int = 9) -> tuple[torch.Tensor, torch.Tensor]:
    """Binary rows (n, 4) and codes, every third row without a label."""
    generator = np.random.default_rng(5)
    v = torch.from_numpy((generator.random((n, 4)) < 0.4).astype(float))
    y = torch.from_numpy(generator.integers(0, 3, n))
    y[::3] = -1
    return v, y


def start(rule, model, world: World | None = None):
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, float("nan"))  # whatever is not written shows
    rule.start(model, Setting(Random(1), world or World(), CPU, torch.float64, 9))
    return rule


def gradients(rule, model, v, y, places=None, total=None, step=0) -> dict[str, torch.Tensor]:
    places = torch.arange(len(v)) if places is None else places
    rule.gradients(model, Batch((v, y), places, total or len(v)), step, Random(2))
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def surrogate(model, rule, v, y, samples) -> torch.Tensor:
    """What the rule says that it lowers, samples held fixed: its module's head, written with free energies."""
    discriminative, generative, unlabelled = rule.weights
    labelled = y >= 0
    own = y.clamp(min=0)[:, None]
    weights = generative * labelled.double() + unlabelled * (~labelled).double()
    exact = -(model.log_p_y_from_v(v).gather(1, own)[:, 0] * labelled).sum() * discriminative
    joint = model.free_energies(v).gather(1, own)[:, 0]
    positive = (torch.where(labelled, joint, model.free_energy(v)) * weights).sum()
    if samples is None:
        return exact / len(v)
    free = model.as_rbm().free_energy(samples)
    negative = (free * weights).sum() if rule.n_chains is None else free.mean() * weights.sum()
    return (exact + positive - negative) / len(v)


def samples_of(rule, n: int):
    if not rule._samples:
        return None
    return rule.chains if rule.n_chains else next(iter(rule._rows.values())).x[n:]


@pytest.mark.parametrize("kind", ["binary", "gaussian"])
@pytest.mark.parametrize("chains", CHAINS)
@pytest.mark.parametrize("weights", WEIGHTS)
def test_the_gradient_by_hand_is_autograds(weights, chains, kind):
    model, (v, y) = machine(kind), rows()
    rule = start(HybridClassification(**WEIGHTS[weights], **CHAINS[chains]), model)
    by_hand = gradients(rule, model, v, y)
    loss = surrogate(model, rule, v, y, samples_of(rule, len(v)))
    parameters = list(model.joint.parameters())
    for (name, _), gradient in zip(
        model.named_parameters(), torch.autograd.grad(loss, parameters, allow_unused=True), strict=True
    ):
        expected = torch.zeros_like(by_hand[name]) if gradient is None else gradient
        torch.testing.assert_close(by_hand[name], expected, rtol=1e-10, atol=1e-12, msg=name)


def test_the_discriminative_gradient_is_that_of_the_enumerated_probability():
    """Central differences of log p(y | v), summed over hidden states in NumPy."""
    model, (v, y) = machine(), rows()
    found = gradients(start(HybridClassification(generative_weight=0.0), model), model, v, y)
    flat = torch.nn.utils.parameters_to_vector(model.parameters()).detach()
    for place in range(0, len(flat), 3):
        step = torch.zeros_like(flat)
        step[place] = 1e-5
        ends = [_mean_loss(model, flat + sign * step, v, y) for sign in (1, -1)]
        torch.nn.utils.vector_to_parameters(flat, model.parameters())
        ours = torch.cat([found[name].reshape(-1) for name, _ in model.named_parameters()])[place]
        assert float(ours) == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-6, abs=1e-9)


def _mean_loss(model, flat, v, y) -> float:
    """−Σ_labelled log p(y | v) / n by the sum over h."""
    torch.nn.utils.vector_to_parameters(flat, model.parameters())
    W, U, d, c = (t.detach().numpy() for t in (model.W, model.U, model.d, model.c))
    h = oracles.states(3)
    log_joint = oracles.log_sum(((v.numpy() @ W + c) @ h.T)[:, None, :] + (U @ h.T)[None] + d[None, :, None], 2)
    log_p = log_joint - oracles.log_sum(log_joint, 1)[:, None]
    own = y.numpy()
    return float(-log_p[np.arange(len(own)), own][own >= 0].sum() / len(own))


def test_long_chains_give_the_gradient_of_the_exact_joint_likelihood():
    """Within five standard errors of n persistent chains of 60 steps, entry by entry."""
    model, (v, y) = machine(scale=0.5, seed=8), rows()
    v, y = v[y >= 0], y[y >= 0]
    n = 20_000
    rule = HybridClassification(discriminative_weight=0.0, generative_weight=1.0, k=60, n_chains=n)
    found = gradients(start(rule, model), model, v, y)
    log_p = -model.as_rbm().free_energy(model.join(v, y)).mean() - _log_z(model)
    names = [name for name, _ in model.named_parameters()]
    for name, exact in zip(names, torch.autograd.grad(-log_p, list(model.parameters())), strict=True):
        assert float((found[name] - exact).abs().max()) < 5 * 0.5 / np.sqrt(n), name  # no chain's part varies by more


def _log_z(model) -> torch.Tensor:
    """log Z as a function of the parameters, by the sum over hidden states."""
    log_z = torch.logsumexp(-model.as_rbm().free_energy_h(torch.from_numpy(oracles.states(3))), 0)
    assert exact_log_partition(model.as_rbm()) == pytest.approx(float(log_z.detach()), abs=1e-9)
    return log_z


@pytest.mark.parametrize("weights", ["discriminative", "semi-supervised"])
def test_the_gradient_of_a_batch_is_the_sum_of_its_parts(weights):
    """Two processes hold 5 and 4 of 9 rows. (Persistent chains need a sum over real processes.)"""
    model, (v, y) = machine(), rows()
    places = torch.arange(20, 29)

    def rule():
        return HybridClassification(**WEIGHTS[weights], sparsity=0.1)

    whole = gradients(start(rule(), model), model, v, y, places)
    parts = []
    for rank in (0, 1):
        mine = World(rank, 2).slice(9)
        parts.append(gradients(start(rule(), model, World(rank, 2)), model, v[mine], y[mine], places[mine], 9))
    for name in whole:
        torch.testing.assert_close(parts[0][name] + parts[1][name], whole[name], rtol=1e-10, atol=1e-12, msg=name)


def test_a_batch_without_rows_or_without_labels_gives_no_gradient_of_the_class():
    model, (v, y) = machine(), rows()
    rule = HybridClassification()
    for some in (slice(0, 0), slice(0, 1)):  # row 0 has no label and weighs nothing here
        found = gradients(start(rule, model), model, v[some], y[some], torch.arange(9)[some], total=9)
        assert all(float(g.abs().max()) == 0 for g in found.values())


def test_sparsity_lowers_hidden_biases_and_nothing_else():
    model, (v, y) = machine(), rows()
    plain = gradients(start(HybridClassification(), model), model, v, y)
    sparse = gradients(start(HybridClassification(sparsity=0.25), model), model, v, y)
    torch.testing.assert_close(sparse["joint.c"] - plain["joint.c"], torch.full((3,), 0.25, dtype=torch.float64))
    assert torch.equal(sparse["joint.W"], plain["joint.W"])
    assert torch.equal(sparse["joint.b"], plain["joint.b"])


def clusters(n: int = 300, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Binary rows (n, 12) of three noisy patterns, and which."""
    generator = np.random.default_rng(seed)
    patterns = np.random.default_rng(9).integers(0, 2, (3, 12))
    y = generator.integers(0, 3, n)
    return (patterns[y] ^ (generator.random((n, 12)) < 0.15)).astype(float), y


def fitted(labels: int, weights: dict, **options) -> float:
    """Error on fresh rows after learning from 300 rows of which the first ``labels`` have one."""
    X, y = clusters()
    y = np.where(np.arange(300) < labels, y, -1)
    model = ClassificationRBM(12, 3, 8).initialise(0, torch.from_numpy(X.mean(0)))
    rule = HybridClassification(**weights)
    lamina.fit(model, (X, y), rule, epochs=30, batch_size=20, learning_rate=0.2, random_state=0)
    X, y = clusters(500, seed=1)
    found = model.log_p_y_from_v(torch.from_numpy(X).float()).argmax(1).numpy()
    return float((found != y).mean())


@pytest.mark.parametrize("weights", ["discriminative", "generative", "hybrid"])
def test_every_form_learns_to_tell_clusters(weights):
    assert fitted(300, WEIGHTS[weights]) < 0.08  # chance is 0.67; the patterns differ in 5 to 8 of 12 places


def test_rows_without_labels_help_where_labels_are_few():
    few = {"discriminative_weight": 50.0, "generative_weight": 0.5}
    assert fitted(6, {**few, "unlabelled_weight": 1.0}) < 0.75 * fitted(6, few)


def test_validation_looks_at_labelled_rows():
    model, (v, y) = machine(), rows()
    measures = HybridClassification().validate(model, (v, y), (v, y))
    labelled = y >= 0
    log_p = model.log_p_y_from_v(v[labelled]).detach()
    assert measures["validation error"] == pytest.approx(float((log_p.argmax(1) != y[labelled]).double().mean()))
    assert measures["validation loss"] == pytest.approx(float(-log_p.gather(1, y[labelled][:, None]).mean()))
    assert HybridClassification().validate(model, (v, torch.full_like(y, -1)), (v, y)) == {}


def test_an_interrupted_run_ends_with_the_weights_of_an_unbroken_one(tmp_path):
    """Stopped within an epoch and called again; chains, momentum and order go on bit for bit."""
    X, y = clusters(60)

    def run(folder=None, callbacks=()):
        model = ClassificationRBM(12, 3, 5, random_state=1)
        rule = HybridClassification(**WEIGHTS["semi-supervised"], n_chains=7)
        options = {"epochs": 6, "batch_size": 8, "learning_rate": 0.1, "momentum": 0.5, "random_state": 3}
        lamina.fit(model, (X, y), rule, checkpoint=folder, checkpoint_seconds=0.0, callbacks=callbacks, **options)
        return model, rule

    class StoppedError(Exception):
        pass

    class AtEpoch3:
        def on_epoch(self, record, epochs):
            if record.epoch == 3:
                raise StoppedError

    whole, chains = run()
    with pytest.raises(StoppedError):
        run(tmp_path, [AtEpoch3()])
    again, chains_again = run(tmp_path)
    for a, b in zip(whole.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b)
    assert torch.equal(chains.chains, chains_again.chains)


def test_what_cannot_be_learnt_from_is_refused():
    X, y = clusters(20)
    model = ClassificationRBM(12, 3, 4)
    rule = HybridClassification()

    def fit(model, data, rule=rule):
        lamina.fit(model, data, rule, epochs=1)

    with pytest.raises(SettingError, match="trains a ClassificationRBM; RBM given"):
        fit(lamina.RBM(12, 4), (X, y))
    with pytest.raises(DataError, match=r"1 array\(s\); expected two"):
        fit(model, X)
    with pytest.raises(DataError, match=r"shape \(20, 11\); expected \(rows, 12\)"):
        fit(model, (X[:, 1:], y))
    with pytest.raises(DataError, match="values reach 255"):
        fit(model, (X * 255, y))
    with pytest.raises(LabelError, match=r"lie in \[\d, 9\]; expected 0 to 2"):
        fit(model, (X, np.where(np.arange(20) == 4, 9, y)))
    with pytest.raises(LabelError, match="whole numbers"):
        fit(model, (X, y.astype(float)))
    with pytest.raises(SettingError, match="learns no variance"):
        fit(ClassificationRBM(Gaussian(12, learn_sigma=True), 3, 4), (X, y))
    with pytest.raises(SettingError, match="all three weights are 0"):
        HybridClassification(discriminative_weight=0, generative_weight=0)
    for wrong in ({"k": 0}, {"generative_weight": -1.0}, {"n_chains": 0}, {"sparsity": -0.1}):
        with pytest.raises(SettingError, match=next(iter(wrong))):
            HybridClassification(**wrong)
