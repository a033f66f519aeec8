"""Trains on a memory map of 4 GB and prints how far the process's own (anonymous) memory rose, in bytes.

    python memory_child.py FILE.npy

The file is sparse, so that it takes no room on the disk; pages of it that are read are the kernel's, not ours. An
eighth of an epoch is enough: its blocks come from all over the file.
"""

from __future__ import annotations

import sys
from contextlib import suppress

import numpy as np
import torch

import lamina
from lamina.training import ContrastiveDivergence

ROWS, COLUMNS = 1 << 20, 1024  # of float32: 4 GiB
BATCH = 4096


def anonymous() -> int:
    with open("/proc/self/status") as status:
        line = next(line for line in status if line.startswith("RssAnon"))
    return int(line.split()[1]) << 10


class Enough(Exception):  # noqa: N818 - it is no error
    """Ends the run."""


class Watched(ContrastiveDivergence):
    """CD-1 that notes the memory at each step and stops after an eighth of the rows."""

    peak = 0
    lowest, highest = ROWS, 0

    def gradients(self, model, batch, step, random):
        measures = super().gradients(model, batch, step, random)
        Watched.peak = max(Watched.peak, anonymous())
        Watched.lowest = min(Watched.lowest, int(batch.rows.min()))
        Watched.highest = max(Watched.highest, int(batch.rows.max()))
        if (step + 1) * BATCH >= ROWS // 8:
            raise Enough
        return measures


def main() -> None:
    torch.set_num_threads(1)
    np.lib.format.open_memmap(sys.argv[1], mode="w+", dtype=np.float32, shape=(ROWS, COLUMNS))
    X = np.load(sys.argv[1], mmap_mode="r")
    rbm = lamina.RBM(COLUMNS, 4)
    lamina.fit(rbm, np.zeros((BATCH, COLUMNS), np.float32), ContrastiveDivergence(1), epochs=1, batch_size=BATCH)
    start = anonymous()  # after all that torch loads when first used
    with suppress(Enough):
        lamina.fit(rbm, X, Watched(1, sample_visible=False), epochs=1, batch_size=BATCH, random_state=0)
    assert Watched.lowest < ROWS // 10, Watched.lowest
    assert Watched.highest > ROWS - ROWS // 10, Watched.highest
    print(Watched.peak - start)


if __name__ == "__main__":
    main()
