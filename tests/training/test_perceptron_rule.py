"""The perceptron rule: the formula, Novikoff's bound on mistakes, what happens where classes cannot be parted."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import lamina
from lamina import MLP
from lamina.core.errors import DataError, LabelError, SettingError
from lamina.core.random import Random
from lamina.models.networks import Perceptron
from lamina.training import PerceptronRule, mistake_bound
from lamina.training.perceptron import corrections
from lamina.training.sources import Batch

XOR = (np.array([[0.0, 0], [0, 1], [1, 0], [1, 1]]), np.array([0, 1, 1, 0]))


def separable(n_classes: int, seed: int, n: int = 40):
    """Rows (n, 3) that weights known to us part with a margin, their codes, and these weights and biases."""
    generator = np.random.default_rng(seed)
    n_out = 1 if n_classes == 2 else n_classes
    W, b = generator.normal(size=(3, n_out)), 0.3 * generator.normal(size=n_out)
    X = generator.normal(size=(40 * n, 3))
    fields = X @ W + b
    ordered = np.sort(fields, axis=1)
    margin = np.abs(fields[:, 0]) if n_out == 1 else ordered[:, -1] - ordered[:, -2]
    clear = np.flatnonzero(margin > 0.3)[:n]
    codes = (fields[:, 0] > 0).astype(np.int64) if n_out == 1 else fields.argmax(1)
    assert len(set(codes[clear])) == n_classes
    return X[clear], codes[clear], torch.from_numpy(W), torch.from_numpy(b)


def learn(X, y, n_classes: int, **options):
    model = Perceptron(X.shape[1], n_classes, dtype=torch.float64)
    options = {"epochs": 60, "batch_size": 1, "learning_rate": 1.0, "random_state": 0, **options}
    history = lamina.fit(model, (X, y), PerceptronRule(), **options)
    return model, np.array(history["training error"]) * len(X), history


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("seed", [0, 1])
def test_mistakes_stay_below_the_bound_and_end(n_classes, seed):
    X, y, W, b = separable(n_classes, seed)
    model, mistakes, _ = learn(X, y, n_classes, epochs=40)
    bound = mistake_bound(torch.from_numpy(X), torch.from_numpy(y), W, b)
    assert 0 < mistakes.sum() <= bound
    assert mistakes[-1] == 0
    assert model.predict(torch.from_numpy(X)).tolist() == y.tolist()
    done = int(np.flatnonzero(mistakes == 0)[0])
    assert not mistakes[done:].any()  # after a pass without a mistake nothing changes


def test_the_bound_is_the_longest_row_over_the_margin_squared():
    X = torch.tensor([[2.0, 0.0], [-2.0, 1.0]], dtype=torch.float64)
    y = torch.tensor([1, 0])
    W = torch.tensor([[4.0], [0.0]], dtype=torch.float64)  # margin 2 once scaled, R² = 4 + 1 + 1
    assert mistake_bound(X, y, W, torch.zeros(1, dtype=torch.float64)) == pytest.approx(6 / 4)
    both = torch.cat([-W, W], 1)  # margin 16/√32, twice the bound's numerator
    assert mistake_bound(X, y, both, torch.zeros(2, dtype=torch.float64)) == pytest.approx(2 * 6 * 32 / 256)
    with pytest.raises(DataError, match=r"2 row\(s\) on the wrong side"):
        mistake_bound(X, y, -W, torch.zeros(1, dtype=torch.float64))


def test_the_rate_only_scales_the_weights():
    X, y, _, _ = separable(2, 3)
    one, mistakes, _ = learn(X, y, 2, epochs=5)
    quarter, same, _ = learn(X, y, 2, epochs=5, learning_rate=0.25)
    assert torch.equal(one.W / 4, quarter.W)
    assert mistakes.tolist() == same.tolist()


@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_batch_adds_up_the_corrections_of_its_mistakes(n_classes):
    X, y, _, _ = separable(n_classes, 4)
    model = Perceptron(3, n_classes, initial=1.0, dtype=torch.float64, random_state=2)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    batch = Batch((torch.from_numpy(X), torch.from_numpy(y)), torch.arange(len(X)), 50)
    found = PerceptronRule().gradients(model, batch, 0, Random(0))
    W, b, wrong = np.zeros_like(model.W.detach().numpy()), np.zeros(model.n_out), 0
    for x, code in zip(X, y, strict=True):
        fields = x @ model.W.detach().numpy() + model.b.detach().numpy()
        if n_classes == 2:
            sign = 2 * code - 1
            moved = [(0, sign)] if sign * fields[0] <= 0 else []
        else:
            rival = max((k for k in range(3) if k != code), key=lambda k: fields[k])
            moved = [(code, 1), (rival, -1)] if fields[code] <= fields[rival] else []
        wrong += bool(moved)
        for k, sign in moved:
            W[:, k] += sign * x
            b[k] += sign
    assert 0 < wrong < len(X)
    assert int(found["training error"]) == wrong
    np.testing.assert_allclose(model.W.grad.numpy(), -W / 50, rtol=1e-12)
    np.testing.assert_allclose(model.b.grad.numpy(), -b / 50, rtol=1e-12)


def test_equal_fields_count_as_mistakes():
    """Else nothing would ever leave the start at zero."""
    pull, wrong = corrections(torch.zeros(2, 1), torch.tensor([0, 1]))
    assert pull.tolist() == [[-1.0], [1.0]]
    assert wrong.all()
    pull, wrong = corrections(torch.zeros(1, 3), torch.tensor([2]))
    assert pull[0, 2] == 1
    assert float(pull.sum()) == 0
    assert wrong.all()


def test_classes_that_no_line_parts_are_never_learnt_and_the_pocket_keeps_the_best():
    X, y = XOR
    _, mistakes, _ = learn(X, y, 2, epochs=30)
    assert (mistakes > 0).all()
    pocket, _, history = learn(X, y, 2, epochs=30, validation=(X, y), patience=30)
    errors = np.array(history["validation error"])
    assert errors.min() >= 0.25
    kept = corrections(pocket(torch.from_numpy(X)).detach(), torch.from_numpy(y))[1].double().mean()
    assert float(kept) == errors.min() == errors[history.best_epoch - 1]


class Crash:
    def on_epoch(self, record, epochs) -> None:
        if record.epoch == 2:
            raise RuntimeError("crash")


def test_a_broken_run_goes_on_bit_for_bit(tmp_path):
    X, y, _, _ = separable(3, 5)
    unbroken, _, _ = learn(X, y, 3, epochs=4)
    kept = {"checkpoint": tmp_path, "checkpoint_seconds": -1.0, "epochs": 4}
    with pytest.raises(RuntimeError, match="crash"):
        learn(X, y, 3, callbacks=[Crash()], **kept)
    resumed, mistakes, _ = learn(X, y, 3, **kept)
    assert len(mistakes) == 4
    assert torch.equal(resumed.W, unbroken.W)
    assert torch.equal(resumed.b, unbroken.b)


def test_what_it_cannot_teach_is_refused():
    X, y = XOR
    with pytest.raises(SettingError, match="the model is a MLP; the perceptron rule expects a Perceptron"):
        lamina.fit(MLP([2, 2], dtype=torch.float64), (X, y), PerceptronRule(), epochs=1)
    for data, error, message in [
        ((X, y + 1), LabelError, r"lie in \[1, 2\]; expected 0 to 1"),
        ((X, y.astype(float)), DataError, "class codes"),
        (X, DataError, "class codes"),
    ]:
        with pytest.raises(error, match=message):
            lamina.fit(Perceptron(2, dtype=torch.float64), data, PerceptronRule(), epochs=1)
