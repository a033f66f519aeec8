"""Writes the generator's raw 32-bit numbers to standard output, for test batteries that read a stream.

    python tests/core/stream_bits.py ORDER [SEED] | dieharder -g 200 -d 2

A counter-based generator has no natural order: its numbers are a function of (seed, stream, step, draw, row, column).
A battery sees one order at a time, so each order below runs along one of those coordinates first, and the batteries are
run on all of them (``docs/design/random-numbers.md`` holds the results).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

import numpy as np

from lamina.core.random import Random

SIDE = 256  # consecutive values of the coordinate that runs fastest


def _block(random: Random, rows: int, columns: int) -> np.ndarray:
    return random.bits(rows, columns).numpy().copy()


def along_columns(seed: int) -> Iterator[np.ndarray]:
    """As a training step uses them: rows of 784 columns, one batch after another."""
    random, step = Random(seed, ("columns",)), 0
    while True:
        yield _block(random.at(step), 512, 784)
        step += 1


def along_rows(seed: int) -> Iterator[np.ndarray]:
    """One column down 65,536 rows, then the next of 16 columns."""
    random, step = Random(seed, ("rows",)), 0
    while True:
        yield _block(random.at(step), 65536, 16).T
        step += 1


def _along(make: Callable[[int], Random]) -> Iterator[np.ndarray]:
    """For each of 64 × 64 places, the numbers of `SIDE` consecutive values of the coordinate that ``make`` sets."""
    start = 0
    while True:
        blocks = np.stack([_block(make(start + k), 64, 64) for k in range(SIDE)])
        yield blocks.transpose(1, 2, 0)
        start += SIDE


def along_steps(seed: int) -> Iterator[np.ndarray]:
    random = Random(seed, ("steps",))
    return _along(random.at)


def along_draws(seed: int) -> Iterator[np.ndarray]:
    random = Random(seed, ("draws",))
    return _along(lambda draw: random)  # every call of a stream is its next draw


def along_streams(seed: int) -> Iterator[np.ndarray]:
    random = Random(seed)
    return _along(lambda k: random.child("stream", k))


def along_seeds(seed: int) -> Iterator[np.ndarray]:
    return _along(lambda k: Random(seed + k, ("seeds",)))


ORDERS = {
    "columns": along_columns,
    "rows": along_rows,
    "steps": along_steps,
    "draws": along_draws,
    "streams": along_streams,
    "seeds": along_seeds,
}


def main() -> None:
    """Write the order named on the command line, from seed 1 unless told, until the reader has had enough."""
    try:
        seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
        for block in ORDERS[sys.argv[1]](seed):
            sys.stdout.buffer.write(np.ascontiguousarray(block).tobytes())
    except BrokenPipeError:
        sys.stderr.close()


if __name__ == "__main__":
    main()
