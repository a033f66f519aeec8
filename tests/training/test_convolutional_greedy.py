"""Greedy training of convolutional networks: each machine as if trained alone on the pooled means below."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import lamina
from lamina.core.errors import SettingError
from lamina.core.random import Random
from lamina.models.energy import ConvolutionalDBN, ConvolutionalRBM
from lamina.training import ConvolutionalDivergence, encode_maps, pretrain_convolutional
from lamina.training.convolutional_greedy import channel_means


def images(n=30):
    return (np.random.default_rng(0).random((n, 1, 8, 8)) < 0.3).astype(np.float32)


def make():
    return ConvolutionalDBN([ConvolutionalRBM(1, 3, 3), ConvolutionalRBM(3, 2, 2)])


def test_each_layer_is_trained_on_the_pooled_means_below():
    dbn = make()
    options = {"batch_size": 10, "learning_rate": 0.5}
    histories = pretrain_convolutional(dbn, images(), epochs=(2, 3), random_state=4, **options)
    assert [len(history.records) for history in histories] == [2, 3]
    alone = ConvolutionalRBM(3, 2, 2)
    below = encode_maps(dbn[0].mean_p_from_v, images(), dbn[0].W)
    stream = Random(4).child("layer", 1)
    alone.initialise(stream, channel_means(below, alone))
    alone.b.requires_grad_(False)  # it stays at the pooled units' mean
    rule = ConvolutionalDivergence(sample_visible=False)
    lamina.fit(alone, below, rule, epochs=3, momentum=0.5, random_state=stream, **options)
    assert torch.equal(alone.W, dbn[1].W)
    torch.testing.assert_close(dbn[1].b.detach().sigmoid(), below.mean((0, 2, 3)), rtol=1e-4, atol=1e-5)
    assert dbn[1].b.requires_grad


def test_maps_are_encoded_in_parts(monkeypatch):
    dbn = make()
    whole = dbn.encode(torch.from_numpy(images())).detach()
    monkeypatch.setattr("lamina.training.convolutional_greedy.CHUNK", 7)
    torch.testing.assert_close(encode_maps(dbn.encode, images(), dbn[0].W), whole)


def test_one_number_per_layer():
    with pytest.raises(SettingError, match="epochs has 3 entries for 2 layers"):
        pretrain_convolutional(make(), images(), epochs=(1, 1, 1))
