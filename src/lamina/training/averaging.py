"""Averaging of weights over the steps of training: what the last steps jitter around is better than where they end.

With constant learning rate, stochastic gradient descent ends on a walk around a minimum. The mean of the weights over
the walk lies closer (Polyak & Juditsky 1992); with a memory of 1/(1 − decay) steps it follows while learning goes on:

    θ̄ ← d_t θ̄ + (1 − d_t) θ,   d_t = min(decay, t/(t + 1)),    t steps averaged so far      (docs/mathematics.md, 199)

so that it begins as the plain mean; ``decay=1`` stays one (Polyak's average of all steps).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn

from lamina.core.checks import check_number


@dataclass(frozen=True)
class WeightAverage:
    """Average the weights with ``decay`` per step, from epoch ``start`` on; `fit` takes it as ``averaging=``.

    Validation, callbacks, early stopping and the trained model see the averaged weights, the steps the others. Running
    statistics (batch normalisation) are averaged like weights. Costs one pass over the weights per step and two copies
    of the model. Worth a try in noisy runs (dropout, distortions, small batches, a rate that is not lowered).
    """

    decay: float = 0.999
    start: float = 0.0

    def __post_init__(self) -> None:
        check_number("decay", self.decay, low=0.0, high=1.0)
        check_number("start", self.start, low=0.0)

    def describe(self) -> dict:
        """Settings, for records and checkpoints."""
        return asdict(self)


class RunningAverage:
    """The average of one model's floating tensors (its state dict's) during a run."""

    def __init__(self, setting: WeightAverage, model: nn.Module) -> None:
        self.setting = setting
        self.live = {n: v.detach() for n, v in model.state_dict().items() if v.is_floating_point()}
        self.mean = {name: value.clone() for name, value in self.live.items()}
        self.steps = 0

    @torch.no_grad()
    def update(self, epoch: float) -> None:
        """Take in the weights after a step of ``epoch``."""
        if epoch < self.setting.start:
            return
        keep = min(self.setting.decay, self.steps / (self.steps + 1))
        torch._foreach_lerp_(list(self.mean.values()), list(self.live.values()), 1 - keep)
        self.steps += 1

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Within, the model has the averaged weights; afterwards its own again. Nothing before the first step."""
        kept = [value.clone() for value in self.live.values()] if self.steps else []
        self.put_in_place()
        try:
            yield
        finally:
            if kept:
                torch._foreach_copy_(list(self.live.values()), kept)

    @torch.no_grad()
    def put_in_place(self) -> None:
        """Copy the average into the model, where there is one."""
        if self.steps:
            torch._foreach_copy_(list(self.live.values()), list(self.mean.values()))

    def state(self) -> dict[str, Tensor]:
        """Tensors for a checkpoint."""
        return {"steps": torch.tensor(self.steps), **{f"mean/{name}": value for name, value in self.mean.items()}}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take back what `state` gave."""
        self.steps = int(state["steps"])
        for name, value in self.mean.items():
            value.copy_(state[f"mean/{name}"])


def as_average(averaging: float | WeightAverage | None) -> WeightAverage | None:
    """A decay as a `WeightAverage`; None and a record as they are."""
    if averaging is None or isinstance(averaging, WeightAverage):
        return averaging
    return WeightAverage(averaging)
