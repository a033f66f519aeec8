"""Reconstruction and its penalties: closed forms, autograd, finite differences, several processes, exact resume."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
import torch
from torch import nn

import lamina
from lamina.core.errors import DataError, SettingError
from lamina.core.random import Random
from lamina.models import RBM
from lamina.models.activations import ACTIVATIONS
from lamina.models.autoencoders import Autoencoder
from lamina.storage import load, save
from lamina.training import (
    L1,
    CodeKL,
    CodeL1,
    Contraction,
    GaussianNoise,
    Masking,
    Reconstruction,
    SaltAndPepper,
    falling,
    reconstruction_loss,
)
from lamina.training.distributed import World
from lamina.training.rules import Setting
from lamina.training.sources import Batch

DOUBLE = torch.float64
ROWS = Random(3).uniform((11, 6), DOUBLE)


def layer(**options) -> Autoencoder:
    made = Autoencoder(6, 5, dtype=DOUBLE, **options)
    with torch.no_grad():
        made.b.copy_(Random(1).normal((6,), DOUBLE))
        made.c.copy_(Random(2).normal((5,), DOUBLE))
    return made


def started(rule: Reconstruction, model: nn.Module, world: World | None = None, rows=ROWS) -> Reconstruction:
    rule.check(model, (rows,))
    rule.start(model, Setting(Random(0), world or World(), torch.device("cpu"), DOUBLE, len(rows)))
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, 7.0)  # must be overwritten
    return rule


def batch_of(rows: torch.Tensor, first: int = 0, total: int | None = None) -> Batch:
    return Batch((rows,), torch.arange(first, first + len(rows)), len(rows) if total is None else total)


def gradients(rule: Reconstruction, model: nn.Module, batch: Batch) -> tuple[list[torch.Tensor], dict]:
    measures = rule.gradients(model, batch, 3, Random(5))
    return [parameter.grad.clone() for parameter in model.parameters()], dict(measures)


# losses ---------------------------------------------------------------------------------------------------------------


@torch.no_grad()
def test_losses_are_their_closed_forms():
    model = layer()
    v, target = ROWS, ROWS.flip(0)
    r = model.mean_v_from_h(model.mean_h_from_v(v))
    torch.testing.assert_close(reconstruction_loss(model, v, target, "squared"), ((target - r) ** 2).sum(1))
    entropy = -(target * r.log() + (1 - target) * (1 - r).log()).sum(1)
    torch.testing.assert_close(reconstruction_loss(model, v, target, "cross-entropy"), entropy)


@torch.no_grad()
def test_cross_entropy_of_saturated_units_is_finite():
    model = layer()
    model.b.fill_(800.0)
    found = reconstruction_loss(model, ROWS, torch.zeros_like(ROWS), "cross-entropy")
    assert bool(torch.isfinite(found).all())
    assert float(found.min()) > 6 * 780


@torch.no_grad()
def test_any_model_that_encodes_and_decodes():
    rbm = RBM(6, 4, dtype=DOUBLE)
    r = rbm.mean_v_from_h(rbm.mean_h_from_v(ROWS))
    torch.testing.assert_close(reconstruction_loss(rbm, ROWS, ROWS, "squared"), ((ROWS - r) ** 2).sum(1))
    entropy = torch.nn.functional.binary_cross_entropy(r, ROWS, reduction="none").sum(1)
    torch.testing.assert_close(reconstruction_loss(rbm, ROWS, ROWS, "cross-entropy"), entropy)


class Pictures(nn.Module):
    """Rows of shape (1, 2, 3) through one layer: losses sum over all values of a row."""

    output = "sigmoid"

    def __init__(self) -> None:
        super().__init__()
        self.inner = layer()

    def mean_h_from_v(self, v):
        return self.inner.mean_h_from_v(v.flatten(1))

    def field_v(self, h):
        return self.inner.field_v(h).view(-1, 1, 2, 3)

    def mean_v_from_h(self, h):
        return torch.sigmoid(self.field_v(h))


@pytest.mark.parametrize("loss", ["squared", "cross-entropy"])
def test_pictures_give_what_their_flat_rows_give(loss):
    pictures, flat = Pictures(), layer()
    shaped = ROWS.view(11, 1, 2, 3)
    found = reconstruction_loss(pictures, shaped, shaped, loss)
    torch.testing.assert_close(found, reconstruction_loss(flat, ROWS, ROWS, loss))
    rule = started(Reconstruction(loss, corruption=Masking(0.4)), pictures, rows=shaped)
    ours, measures = gradients(rule, pictures, batch_of(shaped))
    rule = started(Reconstruction(loss, corruption=Masking(0.4)), flat)
    expected, others = gradients(rule, flat, batch_of(ROWS))
    for one, other in zip(ours, expected, strict=True):
        torch.testing.assert_close(one, other)
    torch.testing.assert_close(measures, others)


# gradients ------------------------------------------------------------------------------------------------------------

PENALTIES = {
    "none": (),
    "l1": (CodeL1(0.3),),
    "kl": (CodeKL(0.1, 0.7),),
    "contraction": (Contraction(0.5),),
    "all": (CodeL1(0.3), CodeKL(0.1, 0.7), Contraction(0.5)),
}


@pytest.mark.parametrize("name", list(PENALTIES))
@pytest.mark.parametrize(("output", "loss"), [("sigmoid", "auto"), ("sigmoid", "squared"), ("tanh", "auto")])
@pytest.mark.parametrize("tied", [True, False])
def test_hand_written_gradients_against_autograd(name, output, loss, tied):
    model = layer(output=output, tied=tied)
    rule = started(Reconstruction(loss, corruption=Masking(0.3), penalties=PENALTIES[name]), model)
    ours, measures = gradients(rule, model, batch_of(ROWS))
    others = rule._by_autograd(model, batch_of(ROWS), Random(5).at(3, torch.arange(11)))
    for (which, parameter), gradient in zip(model.named_parameters(), ours, strict=True):
        torch.testing.assert_close(gradient, parameter.grad, msg=which)
    torch.testing.assert_close(measures, dict(others))


@pytest.mark.parametrize("activation", list(ACTIVATIONS))
def test_hand_written_gradients_for_every_activation(activation):
    model = layer(activation=activation, output="identity", tied=False)
    rule = started(Reconstruction(penalties=(CodeL1(0.3), Contraction(0.5))), model)
    ours, _ = gradients(rule, model, batch_of(ROWS))
    rule._by_autograd(model, batch_of(ROWS), Random(5))
    for parameter, gradient in zip(model.parameters(), ours, strict=True):
        torch.testing.assert_close(gradient, parameter.grad)


def objective(model: Autoencoder, penalties, W, b, c) -> torch.Tensor:
    """The whole objective from its formulas alone, as a function of the parameters."""
    h = torch.sigmoid(ROWS @ W + c)
    r = torch.sigmoid(h @ W.T + b)
    total = -(ROWS * r.log() + (1 - ROWS) * (1 - r).log()).sum(1).mean()
    for penalty in penalties:
        if isinstance(penalty, CodeL1):
            total = total + penalty.cost * h.abs().sum(1).mean()
        elif isinstance(penalty, CodeKL):
            p, q = penalty.target, h.mean(0)
            total = total + penalty.cost * (p * torch.log(p / q) + (1 - p) * torch.log((1 - p) / (1 - q))).sum()
        else:
            encode = lambda v: torch.sigmoid(v @ W + c)  # noqa: E731
            squares = [
                torch.autograd.functional.jacobian(encode, row, create_graph=True).square().sum() for row in ROWS
            ]
            total = total + penalty.cost * torch.stack(squares).mean()
    return total


@pytest.mark.parametrize("name", list(PENALTIES))
def test_gradient_and_loss_are_those_of_the_objective(name):
    """The contraction by the full Jacobian, row by row; the others from their definitions."""
    model = layer()
    rule = started(Reconstruction(penalties=PENALTIES[name]), model)
    ours, measures = gradients(rule, model, batch_of(ROWS))
    parameters = [p.detach().clone().requires_grad_() for p in (model.W, model.b, model.c)]
    value = objective(model, PENALTIES[name], *parameters)
    torch.testing.assert_close(measures["training loss"] / 11, value.detach())
    for gradient, expected in zip(ours, torch.autograd.grad(value, parameters), strict=True):
        torch.testing.assert_close(gradient, expected)


@pytest.mark.parametrize("name", ["none", "kl", "all"])
def test_objective_against_finite_differences(name):
    model = layer()
    start = [p.detach().clone().requires_grad_() for p in (model.W, model.b, model.c)]
    few = lambda *values: objective(model, PENALTIES[name], *values)  # noqa: E731
    assert torch.autograd.gradcheck(few, start, fast_mode=True)


def test_kl_and_l1_of_a_constant_code():
    """A layer without weights has the code σ(c) for every row: both penalties are one line of arithmetic."""
    model = layer()
    with torch.no_grad():
        model.W.zero_()
    q = torch.sigmoid(model.c.detach())
    kl = sum(0.2 * math.log(0.2 / x) + 0.8 * math.log(0.8 / (1 - x)) for x in q.tolist())
    plain, with_kl, with_l1 = (
        gradients(started(Reconstruction(penalties=p), model), model, batch_of(ROWS))
        for p in ((), (CodeKL(0.2, 3.0),), (CodeL1(3.0),))
    )
    loss = plain[1]["training loss"]
    assert float(with_kl[1]["training loss"] - loss) == pytest.approx(11 * 3 * kl)
    assert float(with_l1[1]["training loss"] - loss) == pytest.approx(11 * 3 * float(q.sum()))
    slope = 3 * ((1 - 0.2) / (1 - q) - 0.2 / q) * q * (1 - q)
    torch.testing.assert_close(with_kl[0][2] - plain[0][2], slope)


def test_a_code_at_its_target_is_not_pulled():
    model = layer()
    with torch.no_grad():
        model.W.zero_()
        model.c.fill_(math.log(0.1 / 0.9))
    plain, held = (
        gradients(started(Reconstruction(penalties=p), model), model, batch_of(ROWS))[0]
        for p in ((), (CodeKL(0.1, 9),))
    )
    for one, other in zip(plain, held, strict=True):
        torch.testing.assert_close(one, other)


def test_weight_decay_and_weight_penalties_come_beside_the_rule():
    model, other = layer(), layer()
    options = {"epochs": 1, "batch_size": 11, "learning_rate": 0.1, "random_state": 0}
    lamina.fit(model, ROWS, Reconstruction(), weight_decay=0.5, penalties=[L1(0.2)], **options)
    lamina.fit(other, ROWS, Reconstruction(), **options)
    before = layer()
    expected = other.W - 0.1 * (0.5 * before.W + 0.2 * before.W.sign())
    torch.testing.assert_close(model.W, expected)
    torch.testing.assert_close(model.b, other.b)


# noise ----------------------------------------------------------------------------------------------------------------


def test_the_target_is_the_clean_row():
    """With every value masked the layer sees nothing: the best it can do is the mean of the clean rows."""
    model = Autoencoder(6, 2, output="identity", dtype=DOUBLE)
    lamina.fit(
        model, ROWS, Reconstruction(corruption=Masking(1.0)), epochs=150, batch_size=11, learning_rate=0.05,
        random_state=0,
    )  # fmt: skip
    r = model.mean_v_from_h(model.mean_h_from_v(torch.zeros(1, 6, dtype=DOUBLE)))
    torch.testing.assert_close(r[0].detach(), ROWS.mean(0), atol=1e-3, rtol=0)


@pytest.mark.parametrize("noise", [Masking(0.5), SaltAndPepper(0.5), GaussianNoise(1.0)], ids=repr)
def test_noise_is_redrawn_in_training_and_off_in_encode_and_validation(noise):
    model = layer()
    clean = model.mean_h_from_v(ROWS)
    rule = started(Reconstruction(corruption=noise), model)
    first, again, later = (
        rule.gradients(model, batch_of(ROWS), step, Random(5))["training loss"] for step in (0, 0, 1)
    )
    assert first == again
    assert first != later
    assert torch.equal(model.mean_h_from_v(ROWS), clean)
    without = started(Reconstruction(), layer())
    assert rule.validate(model, (ROWS,), (ROWS,)) == without.validate(model, (ROWS,), (ROWS,))
    expected = reconstruction_loss(model, ROWS, ROWS, "cross-entropy").mean()
    assert rule.validate(model, (ROWS,), (ROWS,))["validation loss"] == pytest.approx(float(expected.detach()))


def test_linear_denoiser_is_the_wiener_filter():
    """r(x) = m + Σ (Σ + s² I)⁻¹ (x − m) is the best linear map back from x = v + s ε, for the rows' own m and Σ."""
    rows = Random(0).normal((400, 3), DOUBLE) @ torch.tensor([[1.0, 0.4, 0], [0, 0.7, 0], [0, 0, 0.3]], dtype=DOUBLE)
    model = Autoencoder(3, 3, activation="identity", output="identity", tied=False, dtype=DOUBLE)
    rule = Reconstruction(corruption=GaussianNoise(0.5))
    lamina.fit(
        model,
        rows,
        rule,
        epochs=50,
        batch_size=100,
        optimiser="adam",
        learning_rate=falling(0.05, 50),
        random_state=0,
    )
    covariance = torch.cov(rows.T, correction=0)
    expected = covariance @ torch.linalg.inv(covariance + 0.25 * torch.eye(3, dtype=DOUBLE))
    torch.testing.assert_close((model.W @ model.V.T).detach(), expected, atol=0.03, rtol=0)


# several processes ----------------------------------------------------------------------------------------------------


class Half(World):
    """One of two processes whose other half's sums are known beforehand."""

    def __new__(cls, others: list[torch.Tensor]):
        return super().__new__(cls)

    def __init__(self, others: list[torch.Tensor]) -> None:
        super().__init__(0, 2)
        object.__setattr__(self, "others", others)

    def sum_(self, tensors):
        for tensor, other in zip(tensors, self.others, strict=True):
            tensor.add_(other)


@pytest.mark.parametrize("split", [4, 0, 11])
def test_parts_of_a_batch_add_up_to_the_whole(split):
    """Also where one process has no row at all: the mean of the batch is asked of both."""
    penalties = (CodeL1(0.3), CodeKL(0.1, 0.7), Contraction(0.5))
    model = layer()
    whole, measures = gradients(started(Reconstruction(penalties=penalties), model), model, batch_of(ROWS))
    found = []
    parts = [ROWS[:split], ROWS[split:]]
    for k, part in enumerate(parts):
        other = model.mean_h_from_v(parts[1 - k]).detach().sum(0) / 11
        rule = started(Reconstruction(penalties=penalties), model, Half([other]))
        found.append(gradients(rule, model, batch_of(part, k * split, 11)))
    for one, other, expected in zip(found[0][0], found[1][0], whole, strict=True):
        torch.testing.assert_close(one + other, expected)
    for name, value in measures.items():
        torch.testing.assert_close(found[0][1][name] + found[1][1][name], value)


# runs -----------------------------------------------------------------------------------------------------------------


class Crash:
    def on_epoch(self, record, epochs) -> None:
        if record.epoch == 2:
            raise RuntimeError("crash")


VARIANTS = {
    "plain": lambda: Reconstruction(),
    "everything": lambda: Reconstruction(
        corruption=SaltAndPepper(0.2), penalties=(CodeL1(0.01), CodeKL(0.1, 0.7), Contraction(0.1))
    ),
    "noisy": lambda: Reconstruction("squared", corruption=GaussianNoise(0.3)),
}


@pytest.mark.parametrize("name", list(VARIANTS))
@pytest.mark.parametrize("optimiser", ["sgd", "adam"])
def test_broken_off_and_resumed_bit_by_bit(name, optimiser, tmp_path):
    options = {
        "epochs": 4, "batch_size": 4, "learning_rate": 0.01, "momentum": 0.5, "optimiser": optimiser, "random_state": 1,
    }  # fmt: skip
    whole, broken = layer(), layer()
    history = lamina.fit(whole, ROWS, VARIANTS[name](), **options)
    options |= {"checkpoint": tmp_path, "checkpoint_seconds": -1.0}
    with pytest.raises(RuntimeError, match="crash"):
        lamina.fit(broken, ROWS, VARIANTS[name](), callbacks=[Crash()], **options)
    resumed = layer()
    again = lamina.fit(resumed, ROWS, VARIANTS[name](), **options)
    for key, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[key], value), key
    assert again["training loss"] == history["training loss"]
    other = Reconstruction(corruption=Masking(0.9))
    with pytest.raises(SettingError, match=r"other settings|another"):
        lamina.fit(layer(), ROWS, other, **options)


@pytest.mark.parametrize("name", list(VARIANTS))
def test_learning_lowers_the_loss_and_files_keep_the_layer(name, tmp_path):
    model = layer()
    rows = ROWS.numpy()
    history = lamina.fit(
        model, rows, VARIANTS[name](), epochs=60, batch_size=11, learning_rate=0.02, optimiser="adam", random_state=0,
        validation=rows,
    )  # fmt: skip
    assert history["validation loss"][-1] < history["validation loss"][0]
    save(model, tmp_path / "model")
    again = load(tmp_path / "model")
    assert torch.equal(again.mean_h_from_v(ROWS), model.mean_h_from_v(ROWS))


def test_kl_brings_the_mean_activity_to_its_target():
    model = layer()
    rule = Reconstruction(penalties=[CodeKL(0.05, 20.0)])
    lamina.fit(model, ROWS, rule, epochs=120, batch_size=11, learning_rate=0.08, optimiser="adam", random_state=0)
    mean = model.mean_h_from_v(ROWS).mean(0).detach()
    torch.testing.assert_close(mean, torch.full((5,), 0.05, dtype=DOUBLE), atol=0.02, rtol=0)


def test_l1_makes_rectified_codes_exactly_zero_more_often():
    codes = {}
    for cost in (0.0, 1.0):
        model = Autoencoder(6, 12, activation="relu", output="sigmoid", dtype=DOUBLE)
        rule = Reconstruction(penalties=[CodeL1(cost)])
        lamina.fit(model, ROWS, rule, epochs=100, batch_size=11, learning_rate=0.04, optimiser="adam", random_state=0)
        codes[cost] = float((model.mean_h_from_v(ROWS) == 0).double().mean())
    assert codes[1.0] > codes[0.0] + 0.2


def test_contraction_flattens_the_code():
    norms = {}
    for cost in (0.0, 1.0):
        model = layer()
        rule = Reconstruction(penalties=[Contraction(cost)])
        lamina.fit(model, ROWS, rule, epochs=50, batch_size=11, learning_rate=0.04, optimiser="adam", random_state=0)
        norms[cost] = float(model.code_jacobian(ROWS).detach().square().sum())
    assert norms[1.0] < norms[0.0] / 3


def test_rows_as_batches_of_an_iterable():
    model, other = layer(), layer()
    options = {"epochs": 2, "learning_rate": 0.1, "random_state": 0}
    lamina.fit(model, [ROWS[:6], ROWS[6:]], Reconstruction(), **options)
    lamina.fit(other, lambda: iter([ROWS[:6], ROWS[6:]]), Reconstruction(), **options)
    assert torch.equal(model.W, other.W)
    assert not torch.equal(model.W, layer().W)


# what is told and refused ---------------------------------------------------------------------------------------------


def test_the_chosen_loss_is_told():
    assert Reconstruction().describe()["loss"] == "auto"
    for output, chosen in (("sigmoid", "cross-entropy"), ("identity", "squared"), ("tanh", "squared")):
        assert started(Reconstruction(), layer(output=output)).describe()["loss"] == chosen
    rule = Reconstruction("squared", corruption=Masking(0.1), penalties=[CodeKL(0.1, 2.0)])
    assert rule.describe() == {
        "rule": "Reconstruction",
        "loss": "squared",
        "corruption": {"corruption": "Masking", "rate": 0.1},
        "penalties": [{"penalty": "CodeKL", "target": 0.1, "cost": 2.0}],
    }


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Reconstruction("entropy"), "loss is 'entropy'.*cross-entropy"),
        (lambda: Reconstruction(corruption=0.3), "corruption is 0.3; expected one such as Masking"),
        (lambda: Reconstruction(penalties=[L1(0.1)]), r"those of weights are handed to fit"),
        (lambda: CodeKL(0.0, 1.0), "target is 0.0"),
        (lambda: CodeKL(0.1, -1.0), "cost is -1.0"),
        (lambda: CodeL1(float("nan")), "cost is nan"),
        (lambda: Contraction("1"), "cost is '1'"),
    ],
)
def test_bad_settings(make, message):
    with pytest.raises(SettingError, match=message):
        make()


def test_what_cannot_be_learnt():
    check = lambda rule, model, rows: rule.check(model, (rows,))  # noqa: E731
    with pytest.raises(DataError, match=r"\(11, 4\); expected \(rows, 6\)"):
        check(Reconstruction(), layer(), ROWS[:, :4])
    with pytest.raises(DataError, match="sigmoid outputs need"):
        check(Reconstruction(), layer(), 255 * ROWS)
    with pytest.raises(DataError, match="tanh outputs reach"):
        check(Reconstruction(), layer(output="tanh"), 3 * ROWS)
    with pytest.raises(SettingError, match="expected output='sigmoid', or loss='squared'"):
        check(Reconstruction("cross-entropy"), layer(output="identity"), ROWS)
    with pytest.raises(SettingError, match=r"code is relu.*CodeL1"):
        check(Reconstruction(penalties=[CodeKL(0.1, 1)]), layer(activation="relu"), ROWS)
    with pytest.raises(SettingError, match=r"Contraction knows the Jacobian.*RBM given"):
        check(Reconstruction(penalties=[Contraction(0.1)]), RBM(6, 3, dtype=DOUBLE), ROWS)
    with pytest.raises(SettingError, match="MLP has no mean_h_from_v"):
        check(Reconstruction(), lamina.MLP([6, 3]), ROWS)
    with pytest.raises(DataError, match="NaN"):
        lamina.fit(layer(), np.full((3, 6), np.nan), Reconstruction(), epochs=1)


@pytest.mark.parametrize(("name", "tied"), list(product(VARIANTS, [True, False])))
def test_single_rows_and_constant_rows(name, tied):
    model = layer(tied=tied)
    lamina.fit(model, torch.ones(1, 6, dtype=DOUBLE), VARIANTS[name](), epochs=2, learning_rate=0.01, random_state=0)
    assert all(bool(torch.isfinite(parameter).all()) for parameter in model.parameters())
