"""Associative memories as models: energies by their definitions, files, and input that does not fit."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lamina.core.errors import DataError, SettingError
from lamina.models.energy import BidirectionalAssociativeMemory, Hopfield, ModernHopfield
from lamina.models.maps import HammingNetwork
from lamina.storage import load, save


def fill(model: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """Every parameter random; square weights symmetric with a zero diagonal."""
    generator = np.random.default_rng(seed)
    for name, p in model.named_parameters():
        values = generator.normal(size=tuple(p.shape))
        if name == "W" and isinstance(model, Hopfield):
            values = np.triu(values, 1) + np.triu(values, 1).T
        p.data.copy_(torch.from_numpy(values))
    return model


def signs(n: int, columns: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).choice([-1.0, 1.0], (n, columns)))


def test_hopfield_energy_and_stability():
    network = fill(Hopfield(6, dtype=torch.float64))
    W, b = network.W.numpy(), network.b.numpy()
    for s in signs(20, 6):
        x = s.numpy()
        pairs = sum(W[i, j] * x[i] * x[j] for i in range(6) for j in range(i))
        assert float(network.energy(s)) == pytest.approx(-pairs - b @ x)
        flips = [float(network.energy(torch.where(torch.arange(6) == i, -s, s))) for i in range(6)]
        assert bool(network.is_stable(s)) == (min(flips) >= float(network.energy(s)))
    assert network.overlap(signs(3, 6), signs(3, 6)).diagonal().tolist() == [1.0, 1.0, 1.0]


def test_bidirectional_energy_and_stability():
    memory = fill(BidirectionalAssociativeMemory(4, 3, dtype=torch.float64))
    W, b, c = (p.numpy() for p in (memory.W, memory.b, memory.c))
    x, y = signs(10, 4), signs(10, 3, 1)
    for left, right, energy, stable in zip(x, y, memory.energy(x, y), memory.is_stable(x, y), strict=True):
        p, q = left.numpy(), right.numpy()
        here = -(p @ W @ q) - b @ p - c @ q
        assert float(energy) == pytest.approx(here)
        flips = [-(u @ W @ q) - b @ u - c @ q for u in p * (1 - 2 * np.eye(4))]
        flips += [-(p @ W @ u) - b @ p - c @ u for u in q * (1 - 2 * np.eye(3))]
        assert bool(stable) == (min(flips) >= here)


def test_modern_energy_by_its_definition_and_its_slope():
    network = fill(ModernHopfield(4, 5, beta=1.7, dtype=torch.float64))
    X = network.patterns.numpy()
    s = torch.from_numpy(np.random.default_rng(1).normal(size=(6, 4))).requires_grad_()
    energy = network.energy(s)
    for x, e in zip(s.detach().numpy(), energy.detach().numpy(), strict=True):
        log_sum = np.log(np.exp(1.7 * X @ x).sum()) / 1.7
        assert e == pytest.approx(-log_sum + x @ x / 2 + np.log(5) / 1.7 + (X**2).sum(1).max() / 2)
        assert e >= 0
    (slope,) = torch.autograd.grad(energy.sum(), s)
    torch.testing.assert_close(network.update(s.detach()), (s - slope).detach())  # the update is one unit gradient step


def test_hamming_counts_agreeing_bits():
    patterns, probes = signs(7, 10), signs(4, 10, 1)
    network = HammingNetwork(10, 7, dtype=torch.float64).store(patterns)
    expected = [[int((p == q).sum()) for q in patterns] for p in probes]
    assert network.matches(probes).tolist() == expected
    assert network.compete(torch.tensor([[4.0, 2.0, 0, 0, 0, 0, 0]])).tolist() == [
        pytest.approx([4 - 2 / 7, 2 - 4 / 7, 0, 0, 0, 0, 0])
    ]


@pytest.mark.parametrize(
    "model",
    [
        Hopfield(5, dtype=torch.float64),
        BidirectionalAssociativeMemory(4, 3),
        ModernHopfield(4, 6, beta=2.5),
        HammingNetwork(4, 6),
    ],
    ids=lambda model: type(model).__name__,
)
def test_saved_and_loaded(model, tmp_path):
    fill(model)
    save(model, tmp_path / "memory")
    again = load(tmp_path / "memory")
    assert again.spec() == model.spec()
    for name, value in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], value)


def test_bad_sizes_and_shapes():
    for make in (
        lambda: Hopfield(0),
        lambda: BidirectionalAssociativeMemory(2, 0),
        lambda: ModernHopfield(3, 2, beta=0.0),
        lambda: HammingNetwork(3, 1.5),
    ):
        with pytest.raises(SettingError, match="expected"):
            make()
    with pytest.raises(DataError, match=r"\(\.\.\., 4\)"):
        Hopfield(4).energy(torch.ones(2, 3))
    memory = BidirectionalAssociativeMemory(4, 3)
    with pytest.raises(DataError, match="as many right"):
        memory.field_left(torch.ones(2, 4))
    with pytest.raises(DataError, match="2 rows of 3"):
        ModernHopfield(3, 2).store(torch.ones(2, 4))
    with pytest.raises(DataError, match="NaN"):
        ModernHopfield(3, 1).store(torch.tensor([[1.0, float("nan"), 0.0]]))
    with pytest.raises(DataError, match="−1 and \\+1"):
        HammingNetwork(3, 1).store(torch.tensor([[1.0, 0.0, 1.0]]))
    with pytest.raises(DataError, match="one value per unit"):
        HammingNetwork(3, 1).matches(torch.ones(2))
    with pytest.raises(DataError, match="one value per unit"):
        ModernHopfield(3, 1).update(torch.ones(2))
