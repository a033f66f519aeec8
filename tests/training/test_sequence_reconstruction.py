"""Learning codes of sequences: the loss by its definition, its slopes, uneven batches, forecasts, broken-off runs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

import lamina
from lamina.core.errors import DataError, SettingError
from lamina.core.random import Random
from lamina.models.autoencoders import Autoencoder, RecurrentAutoencoder
from lamina.training import Masking, MaxGradientNorm, SequenceReconstruction, fit
from lamina.training.sources import Batch

DOUBLE = {"dtype": torch.float64}
BOTH = {"heads": ("reconstruction", "forecasting"), "horizon": 2}
LENGTHS = [6, 3, 7, 5]
VARIANTS = {
    "reconstruction": {},
    "two heads": BOTH,
    "conditional": {**BOTH, "conditional": True, "output": "sigmoid"},
    "forecasting": {"heads": "forecasting", "horizon": 2},
}


def model_of(variant: str) -> RecurrentAutoencoder:
    return RecurrentAutoencoder(3, 4, **VARIANTS[variant], **DOUBLE, random_state=5)


def sequences(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.from_numpy(np.random.default_rng(seed).random((4, 7, 3))), torch.tensor(LENGTHS)


def batch_of(*values: torch.Tensor) -> Batch:
    return Batch(values, torch.arange(len(values[0])), len(values[0]))


def by_definition(model, x, loss, weights):
    """The loss of one sequence (L, 3), frame by frame."""
    frame_loss = {
        "squared": lambda r, target: (r - target).square().sum(),
        "cross-entropy": lambda r, target: functional.binary_cross_entropy(r, target, reduction="sum"),
    }[loss]
    seen = x[: len(x) - (model.horizon or 0)]
    z = model.encode(seen[None])
    total = 0.0
    for head, target in (("reconstruction", seen.flip(0)), ("forecasting", x[len(seen) :])):
        if head in model.heads:
            frames = model.frames(model.fields(head, z, len(target), target[None]))[0]
            mean = sum(frame_loss(r, t) for r, t in zip(frames, target, strict=True)) / len(target)
            total = total + weights[head] * mean
    return total


@pytest.mark.parametrize("variant", sorted(VARIANTS))
def test_the_loss_of_uneven_sequences_is_that_of_each_alone(variant):
    """To 1e-12, in values and gradients."""
    model, (X, lengths) = model_of(variant), sequences()
    loss = "cross-entropy" if model.output == "sigmoid" else "squared"
    weights = {"reconstruction": 0.7, "forecasting": 1.6}
    rule = SequenceReconstruction(loss, **weights)
    total, measures = rule.loss(model, batch_of(X, lengths), Random(0))
    alone = [by_definition(model, x[:length], loss, weights) for x, length in zip(X, LENGTHS, strict=True)]
    torch.testing.assert_close(total, sum(alone), rtol=0, atol=1e-12)
    assert measures["training loss"] is total
    learnt = rule.parameters(model)
    found, wanted = (torch.autograd.grad(value, learnt) for value in (total, sum(alone)))
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)
        assert b.any()


@pytest.mark.parametrize("padding", [7.0, float("nan")])
def test_the_loss_never_looks_behind_the_end(padding):
    for variant in VARIANTS:
        model, (X, lengths) = model_of(variant), sequences()
        other = X.clone()
        for row, length in zip(other, LENGTHS, strict=True):
            row[length:] = padding
        rule = SequenceReconstruction(corruption=Masking(0.3))
        results = []
        for values in (X, other):
            total, _ = rule.loss(model, batch_of(values, lengths), Random(1).at(0))
            results.append([total, *torch.autograd.grad(total, rule.parameters(model))])
            validated = rule.validate(model, (values, lengths), (values, lengths))
            results[-1] += [torch.tensor(value) for _, value in sorted(validated.items())]
        for a, b in zip(*results, strict=True):
            assert torch.equal(a, b)


@pytest.mark.parametrize("variant", sorted(VARIANTS))
def test_slopes_against_finite_differences(variant):
    model, (X, lengths) = model_of(variant), sequences()
    rule = SequenceReconstruction("cross-entropy" if model.output == "sigmoid" else "squared")
    few = [p for name, p in model.named_parameters() if p.requires_grad and "weight_hh" not in name]

    def loss(*_):  # changed in place by gradcheck
        return rule.loss(model, batch_of(X[:2], lengths[:2]), Random(0))[0]

    assert torch.autograd.gradcheck(loss, few, fast_mode=True)


def test_corruption_is_for_what_is_read_alone():
    model, (X, lengths) = model_of("conditional"), sequences()
    rule = SequenceReconstruction(corruption=Masking(1.0))
    total, _ = rule.loss(model, batch_of(X, lengths), Random(0).at(0))
    expected = 0.0
    for x, length in zip(X, LENGTHS, strict=True):
        seen = x[: length - 2]
        z = model.encode(torch.zeros_like(seen)[None])  # all of it was masked
        for head, target in (("reconstruction", seen.flip(0)), ("forecasting", x[length - 2 : length])):
            frames = model.frames(model.fields(head, z, len(target), target[None]))[0]
            expected = expected + (frames - target).square().sum() / len(target)
    torch.testing.assert_close(total, expected)
    drawn = SequenceReconstruction(corruption=Masking(0.5))
    one, two = (drawn.loss(model, batch_of(X, lengths), Random(0).at(step))[0] for step in (0, 1))
    assert not torch.equal(one, two)


def test_measures_are_mean_squares_per_value():
    model, (X, lengths) = model_of("conditional"), sequences()
    found = SequenceReconstruction().validate(model, (X, lengths), (X, lengths))
    told, free, loss = 0.0, 0.0, 0.0
    for x, length in zip(X, LENGTHS, strict=True):
        seen, future = x[None, : length - 2], x[length - 2 : length]
        told_frames = model.frames(model.fields("forecasting", model.encode(seen), 2, future[None]))[0]
        told += float((told_frames - future).square().mean().detach()) / 4
        free += float((model.forecast(seen)[0] - future).square().mean().detach()) / 4
        weights = {"reconstruction": 1.0, "forecasting": 1.0}
        loss += float(by_definition(model, x[:length], "squared", weights).detach()) / 4
    assert found["validation forecast error"] == pytest.approx(told)
    assert found["validation free forecast error"] == pytest.approx(free)
    assert found["validation loss"] == pytest.approx(loss)
    assert set(found) == {
        f"validation {m}" for m in ("loss", "forecast error", "free forecast error", "reconstruction error")
    }


def test_a_head_of_weight_zero_learns_nothing():
    model, (X, lengths) = model_of("two heads"), sequences()
    rule = SequenceReconstruction(forecasting=0.0)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    history = fit(model, (X, lengths), rule, epochs=2, optimiser="adam", learning_rate=0.01, random_state=0)
    assert "forecast error" not in history.records[0].measures
    for name, value in model.state_dict().items():
        head_at_rest = name.startswith("decoders.forecasting") or name.endswith("reconstruction.lstm.weight_ih_l0")
        assert torch.equal(value, before[name]) == head_at_rest, name


def waves(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Mixtures of two sines with noise in two channels, of 16 to 24 frames; zeros behind their ends."""
    generator = np.random.default_rng(seed)
    t = np.arange(24)[None, :, None]
    X = np.zeros((n, 24, 2))
    for size, low, high in ((1.0, 0.08, 0.12), (0.3, 0.2, 0.3)):
        rate, phase = generator.uniform(low, high, (n, 1, 1)), generator.uniform(0, 2 * np.pi, (n, 1, 1))
        X += size * np.sin(2 * np.pi * rate * t + phase + np.array([0, np.pi / 2]))
    X += 0.05 * generator.normal(size=X.shape)
    lengths = generator.integers(16, 25, n)
    X[np.arange(24) >= lengths[:, None]] = 0
    return X.astype(np.float32), lengths


@pytest.mark.parametrize("conditional", [False, True])
def test_forecasts_of_waves_are_far_better_than_that_nothing_changes(conditional):
    model = RecurrentAutoencoder(2, 24, heads=("reconstruction", "forecasting"), horizon=4, conditional=conditional)
    options = {"batch_size": 25, "optimiser": "adam", "learning_rate": 0.01, "random_state": 0}
    training, test = waves(200, 0), waves(100, 1)
    fit(model, training, SequenceReconstruction(), epochs=12, penalties=[MaxGradientNorm(1.0)], **options)
    X, lengths = (torch.from_numpy(a) for a in test)
    seen = lengths - 4
    future = torch.stack([x[n : n + 4] for x, n in zip(X, seen, strict=True)])
    stay = X[torch.arange(len(X)), seen - 1].unsqueeze(1)
    with torch.no_grad():
        error = float((model.forecast(X, seen) - future).square().mean())
        written = model.reconstruct(X, seen)
    assert error < 0.15 * float((stay - future).square().mean())
    mask = (torch.arange(24) < seen.unsqueeze(1)).unsqueeze(2)
    spread = float(torch.where(mask, X, 0.0).square().sum())
    assert float(torch.where(mask, X - written, 0.0).square().sum()) < 0.7 * spread


class StopAfter:
    def on_epoch(self, record, epochs) -> None:
        if record.epoch == 2:
            raise RuntimeError("crash")


def test_a_run_broken_off_ends_like_an_unbroken_one(tmp_path):
    X, lengths = waves(30, 0)

    def run(**options):
        model = RecurrentAutoencoder(2, 3, **BOTH, conditional=True)
        rule = SequenceReconstruction(corruption=Masking(0.2))
        settings = {"batch_size": 8, "optimiser": "adam", "penalties": [MaxGradientNorm(0.1)], "random_state": 3}
        return model, fit(model, (X, lengths), rule, epochs=4, learning_rate=0.01, **settings, **options)

    unbroken, history = run()
    options = {"checkpoint": tmp_path, "checkpoint_seconds": -1.0}
    with pytest.raises(RuntimeError, match="crash"):
        run(callbacks=[StopAfter()], **options)
    resumed, again = run(**options)
    assert all(torch.equal(a, b) for a, b in zip(unbroken.parameters(), resumed.parameters(), strict=True))
    assert [r.measures for r in history.records] == [r.measures for r in again.records]
    found = lamina.load(lamina.save(resumed, tmp_path / "model"))
    values = torch.from_numpy(X), torch.from_numpy(lengths)
    assert torch.equal(found.forecast(*values), unbroken.forecast(*values))


def test_sequences_of_one_length_need_no_lengths():
    X = sequences()[0]
    one, two = (model_of("two heads") for _ in range(2))
    fit(one, X, SequenceReconstruction(), epochs=2, random_state=0)
    fit(two, (X, torch.full((4,), 7)), SequenceReconstruction(), epochs=2, random_state=0)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))


def test_batches_may_come_from_an_iterable():
    X, lengths = sequences()
    batches = [(X[:2].numpy(), lengths[:2].numpy()), (X[2:].numpy(), lengths[2:].numpy())]
    model = model_of("two heads")
    history = fit(model, batches, SequenceReconstruction(), epochs=1, learning_rate=1e-12, random_state=0)
    expected, _ = SequenceReconstruction().loss(model, batch_of(X, lengths), Random(0))
    assert history.records[0].measures["training loss"] == pytest.approx(float(expected.detach()) / 4)


def test_settings():
    for wrong, message in (
        ({"loss": "square"}, "did you mean 'squared'"),
        ({"reconstruction": -1.0}, "reconstruction is -1"),
        ({"forecasting": "much"}, "forecasting is 'much'"),
        ({"corruption": 0.3}, "Masking"),
    ):
        with pytest.raises(SettingError, match=message):
            SequenceReconstruction(**wrong)
    X, lengths = sequences()
    for model, rule, message in (
        (Autoencoder(3, 2), SequenceReconstruction(), "Autoencoder given"),
        (model_of("two heads"), SequenceReconstruction("cross-entropy"), "output='sigmoid'"),
        (model_of("reconstruction"), SequenceReconstruction(reconstruction=0.0), "nothing would be learnt"),
    ):
        with pytest.raises(SettingError, match=message):
            fit(model, (X, lengths), rule, epochs=1)


def test_data_that_cannot_be_learnt_from():
    X, lengths = sequences()
    holed, padded = X.clone(), X.clone()
    holed[1, 1] = float("nan")
    padded[1, 4:] = float("nan")
    for data, message in (
        ((X, lengths - 3), r"lie in \[0, 4\]"),
        ((X, lengths + 1), "expected 1 to 7"),
        ((X, lengths - 1), r"shortest sequence has 2 frame\(s\); expected more than the horizon of 2"),
        ((X, lengths.double()), "integers"),
        ((X, lengths, lengths), "3 arrays"),
        ((X[:, :, :2], lengths), "pad_sequences"),
        (X.reshape(4, 21), "pad_sequences"),
        ((holed, lengths), "NaN"),
        ((padded, lengths), "NaN"),  # the loop refuses it anywhere in an array
    ):
        with pytest.raises(DataError, match=message):
            fit(model_of("two heads"), data, SequenceReconstruction(), epochs=1)
    with pytest.raises(DataError, match=r"shape \(4, 7, 2\)"):
        fit(model_of("two heads"), X, SequenceReconstruction(), epochs=1, validation=X[:, :, :2])
    model = model_of("conditional")
    with pytest.raises(DataError, match=r"frames lie in .*cross-entropy needs \[0, 1\]"):
        fit(model, (X * 2, lengths), SequenceReconstruction("cross-entropy"), epochs=1)
    beyond = X.clone()
    beyond[1, 4:] = 9.0  # behind the end
    fit(model, (beyond, lengths), SequenceReconstruction("cross-entropy"), epochs=1)
