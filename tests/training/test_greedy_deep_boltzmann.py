"""Pre-training of deep Boltzmann machines: the doubled fields, how pairs join, and that it learns."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lamina.core.errors import SettingError
from lamina.models.energy import DBM
from lamina.training import PersistentContrastiveDivergence, pretrain_deep
from lamina.training.greedy_deep_boltzmann import PairRBM, join_pairs, pairs_of


def randomised(pair, seed=0):
    generator = np.random.default_rng(seed)
    with torch.no_grad():
        for parameter in pair.parameters():
            parameter.copy_(torch.from_numpy(generator.normal(0, 1, tuple(parameter.shape))))
    return pair


def test_the_doubled_fields_of_each_place():
    pairs = pairs_of(DBM(6, 5, 4, 3))
    assert [(p.copies_v, p.copies_h) for p in pairs] == [(2, 1), (2, 2), (1, 2)]
    assert [(p.n_visible, p.n_hidden) for p in pairs] == [(6, 5), (5, 4), (4, 3)]
    assert [(p.copies_v, p.copies_h) for p in pairs_of(DBM(6, 5))] == [(1, 1)]
    pair = randomised(PairRBM(4, 3, copies_v=2, copies_h=1, dtype=torch.float64))
    v, h = torch.eye(4, dtype=torch.float64), torch.eye(3, dtype=torch.float64)
    torch.testing.assert_close(pair.field_h(v), pair.c + 2 * pair.W)
    torch.testing.assert_close(pair.field_v(h), pair.b + pair.W.T)
    torch.testing.assert_close(pair.field_h(v.view(2, 2, 4)).view(4, 3), pair.field_h(v))


@pytest.mark.parametrize("copies", [(2, 1), (2, 2), (1, 2)])
def test_a_pairs_free_energy_sums_the_copies_out(copies):
    """The machine with really as many copies, all visible copies at one value, by enumeration of the hidden ones."""
    from itertools import product

    pair = randomised(PairRBM(3, 2, copies_v=copies[0], copies_h=copies[1], dtype=torch.float64))
    W, b, c = (x.detach().numpy() for x in (pair.W, pair.b, pair.c))
    v = np.array([1.0, 0.0, 1.0])
    total = 0.0
    for bits in product([0.0, 1.0], repeat=2 * copies[1]):
        hidden = np.array(bits).reshape(copies[1], 2)
        energy = -copies[0] * (v @ b) - sum(h @ c + copies[0] * (v @ W @ h) for h in hidden)
        total += np.exp(-energy)
    assert float(pair.free_energy(torch.from_numpy(v)).detach()) == pytest.approx(-np.log(total), rel=1e-12)


def test_joined_pairs_give_each_layer_the_mean_of_its_two_fields():
    """With both neighbours, the field of h_1 is the mean of c + 2 v W_0 from below and b + 2 W_1 h_2 from above."""
    dbm = DBM(4, 3, 2, dtype=torch.float64)
    below, above = (randomised(pair, seed) for seed, pair in enumerate(pairs_of(dbm)))
    join_pairs(dbm, [below, above])
    v, h2 = torch.eye(4, dtype=torch.float64)[:2], torch.eye(2, dtype=torch.float64)
    mean = (below.field_h(v) + above.field_v(h2)) / 2
    torch.testing.assert_close(dbm.field(1, [v, None, h2]), mean)
    h1 = torch.eye(3, dtype=torch.float64)
    torch.testing.assert_close(dbm.field(0, [None, h1]), below.field_v(h1))
    torch.testing.assert_close(dbm.field(2, [None, h1, None]), above.field_h(h1))


def bars():
    generator = np.random.default_rng(0)
    on = generator.random((300, 4)) < 0.4
    return np.repeat(on, 4, axis=1).astype(np.float32)


def test_it_learns_to_reconstruct_through_all_layers():
    X = bars()
    dbm = DBM(16, 12, 8)
    histories = pretrain_deep(dbm, X, epochs=[40, 20], batch_size=20, learning_rate=[0.1, 0.05], random_state=0)
    assert [len(h) for h in histories] == [40, 20]
    v = torch.from_numpy(X)
    with torch.no_grad():
        m = dbm.bottom_up(v)
        error = (v - torch.sigmoid(dbm.field(0, m))).square().mean()
    assert float(error) < 0.02 < float(v.var())


def test_a_broken_pretraining_goes_on_exactly(tmp_path):
    X = bars()[:60]

    def run(**options):
        dbm = DBM(16, 6, 5, 4)
        rule = lambda k: PersistentContrastiveDivergence(1, 10)  # noqa: E731
        pretrain_deep(dbm, X, rule, epochs=2, batch_size=20, redraw=True, random_state=3, **options)
        return dbm

    class Crash:
        def on_epoch(self, record, epochs):
            raise RuntimeError("crash")

    unbroken = run()
    with pytest.raises(RuntimeError, match="crash"):
        run(checkpoint=tmp_path, callbacks=lambda k: [Crash()] if k == 1 else [])
    resumed = run(checkpoint=tmp_path)
    for x, y in zip(unbroken.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(x, y)


def test_bad_settings():
    with pytest.raises(SettingError, match="epochs has 3 entries for 2 layers"):
        pretrain_deep(DBM(16, 6, 5), bars(), epochs=[1, 2, 3])
