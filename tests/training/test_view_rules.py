"""Rules for views with something missing: losses against formulas, gradients by differences, parts, exact resume."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import expit, log_softmax

import lamina
from lamina.core.errors import DataError, LabelError, SettingError
from lamina.core.random import Random
from lamina.models.autoencoders import BimodalAutoencoder, MaskedAutoencoder, bimodal
from lamina.models.energy import RBM
from lamina.models.networks import VisionTransformer
from lamina.training import BimodalReconstruction, Classification, MaskedReconstruction, pretrain_bimodal
from lamina.training.bimodal import bimodal_losses
from lamina.training.distributed import World
from lamina.training.masked import masked_error
from lamina.training.rules import Setting
from lamina.training.sources import Batch

GENERATOR = np.random.default_rng(0)
IMAGES = GENERATOR.random((41, 24))
PAIRS = np.concatenate([GENERATOR.random((41, 3)), GENERATOR.normal(size=(41, 2))], 1)
LABELS = (IMAGES[:, 0] > 0.5).astype(np.int64) + (IMAGES[:, 1] > 0.8)


def masked(**options) -> MaskedAutoencoder:
    chosen = {"width": 8, "depth": 1, "heads": 2, "hidden": 6, "decoder_width": 4, "decoder_heads": 1, "masked": 0.5}
    return MaskedAutoencoder((1, 4, 6), 2, **(chosen | {"dtype": torch.float64, "random_state": 1} | options))


def two(**options) -> BimodalAutoencoder:
    chosen = {"outputs": ("sigmoid", "identity"), "dtype": torch.float64, "random_state": 1} | options
    return BimodalAutoencoder((3, 4), (2, 3), 2, **chosen)


def transformer(**options) -> VisionTransformer:
    chosen = {"width": 8, "depth": 1, "heads": 2, "hidden": 6, "n_classes": 3, "dtype": torch.float64} | options
    network = VisionTransformer((1, 4, 6), 2, **chosen)
    network.head_W.data.normal_(generator=torch.Generator().manual_seed(1))  # at 0 it passes no gradient down
    return network


CASES = {
    "masked": (masked, MaskedReconstruction, (IMAGES,)),
    "bimodal": (two, BimodalReconstruction, (PAIRS,)),
    "classification": (transformer, Classification, (IMAGES, LABELS)),
}


def batch_of(arrays, rows: torch.Tensor, total: int | None = None) -> Batch:
    return Batch(tuple(torch.from_numpy(a)[rows] for a in arrays), rows, total or len(rows))


def step(rule, model, arrays, rows, total=None) -> list[torch.Tensor]:
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    rule.gradients(model, batch_of(arrays, rows, total), 5, Random(3))
    return [p.grad.clone() for p in model.parameters()]


# what all three share -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
def test_the_gradient_of_a_batch_is_the_sum_of_its_parts(name):
    """What is hidden hangs on the row alone: two processes learn what one would."""
    make, rule, arrays = CASES[name]
    rows = torch.tensor([3, 40, 7, 22, 9])
    model, chosen = make(), rule()
    whole = step(chosen, model, arrays, rows)
    parts = [step(chosen, model, arrays, part, total=5) for part in (rows[:2], rows[2:], rows[:0])]
    for k, gradient in enumerate(whole):
        torch.testing.assert_close(sum(part[k] for part in parts), gradient, rtol=1e-10, atol=1e-13)
    assert all(bool(gradient.any()) for gradient in whole)


@pytest.mark.parametrize("name", CASES)
def test_the_gradient_is_that_of_the_mean_loss_by_differences(name):
    make, rule, arrays = CASES[name]
    model, chosen, rows = make(), rule(), torch.arange(6)
    generator = torch.Generator().manual_seed(2)
    for parameter in model.parameters():
        parameter.data.add_(0.3 * torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype))
    found = step(chosen, model, arrays, rows)
    directions = [torch.randn(p.shape, generator=generator, dtype=p.dtype) for p in model.parameters()]

    @torch.no_grad()
    def loss(way: float) -> float:
        for parameter, direction in zip(model.parameters(), directions, strict=True):
            parameter.data.add_(direction, alpha=way)
        total, _ = chosen.loss(model, batch_of(arrays, rows), Random(3).at(5, rows))
        return float(total) / 6

    above, below = loss(1e-5), loss(-2e-5)
    loss(1e-5)
    slope = sum(float((g * d).sum()) for g, d in zip(found, directions, strict=True))
    assert slope == pytest.approx((above - below) / 2e-5, rel=1e-6)


class StopAfter:
    """Callback that ends a run by an exception after some epochs, as a crash would."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs

    def on_epoch(self, record, epochs) -> None:
        if record.epoch == self.epochs:
            raise RuntimeError("crash")


@pytest.mark.parametrize("name", CASES)
def test_a_run_broken_off_goes_on_bit_for_bit_and_learns(name, tmp_path):
    make, rule, arrays = CASES[name]
    data = arrays if len(arrays) > 1 else arrays[0]
    options = {"epochs": 6, "batch_size": 10, "learning_rate": 0.01, "optimiser": "adam", "random_state": 0}
    options |= {"validation": data, "checkpoint_seconds": -1.0}
    unbroken = make()
    history = lamina.fit(unbroken, data, rule(), **options)
    assert history["training loss"][-1] < history["training loss"][0]
    assert history["validation loss"][-1] < history["validation loss"][0]
    broken = make()
    with pytest.raises(RuntimeError, match="crash"):
        lamina.fit(broken, data, rule(), checkpoint=tmp_path, callbacks=[StopAfter(3)], **options)
    resumed = make()
    again = lamina.fit(resumed, data, rule(), checkpoint=tmp_path, **options)
    assert again["validation loss"] == history["validation loss"]
    pairs = zip(unbroken.parameters(), resumed.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)
    assert not all(torch.equal(a, b) for a, b in zip(broken.parameters(), resumed.parameters(), strict=True))


# masked reconstruction ------------------------------------------------------------------------------------------------


def test_the_masked_loss_is_the_mean_square_over_hidden_pixels_alone():
    model = masked()
    v = torch.from_numpy(IMAGES[:9])
    visible, hidden = model.draw_places(9, Random(0).at(2))
    found = masked_error(model, v, Random(0).at(2)).detach().numpy()
    filled = model.fill_in(v, visible, hidden).numpy()
    holes = np.isnan(model.hide(v, hidden).numpy())
    expected = [((filled - IMAGES[:9])[row][holes[row]] ** 2).mean() for row in range(9)]
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert (holes.sum(1) == 12).all()
    # what the model would say of visible patches makes no difference: they are not even decoded
    other = v.clone()
    other[torch.from_numpy(holes)] += 1.0
    guess = model.predict(v, visible, hidden)
    assert torch.equal(model.predict(other, visible, hidden), guess)


def test_masks_change_with_the_step_but_not_in_validation():
    model, rule = masked(), MaskedReconstruction()
    batch = batch_of((IMAGES,), torch.arange(41))
    with torch.no_grad():
        losses = [float(rule.loss(model, batch, Random(1).at(k, batch.rows))[0]) for k in (0, 1, 0)]
    assert losses[0] == losses[2] != losses[1]
    rule.start(model, Setting(Random(1), World(), torch.device("cpu"), torch.float64, 10))
    first, second = (rule.validate(model, batch.values, ()) for _ in range(2))
    assert first == second


def test_other_models_and_rows_are_refused():
    with pytest.raises(SettingError, match="expected a MaskedAutoencoder"):
        lamina.fit(RBM(24, 3), IMAGES, MaskedReconstruction(), epochs=1)
    with pytest.raises(DataError, match="expected \\(n, 24\\)"):
        lamina.fit(masked(), IMAGES[:, :20], MaskedReconstruction(), epochs=1)


# bimodal reconstruction -----------------------------------------------------------------------------------------------


def test_the_bimodal_loss_is_the_formula_and_leaves_out_the_unknown():
    model = two()
    v = torch.from_numpy(PAIRS[:4])
    shown = torch.tensor([[1, 1], [1, 0], [0, 1], [1, 0]]).bool()
    known = torch.tensor([[1, 1], [1, 1], [1, 1], [1, 0]]).bool()
    spoiled = v.clone()
    spoiled[3, 3:] = torch.nan
    lost = bimodal_losses(model, spoiled, shown, known)
    inputs = PAIRS[:4] * shown.numpy()[:, [0, 0, 0, 1, 1]]
    fields = [f.detach().numpy() for f in model.fields_from_h(model.mean_h_from_v(torch.from_numpy(inputs)))]
    r, x = expit(fields[0]), PAIRS[:4, :3]
    np.testing.assert_allclose(lost[0].detach(), -(x * np.log(r) + (1 - x) * np.log(1 - r)).sum(1), rtol=1e-10)
    squares = ((fields[1] - PAIRS[:4, 3:]) ** 2).sum(1)
    np.testing.assert_allclose(lost[1].detach(), squares * known[:, 1].numpy(), rtol=1e-10)
    (lost[0].sum() + lost[1].sum()).backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in model.parameters())


def test_shares_of_what_is_shown():
    rule = BimodalReconstruction((0.5, 0.3, 0.2))
    known = torch.ones(20_000, 2, dtype=torch.bool)
    shown = rule.shown(known, Random(0))
    shares = [float((shown == torch.tensor(pattern)).all(1).double().mean()) for pattern in ([1, 1], [1, 0], [0, 1])]
    assert shares == pytest.approx([0.5, 0.3, 0.2], abs=4 * np.sqrt(0.25 / 20_000))
    known[:5000, 0] = False
    known[5000:10_000, 1] = False
    shown = rule.shown(known, Random(0))
    assert not (shown & ~known).any()
    assert shown.any(1).all()
    for one, pattern in ((0, [1, 1]), (1, [1, 0]), (2, [0, 1])):
        share = [0.0, 0.0, 0.0]
        share[one] = 1.0
        assert (BimodalReconstruction(share).shown(torch.ones(50, 2).bool(), Random(0)) == torch.tensor(pattern)).all()


def test_validation_is_the_expectation_over_what_is_shown():
    model, v = two(), torch.from_numpy(PAIRS)
    rule = BimodalReconstruction((0.5, 0.3, 0.2), weights=(1.0, 2.0))
    found = rule.validate(model, (v,), ())
    expected = [found[f"validation loss from {name}"] for name in ("both", "a", "b")]
    assert found["validation loss"] == pytest.approx(np.dot([0.5, 0.3, 0.2], expected))
    known = torch.ones(41, 2, dtype=torch.bool)
    lost = bimodal_losses(model, v, torch.tensor([False, True]).expand(41, 2), known)
    assert expected[2] == pytest.approx(float((lost[0] + 2 * lost[1]).mean().detach()))
    with torch.no_grad():
        sums = [rule.loss(model, Batch((v,), torch.arange(41), 41), Random(k))[0] for k in range(200)]
    draws = torch.stack(sums) / 41
    mean, sd = float(draws.mean()), float(draws.std()) / np.sqrt(200)
    assert mean == pytest.approx(found["validation loss"], abs=4 * sd)


def test_rows_with_signals_that_are_missing_from_the_data():
    present = np.ones((41, 2))
    present[:10, 1] = 0
    filled = PAIRS.copy()
    filled[:10, 3:] = 1e6  # any finite number: it is never read
    options = {"epochs": 2, "batch_size": 10, "learning_rate": 0.01, "optimiser": "adam", "random_state": 0}
    models = [two(), two()]
    for model, rows in zip(models, (PAIRS, filled), strict=True):
        lamina.fit(model, (rows, present), BimodalReconstruction(), **options)
    assert all(torch.equal(a, b) for a, b in zip(models[0].parameters(), models[1].parameters(), strict=True))


def test_bad_shares_and_signals_are_refused():
    for missing in ((0.5, 0.5), (0.5, 0.6, 0.2), (1.2, -0.2, 0.0), "abc"):
        with pytest.raises(SettingError, match="missing"):
            BimodalReconstruction(missing)
    with pytest.raises(SettingError, match="weights"):
        BimodalReconstruction(weights=(1.0, -1.0))
    with pytest.raises(DataError, match="signal a lies in"):
        lamina.fit(two(), PAIRS * 3, BimodalReconstruction(), epochs=1)
    with pytest.raises(DataError, match="present has shape"):
        lamina.fit(two(), (PAIRS, np.ones((41, 3))), BimodalReconstruction(), epochs=1)
    with pytest.raises(DataError, match="rows have shape"):
        lamina.fit(two(), PAIRS[:, :4], BimodalReconstruction(), epochs=1)


def test_greedy_learning_hands_the_hidden_means_to_the_shared_machine(tmp_path):
    a, b = PAIRS[:, :3], (PAIRS[:, 3:] > 0).astype(np.float64)

    def learnt(folder) -> list[RBM]:
        machines = [RBM(n, k, dtype=torch.float64) for n, k in ((3, 4), (2, 3), (7, 2))]
        histories = pretrain_bimodal(*machines, a, b, epochs=2, batch_size=10, random_state=4, checkpoint=folder)
        assert {name: len(found[0]) for name, found in histories.items()} == {"a": 2, "b": 2, "shared": 2}
        return machines

    machines = learnt(tmp_path)
    codes = [m.mean_h_from_v(torch.from_numpy(x)).detach() for m, x in zip(machines, (a, b), strict=False)]
    judge = RBM(7, 2, dtype=torch.float64)
    lamina.pretrain(
        lamina.Stack([judge]), torch.cat(codes, 1), epochs=2, batch_size=10, random_state=Random(4).child("shared")
    )
    assert torch.equal(machines[2].W, judge.W)
    again = learnt(tmp_path)  # finished already: read back
    assert all(torch.equal(one.W, other.W) for one, other in zip(machines, again, strict=True))
    assert bimodal(*machines).n_hidden == 2


# classification -------------------------------------------------------------------------------------------------------


def test_classification_is_cross_entropy_and_freezes_all_but_the_head():
    model = transformer()
    rows = torch.arange(41)
    with torch.no_grad():
        total, measures = Classification().loss(model, batch_of((IMAGES, LABELS), rows), Random(0))
    outputs = model(torch.from_numpy(IMAGES)).detach().numpy()
    assert float(total) == pytest.approx(-log_softmax(outputs, 1)[np.arange(41), LABELS].sum())
    assert int(measures["training error"]) == int((outputs.argmax(1) != LABELS).sum())
    found = Classification().validate(model, (torch.from_numpy(IMAGES), torch.from_numpy(LABELS)), ())
    assert found["validation loss"] == pytest.approx(float(total) / 41)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    lamina.fit(model, (IMAGES, LABELS), Classification(frozen=True), epochs=2, learning_rate=0.1, random_state=0)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]) != name.startswith("head"), name


def test_labels_that_the_network_does_not_have_are_refused():
    with pytest.raises(LabelError, match="class codes lie in \\[0, 5\\]"):
        lamina.fit(transformer(), (IMAGES, np.arange(41) % 6), Classification(), epochs=1)
    with pytest.raises(LabelError, match="\\[-1, 1\\]"):
        lamina.fit(transformer(), (IMAGES, LABELS.clip(max=2) - 1), Classification(), epochs=1)
    with pytest.raises(DataError, match="rows, class codes"):
        lamina.fit(transformer(), IMAGES, Classification(), epochs=1)
