"""Hebbian rules against closed forms: growth as a power of I + ηC, Oja's and Sanger's limits, exact resume."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from two_worlds import both_parts

from lamina.core.errors import DataError, DivergenceError, SettingError
from lamina.models import MLP
from lamina.models.maps import HebbianLayer
from lamina.training import Hebb, Oja, Sanger, Schedule, centre_on, fit, loop

GENERATOR = np.random.default_rng(0)
TURN = np.linalg.qr(GENERATOR.normal(size=(5, 5)))[0]
X = (GENERATOR.normal(size=(80, 5)) * (1.0, 0.75, 0.5, 0.2, 0.1)) @ TURN + 2.0
COVARIANCE = np.cov(X.T, bias=True)
VALUES, VECTORS = (a[..., ::-1] for a in np.linalg.eigh(COVARIANCE))  # the largest first


def layer(n: int) -> HebbianLayer:
    return centre_on(HebbianLayer(5, n, dtype=torch.float64, random_state=1), X)


def learnt(rule, n: int, epochs: int = 150, rate: float = 0.5) -> np.ndarray:
    model = layer(n)
    fit(model, X, rule, epochs=epochs, batch_size=80, learning_rate=rate)
    return model.W.detach().numpy()


def test_the_offset_is_the_mean():
    np.testing.assert_allclose(layer(2).b, X.mean(0))
    np.testing.assert_allclose(centre_on(HebbianLayer(5, 1, dtype=torch.float64), torch.from_numpy(X)).b, X.mean(0))


def test_plain_hebb_is_a_power_of_the_covariance_and_grows_along_the_first_component():
    start = layer(3).W.detach().numpy()
    expected = np.linalg.matrix_power(np.eye(5) + 0.5 * COVARIANCE, 150) @ start
    W = learnt(Hebb(), 3)
    np.testing.assert_allclose(W, expected, rtol=1e-9)
    lengths = np.linalg.norm(W, axis=0)
    assert (lengths > 1e8).all()
    np.testing.assert_allclose(np.abs(VECTORS[:, 0] @ W) / lengths, 1, atol=1e-6)


def test_plain_hebb_diverges_at_last(monkeypatch):
    monkeypatch.setattr(loop, "WATCH_EVERY", 5)
    with pytest.raises(DivergenceError, match="finite range"):
        fit(layer(2), X, Hebb(), epochs=400, batch_size=80, learning_rate=1000.0)


def test_oja_ends_at_the_first_component_at_length_one():
    w = learnt(Oja(), 1)[:, 0]
    assert np.linalg.norm(w) == pytest.approx(1, abs=1e-9)
    assert abs(w @ VECTORS[:, 0]) == pytest.approx(1, abs=1e-9)


def test_several_of_ojas_units_end_in_the_space_of_as_many_components():
    W = learnt(Oja(), 2, 300)
    np.testing.assert_allclose(W.T @ W, np.eye(2), atol=1e-8)
    np.testing.assert_allclose(W @ W.T, VECTORS[:, :2] @ VECTORS[:, :2].T, atol=1e-8)
    assert abs(W[:, 0] @ VECTORS[:, 0]) < 0.999  # but at no component in particular


def test_sanger_ends_at_the_components_in_order():
    W = learnt(Sanger(), 3, 300)
    cosines = np.abs((W * VECTORS[:, :3]).sum(0))
    angles = np.degrees(np.arccos(np.minimum(cosines, 1)))
    assert angles.max() < 1e-3
    np.testing.assert_allclose(W.T @ W, np.eye(3), atol=1e-6)


def test_sanger_row_by_row_comes_to_rest_near_them():
    model = layer(2)
    falling = Schedule(((0.0, 0.1), (12.0, 0.002)), linear=True)
    history = fit(model, X, Sanger(), epochs=12, batch_size=1, learning_rate=falling, validation=X, random_state=0)
    cosines = np.abs((model.W.detach().numpy() * VECTORS[:, :2]).sum(0))
    np.testing.assert_allclose(cosines, 1, atol=0.01)
    least = 5 * np.mean(VALUES[2:]) * 3 / 5  # what two components leave: the sum of the other eigenvalues
    assert history["validation reconstruction error"][-1] == pytest.approx(least, rel=0.01)
    assert history["length"][-1] == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize(("rule", "taken"), [(Hebb, None), (Oja, lambda c: c), (Sanger, np.triu)])
def test_one_step_by_hand(rule, taken):
    """Sanger's sum over the units up to its own, written out."""
    model = layer(3)
    W = model.W.detach().numpy().copy()
    x = X[:7] - X.mean(0)
    y = x @ W
    expected = x.T @ y / 7
    if taken is not None:
        expected = expected - W @ taken(y.T @ y) / 7
    if rule is Sanger:
        by_unit = [
            np.mean([y[n, j] * (x[n] - sum(y[n, k] * W[:, k] for k in range(j + 1))) for n in range(7)], axis=0)
            for j in range(3)
        ]
        np.testing.assert_allclose(expected, np.stack(by_unit, 1), rtol=1e-12)
    fit(model, X[:7], rule(), epochs=1, batch_size=7, learning_rate=0.3)
    np.testing.assert_allclose(model.W.detach(), W + 0.3 * expected, rtol=1e-10)


class Stop:
    def on_epoch(self, record, epochs) -> None:
        if record.epoch == 2:
            raise RuntimeError("killed")


def test_a_killed_run_goes_on_bit_for_bit(tmp_path):
    def run(**options):
        model = layer(3)
        fit(model, X, Sanger(), epochs=4, batch_size=7, learning_rate=0.1, random_state=3, **options)
        return model.W.detach()

    whole = run()
    folder = {"checkpoint": tmp_path / "checkpoint", "checkpoint_seconds": -1.0}
    with pytest.raises(RuntimeError, match="killed"):
        run(callbacks=[Stop()], **folder)
    assert torch.equal(run(**folder), whole)


@pytest.mark.parametrize("rule", [Hebb, Oja, Sanger])
def test_parts_of_two_processes_add_up(rule):
    parts, one = both_parts(lambda: layer(3), rule, (X[:41],))
    torch.testing.assert_close(parts, one)


def test_what_is_refused():
    with pytest.raises(SettingError, match="learns a HebbianLayer; MLP given"):
        fit(MLP([5, 2], dtype=torch.float64), X, Sanger(), epochs=1)
    with pytest.raises(DataError, match=r"expected \(rows, 5\)"):
        fit(layer(2), X[:, :3], Oja(), epochs=1)
    with pytest.raises(DataError, match="at least one row"):
        centre_on(layer(2), X[:0])
