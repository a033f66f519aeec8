"""Sizes and numbers of epochs for data that nobody has looked at, from their size alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

BATCH = 100
# Steps of contrastive divergence that the first, second and later layers get on large data: the reconstruction error
# of MNIST stops falling after about this many, and upper layers settle sooner.
PRETRAIN_STEPS = (9000, 6000, 4500)
# Kinds of layer whose codes are searched for: a step costs tens of times more and brings a dictionary further. One
# layer unless told otherwise: a second dictionary, of codes, costs as much again.
SEARCHED = ("sparse-coding", "predictive-sparse")
SEARCHED_STEPS = (1000, 750, 500)


@dataclass(frozen=True)
class Plan:
    """What `learn` will do unless told otherwise; every number here is printed in the report."""

    hidden: tuple[int, ...]
    pretrain_epochs: tuple[int, ...]
    batch_size: int = BATCH
    supervised_steps: int = 1500
    adversarial_steps: int = 1200
    adversarial_batch: int = 250
    trial_steps: int = 400


def choose_hidden(n_rows: int, n_features: int, kind: str = "rbm") -> tuple[int, ...]:
    """Layer sizes: wide and deep for many rows, small for few (a layer never has over 4 units per row)."""
    if kind in SEARCHED:
        return choose_hidden(n_rows, n_features)[:1]
    if n_rows >= 20_000:
        return (500, 500, 2000)
    if n_rows >= 4000:
        return (500, 500, 1000)
    width = max(16, min(200, 4 * n_features, n_rows))
    return (width, width)


def choose_epochs(n_rows: int, n_layers: int, kind: str = "rbm") -> tuple[int, ...]:
    """Epochs of pre-training per layer: a number of steps turned into passes over the rows, between 3 and 200."""
    steps_per_epoch = max(1, -(-n_rows // BATCH))
    steps = SEARCHED_STEPS if kind in SEARCHED else PRETRAIN_STEPS
    wanted = [steps[min(k, len(steps) - 1)] for k in range(n_layers)]
    few = n_rows < 20_000  # small data are learnt sooner: half the steps
    return tuple(max(3, min(200, round(w / (2 if few else 1) / steps_per_epoch))) for w in wanted)


def supervised_steps(n_labels: int) -> int:
    """Steps of back-propagation for ``n_labels`` labelled rows: 1,500, or 60 passes, whichever is more."""
    return max(1500, 60 * -(-n_labels // BATCH))


def adversarial_batch(n_rows: int) -> int:
    """Rows without labels in a step: 250, the most that pays, or fewer where an epoch would have under 4 steps."""
    return max(16, min(250, n_rows // 4))


def adversarial_steps(n_rows: int, n_labels: int) -> int:
    """Steps of virtual adversarial training: 1,200, and with many labels 10 passes over the rows if that is more."""
    if n_labels < n_rows // 4:
        return 1200
    return max(1200, 10 * -(-n_rows // adversarial_batch(n_rows)))


def plan(
    n_rows: int,
    n_features: int,
    n_labels: int,
    hidden: Sequence[int] | None = None,
    epochs: int | Sequence[int] | None = None,
    kind: str = "rbm",
) -> Plan:
    """The plan for layers of ``kind`` on ``n_rows`` training rows, ``n_labels`` of them labelled; given values are
    kept."""
    sizes = tuple(hidden) if hidden else choose_hidden(n_rows, n_features, kind)
    if epochs is None:
        passes = choose_epochs(n_rows, len(sizes), kind)
    elif isinstance(epochs, int):
        passes = (epochs,) * len(sizes)
    else:
        passes = tuple(epochs)
    return Plan(
        sizes,
        passes,
        BATCH,
        supervised_steps(n_labels),
        adversarial_steps(n_rows, n_labels),
        adversarial_batch(n_rows),
    )
