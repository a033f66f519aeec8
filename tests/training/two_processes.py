"""Run by ``torch.distributed.run`` in two processes: every scenario, results written by the first of them.

python -m torch.distributed.run --standalone --nproc_per_node=2 two_processes.py FOLDER
"""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from scenarios import BINARY, SCENARIOS, packed

import lamina
from lamina.core.errors import DivergenceError
from lamina.training import loop
from lamina.training.distributed import world

torch.set_num_threads(1)
loop.WATCH_EVERY = 2


class Crash:
    """Ends a run in both processes after its second epoch."""

    def on_epoch(self, record, epochs) -> None:
        if record.epoch == 2:
            raise RuntimeError("crash")


def fresh_seed() -> lamina.RBM:
    """Without a seed, and with another start in each process: both must be those of the first."""
    rbm = lamina.RBM(12, 7, dtype=torch.float64, random_state=world().rank)
    lamina.fit(rbm, BINARY, lamina.ContrastiveDivergence(1), epochs=2, batch_size=10)
    return rbm


def resumed(folder: Path) -> dict[str, np.ndarray]:
    """PCD with a checkpoint after every look, broken off and gone on with."""
    options = {"checkpoint": folder / "checkpoint", "checkpoint_seconds": -1.0}
    with suppress(RuntimeError):
        SCENARIOS["pcd"](torch.float64, 4, callbacks=[Crash()], **options)
    return packed(SCENARIOS["pcd"](torch.float64, 4, **options))


def diverged_in_one() -> str:
    """Numbers that leave the finite range in one process must stop both, instead of leaving the other to wait."""

    class Bad(lamina.ContrastiveDivergence):
        def gradients(self, model, batch, step, random):
            measures = dict(super().gradients(model, batch, step, random))
            if world().rank == 1 and step == 3:
                measures["reconstruction error"] = torch.tensor(float("nan"))
            return measures

    try:
        lamina.fit(lamina.RBM(12, 7), BINARY, Bad(1), epochs=2, batch_size=10, random_state=0)
    except DivergenceError as error:
        return str(error)
    return "none"


def main() -> None:
    folder = Path(sys.argv[1])
    for name, scenario in SCENARIOS.items():
        arrays = packed(scenario(torch.float64, 3))
        np.savez(folder / f"{name}.{world().rank}.npz", **arrays)
    arrays = resumed(folder)
    np.savez(folder / f"resumed.{world().rank}.npz", **arrays)
    np.savez(folder / f"fresh.{world().rank}.npz", W=fresh_seed().W.detach().numpy())
    facts = {
        "size": world().size,
        "slice": [world().slice(1).start, world().slice(1).stop],
        "bad": diverged_in_one(),
    }
    aside = folder / f"aside.{world().rank}"
    aside.write_text(json.dumps(facts))
    aside.rename(folder / f"facts.{world().rank}.json")
    leave(folder / f"facts.{1 - world().rank}.json")


def leave(others: Path) -> None:
    """End once the other process is done too, without PyTorch's own tear-down.

    That aborts now and then ("terminate called without an active exception"), after all work is done.
    """
    until = time.monotonic() + 60
    while not others.exists() and time.monotonic() < until:
        time.sleep(0.01)
    os._exit(0)


if __name__ == "__main__":
    main()
