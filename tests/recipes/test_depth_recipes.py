"""The recipes about depth and where networks start: small versions run and remember; their parts mean what they say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from small_digits import small_mnist

from lamina.core.errors import LabelError, SettingError
from lamina.core.random import Random
from lamina.data import DataSet
from lamina.models import MLP, Stack
from lamina.models.autoencoders import Autoencoder
from lamina.recipes import digits
from lamina.recipes.bengio2007_greedy import recipe as greedy
from lamina.recipes.context import Context
from lamina.recipes.deep_versus_shallow import recipe as fat
from lamina.recipes.digits import Part
from lamina.recipes.erhan2010_why_pretraining import recipe as why
from lamina.recipes.erhan2010_why_pretraining import trials
from lamina.recipes.hidden_representations import recipe as hidden
from lamina.recipes.hidden_representations import sources
from lamina.recipes.modularisation import recipe as modules
from lamina.recipes.modularisation import styles
from lamina.recipes.modularisation.attributes import AttributeClassification
from lamina.recipes.perceptrons import first_layers, judged, mean_sd, stack_of
from lamina.recipes.widths import equal_layers, parameters, width_for_parameters
from lamina.training.sources import Batch


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(digits, "load", lambda name: small_mnist())


def batch_of(*values: torch.Tensor) -> Batch:
    return Batch(values, torch.arange(len(values[0])), len(values[0]))


# widths -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sizes", [(5, 3), (5, 4, 3), (7, 6, 6, 6, 2)])
def test_parameters_are_those_of_the_network(sizes):
    assert parameters(sizes) == sum(p.numel() for p in MLP(sizes).parameters())


@pytest.mark.parametrize("depth", [1, 2, 5])
@pytest.mark.parametrize("width", [1, 7, 100])
def test_width_for_parameters_undoes_parameters(depth, width):
    target = parameters(equal_layers(196, width, depth, 10))
    assert width_for_parameters(target, 196, 10, depth) == width


@pytest.mark.parametrize("target", [500, 12_345, 81_310])
@pytest.mark.parametrize("depth", [1, 3])
def test_no_other_width_comes_nearer(target, depth):
    chosen = width_for_parameters(target, 196, 10, depth)
    away = {w: abs(parameters(equal_layers(196, w, depth, 10)) - target) for w in range(1, 600)}
    assert away[chosen] == min(away.values())


@pytest.mark.parametrize("given", [{"target": 0}, {"target": 1000, "n_in": 0}, {"target": 100}, {"target": 9.5}])
def test_impossible_widths_are_refused(given):
    with pytest.raises(SettingError):
        width_for_parameters(**{"n_in": 196, "n_out": 10, **given})


def test_fat_networks_are_within_one_unit_of_the_deep_ones():
    for depth in fat.FAT:
        deep, wide = (parameters(fat.layer_sizes((kind, depth))) for kind in ("deep", "fat"))
        assert abs(deep - wide) <= (196 + 1 + 10) / 2


# what the recipes share ---------------------------------------------------------------------------------------------


def test_judged_counts_and_averages():
    network = MLP([3, 2], dtype=torch.float64)
    with torch.no_grad():
        network.W[0].copy_(torch.tensor([[2.0, 0.0], [0.0, 1.0], [0.0, 0.0]]))
    part = Part(np.eye(3, dtype=np.float32), np.array([0, 1, 1]))  # outputs (2, 0), (0, 1), (0, 0): the last is wrong
    found = judged(network, part)
    losses = [np.log1p(np.exp(-2)), np.log1p(np.exp(-1)), np.log(2)]
    assert found["error"] == pytest.approx(100 / 3)
    assert found["loss"] == pytest.approx(np.mean(losses))


def test_stack_of_weights_starts_the_network_that_they_came_from():
    source = MLP([6, 5, 4, 3], activation="sigmoid", dtype=torch.float64, random_state=3)
    stack = stack_of(list(source.W)[:2], list(source.b)[:2])
    rows = Random(0).normal((7, 6), torch.float64)
    for made, expected in zip(stack.classifier(3).hidden_means(rows), source.hidden_means(rows), strict=True):
        torch.testing.assert_close(made, expected)


def test_first_layers_are_the_same_objects():
    stack = Stack([Autoencoder(4, 3), Autoencoder(3, 2), Autoencoder(2, 2)])
    lower = first_layers(stack, 2)
    assert len(lower) == 2
    assert all(one is other for one, other in zip(lower.layers, stack.layers, strict=False))


def test_deviation_over_seeds_divides_by_one_less():
    assert mean_sd([1.0, 3.0]) == pytest.approx((2.0, np.sqrt(2)))
    assert mean_sd([4.0]) == (4.0, 0.0)


# recipes, small -----------------------------------------------------------------------------------------------------


def remembers(recipe, folder, outcome):
    """The same folder gives the same numbers without training: nothing may call the loop again."""
    again = recipe.run(Context(folder, quick=True, seed=2))
    assert [row.ours for row in again.results] == [row.ours for row in outcome.results]


def refuse(*_, **__):
    raise AssertionError("trained again")


def test_deep_versus_shallow_quick_version(small, monkeypatch, tmp_path):
    monkeypatch.setattr(fat, "WIDTH", 12)
    monkeypatch.setattr(fat, "DEPTHS", (1, 3))
    monkeypatch.setattr(fat, "FAT", (3,))
    monkeypatch.setattr(fat, "QUICK_SIZES", {60: (1, 1, 20), 150: (8, 1, 20)})
    monkeypatch.setattr(fat, "QUICK_TUNED_AT", 150)
    outcome = fat.run(Context(tmp_path, quick=True, seed=2))
    values = {row.what: row.ours for row in outcome.results}
    assert len(values) == 2 + 3 * 3 + 3 * 2
    assert values["150 rows, ReLU, 1 layer"] < 60
    three, one = (values[f"150 rows, sigmoid, RBMs first, {name}"] for name in ("3 layers", "1 layer"))
    assert values["error over that of 1 layer, 150 rows, sigmoid, RBMs first, 3 layers"] == pytest.approx(three / one)
    shallow, deep = (values[f"150 rows, ReLU, {name}"] for name in ("one fat layer equal to 3", "3 layers"))
    assert values["fat less 3 layers, ReLU, 150 rows"] == pytest.approx(shallow - deep)
    assert len(outcome.figures) == 2 + 2 + 1
    monkeypatch.setattr(fat, "taught", refuse)
    remembers(fat, tmp_path, outcome)


def test_training_rows_are_drawn_anew_for_each_seed():
    part = Part(np.arange(100, dtype=np.float32)[:, None], np.arange(100) % 10)
    one, same, other = (fat.drawn(part, 40, seed) for seed in (0, 0, 1))
    assert len(np.unique(one.X)) == 40
    np.testing.assert_array_equal(one.X, same.X)
    assert set(one.X.ravel()) != set(other.X.ravel())
    np.testing.assert_array_equal(one.y, one.X.ravel() % 10)


def test_halved_pictures_are_means_of_four_pixels():
    image = np.zeros((28, 28), np.float32)
    image[2:4, 4:6] = [[0.0, 0.2], [0.4, 1.0]]
    part = Part(image.reshape(1, -1), np.zeros(1, np.int64))
    found = fat.halved(digits.Digits(part, part, part, part)).test.X.reshape(14, 14)
    assert found[1, 2] == pytest.approx(0.4)
    assert found.sum() == pytest.approx(0.4)


def test_greedy_quick_version(small, monkeypatch, tmp_path):
    monkeypatch.setattr(greedy, "WIDTH", 20)
    monkeypatch.setattr(greedy, "TUNINGS", {"sgd": ((0.1,), 3, 3), "adam": ((0.01,), 10, 10)})
    outcome = greedy.run(Context(tmp_path, quick=True, seed=2))
    values = {row.what: row.ours for row in outcome.results}
    assert len(values) == 1 + 8 + 2 * 7  # supervised layers differ from a random start from the second layer on
    shallow = "test error, gradient descent, 1 hidden layer, random start"
    assert values["test error, shallow network, random start"] == values[shallow]
    assert values["test error, Adam, 1 hidden layer, random start"] < 60
    assert len(outcome.figures) == 4
    assert outcome.figures[0].series["supervised layers first"][1][0] == values[shallow]
    monkeypatch.setattr(greedy, "taught", refuse)
    remembers(greedy, tmp_path, outcome)


def test_why_pretraining_quick_version(small, monkeypatch, tmp_path):
    monkeypatch.setattr(why, "WIDTH", 10)
    few = [why.Setting("few labels", 60, depth, 10) for depth in (1, 3, 4)]
    settings = (*few, why.Setting("many labels", 140, 3, 10), why.Setting("width", 60, 2, 5))
    monkeypatch.setattr(why, "SETTINGS", tuple(replace(one, seeds=2) for one in settings))
    monkeypatch.setattr(why, "DEPTHS", (1, 3, 4))
    monkeypatch.setattr(why, "streamed", lambda *_: {"online": [90.0, 50.0], "test": [80.0, 40.0]})
    outcome = why.run(Context(tmp_path, quick=True, seed=2))
    assert len(outcome.results) == 10 + 5 + 5 + 2
    assert all(row.ours == 50 for row in outcome.results[-2:])
    assert len(outcome.notes) == 6
    assert "of 2 seeds" in outcome.notes[0]
    assert len(outcome.figures) == 7
    monkeypatch.setattr(why, "taught", refuse)
    remembers(why, tmp_path, outcome)


def test_modularisation_quick_version(small, monkeypatch, tmp_path):
    monkeypatch.setattr(modules, "QUICK_EPOCHS", 1)
    monkeypatch.setattr(modules, "COUNTS", (0, 3))
    monkeypatch.setattr(modules, "QUICK_COUNTS", (0, 3))
    outcome = modules.run(Context(tmp_path, quick=True, seed=2))
    values = {row.what: row.ours for row in outcome.results}
    assert len(values) == 2 * 3 * 2
    assert values["error on the rare pair, 0 training rows of it, one classifier of pairs"] == 100
    assert np.isnan(outcome.figures[2].rows).sum() == 784
    monkeypatch.setattr(modules, "learnt", refuse)
    remembers(modules, tmp_path, outcome)


def small_usps() -> DataSet:
    """Two dozen pictures per part that stand for USPS."""
    given = small_mnist(80, 80)
    cut = lambda X: X.reshape(-1, 28, 28)[:, 6:22, 6:22].reshape(-1, 256).astype(np.float32) / 127.5 - 1  # noqa: E731
    return replace(given, name="usps", X=cut(given.X), X_test=cut(given.X_test), shape=(1, 16, 16), value_range=(-1, 1))


def test_hidden_representations_quick_version(small, monkeypatch, tmp_path):
    monkeypatch.setattr(sources, "load", lambda name: small_usps())
    for name, value in {"WIDTH": 12, "DEPTH": 2, "QUICK_PER_CLASS": 4, "NEIGHBOURS": 3, "QUICK_EPOCHS": 5}.items():
        monkeypatch.setattr(hidden, name, value)
    monkeypatch.setattr(hidden, "embedded", lambda codes, seed: codes[:, :2].tolist())
    outcome = hidden.run(Context(tmp_path, quick=True, seed=2))
    assert len(outcome.results) == 2 * (1 + 3 * 2) + 2
    assert len(outcome.figures) == 1 + 2 + 6 + 4
    assert outcome.figures[0].rows.shape == (2, 10, 28, 28)
    monkeypatch.setattr(hidden, "measured", refuse)
    remembers(hidden, tmp_path, outcome)


# parts of "why" -----------------------------------------------------------------------------------------------------


def test_marks_begin_with_the_first_pass_and_end_with_the_last():
    assert trials.marks(1) == [1]
    found = trials.marks(40)
    assert (found[0], found[-1]) == (1, 40)
    assert found == sorted(set(found))


def test_error_at_a_training_loss_is_interpolated_in_its_logarithm():
    passed = [[1.0, 0.0, 10.0], [0.1, 0.0, 6.0], [0.2, 0.0, 99.0], [0.01, 0.0, 4.0]]  # one mark went up again
    assert trials.error_at(passed, 0.1) == pytest.approx(6.0)
    assert trials.error_at(passed, np.sqrt(0.1)) == pytest.approx(8.0)
    assert trials.error_at(passed, 10**-1.5) == pytest.approx(5.0)


def test_advantage_is_taken_where_both_have_come_to():
    short = [[1.0, 0.0, 20.0], [0.1, 0.0, 12.0]]
    long = [[1.0, 0.0, 9.0], [0.1, 0.0, 7.0], [0.001, 0.0, 6.0]]
    assert trials.advantage_at_equal_loss(short, long) == pytest.approx(5.0)
    assert trials.advantage_at_equal_loss(long, short) == pytest.approx(-5.0)


def test_moved_pictures_keep_their_ink_and_their_class():
    images = np.zeros((50, 28, 28), np.float32)
    images[:, 10:15, 12:16] = np.arange(20).reshape(5, 4)
    part = Part(images.reshape(50, -1), np.arange(50) % 10)
    found = trials.moved(part, Random(0))
    np.testing.assert_array_equal(found.y, part.y)
    np.testing.assert_allclose(found.X.sum(1), part.X.sum(1))
    corners = {tuple(np.argwhere(image > 0)[0]) for image in found.X.reshape(-1, 28, 28)}
    assert len(corners) > 10
    assert {row for row, _ in corners} <= set(range(8, 13))


def test_stream_shows_no_row_twice_and_learns():
    data = small_mnist(600, 60)
    part, test = (Part(X.astype(np.float32) / 255, y) for X, y in ((data.X, data.y), (data.X_test, data.y_test)))
    network = MLP([784, 10], random_state=0)
    found = trials.streamed(network, part, test, 1200, 200, 0.05, 0)
    assert [len(values) for values in found.values()] == [6, 6]
    assert found["online"][0] > found["online"][-1]
    assert found["test"][-1] < 30


def test_trajectory_measures_after_the_marked_passes_only():
    network = MLP([3, 2])
    part = Part(np.eye(3, dtype=np.float32), np.array([0, 1, 1]))
    watch = trials.Trajectory(network, part, part, 4)
    for epoch in range(1, 5):
        watch.on_epoch(type("Record", (), {"epoch": epoch}), 4)
    assert len(watch.passed) == len(trials.marks(4))
    assert watch.passed[0] == pytest.approx([judged(network, part)[key] for key in ("loss", "loss", "error")])


# parts of "modularisation" ------------------------------------------------------------------------------------------


def test_styles_do_what_their_names_say():
    X = np.zeros((1, 784), np.float32)
    X[0, 14 * 28 + 10] = 0.7
    plain, slant, bold, negative = (styles.styled(X, k).reshape(28, 28) for k in range(4))
    np.testing.assert_array_equal(plain, X.reshape(28, 28))
    np.testing.assert_allclose(negative, 1 - plain)
    assert (bold[13:16, 9:12] == np.float32(0.7)).all()
    assert bold.sum() == pytest.approx(9 * 0.7, rel=1e-6)
    stroke = np.zeros((1, 28, 28), np.float32)
    stroke[0, :, 14] = 1
    columns = styles.slanted(stroke)[0].argmax(1)
    assert columns[4] - columns[23] == pytest.approx(styles.SLANT * 19, abs=1)
    assert slant.sum() == pytest.approx(0.7)
    with pytest.raises(IndexError):
        styles.styled(X, 4)


def test_only_the_rare_pair_is_rare_and_no_picture_serves_twice():
    n = 10 * 4 * 6
    X = np.zeros((n, 784), np.float32)
    X[:, 400] = np.arange(1, n + 1) / (2 * n)  # each picture known by one grey value in the middle
    part = Part(X, np.arange(n) % 10)
    rare = (3, 1)
    train = styles.training_rows(part, rare, 2, 6, seed=0)
    counts = {(d, s): int(((train.digit == d) & (train.style == s)).sum()) for d in range(10) for s in range(4)}
    assert counts.pop(rare) == 2
    assert set(counts.values()) == {6}
    grey = np.where(train.style == 3, 1 - train.X[:, 400], train.X.max(1))
    assert len(np.unique(grey.round(5))) == len(train)
    more = styles.training_rows(part, rare, 5, 6, seed=0)
    mine = lambda one: one.X[(one.digit == 3) & (one.style == 1)]  # noqa: E731
    np.testing.assert_array_equal(mine(train), mine(more)[:2])
    np.testing.assert_array_equal(train.pair, train.digit * 4 + train.style)
    others = styles.other_rows(part, rare, 0)
    assert not ((others.digit == 3) & (others.style == 1)).any()
    assert len(styles.rare_rows(part, rare)) == n // 10


def test_attributes_add_up_the_losses_of_their_groups():
    network = MLP([4, 5], dtype=torch.float64, random_state=1)
    x = Random(0).normal((6, 4), torch.float64)
    codes = torch.tensor([[0, 1], [2, 0], [1, 1], [2, 0], [0, 0], [1, 1]], dtype=torch.float64)
    rule = AttributeClassification((3, 2))
    rule.check(network, (x, codes))
    total, measures = rule.loss(network, batch_of(x, codes), Random(0))
    outputs = network(x)
    logs = [outputs[:, :3].log_softmax(1), outputs[:, 3:].log_softmax(1)]
    expected = -sum(log[i, int(codes[i, a])] for a, log in enumerate(logs) for i in range(6))
    assert float(total.detach()) == pytest.approx(float(expected.detach()))
    right = sum(all(int(log[i].argmax()) == codes[i, a] for a, log in enumerate(logs)) for i in range(6))
    assert int(measures["training error"]) == 6 - right


@pytest.mark.parametrize("codes", [[[0, 2]], [[3, 0]], [[-1, 0]], [[0.5, 0]], [[0, 0, 0]]])
def test_codes_that_name_no_class_are_refused(codes):
    with pytest.raises(LabelError, match="expected whole numbers"):
        AttributeClassification((3, 2)).check(None, (torch.zeros(1, 4), torch.tensor(codes, dtype=torch.float32)))


# parts of "hidden representations" ----------------------------------------------------------------------------------


def clusters(apart: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Two classes far apart, in each of which two sources lie ``apart``; 40 rows of each."""
    noise = 0.1 * Random(0).normal((160, 2), torch.float64)
    y, source = torch.arange(160) // 80, torch.arange(160) % 2
    return noise + torch.stack([100.0 * y, apart * source], 1), y, source


def test_mixing_is_one_by_chance_and_zero_where_sources_lie_apart():
    codes, y, source = clusters(5.0)
    assert sources.source_mixing(codes, y, source, 5) == 0.0
    assert sources.class_purity(codes, y, 5) == 1.0
    codes, y, source = clusters(0.0)
    assert sources.source_mixing(codes, y, source, 20) == pytest.approx(1.0, abs=0.1)


def test_mixing_of_unequal_sources_by_chance_is_still_one():
    codes = Random(1).normal((400, 3), torch.float64)
    y, source = torch.zeros(400, dtype=torch.int64), (torch.arange(400) % 8 == 0).long()
    assert sources.source_mixing(codes, y, source, 30) == pytest.approx(1.0, abs=0.08)


def test_purity_of_random_codes_is_the_share_of_the_class():
    codes, y = Random(2).normal((500, 3), torch.float64), torch.arange(500) % 5
    assert sources.class_purity(codes, y, 20) == pytest.approx(0.2, abs=0.03)


def test_enlarged_pictures_lie_in_the_middle():
    rows = np.full((2, 256), -1, np.float32)
    rows[1] = 1
    empty, full = sources.enlarged(rows).reshape(2, 28, 28)
    assert empty.max() == 0
    np.testing.assert_allclose(full[4:24, 4:24], 1, rtol=1e-6)
    assert full.sum() == pytest.approx(400)


def test_balanced_rows_have_as_many_of_each_class_and_source():
    given = small_mnist(200, 10)
    parts = tuple(Part(given.X[:n].astype(np.float32), given.y[:n]) for n in (200, 60))
    found = sources.balanced(parts, 5, seed=0)
    for code in range(10):
        per_source = np.bincount(found.source[found.y == code], minlength=2)
        assert per_source[0] == per_source[1] == min(5, int((parts[1].y == code).sum()))


def test_principal_components_are_those_of_the_covariance():
    codes = Random(3).normal((50, 4), torch.float64) * torch.tensor([3.0, 1.0, 2.0, 0.5])
    places = hidden.principal(codes)
    values = np.linalg.eigvalsh(np.cov(codes.numpy().T))[::-1]
    np.testing.assert_allclose(np.cov(places.T), np.diag(values[:2]), atol=1e-9)
