"""Small runs of every kind of rule, that tests start here, in children that are killed, and in two processes at once.

All have uneven last batches (41 rows in batches of 10: a last batch of one row; one of two processes gets none of it).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import lamina
from lamina.models.autoencoders import DeepAutoencoder
from lamina.training import (
    BackPropagation,
    ContrastiveDivergence,
    FullBackPropagation,
    FullReconstruction,
    History,
    PersistentContrastiveDivergence,
    Schedule,
    StatisticsRule,
    VirtualAdversarial,
)

ROWS = 41
GENERATOR = np.random.default_rng(0)
BINARY = (GENERATOR.random((ROWS, 12)) < GENERATOR.random(12)).astype(np.float64)
REAL = GENERATOR.normal(size=(ROWS, 6))
LABELS = (BINARY[:, :3].sum(1) > 1).astype(np.int64) + (BINARY[:, 4] > 0)


class Moments(nn.Module):
    """A model of one mean and one variance per column."""

    def __init__(self, n: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.zeros(n, dtype=dtype))
        self.variance = nn.Parameter(torch.ones(n, dtype=dtype))


class MomentsRule(StatisticsRule):
    """Maximum likelihood of a normal distribution from sums: the smallest statistics rule there is."""

    def start(self, model: nn.Module, setting: Any) -> None:
        like = model.mean.detach()
        self.sums = [torch.zeros_like(like), torch.zeros_like(like), torch.zeros((), dtype=like.dtype)]

    def zero(self) -> list[Tensor]:
        torch._foreach_zero_(self.sums)
        return self.sums

    def accumulate(self, model: nn.Module, batch: Any, step: int, random: Any) -> Mapping[str, Tensor]:
        x = batch.values[0]
        self.sums[0] += x.sum(0)
        self.sums[1] += (x**2).sum(0)
        self.sums[2] += len(x)
        error = (x - model.mean) ** 2 / model.variance + model.variance.log()
        return {"surprise": error.sum() / 2}

    def maximise(self, model: nn.Module) -> None:
        total, square, n = self.sums
        model.mean.copy_(total / n)
        model.variance.copy_(square / n - model.mean**2)


Result = tuple[nn.Module, History]


def cd(dtype: torch.dtype, epochs: int, **options: Any) -> Result:
    rbm = lamina.RBM(12, 7, dtype=dtype, random_state=3)
    momentum = Schedule(((0.0, 0.5), (2.0, 0.9)))
    rule = ContrastiveDivergence(2, penalty=lamina.SparsityTarget(0.1, 0.2, biases_only=True))
    options = {"learning_rate": 0.1, "momentum": momentum, "weight_decay": 1e-2, **options}
    return rbm, lamina.fit(rbm, BINARY, rule, epochs=epochs, batch_size=10, random_state=1, **options)


def gaussian_cd(dtype: torch.dtype, epochs: int, **options: Any) -> Result:
    rbm = lamina.RBM(lamina.Gaussian(6, sigma=0.8, learn_sigma=True), 7, dtype=dtype, random_state=3)
    rule = ContrastiveDivergence(1)
    options = {"learning_rate": 0.02, "momentum": 0.5, **options}
    return rbm, lamina.fit(rbm, REAL, rule, epochs=epochs, batch_size=10, random_state=1, **options)


def pcd(dtype: torch.dtype, epochs: int, **options: Any) -> Result:
    rbm = lamina.RBM(12, 7, dtype=dtype, random_state=3)
    rule = PersistentContrastiveDivergence(2, n_chains=7)
    options = {"learning_rate": Schedule(((0.0, 0.1), (9.0, 0.0)), linear=True), "momentum": 0.5, **options}
    return rbm, lamina.fit(rbm, BINARY, rule, epochs=epochs, batch_size=10, random_state=1, **options)


def fast_pcd(dtype: torch.dtype, epochs: int, **options: Any) -> Result:
    """Fast weights, centring and both kinds of penalties: all that sums over processes inside a step."""
    rbm = lamina.RBM(12, 8, dtype=dtype, random_state=3)
    penalty = lamina.SparsityTarget(0.2, 0.5)
    rule = lamina.FastPersistentContrastiveDivergence(1, n_chains=7, centred=True, penalty=penalty)
    options = {"learning_rate": 0.05, "momentum": 0.5, "penalties": [lamina.L1(1e-3), lamina.MaxNorm(2.0)], **options}
    return rbm, lamina.fit(rbm, BINARY, rule, epochs=epochs, batch_size=10, random_state=1, **options)


def _network(dtype: torch.dtype) -> lamina.MLP:
    return lamina.MLP([12, 9, 8, 3], dropout=0.4, input_dropout=0.2, dtype=dtype, random_state=2)


def back_propagation(dtype: torch.dtype, epochs: int, **options: Any) -> Result:
    """Adam with dropout and early stopping, which stops and puts the best weights back."""
    network = _network(dtype)
    data, validation = (BINARY, LABELS), (BINARY[:9], LABELS[::-1][:9].copy())
    options = {"learning_rate": 0.01, "optimiser": "adam", "weight_decay": 0.1, "patience": 4, **options}
    history = lamina.fit(
        network, data, BackPropagation(), epochs=epochs, batch_size=10, random_state=1, validation=validation, **options
    )
    return network, history


def adversarial(dtype: torch.dtype, epochs: int, **options: Any) -> Result:
    network = _network(dtype)
    rule = VirtualAdversarial(torch.from_numpy(BINARY[:9]), torch.from_numpy(LABELS[:9]), labelled_batch=5)
    options = {"learning_rate": 0.01, "optimiser": "adam", **options}
    return network, lamina.fit(network, BINARY, rule, epochs=epochs, batch_size=10, random_state=1, **options)


def objective(dtype: torch.dtype, epochs: int, **options: Any) -> Result:
    network = lamina.MLP([12, 5, 3], activation="tanh", dtype=dtype, random_state=2)
    options = {"weight_decay": 1e-3, **options}
    data = (BINARY, LABELS)
    return network, lamina.fit(
        network, data, FullBackPropagation(), epochs=epochs, batch_size=10, random_state=1, **options
    )


def batch_objective(dtype: torch.dtype, epochs: int, **options: Any) -> Result:
    """Conjugate gradients batch by batch; few searches and some decay, for each search magnifies rounding."""
    network = DeepAutoencoder((12, 5, 3), dtype=dtype, random_state=2)
    rule = FullReconstruction(minimiser="cg", searches=2, per_batch=True)
    options = {"weight_decay": 0.05, **options}
    return network, lamina.fit(network, BINARY, rule, epochs=epochs, batch_size=10, random_state=1, **options)


def statistics(dtype: torch.dtype, epochs: int, **options: Any) -> Result:
    model = Moments(6, dtype)
    return model, lamina.fit(model, REAL, MomentsRule(), epochs=epochs, batch_size=10, random_state=1, **options)


def iterable(dtype: torch.dtype, epochs: int, **options: Any) -> Result:
    """Batches of 10 from a function; an empty one among them."""
    rbm = lamina.RBM(12, 7, dtype=dtype, random_state=3)

    def batches():
        for start in (0, 10, 20, 30, 40):
            yield BINARY[start : start + 10]
            if start == 10:
                yield BINARY[:0]

    options = {"learning_rate": 0.1, "momentum": 0.5, **options}
    rule = PersistentContrastiveDivergence(n_chains=5)
    return rbm, lamina.fit(rbm, batches, rule, epochs=epochs, random_state=1, **options)


def greedy(dtype: torch.dtype, epochs: int, **options: Any) -> Result:
    """Two layers, samples handed up."""
    options.pop("checkpoint_seconds", None)  # pretrain has none of its own
    stack = lamina.Stack([lamina.RBM(12, 7, dtype=dtype), lamina.RBM(7, 5, dtype=dtype)])
    rule = lambda k: (ContrastiveDivergence(1), PersistentContrastiveDivergence(n_chains=6))[k]  # noqa: E731
    histories = lamina.pretrain(
        stack, BINARY, rule, epochs=(epochs, epochs + 1), batch_size=10, pass_up="sample", random_state=1, **options
    )
    return stack, histories[-1]


SCENARIOS: dict[str, Callable[..., Result]] = {
    "cd": cd,
    "gaussian cd": gaussian_cd,
    "pcd": pcd,
    "fast pcd": fast_pcd,
    "back-propagation": back_propagation,
    "adversarial": adversarial,
    "objective": objective,
    "batch objective": batch_objective,
    "statistics": statistics,
    "iterable": iterable,
    "greedy": greedy,
}


def packed(result: Result) -> dict[str, np.ndarray]:
    """Weights and measures of a run as arrays."""
    model, history = result
    arrays = {f"weights/{name}": value.detach().numpy().copy() for name, value in model.state_dict().items()}
    for name in history.names:
        arrays[f"measures/{name}"] = np.array(history[name], dtype=float)
    arrays["steps"] = np.array([record.step for record in history])
    arrays["best epoch"] = np.array(history.best_epoch or 0)
    return arrays
