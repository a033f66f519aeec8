"""How convolutional autoencoders learn: with and without switches, corrupted, penalised, stacked, broken off."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch.nn import functional

import lamina
from lamina.core.errors import SettingError
from lamina.core.random import Random
from lamina.models import Stack
from lamina.models.autoencoders import Autoencoder, ConvolutionalAutoencoder
from lamina.training import CodeKL, CodeL1, Masking, Reconstruction, SwitchedReconstruction, fit, pretrain
from lamina.training.sources import Batch

DOUBLE = {"dtype": torch.float64}


def batch_of(v: torch.Tensor) -> Batch:
    return Batch((v,), torch.arange(len(v)), len(v))


def digits(n: int = 1797) -> np.ndarray:
    return (load_digits().data[:n] / 16).astype(np.float32)


def test_the_loss_is_that_of_the_models_own_reconstruction():
    v = torch.from_numpy(np.random.default_rng(0).random((6, 25)))
    for output, row_loss in (
        ("sigmoid", lambda r: functional.binary_cross_entropy(r, v, reduction="none").sum()),
        ("identity", lambda r: (r - v).square().sum()),
    ):
        model = ConvolutionalAutoencoder((1, 5, 5), 2, 3, downsampling="switches", output=output, **DOUBLE)
        rule = SwitchedReconstruction()
        with_l1 = SwitchedReconstruction(penalties=[CodeL1(0.3)])
        for each in (rule, with_l1):
            fit(model, v, each, epochs=0)  # the rule is checked and started
        expected = row_loss(model.reconstruct(v))
        found, measures = rule.loss(model, batch_of(v), Random(0))
        torch.testing.assert_close(found, expected)
        torch.testing.assert_close(measures["training loss"], expected.detach())
        gradients = torch.autograd.grad(found, list(model.parameters()))
        wanted = torch.autograd.grad(row_loss(model.reconstruct(v)), list(model.parameters()))
        for a, b in zip(gradients, wanted, strict=True):
            torch.testing.assert_close(a, b)
        more, _ = with_l1.loss(model, batch_of(v), Random(0))
        torch.testing.assert_close(more - found, 0.3 * model.mean_h_from_v(v).abs().sum())
        validated = rule.validate(model, (v,), (v,))["validation loss"]
        assert validated == pytest.approx(float(expected.detach()) / len(v))


def test_without_switches_the_spread_code_is_what_learns():
    v = torch.from_numpy(np.random.default_rng(0).random((6, 25)))
    model = ConvolutionalAutoencoder((1, 5, 5), 2, 3, downsampling="switches", output="identity", **DOUBLE)
    rule = Reconstruction()
    fit(model, v, rule, epochs=0)
    found, _ = rule.loss(model, batch_of(v), Random(0))
    torch.testing.assert_close(found, (model.mean_v_from_h(model.mean_h_from_v(v)) - v).square().sum())
    assert not torch.allclose(found, (model.reconstruct(v) - v).square().sum())


def test_a_process_without_rows_adds_nothing():
    for downsampling, kind in (
        ("switches", SwitchedReconstruction),
        ("max", Reconstruction),
        ("stride", Reconstruction),
    ):
        model = ConvolutionalAutoencoder((1, 5, 5), 2, 3, downsampling=downsampling, code=2, **DOUBLE)
        rule = kind()
        fit(model, np.zeros((2, 25)), rule, epochs=0)
        rule.gradients(model, Batch((torch.zeros(0, 25, **DOUBLE),), torch.arange(0), 4), 0, Random(0))
        assert not any(parameter.grad.any() for parameter in model.parameters())


def test_rarely_active_codes_need_units_between_zero_and_one():
    X = digits(100)
    rule = Reconstruction(penalties=[CodeKL(0.05, 3.0)])
    model = ConvolutionalAutoencoder((1, 8, 8), 4, 3, activation="sigmoid")
    before = float(model.mean_h_from_v(torch.from_numpy(X)).detach().mean())
    fit(model, X, rule, epochs=10, batch_size=25, optimiser="adam", learning_rate=0.03, random_state=0)
    after = float(model.mean_h_from_v(torch.from_numpy(X)).detach().mean())
    assert abs(after - 0.05) < 0.5 * abs(before - 0.05)
    with pytest.raises(SettingError, match="CodeKL"):
        fit(ConvolutionalAutoencoder((1, 8, 8), 4, 3), X, rule, epochs=1)


def test_other_models_are_refused():
    X = np.zeros((4, 16))
    for model, message in (
        (Autoencoder(16, 2), "Autoencoder given"),
        (ConvolutionalAutoencoder((1, 4, 4), 2, 3), "downsampling='max'"),
    ):
        with pytest.raises(SettingError, match=message):
            fit(model, X, SwitchedReconstruction(), epochs=1)


def test_ten_numbers_tell_more_of_a_digit_than_five_principal_components():
    X = digits(1200)
    training, test = X[:700], X[700:]
    mean = training.mean(0)
    V = np.linalg.svd(training - mean, full_matrices=False)[2][:5]
    components = float(np.square((test - mean) - (test - mean) @ V.T @ V).mean())
    model = ConvolutionalAutoencoder((1, 8, 8), 8, 3, code=10)
    model.initialise(0, torch.from_numpy(mean))
    options = {"batch_size": 50, "optimiser": "adam", "learning_rate": 0.01, "random_state": 0}
    fit(model, training, Reconstruction(), epochs=12, **options)
    with torch.no_grad():
        error = float((model.reconstruct(torch.from_numpy(test)) - torch.from_numpy(test)).square().mean())
    assert error < 0.5 * float(np.square(test - mean).mean())
    assert error < 0.9 * components


def test_a_denoising_one_fills_in_what_is_missing():
    X = digits(500)
    model = ConvolutionalAutoencoder((1, 8, 8), 6, 3, downsampling="stride")
    rule = Reconstruction(corruption=Masking(0.3))
    fit(model, X, rule, epochs=12, batch_size=50, optimiser="adam", learning_rate=0.01, random_state=0)
    clean = torch.from_numpy(digits()[600:900])
    holed = Masking(0.3).apply(clean, Random(9))
    with torch.no_grad():
        filled = (model.reconstruct(holed) - clean).square().mean()
    assert float(filled) < 0.75 * float((holed - clean).square().mean())


def test_layers_are_trained_one_after_another_and_joined():
    X = digits(200)
    first = ConvolutionalAutoencoder((1, 8, 8), 6, 3)
    second = ConvolutionalAutoencoder(first.map_shape, 4, 3, output="relu")
    stack = Stack([first, second])
    options = {"optimiser": "adam", "learning_rate": 0.01, "weight_decay": 0.0, "random_state": 0}
    histories = pretrain(stack, X, lambda k: Reconstruction(), epochs=6, batch_size=50, **options)
    for history in histories:
        losses = [record.measures["training loss"] for record in history.records]
        assert losses[-1] < 0.8 * losses[0]
    whole = ConvolutionalAutoencoder.joined(stack.layers)
    before = fit(whole, X, Reconstruction(), epochs=1, learning_rate=1e-9, random_state=0).records[0].measures
    after = fit(whole, X, Reconstruction(), epochs=5, optimiser="adam", learning_rate=0.003, random_state=0)
    assert after.records[-1].measures["training loss"] < before["training loss"]


class StopAfter:
    def on_epoch(self, record, epochs) -> None:
        if record.epoch == 2:
            raise RuntimeError("crash")


def test_a_run_broken_off_ends_like_an_unbroken_one(tmp_path):
    X = digits(60)

    def run(**options):
        model = ConvolutionalAutoencoder((1, 8, 8), 2, 3, downsampling="switches", code=3)
        rule = SwitchedReconstruction(corruption=Masking(0.2), penalties=[CodeL1(0.01)])
        settings = {"batch_size": 25, "optimiser": "adam", "learning_rate": 0.01, "random_state": 3}
        return model, fit(model, X, rule, epochs=4, **settings, **options)

    unbroken, history = run()
    options = {"checkpoint": tmp_path, "checkpoint_seconds": -1.0}
    with pytest.raises(RuntimeError, match="crash"):
        run(callbacks=[StopAfter()], **options)
    resumed, again = run(**options)
    assert all(torch.equal(a, b) for a, b in zip(unbroken.parameters(), resumed.parameters(), strict=True))
    assert [r.measures for r in history.records] == [r.measures for r in again.records]
    folder = lamina.save(resumed, tmp_path / "model")
    found = lamina.load(folder)
    assert torch.equal(found.reconstruct(torch.from_numpy(X)), unbroken.reconstruct(torch.from_numpy(X)))
