"""Greedy pre-training: layer k + 1 sees exactly what layer k gives, and the layers below stay as they are."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import lamina
import oracles
from lamina import RBM, Gaussian, Stack
from lamina.core.errors import SettingError
from lamina.core.random import Random
from lamina.training import ContrastiveDivergence, encode_rows, greedy, pretrain, sources

X = (np.random.default_rng(0).random((60, 8)) < 0.4).astype(np.float64)


def two(dtype=torch.float64) -> Stack:
    return Stack([RBM(8, 6, dtype=dtype), RBM(6, 4, dtype=dtype), RBM(4, 3, dtype=dtype)])


class Spy(ContrastiveDivergence):
    """CD-1 that notes rows and values of its batches, and the weights of all layers of a stack as it goes."""

    def __init__(self, stack: Stack) -> None:
        super().__init__(1)
        self.stack, self.rows, self.values, self.weights = stack, [], [], []

    def describe(self) -> dict:
        return {"rule": "Spy"}

    def gradients(self, model, batch, step, random):
        self.rows.append(batch.rows.clone())
        self.values.append(batch.values[0].clone())
        self.weights.append([layer.W.detach().clone() for layer in self.stack.layers])
        return super().gradients(model, batch, step, random)


def spied(stack: Stack, data=X, **options) -> list[Spy]:
    spies = [Spy(stack) for _ in stack.layers]
    options = {"epochs": 2, "batch_size": 17, "learning_rate": 0.1, "random_state": 0, **options}
    pretrain(stack, data, lambda k: spies[k], **options)
    return spies


def test_each_layer_sees_exactly_the_output_of_those_below():
    stack = two()
    spies = spied(stack)
    v = torch.from_numpy(X)
    for k, spy in enumerate(spies):
        expected = stack.encode(v, k)  # layers below k are as they were when layer k learnt
        for rows, values in zip(spy.rows, spy.values, strict=True):
            torch.testing.assert_close(values, expected[rows], rtol=1e-13, atol=0)


def test_only_the_layer_that_learns_changes():
    stack = two()
    spies = spied(stack)
    for k, spy in enumerate(spies):
        assert not torch.equal(spy.weights[0][k], spy.weights[-1][k])
        for other in set(range(3)) - {k}:
            for weights in spy.weights:
                assert torch.equal(weights[other], spy.weights[0][other])
        for below in range(k):
            assert torch.equal(spy.weights[-1][below], stack[below].W)


def test_samples_are_drawn_from_the_means_anew_for_each_batch():
    stack = two()
    spies = spied(stack, pass_up="sample", epochs=200, batch_size=60, learning_rate=0.0)
    assert torch.equal(spies[0].values[0], torch.from_numpy(X)[spies[0].rows[0]])  # the data are no means
    means = stack.encode(torch.from_numpy(X), 1)
    drawn = [values[rows.argsort()] for rows, values in zip(spies[1].rows, spies[1].values, strict=True)]
    stacked = torch.stack(drawn)
    assert ((stacked == 0) | (stacked == 1)).all()
    assert not torch.equal(drawn[0], drawn[1])
    deviation = (means * (1 - means) / len(drawn)).sqrt()
    assert ((stacked.mean(0) - means).abs() < 5.5 * deviation + 1e-9).all()


def test_samples_of_gaussian_units_are_gaussian():
    """0/1 draws from real means would be thresholds, silently."""
    stack = Stack(
        [
            RBM(8, Gaussian(5, sigma=0.5), dtype=torch.float64),
            RBM(Gaussian(5, learn_sigma=True), 3, dtype=torch.float64),
        ]
    )
    spies = spied(stack, pass_up="sample", epochs=1, batch_size=60, learning_rate=0.0)
    values, rows = spies[1].values[0], spies[1].rows[0]
    noise = values - stack.encode(torch.from_numpy(X), 1)[rows]
    assert abs(noise.detach().std().item() - 0.5) < 5 * 0.5 / np.sqrt(2 * noise.numel())


def test_redrawn_samples_do_not_hang_on_the_batch():
    def run(batch_size):
        stack = two()
        spies = spied(stack, pass_up="sample", epochs=1, batch_size=batch_size, learning_rate=0.0)
        return spies[1].rows, spies[1].values

    _, values = run(60)
    assert torch.equal(run(60)[1][0], values[0])


def test_codes_too_big_for_memory_go_to_a_map_that_is_read_in_parts(monkeypatch, tmp_path):
    monkeypatch.setattr(greedy, "IN_MEMORY", 1000)
    monkeypatch.setattr(greedy, "CHUNK", 7)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    seen = []
    original = greedy.fit

    def spy_fit(model, data, rule, **options):
        seen.append(type(data))
        return original(model, data, rule, **options)

    monkeypatch.setattr(greedy, "fit", spy_fit)
    stack = two(torch.float32)
    spies = spied(stack)
    assert seen[1] is np.memmap
    v = torch.from_numpy(X).float()
    for rows, values in zip(spies[1].rows, spies[1].values, strict=True):
        torch.testing.assert_close(values, stack.encode(v, 1)[rows], rtol=1e-6, atol=1e-7)
    assert list(tmp_path.iterdir()) == []  # nothing is left behind


def test_encoding_in_chunks_is_encoding(monkeypatch, tmp_path):
    monkeypatch.setattr(greedy, "CHUNK", 7)
    rbm = oracles.random_binary(8, 5)
    encode = lambda x: rbm.mean_h_from_v(x)  # noqa: E731
    expected = encode(torch.from_numpy(X)).detach()
    for data in (X, torch.from_numpy(X)):
        torch.testing.assert_close(encode_rows(encode, data, 5), expected)
    monkeypatch.setattr(greedy, "IN_MEMORY", 100)
    found = encode_rows(encode, X, 5, folder=tmp_path)
    assert isinstance(found, np.memmap)
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-6)


def test_iterables_are_encoded_as_they_come_by():
    stack = two()
    batches = [X[k : k + 20] for k in range(0, 60, 20)]
    spies = spied(stack, batches)
    expected = stack.encode(torch.from_numpy(X), 1)
    for rows, values in zip(spies[1].rows, spies[1].values, strict=True):
        torch.testing.assert_close(values, expected[rows])


def test_memory_maps_are_accepted(tmp_path, monkeypatch):
    np.save(tmp_path / "x.npy", X)
    monkeypatch.setattr(sources, "POOL", 1 << 30)  # the map in one pool: the order of an array
    one, other = two(), two()
    spied(one, np.load(tmp_path / "x.npy", mmap_mode="r"))
    spied(other, X)
    assert torch.equal(one[2].W, other[2].W)


def test_initial_values_come_from_each_layers_own_input():
    stack = two()
    spied(stack, epochs=0)
    mean = torch.from_numpy(X).mean(0).clamp(0.01, 0.99)
    torch.testing.assert_close(stack[0].b.detach(), torch.log(mean) - torch.log1p(-mean))
    above = stack.encode(torch.from_numpy(X), 1).mean(0).detach()
    torch.testing.assert_close(torch.sigmoid(stack[1].b.detach()), above)
    assert not torch.equal(stack[1].W[:4, :3], stack[2].W)


def test_settings_may_be_given_per_layer():
    heard = {}

    class Listener:
        def __init__(self, k):
            self.k = k

        def on_epoch(self, record, epochs):
            heard[self.k] = epochs

    rates = (0.1, lamina.Schedule(((0, 0.2),)), 0.3)
    histories = pretrain(
        two(),
        X,
        epochs=(1, 2, 3),
        learning_rate=rates,
        random_state=0,
        callbacks=lambda k: [Listener(k)],
        validation=X[:9],
    )
    assert [len(h) for h in histories] == [1, 2, 3]
    assert heard == {0: 1, 1: 2, 2: 3}
    assert all("validation reconstruction error" in h.names for h in histories)
    with pytest.raises(SettingError, match="epochs has 2 entries for 3 layers"):
        pretrain(two(), X, epochs=(1, 2))
    with pytest.raises(SettingError, match="pass_up is 'means'"):
        pretrain(two(), X, pass_up="means")


def test_gaussian_layers_take_small_steps():
    assert greedy.default_learning_rate(RBM(Gaussian(3), 2)) == 0.002
    assert greedy.default_learning_rate(RBM(3, 2)) == 0.05


def test_the_same_seed_gives_the_same_stack():
    one, same, other = two(), two(), two()
    spied(one)
    spied(same, random_state=Random(0))
    spied(other, random_state=1)
    assert torch.equal(one[2].W, same[2].W)
    assert not torch.equal(one[2].W, other[2].W)
