"""Two processes give the weights of one, to rounding in float64, for every kind of rule, with uneven last batches."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from scenarios import SCENARIOS, packed

from lamina.training.distributed import World

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def both(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("both")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, str(HERE / "two_processes.py"), str(folder)],
        capture_output=True,
        text=True,
        timeout=300,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    facts = [json.loads((folder / f"facts.{rank}.json").read_text()) for rank in (0, 1)]
    assert [fact["size"] for fact in facts] == [2, 2]
    assert facts[0]["slice"] == [0, 0]  # of a batch of one row the first process gets none
    assert facts[1]["slice"] == [0, 1]
    return folder


@pytest.mark.parametrize("name", sorted(SCENARIOS))
def test_two_processes_learn_what_one_does(name, both):
    one = packed(SCENARIOS[name](torch.float64, 3))
    for rank in (0, 1):
        found = np.load(both / f"{name}.{rank}.npz")
        assert set(found) == set(one)
        for key in one:
            if key.startswith("weights/"):
                np.testing.assert_allclose(found[key], one[key], rtol=1e-9, atol=1e-9, err_msg=key)


@pytest.mark.parametrize("name", ["cd", "back-propagation", "objective", "batch objective", "statistics"])
def test_measures_are_those_of_the_whole_data(name, both):
    """PCD's reconstruction error is estimated from each process's first rows, so it is left out."""
    one = packed(SCENARIOS[name](torch.float64, 3))
    found = np.load(both / f"{name}.0.npz")
    measures = [key for key in one if key.startswith("measures/")]
    assert measures
    for key in measures:
        np.testing.assert_allclose(found[key], one[key], rtol=1e-9, err_msg=key)


def test_checkpoints_are_written_and_resumed_together(both):
    one = packed(SCENARIOS["pcd"](torch.float64, 4))
    for rank in (0, 1):
        found = np.load(both / f"resumed.{rank}.npz")
        for key in one:
            if key.startswith("weights/"):
                np.testing.assert_allclose(found[key], one[key], rtol=1e-9, atol=1e-9, err_msg=key)


def test_processes_agree_on_seed_and_start(both):
    first, second = (np.load(both / f"fresh.{rank}.npz")["W"] for rank in (0, 1))
    assert np.array_equal(first, second)


def test_divergence_in_one_process_stops_both(both):
    for rank in (0, 1):
        assert "training diverged" in json.loads((both / f"facts.{rank}.json").read_text())["bad"]


@pytest.mark.parametrize("size", [1, 2, 3, 7])
@pytest.mark.parametrize("n", [0, 1, 2, 10, 41])
def test_slices_cover_all_rows_once_and_evenly(size, n):
    slices = [World(rank, size).slice(n) for rank in range(size)]
    rows = [k for s in slices for k in range(n)[s]]
    assert rows == list(range(n))
    lengths = [s.stop - s.start for s in slices]
    assert max(lengths) - min(lengths) <= 1


def test_a_world_of_one_changes_nothing():
    tensor = torch.arange(3.0)
    world = World()
    world.sum_([tensor])
    world.take_first_([tensor])
    world.barrier()
    assert tensor.tolist() == [0.0, 1.0, 2.0]
    assert world.any(True, torch.device("cpu")) is True
    assert world.any(False, torch.device("cpu")) is False
    assert world.random(5, torch.device("cpu")).seed == 5
