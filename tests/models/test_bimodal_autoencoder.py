"""The bimodal autoencoder: both ways against NumPy, missing signals, and exact unrolling of trained machines."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import expit

import lamina
from lamina.core.errors import DataError, SettingError
from lamina.models.autoencoders import Autoencoder, BimodalAutoencoder, bimodal
from lamina.models.energy import RBM
from lamina.models.stack import Stack
from lamina.storage import load, save
from lamina.units import Bernoulli, Gaussian, Rectified


def rows(n: int = 6, width: int = 5) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).random((n, width)))


def model(**options) -> BimodalAutoencoder:
    chosen = {"outputs": ("sigmoid", "identity"), "dtype": torch.float64, "random_state": 1} | options
    return BimodalAutoencoder((3, 4), (2, 3), 2, **chosen)


def drawn(machine: RBM, seed: int) -> RBM:
    generator = torch.Generator().manual_seed(seed)
    for parameter in machine.parameters():
        parameter.data.normal_(generator=generator)
    return machine


def test_code_and_reconstruction_are_the_formula():
    chosen = model()
    v = rows().numpy()
    W = {name: value.detach().numpy() for name, value in chosen.named_parameters()}

    def step(x, part):
        return x @ W[f"{part}.W.0"] + W[f"{part}.b.0"]

    h = np.concatenate([expit(step(v[:, :3], "encoder_a")), expit(step(v[:, 3:], "encoder_b"))], 1)
    code = expit(step(h, "joint"))
    np.testing.assert_allclose(chosen.mean_h_from_v(rows()).detach(), code, atol=1e-12)
    middle = expit(step(code, "disjoint"))
    a, b = expit(step(middle[:, :4], "decoder_a")), step(middle[:, 4:], "decoder_b")
    np.testing.assert_allclose(chosen.mean_v_from_h(torch.from_numpy(code)).detach(), np.hstack([a, b]), atol=1e-12)


def test_a_missing_signal_is_zeros_and_is_never_read():
    chosen = model()
    v = rows()
    a, b = chosen.split(v)
    spoiled = v.clone()
    spoiled[:3, 3:] = torch.nan
    spoiled[3:, :3] = torch.inf
    present = torch.tensor([[1, 0]] * 3 + [[0, 1]] * 3)
    code = chosen.mean_h_from_v(spoiled, present)
    assert torch.equal(code[:3], chosen.code(a=a[:3]))
    assert torch.equal(code[3:], chosen.code(b=b[3:]))
    zeros = torch.cat([a, torch.zeros_like(b)], 1)
    assert torch.equal(chosen.code(a=a), chosen.mean_h_from_v(zeros))
    code.sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in chosen.parameters() if p.grad is not None)
    assert torch.isnan(chosen.mean_h_from_v(spoiled)).any()  # without `present` it is data like any other


def test_reconstruct_gives_both_from_either():
    chosen = model()
    a, b = chosen.split(rows())
    for given in ({"a": a, "b": b}, {"a": a}, {"b": b}, {"a": a[0]}):
        found = chosen.reconstruct(**given)
        lead = next(iter(given.values())).shape[:-1]
        assert [x.shape for x in found] == [(*lead, 3), (*lead, 2)]
    torch.testing.assert_close(
        torch.cat(chosen.reconstruct(a, b), 1), chosen.mean_v_from_h(chosen.mean_h_from_v(rows()))
    )
    assert chosen.mean_h_from_v(rows().view(2, 3, 5)).shape == (2, 3, 2)


def test_machines_unroll_exactly():
    """Before fine-tuning, code and reconstruction are the means of the machines, with a Gaussian side too."""
    options = {"dtype": torch.float64}
    first = Stack([drawn(RBM(3, 4, **options), 1), drawn(RBM(4, 2, **options), 2)])
    second = drawn(RBM(Gaussian(2, sigma=0.5), 3, **options), 3)
    shared = drawn(RBM(5, 4, **options), 4)
    found = bimodal(first, second, shared)
    a, b = found.split(rows())
    code = shared.mean_h_from_v(torch.cat([first.encode(a), second.mean_h_from_v(b)], 1))
    torch.testing.assert_close(found.code(a, b), code, rtol=1e-12, atol=1e-14)
    middle = shared.mean_v_from_h(code)
    expected = [first.decode(middle[:, :2]), second.mean_v_from_h(middle[:, 2:])]
    for ours, theirs in zip(found.reconstruct(a, b), expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-14)
    assert found.outputs == ("sigmoid", "identity")
    with torch.no_grad():
        shared.W.add_(1)
    torch.testing.assert_close(found.code(a, b), code)  # copied, not shared


@pytest.mark.parametrize("tied", [True, False])
def test_autoencoder_layers_unroll_exactly(tied):
    options = {"activation": "tanh", "tied": tied, "dtype": torch.float64}
    layers = [
        Autoencoder(n, k, output=output, random_state=seed, **options)
        for seed, (n, k, output) in enumerate([(3, 4, "sigmoid"), (2, 3, "identity"), (7, 2, "tanh")])
    ]
    found = bimodal(*layers)
    a, b = found.split(rows())
    code = layers[2].mean_h_from_v(torch.cat([layers[0].mean_h_from_v(a), layers[1].mean_h_from_v(b)], 1))
    torch.testing.assert_close(found.code(a, b), code)
    middle = layers[2].mean_v_from_h(code)
    expected = torch.cat([layers[0].mean_v_from_h(middle[:, :4]), layers[1].mean_v_from_h(middle[:, 4:])], 1)
    torch.testing.assert_close(found.mean_v_from_h(code), expected)


def test_the_data_mean_is_what_zero_codes_would_give():
    chosen = model().initialise(3, torch.tensor([0.2, 0.5, 0.9, -3.0, 4.0], dtype=torch.float64))
    torch.testing.assert_close(torch.sigmoid(chosen.decoder_a.b[-1]), torch.tensor([0.2, 0.5, 0.9]).double())
    torch.testing.assert_close(chosen.decoder_b.b[-1].detach(), torch.tensor([-3.0, 4.0]).double())


def test_files_bring_it_back(tmp_path):
    chosen = model(activation="tanh")
    save(chosen, tmp_path)
    found = load(tmp_path)
    assert found.spec() == chosen.spec()
    assert torch.equal(found.mean_h_from_v(rows()), chosen.mean_h_from_v(rows()))
    assert isinstance(lamina.Stack([found]), Stack)  # it is a layer


def test_what_does_not_fit_is_refused():
    with pytest.raises(SettingError, match="neither a nor b"):
        model().code()
    with pytest.raises(DataError, match="b has shape"):
        model().code(a=rows(4, 3), b=rows(5, 2))
    with pytest.raises(DataError, match="a has shape"):
        model().reconstruct(a=rows(4, 2))
    with pytest.raises(DataError, match="rows have shape"):
        model().mean_h_from_v(rows(4, 6))
    with pytest.raises(SettingError, match="outputs"):
        model(outputs=("sigmoid", "tanh"))
    with pytest.raises(SettingError, match="sizes_a"):
        BimodalAutoencoder((3,), (2, 3), 2)
    with pytest.raises(SettingError, match="shared"):
        BimodalAutoencoder((3, 4), (2, 3), [])
    with pytest.raises(SettingError, match="expected 4 \\+ 3"):
        bimodal(RBM(3, 4), RBM(2, 3), RBM(6, 2))
    with pytest.raises(SettingError, match="different activations"):
        bimodal(RBM(3, Bernoulli(4)), RBM(2, Gaussian(3)), RBM(7, 2))
    with pytest.raises(SettingError, match="cannot be unrolled"):
        bimodal(RBM(3, Rectified(4)), RBM(2, 3), RBM(7, 2))
    with pytest.raises(SettingError, match="a Linear layer"):
        bimodal(torch.nn.Linear(3, 4), RBM(2, 3), RBM(7, 2))
