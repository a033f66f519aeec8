"""Where batches come from: every row once per epoch, in an order that is a function of seed and epoch alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import lamina
from lamina.core.errors import DataError, SettingError
from lamina.core.random import Random
from lamina.training import sources
from lamina.training.distributed import World
from lamina.training.sources import ArraySource, IterableSource, as_source

CPU = torch.device("cpu")


def array_source(X, batch_size=10, seed=0, dtype=torch.float32, extra=()) -> ArraySource:
    return ArraySource((X, *extra), batch_size, Random(seed), CPU, dtype)


def numbered(n: int, columns: int = 3) -> np.ndarray:
    """Rows that carry their number in the first column."""
    X = np.zeros((n, columns), np.float32)
    X[:, 0] = np.arange(n)
    return X


@pytest.fixture
def small_limits(monkeypatch):
    """Any memory map counts as bigger than memory; pools of 4 blocks of 8 rows."""
    monkeypatch.setattr(sources, "BLOCK", 8)
    monkeypatch.setattr(sources, "POOL", 4 * 8 * 3 * 4)  # four blocks of rows of 3 float32


def mapped(tmp_path, X) -> np.memmap:
    np.save(tmp_path / "x.npy", X)
    return np.load(tmp_path / "x.npy", mmap_mode="r")


def test_every_row_comes_once_per_epoch_with_its_number():
    source = array_source(numbered(41), extra=(np.arange(41) % 3,))
    batches = list(source.batches(0, 0, World()))
    assert [batch.total for batch in batches] == [10, 10, 10, 10, 1]
    assert source.n_batches == 5
    rows = torch.cat([batch.rows for batch in batches])
    assert sorted(rows.tolist()) == list(range(41))
    for batch in batches:
        x, y = batch.values
        assert torch.equal(x[:, 0], batch.rows.float())
        assert torch.equal(y, batch.rows % 3)
        assert y.dtype == torch.int64


def test_order_follows_seed_and_epoch():
    order = array_source(numbered(41)).order
    assert np.array_equal(order(3), array_source(numbered(41)).order(3))
    assert not np.array_equal(order(3), order(4))
    assert not np.array_equal(order(3), array_source(numbered(41), seed=1).order(3))
    assert not np.array_equal(order(0), np.arange(41))


def test_batches_may_begin_anywhere():
    source = array_source(numbered(41))
    late = [batch.rows for batch in source.batches(2, 3, World())]
    whole = [batch.rows for batch in source.batches(2, 0, World())]
    assert len(late) == 2
    assert all(torch.equal(a, b) for a, b in zip(late, whole[3:], strict=True))


@pytest.mark.parametrize("size", [2, 3])
def test_processes_share_each_batch(size):
    whole = [batch.rows for batch in array_source(numbered(41)).batches(1, 0, World())]
    parts = [list(array_source(numbered(41)).batches(1, 0, World(rank, size))) for rank in range(size)]
    for k, rows in enumerate(whole):
        assert torch.equal(torch.cat([part[k].rows for part in parts]), rows)
        assert {part[k].total for part in parts} == {len(rows)}


@pytest.mark.parametrize("n", [1, 7, 8, 33, 203])
def test_a_memory_map_is_shuffled_in_blocks(n, tmp_path, small_limits):
    source = array_source(mapped(tmp_path, numbered(n)))
    assert source.pool_rows == 32
    assert not isinstance(source.arrays[0], torch.Tensor)
    order = source.order(0)
    assert sorted(order) == list(range(n))
    for batch in source.batches(0, 0, World()):
        assert torch.equal(batch.values[0][:, 0], batch.rows.float())
    if n == 203:
        # The rows of a pool come from four blocks; these lie anywhere in the file, and within a pool no order is left.
        pools = [order[k : k + 32] for k in range(0, n, 32)]
        assert max(len(np.unique(pool // 8)) for pool in pools) <= 6  # the short last block may stand in the middle
        assert any(np.ptp(pool) > 100 for pool in pools)
        assert not any(np.array_equal(pool, np.sort(pool)) for pool in pools)
        assert not np.array_equal(order, source.order(1))


def test_training_on_a_memory_map_is_training_on_the_same_order(tmp_path, small_limits, monkeypatch):
    """Weights from a map are those from an array when the order is the same, through the public `fit`."""
    X = (np.random.default_rng(0).random((100, 3)) < 0.5).astype(np.float32)
    order = np.random.default_rng(1).permutation(100)
    monkeypatch.setattr(ArraySource, "order", lambda self, epoch: order)
    found = []
    for data in (X, mapped(tmp_path, X), torch.from_numpy(X), X.astype(np.uint8)):
        rbm = lamina.RBM(3, 2)
        lamina.fit(rbm, data, lamina.ContrastiveDivergence(1), epochs=2, batch_size=30, random_state=0)
        found.append(rbm.W.detach())
    assert all(torch.equal(found[0], other) for other in found[1:])


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
def test_four_gigabytes_are_learnt_from_within_one(tmp_path):
    child = Path(__file__).parent / "memory_child.py"
    command = [sys.executable, str(child), str(tmp_path / "big.npy")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 1 << 30
    (tmp_path / "big.npy").unlink()


@pytest.mark.parametrize("make", [np.asarray, torch.as_tensor])
@pytest.mark.parametrize("dtype", [np.int64, np.uint8, bool, np.float64])
def test_matrices_take_the_models_type_and_labels_stay_whole_numbers(make, dtype):
    X = make(np.eye(3).astype(dtype))
    (batch,) = array_source(X, extra=(make(np.array([2, 0, 1])),)).batches(0, 0, World())
    assert batch.values[0].dtype == torch.float32
    assert batch.values[1].dtype == torch.int64


def test_spread_gives_evenly_spaced_rows_of_arrays():
    source = as_source(numbered(25), 10, Random(0), CPU, torch.float32)
    for n, expected in ((5, [0, 5, 10, 15, 20]), (2, [0, 12]), (100, list(range(25)))):
        (rows,) = source.spread(n)
        assert rows[:, 0].tolist() == expected


def test_spread_gives_the_first_rows_of_an_iterable():
    X = numbered(25)
    source = as_source([X[:10], X[10:20], X[20:]], 10, Random(0), CPU, torch.float32)
    for n in (4, 17, 100):
        (rows,) = source.spread(n)
        assert torch.equal(rows[:, 0], torch.arange(min(n, 25)).float())


def test_an_iterable_numbers_its_rows_and_skips_empty_batches():
    X = numbered(25)
    source = IterableSource([X[:10], X[:0], X[10:11], X[11:]], CPU, torch.float32)
    batches = list(source.batches(0, 0, World()))
    assert [batch.total for batch in batches] == [10, 1, 14]
    assert torch.equal(torch.cat([b.rows for b in batches]), torch.arange(25))
    (last,) = source.batches(0, 2, World())  # batches done are those with rows
    assert torch.equal(last.rows, torch.arange(11, 25))
    parts = [list(source.batches(0, 0, World(rank, 2))) for rank in (0, 1)]
    assert [len(p.rows) for p in parts[0]] == [5, 0, 7]
    assert [len(p.rows) for p in parts[1]] == [5, 1, 7]
    assert torch.equal(parts[1][2].values[0][:, 0], parts[1][2].rows.float())


def test_a_data_loader_is_an_iterable_of_batches():
    X = torch.from_numpy(numbered(25))
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(X), batch_size=10)
    batches = list(as_source(loader, 10, Random(0), CPU, torch.float32).batches(0, 0, World()))
    assert torch.equal(torch.cat([b.values[0] for b in batches]), X)


def test_what_can_be_gone_through_once_is_refused():
    for once in (iter([numbered(3)]), (numbered(3) for _ in range(2))):
        with pytest.raises(SettingError, match="an iterator, which ends with the first epoch"):
            as_source(once, 10, Random(0), CPU, torch.float32)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (np.zeros((0, 3)), "0 rows"),
        ((np.zeros((4, 3)), np.zeros(5)), r"\[4, 5\] rows"),
        (7, "the data are a int"),
        ([], "0 rows"),
        (lambda: [np.zeros((0, 3))], "0 rows"),
    ],
    ids=["empty", "lengths", "number", "no batch", "empty batch"],
)
def test_what_is_no_data_is_refused(data, message):
    with pytest.raises(DataError, match=message):
        list(as_source(data, 10, Random(0), CPU, torch.float32).batches(0, 0, World()))


@pytest.mark.parametrize("make", [np.asarray, torch.as_tensor])
def test_nan_in_memory_is_found_wherever_it_is(make):
    X = np.zeros((3000, 4))
    X[2900, 3] = np.nan
    with pytest.raises(DataError, match=r"1 NaN .*row\(s\) 2900, column\(s\) 3"):
        lamina.fit(lamina.RBM(4, 2), make(X), lamina.ContrastiveDivergence(1), epochs=1)
