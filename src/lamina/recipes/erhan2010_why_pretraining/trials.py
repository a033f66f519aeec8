"""Trials of `erhan2010_why_pretraining`: one network, its way through training and test losses, and a stream of rows.

A *trajectory* is what a network has passed through: after some passes, the loss on its training rows and loss and error
on test rows. Networks that are compared at the end have had the same updates; along trajectories they are compared at
the same training loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lamina.core.random import Random
from lamina.models import MLP
from lamina.recipes.digits import Part
from lamina.recipes.perceptrons import first, judged
from lamina.training import BackPropagation, fit

JUDGED = 2_500  # rows of either part that a trajectory is measured on
SIDE, SHIFT = 28, 2  # pixels of a picture's side; how far a picture of the stream is moved at most


def marks(epochs: int, wanted: int = 9) -> list[int]:
    """Passes after which to look, about ``wanted``: ever farther apart, the last one included."""
    return sorted({round(epochs ** (k / (wanted - 1))) for k in range(wanted)})


class Trajectory:
    """A callback of the loop that measures ``network`` after the passes of `marks`, without changing it."""

    def __init__(self, network: MLP, train: Part, test: Part, epochs: int) -> None:
        self.network, self.train, self.test = network, first(train, JUDGED), first(test, JUDGED)
        self.marks = marks(epochs)
        self.passed: list[list[float]] = []

    def on_epoch(self, record: Any, epochs: int) -> None:
        """What the loop calls after each pass: one row (training loss, test loss, test error) where it is time."""
        if record.epoch in self.marks:
            inside, outside = judged(self.network, self.train), judged(self.network, self.test)
            self.passed.append([inside["loss"], outside["loss"], outside["error"]])


def error_at(passed: Sequence[Sequence[float]], loss: float) -> float:
    """Test error of a trajectory at the training loss ``loss``: between marks a straight line in the loss's logarithm.

    The training loss must not rise again: a mark that does is left out.
    """
    kept = [passed[0]]
    for row in passed[1:]:
        if row[0] < kept[-1][0]:
            kept.append(row)
    logs, errors = np.log([row[0] for row in kept]), [row[2] for row in kept]
    return float(np.interp(np.log(loss), logs[::-1], errors[::-1]))


def advantage_at_equal_loss(random: Sequence[Sequence[float]], learnt: Sequence[Sequence[float]]) -> float:
    """Test error of the random start less that of the learnt one, at the least training loss that both came to."""
    loss = max(min(row[0] for row in random), min(row[0] for row in learnt))
    return error_at(random, loss) - error_at(learnt, loss)


def moved(part: Part, random: Random) -> Part:
    """Every picture moved by up to `SHIFT` pixels either way, at random: rows that were never seen before."""
    images = np.pad(part.X.reshape(-1, SIDE, SIDE), ((0, 0), (SHIFT, SHIFT), (SHIFT, SHIFT)))
    by = random.numpy().integers(0, 2 * SHIFT + 1, (len(images), 2))
    windows = np.lib.stride_tricks.sliding_window_view(images, (SIDE, SIDE), axis=(1, 2))
    return Part(windows[np.arange(len(images)), by[:, 0], by[:, 1]].reshape(len(images), -1).copy(), part.y)


def streamed(network: MLP, part: Part, test: Part, n: int, block: int, rate: float, seed: int) -> dict:
    """``network`` sees ``n`` rows once each: those of ``part`` in random order, then moved copies of them.

    ``online``: per block of rows, the share of them (in percent) that were wrong just before they were learnt from;
    ``test``: the test error after the block.
    """
    online, after = [], []
    per_pass = len(part) // block
    for number in range(n // block):
        turn, place = divmod(number, per_pass)
        random = Random(seed).child("stream", turn)
        rows = random.child("order").permutation(len(part))[place * block : (place + 1) * block]
        drawn = Part(part.X[rows], part.y[rows])
        seen = drawn if turn == 0 else moved(drawn, random.child("shifts", place))
        history = fit(
            network,
            (seen.X, seen.y),
            BackPropagation(),
            epochs=1,
            batch_size=50,
            learning_rate=rate,
            momentum=0.9,
            random_state=random.child("batches", place),
        )
        online.append(100 * float(history["training error"][0] or 0.0))
        after.append(judged(network, first(test, JUDGED))["error"])
    return {"online": online, "test": after}
