"""The recipes about convolutional networks: small versions run and go on from memory; measures mean what they say."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from small_digits import small_mnist

from lamina.core.random import Random
from lamina.data import DataSet
from lamina.models.networks import Convolution, ConvolutionalNetwork, MaxPooling
from lamina.recipes import digits
from lamina.recipes.context import Context
from lamina.recipes.lecun1989_zipcode import recipe as zipcode
from lamina.recipes.lecun1998_lenet5 import recipe as lenet
from lamina.recipes.simard2003_elastic import recipe as elastic
from lamina.storage import load


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(digits, "load", lambda name: small_mnist(120, 40))


def small_zip_codes(name: str) -> DataSet:
    data = small_mnist(100, 40)

    def cut(X: np.ndarray) -> np.ndarray:
        return (X.reshape(-1, 28, 28)[:, 6:22, 6:22].reshape(-1, 256) / 127.5 - 1).astype(np.float32)

    return DataSet(
        name=name, X=cut(data.X), y=data.y, classes=data.classes, shape=(1, 16, 16), value_range=(-1.0, 1.0),
        X_test=cut(data.X_test), y_test=data.y_test,
    )  # fmt: skip


def test_zip_code_recipe(monkeypatch, tmp_path):
    monkeypatch.setattr(zipcode, "load", small_zip_codes)
    outcome = zipcode.run(Context(tmp_path, quick=True, seed=3))
    names = [zipcode.LENET, zipcode.PLAIN, zipcode.LATER]
    expected = [f"{what}, {name}" for name in names for what in ("test error", "training error")]
    assert [row.what for row in outcome.results] == expected
    assert outcome.deviations[0].startswith("QUICK")
    assert len(outcome.notes) == 3
    kernels, maps, curves = outcome.figures
    assert kernels.rows.shape == (12, 5, 5)
    assert maps.rows.shape == (8, 13, 16, 16)
    assert maps.rows.min() >= 0
    assert maps.rows.max() <= 1
    assert list(curves.series) == names
    network = load(Context(tmp_path).stage(f"{zipcode.PLAIN} 3"))
    assert sum(p.numel() for p in network.parameters()) == 10_690  # as the paper counts it
    data = small_zip_codes("usps")
    wrong = 100 * float((network(torch.from_numpy(data.X_test)).argmax(1).numpy() != data.y_test).mean())
    assert outcome.results[2].ours == pytest.approx(wrong)
    again = zipcode.run(Context(tmp_path, quick=True, seed=3))
    assert [row.ours for row in again.results] == [row.ours for row in outcome.results]


def test_zip_code_targets_and_choice(monkeypatch):
    assert zipcode.targets(np.array([2]))[0].tolist() == [-1, -1, 1] + [-1] * 7
    errors = {"0.01": np.array([9.0, 3.0]), "0.02": np.array([9.0, 2.0]), "0.04": np.array([0.0, 4.0])}
    monkeypatch.setattr(zipcode, "held_errors", lambda context, name, label, train: errors[label])
    monkeypatch.setattr(zipcode, "LAST", 1)
    assert zipcode.chosen(Context("unused"), zipcode.LENET, None) == "0.02"  # of the last pass alone


def test_lenet_5_recipe(small, tmp_path):
    outcome = lenet.run(Context(tmp_path, quick=True, seed=1))
    first, later = outcome.results
    assert [first.what, later.what] == ["test error, LeNet-5", "test error, LeNet-5, going on with distorted rows"]
    maps, kernels, curves = outcome.figures
    assert maps.rows.shape == (7, 16, 28, 28)
    assert np.isfinite(maps.rows).reshape(7, 16, -1).any(2).sum(1).tolist() == [1, 6, 6, 16, 16, 1, 1]
    assert kernels.rows.shape == (6, 5, 5)
    assert len(curves.series) == 3
    network = load(Context(tmp_path).stage("LeNet-5 1"))
    data = small_mnist(120, 40)
    X = torch.from_numpy(data.X_test.astype(np.float32) / 255 * 1.275 - 0.1)
    wrong = 100 * float((network(X).argmax(1).numpy() != data.y_test).mean())
    assert outcome.results[0].ours == pytest.approx(wrong)
    again = lenet.run(Context(tmp_path, quick=True, seed=1))
    assert again.results == outcome.results


def test_elastic_recipe(small, monkeypatch, tmp_path):
    layers = [Convolution(4, 5, stride=2), MaxPooling(2)]
    monkeypatch.setattr(elastic, "wide", lambda seed: ConvolutionalNetwork((1, 28, 28), layers, 10, random_state=seed))
    outcome = elastic.run(Context(tmp_path, quick=True, seed=2))
    values = {row.what: row.ours for row in outcome.results}
    assert list(values) == [
        "test error, elastic distortions, all rows, long",
        "test error, elastic distortions, all rows, then milder and without dropout",
        "test error, the paper's network, elastic distortions",
        *(f"test error, {name}" for name in elastic.DISTORTIONS),
    ]
    pictures, curves, mistakes = outcome.figures
    assert pictures.rows.shape == (7, 12, 28, 28)
    assert np.abs(pictures.rows[1:] - pictures.rows[:1]).max(axis=(1, 2, 3)).min() > 0.1  # all kinds move something
    assert list(curves.series) == list(elastic.DISTORTIONS)
    assert len(mistakes.captions) == len(mistakes.rows)
    again = elastic.run(Context(tmp_path, quick=True, seed=2))
    assert again.results == outcome.results


def test_some_rows_are_spared():
    x = torch.rand(400, 784)
    found = elastic.Mostly(elastic.ElasticDistortion(4, 34), 0.25).apply(x, Random(0).at(3, torch.arange(400)))
    same = (found == x).all(1)
    assert 60 < int(same.sum()) < 140  # 100 ± 8.7
    assert torch.equal(found[:50], elastic.Mostly(elastic.ElasticDistortion(4, 34), 0.25).apply(
        x[:50], Random(0).at(3, torch.arange(50))
    ))  # fmt: skip


def test_the_papers_network_of_2003():
    sizes = elastic.of_the_paper(0).layer_sizes()
    assert [one.shape for one in sizes] == [(5, 13, 13), (50, 5, 5), (100,), (10,)]
