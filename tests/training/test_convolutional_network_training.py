"""Convolutional networks in the one loop: they learn, freeze, stop and go on, and distorted rows reach them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

import lamina
from lamina.models.networks import Convolution, ConvolutionalNetwork, Dense, Dropout, MaxPooling
from lamina.training import BackPropagation, loop
from lamina.training.distortions import ElasticDistortion

LAYERS = [
    Convolution(4, 3, table=((0,),) * 4, biases="unit"),
    MaxPooling(2),
    Dropout(0.2),
    Dense(8, activation="maxout"),
]
OPTIONS = {"epochs": 3, "batch_size": 16, "learning_rate": 0.01, "optimiser": "adam", "random_state": 2}


def digits(n: int) -> tuple[np.ndarray, np.ndarray]:
    X, y = load_digits(return_X_y=True)
    return X[:n] / 16, y[:n]


def network(dtype=torch.float64) -> ConvolutionalNetwork:
    return ConvolutionalNetwork((1, 8, 8), LAYERS, 10, dtype=dtype)


def rule() -> BackPropagation:
    return BackPropagation(augment=ElasticDistortion(2.0, 4.0, (1, 8, 8)))


def test_it_reads_digits():
    X, y = digits(1300)
    model = ConvolutionalNetwork((1, 8, 8), [Convolution(8, 3), MaxPooling(2), Dense(32)], 10)
    lamina.fit(model, (X[:1000], y[:1000]), BackPropagation(), **OPTIONS | {"epochs": 8})
    wrong = float((model(torch.from_numpy(X[1000:]).float()).argmax(1).numpy() != y[1000:]).mean())
    assert wrong < 0.08  # nearest neighbours: 0.03, one guess for all: 0.9


def test_frozen_layers_stay_bit_for_bit():
    X, y = digits(64)
    model = network()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    lamina.fit(model, (X, y), BackPropagation(frozen=1), **OPTIONS)
    after = model.state_dict()
    assert [name for name in before if torch.equal(before[name], after[name])] == ["W.0", "b.0"]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_killed_midway_and_resumed_it_ends_bit_for_bit_the_same(dtype, tmp_path, monkeypatch):
    X, y = digits(80)  # 5 steps per epoch
    whole = network(dtype)
    lamina.fit(whole, (X, y), rule(), **OPTIONS)
    monkeypatch.setattr(loop, "WATCH_EVERY", 2)
    saved = OPTIONS | {"checkpoint": tmp_path, "checkpoint_seconds": -1.0}
    gradients = BackPropagation.gradients

    def dying(self, model, batch, step, random):
        if step == 7:  # in the second epoch; the last state saved is that after step 6
            raise RuntimeError("killed")
        return gradients(self, model, batch, step, random)

    with monkeypatch.context() as patch:
        patch.setattr(BackPropagation, "gradients", dying)
        with pytest.raises(RuntimeError, match="killed"):
            lamina.fit(network(dtype), (X, y), rule(), **saved)
    resumed = network(dtype)
    history = lamina.fit(resumed, (X, y), rule(), **saved)
    assert len(history) == 3
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
