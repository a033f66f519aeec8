"""Back-propagation through time: losses by their definition, slopes, ragged batches, tasks that are learnt, resume."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

import lamina
from lamina.core.errors import DataError, LabelError, SettingError
from lamina.core.random import Random
from lamina.models.networks import MLP, RecurrentNetwork
from lamina.training import BackPropagation, MaxGradientNorm, SequenceBackPropagation, fit
from lamina.training.sources import Batch

DOUBLE = {"dtype": torch.float64}
LENGTHS = torch.tensor([6, 3, 7, 5])
WEIGHTS = [0.5, 2.0, 1.0]


def sequences(seed=0):
    return torch.from_numpy(np.random.default_rng(seed).random((4, 7, 3)))


def batch_of(*values):
    return Batch(values, torch.arange(len(values[0])), len(values[0]))


def case(task, answer="last", cell="lstm"):
    """A network, a rule and data (X, lengths, targets) of one task."""
    model = RecurrentNetwork(3, 4, 3, cell=cell, answer=answer, random_state=5, **DOUBLE)
    X, generator = sequences(), np.random.default_rng(1)
    if task == "next":
        return model, SequenceBackPropagation("binary cross-entropy", next_step=True), (X, LENGTHS)
    if task == "squared":
        shape = (4, 7, 3) if answer == "each" else (4, 3)
        return model, SequenceBackPropagation("squared"), (X, LENGTHS, torch.from_numpy(generator.normal(size=shape)))
    codes = generator.integers(-1 if answer == "each" else 0, 3, (4, 7) if answer == "each" else 4)
    codes = torch.from_numpy(codes)
    if answer == "each":
        codes[1] = -1  # a sequence without any label
    return model, SequenceBackPropagation(class_weight=WEIGHTS), (X, LENGTHS, codes)


def by_definition(model, rule, values):
    """The loss of every sequence alone, frame by frame; and its share of wrong answers."""
    found, wrong = [], []
    for row, length in enumerate(LENGTHS.tolist()):
        x = values[0][row : row + 1, :length]
        y = model(x)[0]
        if rule.next_step:
            targets, y = x[0, 1:], y[:-1]
        elif model.answer == "each":
            targets = values[2][row, :length]
        else:
            targets, y = values[2][row : row + 1], y[None]
        losses, errors = [], []
        for one, target in zip(y, targets, strict=True):
            if rule.loss_name == "squared":
                losses.append((one - target).square().sum())
            elif rule.loss_name == "binary cross-entropy":
                losses.append(functional.binary_cross_entropy_with_logits(one, target, reduction="sum"))
            elif target >= 0:
                losses.append(-WEIGHTS[int(target)] * torch.log_softmax(one, 0)[int(target)])
                errors.append(float(one.argmax() != target))
        found.append(sum(losses) / max(1, len(losses)))
        wrong.append(sum(errors) / max(1, len(errors)))
    return found, wrong


CASES = [("class", "last"), ("class", "mean"), ("class", "each"), ("squared", "last"), ("squared", "each")]


@pytest.mark.parametrize(("task", "answer"), [*CASES, ("next", "each")])
def test_the_loss_of_uneven_sequences_is_that_of_each_alone(task, answer):
    """To 1e-12, in values and gradients."""
    model, rule, values = case(task, answer)
    total, measures = rule.loss(model, batch_of(*values), Random(0))
    losses, wrong = by_definition(model, rule, values)
    torch.testing.assert_close(total, torch.as_tensor(sum(losses)), rtol=0, atol=1e-12)
    learnt = rule.parameters(model)
    for a, b in zip(*(torch.autograd.grad(value, learnt) for value in (total, sum(losses))), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)
    assert bool(learnt[0].abs().sum() > 0)
    validated = rule.validate(model, values, values)
    assert validated["validation loss"] == pytest.approx(float(sum(losses).detach()) / 4)
    assert ("training error" in measures) == (task == "class")
    if task == "class":
        assert float(measures["training error"]) == pytest.approx(sum(wrong))
        assert validated["validation error"] == pytest.approx(sum(wrong) / 4)


@pytest.mark.parametrize("cell", ["elman", "fully-recurrent"])
def test_slopes_against_finite_differences(cell):
    for task, answer in (("class", "each"), ("next", "each"), ("class", "last")):
        model, rule, values = case(task, answer, cell)

        def loss(*_, model=model, rule=rule, values=values):  # changed in place by gradcheck
            return rule.loss(model, batch_of(*values), Random(0))[0]

        assert torch.autograd.gradcheck(loss, rule.parameters(model), fast_mode=True)


@pytest.mark.parametrize("padding", [7.0, float("nan")])
def test_the_padding_never_matters(padding):
    behind = torch.arange(7) >= LENGTHS[:, None]
    for task, answer in [*CASES, ("next", "each")]:
        model, rule, values = case(task, answer)
        other = [torch.where(behind[:, :, None], padding, values[0]), *values[1:]]
        if task == "squared" and answer == "each":
            other[2] = torch.where(behind[:, :, None], padding, values[2])
        if task == "class" and answer == "each":
            other[2] = torch.where(behind, 2, values[2])
        results = []
        for data in (values, tuple(other)):
            total, _ = rule.loss(model, batch_of(*data), Random(0))
            results.append([total, *torch.autograd.grad(total, rule.parameters(model))])
        assert all(torch.equal(a, b) for a, b in zip(*results, strict=True)), (task, answer)


def test_a_truncated_gradient_is_that_of_stretches_with_the_state_handed_on():
    model = RecurrentNetwork(3, 4, 3, answer="each", random_state=5, **DOUBLE)
    X, targets = sequences(), sequences(1)
    rule = SequenceBackPropagation("squared", truncate=3)
    total, _ = rule.loss(model, batch_of(X, targets), Random(0))
    state, expected = None, 0.0
    for start in (0, 3, 6):
        values, state = model.layers[0].ahead(X[:, start : start + 3], state)
        state = state.detach()
        outputs = values @ model.head_W + model.head_b
        expected = expected + (outputs - targets[:, start : start + 3]).square().sum() / 7
    learnt = rule.parameters(model)
    found = torch.autograd.grad(total, learnt)
    for a, b in zip(found, torch.autograd.grad(expected, learnt), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)
    whole = torch.autograd.grad(
        SequenceBackPropagation("squared").loss(model, batch_of(X, targets), Random(0))[0], learnt
    )
    assert not torch.allclose(whole[0], found[0])


LEARNING = {"optimiser": "adam", "learning_rate": 0.02, "penalties": [MaxGradientNorm(1.0)], "random_state": 0}


def test_a_fully_recurrent_network_learns_a_delayed_exclusive_or():
    """Of the bits one and two steps back; frames 0 and 1 have no label. Any fixed answer is wrong half of the time."""
    bits = np.random.default_rng(0).integers(0, 2, (60, 12))
    codes = np.full((60, 12), -1)
    codes[:, 2:] = bits[:, 1:-1] ^ bits[:, :-2]
    X = (2.0 * bits - 1)[:, :, None].astype(np.float32)
    model = RecurrentNetwork(1, 6, 2, cell="fully-recurrent", answer="each")
    data, test = (X[:40], codes[:40]), (X[40:], codes[40:])
    history = fit(model, data, SequenceBackPropagation(), epochs=30, batch_size=10, validation=test, **LEARNING)
    assert history["training error"][0] > 0.35
    assert history["validation error"][-1] < 0.02


@pytest.mark.parametrize("cell", ["elman", "lstm"])
def test_the_next_step_of_a_wave_is_learnt_and_so_is_going_on(cell):
    t = np.arange(60) / 3
    wave = (np.sin(t) + 0.5 * np.sin(2 * t))[:, None].astype(np.float32)
    X = np.stack([wave[k : k + 30] for k in range(30)])
    model = RecurrentNetwork(1, 16, 1, cell=cell, answer="each")
    history = fit(model, X, SequenceBackPropagation("squared", next_step=True), epochs=30, batch_size=10, **LEARNING)
    assert history["training loss"][-1] < 0.05 * history["training loss"][0]
    found = model.forecast(torch.from_numpy(wave[None, :50]), 6)[0, :, 0].numpy()
    stays = np.square(wave[50:56, 0] - wave[49, 0]).mean()
    assert np.square(found - wave[50:56, 0]).mean() < 0.1 * stays


def test_what_stands_at_the_start_is_remembered_to_the_end():
    generator = np.random.default_rng(0)
    y = np.arange(60) % 2
    X = 0.3 * generator.normal(size=(60, 12, 1)).astype(np.float32)
    X[:, 0, 0] += 2 * y - 1
    lengths = generator.integers(8, 13, 60)
    for options in ({}, {"bidirectional": True}, {"answer": "mean"}):
        model = RecurrentNetwork(1, 8, 2, cell="lstm", **options)
        history = fit(model, (X, lengths, y), SequenceBackPropagation(), epochs=10, batch_size=10, **LEARNING)
        assert history["training error"][-1] < 0.1, options


class StopAfter:
    def on_epoch(self, record, epochs) -> None:
        if record.epoch == 2:
            raise RuntimeError("crash")


@pytest.mark.parametrize("cell", ["elman", "fully-recurrent", "lstm"])
def test_a_run_broken_off_ends_like_an_unbroken_one(tmp_path, cell):
    X, lengths = sequences().repeat(5, 1, 1).float(), LENGTHS.repeat(5)
    codes = torch.arange(20) % 3

    def run(**options):
        deep = cell != "fully-recurrent"
        model = RecurrentNetwork(3, (4, 3) if deep else 4, 3, cell=cell, dropout=0.3 if deep else 0.0)
        rule = SequenceBackPropagation(class_weight=WEIGHTS, truncate=4)
        settings = {**LEARNING, "penalties": [MaxGradientNorm(0.1)], "batch_size": 8, "health": True}
        return model, fit(model, (X, lengths, codes), rule, epochs=4, **settings, **options)

    unbroken, history = run()
    options = {"checkpoint": tmp_path, "checkpoint_seconds": -1.0}
    with pytest.raises(RuntimeError, match="crash"):
        run(callbacks=[StopAfter()], **options)
    resumed, again = run(**options)
    assert all(torch.equal(a, b) for a, b in zip(unbroken.parameters(), resumed.parameters(), strict=True))
    assert [(r.measures, r.health) for r in history.records] == [(r.measures, r.health) for r in again.records]
    found = lamina.load(lamina.save(resumed, tmp_path / "model"))
    assert torch.equal(found(X, lengths=lengths), unbroken(X, lengths=lengths))


def test_frozen_layers_stay_and_the_others_move():
    X, codes = sequences(), torch.tensor([0, 1, 2, 0])
    model = RecurrentNetwork(3, (4, 3), 3, **DOUBLE)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    fit(model, (X, codes), SequenceBackPropagation(frozen=1), epochs=1, learning_rate=0.1, random_state=0)
    for name, value in model.state_dict().items():
        still = name.startswith("layers.0") or name.endswith("bias_hh_l0")
        assert torch.equal(value, before[name]) == still, name


def test_health_has_a_value_per_layer_and_leaves_the_padding_out_of_the_loss():
    for task, answer in [*CASES, ("next", "each")]:
        model, rule, values = case(task, answer)
        health = rule.health(model, values)
        assert len(health["gradient norm"]) == 2
        assert len(health["saturated"]) == 1
        losses, _ = by_definition(model, rule, values)
        assert health["loss"] == [pytest.approx(float(sum(losses).detach()) / 4)]


def test_plain_back_propagation_trains_it_too():
    """The same losses of whole sequences, of the tuple (X, lengths, y): the same weights."""
    X, codes = sequences(), torch.tensor([0, 1, 2, 0])
    found = []
    for rule in (SequenceBackPropagation(), BackPropagation()):
        model = RecurrentNetwork(3, 4, 3, cell="lstm", **DOUBLE)
        fit(model, (X, LENGTHS, codes), rule, epochs=3, batch_size=2, learning_rate=0.1, random_state=0)
        found.append(model)
    for a, b in zip(found[0].parameters(), found[1].parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


def test_sequences_of_one_length_need_no_lengths():
    X, codes = sequences(), torch.tensor([0, 1, 2, 0])
    models = []
    for data in ((X, codes), (X, torch.full((4,), 7), codes)):
        model = RecurrentNetwork(3, 4, 3, **DOUBLE)
        fit(model, data, SequenceBackPropagation(), epochs=2, random_state=0)
        models.append(model)
    assert all(torch.equal(a, b) for a, b in zip(*(m.parameters() for m in models), strict=True))


def test_settings():
    for wrong, message in (
        ({"loss": "crossentropy"}, "did you mean 'cross-entropy'"),
        ({"next_step": True}, "the next frame is no class"),
        ({"truncate": 0}, "truncate is 0"),
        ({"frozen": -1}, "frozen is -1"),
        ({"class_weight": [1.0, -2.0]}, r"class_weight\[1\]"),
        ({"loss": "squared", "class_weight": [1.0]}, "no classes"),
    ):
        with pytest.raises(SettingError, match=message):
            SequenceBackPropagation(**wrong)
    X, codes = sequences(), torch.tensor([0, 1, 2, 0])
    following = SequenceBackPropagation("squared", next_step=True)
    for model, rule, data, message in (
        (MLP((3, 2), **DOUBLE), SequenceBackPropagation(), (X, codes), "MLP given"),
        (RecurrentNetwork(3, 4, 3, **DOUBLE), SequenceBackPropagation(frozen=2), (X, codes), "2 layers"),
        (RecurrentNetwork(3, 4, 3, **DOUBLE), SequenceBackPropagation(class_weight=[1, 2]), (X, codes), "3 outputs"),
        (RecurrentNetwork(3, 4, 3, **DOUBLE), following, X, "answer='each'"),
        (RecurrentNetwork(3, 4, 3, answer="each", bidirectional=True, **DOUBLE), following, X, "would see the target"),
        (RecurrentNetwork(3, 4, 2, answer="each", **DOUBLE), following, X, "as many outputs"),
    ):
        with pytest.raises(SettingError, match=message):
            fit(model, data, rule, epochs=1)


def test_data_that_cannot_be_learnt_from():
    X, codes = sequences(), torch.tensor([0, 1, 2, 0])
    one, each = (RecurrentNetwork(3, 4, 3, answer=answer, **DOUBLE) for answer in ("last", "each"))
    classes, squared = SequenceBackPropagation(), SequenceBackPropagation("squared")
    following = SequenceBackPropagation("binary cross-entropy", next_step=True)
    for model, rule, data, message in (
        (one, classes, X, "1 arrays"),
        (each, following, (X, LENGTHS, codes), "3 arrays"),
        (one, classes, (X[:, :, :2], codes), "pad_sequences"),
        (one, classes, (X, LENGTHS + 1, codes), "expected 1 to 7"),
        (each, classes, (X, LENGTHS, codes), r"expected \(4, 7\), one per frame"),
        (one, squared, (X, LENGTHS, codes.double()), r"expected \(4, 3\)"),
        (each, squared, (X, LENGTHS, X[:, :5]), r"expected \(4, 7, 3\)"),
        (each, following, (3 * X, LENGTHS), r"needs \[0, 1\]"),
        (each, following, (X, LENGTHS - 2), "1 frame; expected at least 2"),
    ):
        with pytest.raises(DataError, match=message):
            fit(model, data, rule, epochs=1)
    for model, data, message in (
        (one, (X, codes + 1), r"lie in \[1, 3\]"),
        (one, (X, codes - 1), r"lie in \[-1, 1\]"),
        (each, (X, torch.full((4, 7), 1.5)), "whole numbers"),
    ):
        with pytest.raises(LabelError, match=message):
            fit(model, data, classes, epochs=1)
    behind = torch.full((4, 7), 9.0)  # codes behind the ends are never looked at
    behind[torch.arange(7) < LENGTHS[:, None]] = 1.0
    fit(each, (X, LENGTHS, behind), classes, epochs=1)
