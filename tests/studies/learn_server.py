"""Kills `lamina learn` again and again, each time going on with --resume, until a child reaches the end.

    python learn_server.py FOLDER DATA SEED

One process imports torch once and forks a child per attempt. Children die by SIGKILL, by their own hand just before or
just after one of their files gets its name, or from outside at a random moment. FOLDER/unbroken is the same run, left
alone; FOLDER/tally.json counts how children ended.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
import traceback
from pathlib import Path

import torch

from small_studies import SMALL, cli, make_quick

MOST_ATTEMPTS = 60
REDONE = 6  # files that a resumed run writes again before it does anything new


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_at_the_nth_file(n: int, before: bool) -> None:
    calls = 0
    replace = os.replace

    def counted(*arguments: object) -> None:
        nonlocal calls
        calls += 1
        if calls == n and before:
            die()
        replace(*arguments)  # type: ignore[arg-type]
        if calls == n:
            die()

    os.replace = counted  # type: ignore[assignment]


def forked(*arguments: object, nth: int = 0, before: bool = False, seconds: float = 3600.0) -> int:
    """Wait status of a child that calls the command line; killed after ``seconds``."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            if nth:
                die_at_the_nth_file(nth, before)
            status = cli(*arguments)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return status
        time.sleep(0.005)
    os.kill(pid, signal.SIGKILL)
    return os.waitpid(pid, 0)[1]


def main() -> None:
    folder, data, generator = Path(sys.argv[1]), sys.argv[2], random.Random(int(sys.argv[3]))
    torch.set_num_threads(1)
    make_quick(setattr)
    begin = ("learn", data, "--labels", 12, *SMALL)
    began = time.monotonic()
    assert forked(*begin, "--out", folder / "unbroken") == 0
    whole = time.monotonic() - began
    run = folder / "killed"
    tally = {"killed": 0, "done": 0}
    for k in range(MOST_ATTEMPTS):
        arguments = ("learn", "--resume", run, "--quiet") if run.exists() else (*begin, "--out", run)
        nth, seconds = generator.randint(REDONE + 2, REDONE + 8), 3600.0
        if k % 3 == 2:
            nth, seconds = 0, generator.uniform(0.1, 0.7) * whole
        status = forked(*arguments, nth=nth, before=generator.random() < 0.5, seconds=seconds)
        if os.WIFSIGNALED(status):
            tally["killed"] += 1
        elif status == 0:
            tally["done"] += 1
            break
        else:
            raise SystemExit(f"a child ended with status {os.WEXITSTATUS(status)}")
    (folder / "tally.json").write_text(json.dumps(tally))


if __name__ == "__main__":
    main()
