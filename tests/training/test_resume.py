"""Exact resume: killed at many moments and started again, a run ends with the very bits of an unbroken one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from kill_server import CTRL_C_EPOCHS, EPOCHS
from scenarios import BINARY, SCENARIOS, cd, packed

import lamina
from lamina.core.errors import ModelFileError, SettingError
from lamina.training import ContrastiveDivergence, loop

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def killed(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("killed")
    command = [sys.executable, str(HERE / "kill_server.py"), str(folder), "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("name", sorted(EPOCHS))
def test_a_run_killed_at_many_moments_ends_like_an_unbroken_one(name, killed):
    tally = json.loads((killed / "tally.json").read_text())[name]
    assert tally["killed"] >= 3, tally  # else this test shows nothing
    unbroken = packed(SCENARIOS[name](torch.float32, EPOCHS[name]))
    found = np.load(killed / f"{name}.npz")
    assert set(found) == set(unbroken)
    for key in unbroken:
        assert np.array_equal(found[key], unbroken[key]), key


def test_ctrl_c_saves_and_the_run_goes_on_exactly(killed):
    tally = json.loads((killed / "tally.json").read_text())["ctrl-c"]
    assert tally["interrupted"] >= 1, tally
    message = (killed / "ctrl-c" / "pcd" / "interrupted").read_text()
    assert message.startswith("stopped after step")
    assert "holds the state to go on from" in message
    unbroken = packed(SCENARIOS["pcd"](torch.float32, CTRL_C_EPOCHS))
    found = np.load(killed / "ctrl-c" / "pcd.npz")
    for key in unbroken:
        assert np.array_equal(found[key], unbroken[key]), key


def test_early_stopping_was_part_of_it():
    """The scenario stops early and restores weights, so that the kills above met both."""
    _, history = SCENARIOS["back-propagation"](torch.float32, EPOCHS["back-propagation"])
    assert history.best_epoch is not None
    assert history.best_epoch + 4 == len(history) < EPOCHS["back-propagation"]


class StopAfter:
    """Callback that ends a run by an exception after some epochs, as a crash would."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs

    def on_epoch(self, record, epochs) -> None:
        if record.epoch == self.epochs:
            raise RuntimeError("crash")


def test_a_run_broken_off_where_its_patience_ends_learns_no_further(tmp_path):
    """Its last epoch is saved, and only then does the loop ask whether to go on."""
    epochs = EPOCHS["back-propagation"]
    unbroken = SCENARIOS["back-propagation"](torch.float32, epochs)
    options = {"checkpoint": tmp_path, "checkpoint_seconds": -1.0}
    with pytest.raises(RuntimeError, match="crash"):
        SCENARIOS["back-propagation"](torch.float32, epochs, callbacks=[StopAfter(len(unbroken[1]))], **options)
    resumed = SCENARIOS["back-propagation"](torch.float32, epochs, **options)
    assert len(resumed[1]) == len(unbroken[1])
    assert resumed[1].stopped == unbroken[1].stopped == "no improvement for 4 epochs"
    assert all(torch.equal(a, b) for a, b in zip(resumed[0].W, unbroken[0].W, strict=True))


def crashed(folder: Path, **options) -> None:
    with pytest.raises(RuntimeError, match="crash"):
        cd(torch.float32, 4, checkpoint=folder, checkpoint_seconds=-1.0, callbacks=[StopAfter(2)], **options)


def test_a_run_that_is_done_is_not_done_again(tmp_path):
    first, history = cd(torch.float32, 3, checkpoint=tmp_path)
    asked = []

    class Watch:
        def on_epoch(self, record, epochs):
            asked.append(record)

    again, same = cd(torch.float32, 3, checkpoint=tmp_path, callbacks=[Watch()])
    assert not asked
    assert torch.equal(first.W, again.W)
    assert same.to_dict() == history.to_dict()


@pytest.mark.parametrize(
    ("setting", "value"),
    [("learning_rate", 0.2), ("momentum", 0.1), ("weight_decay", 0.5), ("optimiser", "adam")],
)
def test_a_checkpoint_of_other_settings_is_refused(tmp_path, setting, value):
    crashed(tmp_path)
    with pytest.raises(SettingError, match=rf"other settings \({setting}\)"):
        cd(torch.float32, 4, checkpoint=tmp_path, **{setting: value})


def test_a_checkpoint_of_another_model_seed_or_rule_is_refused(tmp_path):
    crashed(tmp_path)

    def again(rbm=None, rule=None, data=BINARY, seed=1, epochs=4, batch_size=10):
        rbm = rbm or lamina.RBM(12, 7)
        rule = rule or ContrastiveDivergence(2, penalty=lamina.SparsityTarget(0.1, 0.2, biases_only=True))
        options = {"learning_rate": 0.1, "weight_decay": 1e-2, "checkpoint": tmp_path}
        momentum = lamina.Schedule(((0.0, 0.5), (2.0, 0.9)))
        lamina.fit(
            rbm, data, rule, epochs=epochs, batch_size=batch_size, momentum=momentum, random_state=seed, **options
        )

    for changed, named in [
        ({"rbm": lamina.RBM(12, 8)}, "model"),
        ({"rule": ContrastiveDivergence(3, penalty=lamina.SparsityTarget(0.1, 0.2, biases_only=True))}, "rule"),
        ({"data": BINARY[:40]}, "n_rows"),
        ({"seed": 2}, "seed"),
        ({"epochs": 5}, "epochs"),
        ({"batch_size": 20}, "batch_size"),
    ]:
        with pytest.raises(SettingError, match=rf"other settings \({named}\)"):
            again(**changed)
    again()


def test_a_damaged_checkpoint_is_refused(tmp_path):
    crashed(tmp_path)
    path = tmp_path / "state.safetensors"
    whole = path.read_bytes()
    for content in (b"", whole[:100], whole[:-1], b"PK\x03\x04" + whole, whole.replace(b'\\"epoch\\"', b'\\"apoch\\"')):
        assert content != whole
        path.write_bytes(content)
        with pytest.raises(ModelFileError, match="no whole checkpoint"):
            cd(torch.float32, 4, checkpoint=tmp_path)


def test_a_checkpoint_holds_weights_optimiser_and_chains_of_one_moment(tmp_path):
    from safetensors import safe_open

    SCENARIOS["pcd"](torch.float32, 2, checkpoint=tmp_path)
    with safe_open(tmp_path / "state.safetensors", framework="np") as file:
        names = set(file.keys())
        chains = file.get_tensor("rule/chains")
    assert {"model/W", "model/b", "model/c", "optimiser/0/velocity"} <= names
    assert chains.shape == (7, 12)


def test_looking_more_often_changes_nothing(monkeypatch):
    often = packed(cd(torch.float32, 3))
    monkeypatch.setattr(loop, "WATCH_EVERY", 1)
    seldom = packed(cd(torch.float32, 3))
    for key in often:
        assert np.array_equal(often[key], seldom[key])
