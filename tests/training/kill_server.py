"""Runs scenarios in children that it kills again and again until one of them reaches the end.

    python kill_server.py FOLDER SEED

One process imports torch once and forks a child per attempt. Every step writes a checkpoint, so that most of a child's
time is spent in writing one. Children die at random moments by SIGKILL from outside, and by their own hand at the three
moments that matter: with half of a checkpoint written, just before it gets its name, and just after. One scenario is
stopped by Ctrl-C instead. Results lie in FOLDER/NAME.npz, the tally in FOLDER/tally.json.
"""

from __future__ import annotations

import functools
import json
import os
import random
import signal
import sys
import time
import traceback
from pathlib import Path

import numpy as np
import torch
from scenarios import SCENARIOS, packed

from lamina.core.errors import Interrupted
from lamina.training import greedy, loop

EPOCHS = {
    "cd": 8,
    "gaussian cd": 6,
    "pcd": 8,
    "fast pcd": 8,
    "back-propagation": 16,
    "adversarial": 8,
    "objective": 16,
    "iterable": 6,
    "statistics": 30,
    "greedy": 5,
}
CTRL_C_EPOCHS = 80  # so long that the first Ctrl-C comes before its end
MOST_ATTEMPTS = 120
INTERRUPTED, OUTSIDE = 3, 4


def die(*arguments: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_in_the_nth_write(moment: str, n: int) -> None:
    """Make the ``n``-th checkpoint of this process its last act."""
    calls = 0
    name = "fsync" if moment == "half written" else "replace"
    original = getattr(os, name)

    def counted(*arguments: object) -> None:
        nonlocal calls
        calls += 1
        if calls < n:
            original(*arguments)
        elif moment == "half written":
            os.ftruncate(arguments[0], os.fstat(arguments[0]).st_size // 2)
            die()
        elif moment == "before it is named":
            die()
        else:
            original(*arguments)
            die()

    setattr(os, name, counted)


def child(name: str, folder: Path, moment: str, n: int) -> None:
    """Run the scenario to its end (or die on the way) and save what it learnt."""
    status = 1
    try:
        if moment not in ("random", "ctrl-c"):
            die_in_the_nth_write(moment, n)
        epochs = CTRL_C_EPOCHS if moment == "ctrl-c" else EPOCHS[name]
        result = SCENARIOS[name](
            torch.float32, epochs, checkpoint=folder / name / "checkpoint", checkpoint_seconds=-1.0
        )
        np.savez(folder / f"{name}.npz", **packed(result))
        status = 0
    except Interrupted as stopped:
        (folder / name / "interrupted").write_text(str(stopped))
        status = INTERRUPTED
    except KeyboardInterrupt:  # before or after the loop Ctrl-C is Python's
        status = OUTSIDE
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def end_of(pid: int, seconds: float) -> int | None:
    """The child's wait status, or None if it still runs after ``seconds``."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return status
        time.sleep(0.002)
    return None


def wait_for(path: Path) -> None:
    """Until the loop runs: before that, Ctrl-C is Python's."""
    until = time.monotonic() + 60
    while not path.exists() and time.monotonic() < until:
        time.sleep(0.002)


def attempt(name: str, folder: Path, moment: str, generator: random.Random, patience: float) -> tuple[str, int]:
    """How one child ended, "done", "killed" or "interrupted", and the status."""
    pid = os.fork()
    if pid == 0:
        child(name, folder, moment, generator.randint(1, 4))
    if moment == "ctrl-c":
        wait_for(folder / name / "checkpoint" / "state.safetensors")
    waits = generator.uniform(0.01, 0.15) * patience if moment in ("random", "ctrl-c") else 60.0
    status = end_of(pid, waits)
    if status is None:
        os.kill(pid, signal.SIGINT if moment == "ctrl-c" else signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        return "killed", os.WTERMSIG(status)
    code = os.WEXITSTATUS(status)
    return {0: "done", INTERRUPTED: "interrupted", OUTSIDE: "killed"}.get(code, "failed"), code


def serve(name: str, folder: Path, moments: list[str], generator: random.Random) -> dict[str, int]:
    tally = {"done": 0, "killed": 0, "interrupted": 0, "failed": 0}
    (folder / name).mkdir()
    patience = 1.0
    for k in range(MOST_ATTEMPTS):
        end, status = attempt(name, folder, moments[k % len(moments)], generator, patience)
        tally[end] += 1
        if end == "failed" or (end == "killed" and status not in (signal.SIGKILL, OUTSIDE)):
            raise SystemExit(f"{name}: a child ended with {status}")
        if end == "done":
            return tally
        patience *= 1.05  # on a busy machine a child must get beyond its start at some time
    raise SystemExit(f"{name}: no child came to an end in {MOST_ATTEMPTS} attempts")


def main() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # shells have background jobs ignore it
    folder, generator = Path(sys.argv[1]), random.Random(int(sys.argv[2]))
    torch.set_num_threads(1)
    loop.WATCH_EVERY = 1
    greedy.fit = functools.partial(loop.fit, checkpoint_seconds=-1.0)
    for scenario in SCENARIOS.values():
        scenario(torch.float32, 1)  # all that torch loads when first used, once here instead of in every child
    moments = ["half written", "before it is named", "just after", "random", "random", "random"]
    tallies = {name: serve(name, folder, moments, generator) for name in EPOCHS}
    stopped = folder / "ctrl-c"
    stopped.mkdir()
    tallies["ctrl-c"] = serve("pcd", stopped, ["ctrl-c"], generator)
    (folder / "tally.json").write_text(json.dumps(tallies))


if __name__ == "__main__":
    main()
