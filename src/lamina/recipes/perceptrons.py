"""What recipes about perceptrons share: training in one call, errors and losses on rows, means and spreads over seeds.

Here too: `first_layers`, the lower part of a greedy stack. Layers learnt greedily do not know of those above them, so
one deep stack serves every depth below its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from lamina.core.random import Random
from lamina.models import MLP, Stack
from lamina.models.autoencoders import Autoencoder
from lamina.recipes.digits import Part
from lamina.training import BackPropagation, falling, fit

CHUNK = 5000  # rows that go through a network together


def taught(
    network: MLP,
    part: Part,
    *,
    epochs: int,
    rate: float,
    batch_size: int = 100,
    optimiser: str = "adam",
    random: Random,
    callbacks: Sequence = (),
    device: str | None = None,
) -> MLP:
    """``network`` trained on the rows and classes of ``part`` by cross-entropy: ``rate`` for three tenths of the
    ``epochs``, then falling to a hundredth of it. "sgd" has momentum 0.9, "adam" its own. Returns ``network``."""
    fit(
        network,
        (part.X, part.y),
        BackPropagation(),
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=falling(rate, epochs, hold=0.3),
        momentum=0.9 if optimiser == "sgd" else 0.0,
        optimiser=optimiser,
        random_state=random,
        callbacks=callbacks,
        device=device,
    )
    return network


@torch.no_grad()
def judged(network: MLP, part: Part) -> dict[str, float]:
    """``error``: share of rows of the wrong class, in percent. ``loss``: mean −log p(y | x), in nats."""
    like = next(network.parameters())
    outputs = torch.cat([network(chunk.to(like)) for chunk in torch.from_numpy(part.X).split(CHUNK)])
    y = torch.from_numpy(part.y).to(outputs.device)
    wrong = (outputs.argmax(1) != y).double().mean()
    return {"error": 100 * float(wrong), "loss": float(functional.cross_entropy(outputs.double(), y))}


def first(part: Part, n: int) -> Part:
    """The first ``n`` rows of ``part``."""
    return Part(part.X[:n], part.y[:n])


def first_layers(stack: Stack, depth: int) -> Stack:
    """The lowest ``depth`` layers, shared with ``stack``."""
    return Stack(list(stack.layers)[:depth])


@torch.no_grad()
def stack_of(weights: Sequence[Tensor], biases: Sequence[Tensor]) -> Stack:
    """Sigmoid layers with these weights (n_in, n_out) and biases (n_out,), to start a network from."""
    sizes = [len(weights[0]), *(len(bias) for bias in biases)]
    layers = [Autoencoder(n, m, dtype=weights[0].dtype) for n, m in pairwise(sizes)]
    for layer, W, c in zip(layers, weights, biases, strict=True):
        layer.W.copy_(W)
        layer.c.copy_(c)
    return Stack(list(layers))


def mean_sd(values: Sequence[float]) -> tuple[float, float]:
    """Mean and standard deviation (of n − 1) over seeds; a deviation of 0 for one seed."""
    numbers = np.asarray(values, float)
    return float(numbers.mean()), float(numbers.std(ddof=1)) if len(numbers) > 1 else 0.0
