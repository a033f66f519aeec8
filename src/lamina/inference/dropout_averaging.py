"""Dropout as a vote of many networks: averaging over sampled masks, beside the weight-scaling rule.

A network that was trained with dropout is one of 2^n thinned networks at every step. At test time their answers should
be averaged, but there are too many. Two ways out (Srivastava et al. 2014, section 7.5):

- the *weight-scaling rule*: one pass with nothing dropped, weights times the probability to keep. `lamina.MLP` divides
  what it keeps by that probability while it learns, so that this is just ``network(x)``;
- *sampling*: the mean over k networks with masks drawn at random, k passes.

For a network without hidden nonlinearities the scaled network gives the expected outputs, so the (normalised) geometric
mean of all networks' probabilities, exactly; for others it is an approximation, which these functions measure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from lamina.core.checks import check_number
from lamina.core.random import Random

CHUNK = 4096  # rows at a time


def softmax(outputs: Tensor) -> Tensor:
    """Probabilities of the classes: (n, n_classes) → (n, n_classes)."""
    return torch.softmax(outputs, -1)


@torch.no_grad()
def sampled_outputs(network: Any, x: Tensor, n_samples: int, random: Random) -> Iterator[Tensor]:
    """Outputs (n, n_out), before any softmax, of ``n_samples`` networks with units dropped at random.

    Sample s has the masks of step s of the stream: the same masks whatever ``n_samples`` is. Rows of one sample have
    masks of their own. Running averages of batch normalisation stay as they are.
    """
    check_number("n_samples", n_samples, low=1, integer=True)
    rows = torch.arange(len(x), device=x.device)
    for sample in range(n_samples):
        parts = zip(x.split(CHUNK), rows.split(CHUNK), strict=True)
        yield torch.cat([network(chunk, random.at(sample, places)) for chunk, places in parts])


def averaged_outputs(
    network: Any, x: Tensor, n_samples: int, random: Random, *, of: Callable[[Tensor], Tensor] | None = None
) -> Tensor:
    """(1/k) Σ_s f(outputs of sampled network s), k = ``n_samples``: (n, n_in) → (n, n_out).

    f is ``of``: None for the outputs themselves, `softmax` for the mean of the classes' probabilities, which is Monte
    Carlo model averaging. Standard error: that of the mean of k draws. Cost: k passes.
    """
    total: Tensor | None = None
    for outputs in sampled_outputs(network, x, n_samples, random):
        found = outputs if of is None else of(outputs)
        total = found.clone() if total is None else total.add_(found)
    assert total is not None  # there is at least one sample
    return total.div_(n_samples)
