"""The convolutional deep belief network: joint energy and conditionals by enumeration, features, pictures, files."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import lamina
import oracles
from convolutional_oracle import block_numbers, dense, hidden_states, random_machine
from lamina.core.errors import DataError, SettingError
from lamina.core.random import Random
from lamina.inference import Explanation, infer
from lamina.models.energy import ConvolutionalDBN, ConvolutionalRBM
from lamina.units import Gaussian

SIZE = (5,)  # 5 visible, 4 + 2 detection units


def network(scale: float = 0.8) -> ConvolutionalDBN:
    return ConvolutionalDBN([random_machine(1, 1, 2, 2, 1, 1, scale), random_machine(1, 2, 2, 1, 1, 2, scale)])


class Joint:
    """All states of `network` over `SIZE`: v (32, 5), h1 (9, 4) and its pooled units (9, 2), h2 (4, 2)."""

    def __init__(self, dbn: ConvolutionalDBN) -> None:
        first, second = dbn.layers
        blocks = block_numbers(first, SIZE)
        self.v, self.h1 = oracles.states(5), hidden_states(blocks)
        self.p1 = np.stack([self.h1[:, blocks == block].sum(1) for block in range(2)], 1)
        self.h2 = oracles.states(2)
        b, c1 = first.b.detach().numpy(), first.c.detach().numpy()
        c2 = second.c.detach().numpy()
        bottom = (self.v * b).sum(1)[:, None] + (self.h1 * c1).sum(1)[None] + self.v @ dense(first, SIZE) @ self.h1.T
        top = (self.h2 * c2).sum(1)[None] + self.p1 @ dense(second, (2,)) @ self.h2.T
        self.log_weights = bottom[:, :, None] + top[None]  # (32, 9, 4)
        self.p = np.exp(self.log_weights - oracles.log_sum(self.log_weights))

    def maps(self, i, j, k):
        v = torch.from_numpy(self.v[i]).view(-1, 1, 5)
        return v, [torch.from_numpy(self.h1[j]).view(-1, 1, 4), torch.from_numpy(self.h2[k]).view(-1, 2, 1)]


def test_joint_energy():
    dbn = network()
    joint = Joint(dbn)
    i, j, k = (x.reshape(-1) for x in np.meshgrid(range(32), range(9), range(4), indexing="ij"))
    energies = dbn.energy(*joint.maps(i, j, k)).detach().numpy()
    np.testing.assert_allclose(-energies, joint.log_weights.reshape(-1), rtol=1e-9, atol=1e-12)


def test_a_detection_map_feels_below_and_above():
    """p(h1 | v, h2) by enumeration: the paper's section 3.6."""
    dbn = network()
    joint = Joint(dbn)
    i, k = (x.reshape(-1) for x in np.meshgrid(range(32), range(4), indexing="ij"))
    v, (_, h2) = joint.maps(i, np.zeros(len(i), int), k)
    weights = joint.p[i, :, k] / joint.p[i, :, k].sum(1, keepdims=True)
    h, p = dbn.means_given(0, v, h2)
    np.testing.assert_allclose(h.detach().flatten(1).numpy(), weights @ joint.h1, rtol=1e-9)
    np.testing.assert_allclose(p.detach().flatten(1).numpy(), weights @ joint.p1, rtol=1e-9)


def draws(joint: Joint, n: int):
    flat = np.random.default_rng(0).choice(joint.p.size, size=n, p=joint.p.reshape(-1))
    return np.unravel_index(flat, joint.p.shape)


def test_block_gibbs_leaves_the_joint_distribution_as_it_is():
    """Exact draws, three sweeps with the last two visible units unknown: all means within five standard errors."""
    dbn = network()
    joint, n = Joint(dbn), 3000
    v, h = joint.maps(*draws(joint, n))
    known = torch.tensor([True, True, True, False, False])
    start = Explanation(v, tuple(h), tuple(layer.pool(x) for layer, x in zip(dbn.layers, h, strict=True)))
    after = infer(dbn, v, known=known, sweeps=3, sample=True, random_state=3, start=start)
    assert torch.equal(after.v[:, :, :3], v[:, :, :3])
    assert not torch.equal(after.v, v)
    p_v, p_1, p_2 = (joint.p.sum(axes) for axes in ((1, 2), (0, 2), (0, 1)))
    both = np.einsum("vhk,vi,hj->ij", joint.p, joint.v, joint.p1)
    found = (after.v[:, 0, :, None] * after.p[0][:, 0, None, :]).mean(0).numpy()
    for mean, ours in (
        (p_v @ joint.v, after.v.flatten(1).mean(0).numpy()),
        (p_1 @ joint.h1, after.h[0].flatten(1).mean(0).numpy()),
        (p_2 @ joint.h2, after.h[1].flatten(1).mean(0).numpy()),
        (both, found),
    ):
        assert (np.abs(ours - mean) < 5 * np.sqrt(mean * (1 - mean) / n)).all()


def test_gibbs_from_the_free_state_finds_the_missing_part():
    """Unknown units after 25 sweeps have the means of p(v_unknown | v_known), by enumeration."""
    dbn = network(0.6)
    joint, n = Joint(dbn), 2000
    known = torch.tensor([True, True, False, False, False])
    v = torch.tensor([1.0, 0.0, 7.0, 7.0, 7.0], dtype=torch.float64).expand(n, 1, 5)  # 7: never looked at
    after = infer(dbn, v, known=known, sweeps=25, sample=True, random_state=1)
    fits = (joint.v[:, 0] == 1) & (joint.v[:, 1] == 0)
    p_v = joint.p.sum((1, 2)) * fits
    mean = (p_v / p_v.sum()) @ joint.v[:, 2:]
    assert (np.abs(after.v[:, 0, 2:].mean(0).numpy() - mean) < 5 * np.sqrt(mean * (1 - mean) / n)).all()


def variational_free_energy(dbn, explanation, known) -> torch.Tensor:
    """⟨E⟩ − entropy under independent blocks and visible units: E is linear in each of them."""

    def entropy(h, p):
        return -torch.xlogy(h, h).flatten(1).sum(1) - torch.xlogy(1 - p, 1 - p).flatten(1).sum(1)

    v = explanation.v
    total = dbn.energy(v, explanation.h)
    for h, p in zip(explanation.h, explanation.p, strict=True):
        total = total - entropy(h, p)
    return total - entropy(v[..., ~known], v[..., ~known])


def test_mean_field_sweeps_lower_the_variational_free_energy():
    layers = [random_machine(1, 3, 3, 2, 2, 1), random_machine(3, 2, 2, 2, 2, 2), random_machine(2, 2, 1, 1, 2, 3)]
    dbn = ConvolutionalDBN(layers)
    v = torch.rand(4, 1, 9, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    known = torch.rand(9, 8, generator=torch.Generator().manual_seed(1)) < 0.5
    now = infer(dbn, v, known=known, sweeps=0)
    bounds = []
    for _ in range(12):
        bounds.append(variational_free_energy(dbn, now, known).detach())
        now = infer(dbn, v, known=known, sweeps=1, start=now)
    steps = torch.stack(bounds).diff(dim=0)
    assert (steps < 1e-9).all()
    assert (steps[0] < -1e-3).all()
    assert (steps[-1].abs() < 0.05 * steps[0].abs()).all()


def test_features_and_decoding_have_the_sizes_that_were_announced():
    dbn = ConvolutionalDBN([ConvolutionalRBM(1, 4, 5, 3), ConvolutionalRBM(4, 6, 2, 2)])
    v = torch.rand(3, 1, 17, 16, generator=torch.Generator().manual_seed(0))
    assert dbn.sizes((17, 16)) == [(17, 16), (5, 4), (2, 2)]
    first, second = dbn.features(v)
    assert (first.shape, second.shape) == ((3, 4, 5, 4), (3, 6, 2, 2))
    assert torch.equal(second, dbn.encode(v))
    assert torch.equal(first, dbn.encode(v, 1))
    assert dbn.decode(second, (17, 16)).shape == v.shape
    torch.testing.assert_close(dbn.decode(first, (17, 16), 1), dbn[0].mean_v_from_p(first, (17, 16)))


def test_pictures_of_upper_filters_combine_those_below():
    """The same as turning one top unit on and going down linearly, without biases."""
    dbn = ConvolutionalDBN([random_machine(1, 3, 3, 2, 2), random_machine(3, 2, 2, 1, 2)])
    assert torch.equal(dbn.filters(1), dbn[0].W)
    pictures = dbn.filters()
    assert pictures.shape == (2, 1, 6, 6)
    by_hand = torch.zeros_like(pictures)
    W1, W2 = dbn[0].W.detach(), dbn[1].W.detach()
    for i in range(4):
        for j in range(4):
            weights = W2[:, :, i // 2, j // 2] / 4
            by_hand[:, :, i : i + 3, j : j + 3] += torch.einsum("fk,kchw->fchw", weights, W1)
    torch.testing.assert_close(pictures, by_hand)


def test_a_saved_network_is_the_same(tmp_path):
    dbn = ConvolutionalDBN([random_machine(Gaussian(2), 3, 3, 2, 2), random_machine(3, 2, 2, (1, 2), 2)])
    again = lamina.load(lamina.save(dbn, tmp_path / "model"))
    v = torch.randn(2, 2, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert torch.equal(again.encode(v), dbn.encode(v))
    assert again.spec() == dbn.spec()


def test_layers_that_do_not_fit_are_refused():
    with pytest.raises(SettingError, match="at least one"):
        ConvolutionalDBN([])
    with pytest.raises(SettingError, match="layer 1 has 4 filters over 2 axes, but layer 2 expects 3 channels"):
        ConvolutionalDBN([ConvolutionalRBM(1, 4, 3), ConvolutionalRBM(3, 4, 3)])
    with pytest.raises(SettingError, match="4 channels over 1"):
        ConvolutionalDBN([ConvolutionalRBM(1, 4, 3), ConvolutionalRBM(4, 4, 3, dimensions=1)])
    with pytest.raises(SettingError, match="Gaussian visible units; expected Bernoulli"):
        ConvolutionalDBN([ConvolutionalRBM(1, 4, 3), ConvolutionalRBM(Gaussian(4), 4, 3)])
    with pytest.raises(SettingError, match="depth is 3"):
        network().filters(3)


def test_inference_refuses_what_it_cannot_use():
    dbn, v = network(), torch.zeros(2, 1, 5, dtype=torch.float64)
    with pytest.raises(DataError, match="boolean map that broadcasts"):
        infer(dbn, v, known=torch.ones(5))
    with pytest.raises(DataError, match="boolean map that broadcasts"):
        infer(dbn, v, known=torch.ones(3, 2, 1, 5, dtype=torch.bool))
    with pytest.raises(DataError, match="expected \\(n, 1, length\\)"):
        infer(dbn, torch.zeros(2, 5))
    with pytest.raises(SettingError, match="sweeps"):
        infer(dbn, v, sweeps=-1)


def test_the_same_stream_gives_the_same_samples():
    dbn, v = network(), torch.zeros(9, 1, 5, dtype=torch.float64)
    one, two, other = (infer(dbn, v, sweeps=2, sample=True, random_state=s) for s in (1, Random(1), 2))
    assert torch.equal(one.h[0], two.h[0])
    assert not torch.equal(one.h[0], other.h[0])
