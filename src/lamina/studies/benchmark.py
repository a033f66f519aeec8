"""How fast is this machine, against the limit that matrix products set and against peers?

`bench_rbm`: one step of contrastive divergence (k = 1) on an RBM of 784 visible and 500 hidden units. The limit is the
time of the five matrix products that such a step needs: v⁺W, h⁺Wᵀ, v⁻W, v⁺ᵀh⁺, v⁻ᵀh⁻. `bench_ais`: one temperature of
annealed importance sampling with 100 chains on such a machine, against its two products, v W and h Wᵀ. Measurements of
all contestants take turns, so that a drift of the machine's speed meets all of them; the median counts.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable
from statistics import median
from time import perf_counter
from typing import Any

import torch

from lamina.core.checks import check_device, check_number
from lamina.core.errors import UnreliableEstimateWarning
from lamina.core.random import Random
from lamina.inference import log_partition
from lamina.models import RBM
from lamina.training import ContrastiveDivergence, fit

VISIBLE, HIDDEN = 784, 500
ROWS = 20_000  # rows gone through in one measurement: enough steps for the first one's cost not to count
BATCHES = (100, 512)
CHAINS, TEMPERATURES = 100, 500  # of annealing: a temperature costs the same whatever their number

Contestant = Callable[[], float]  # runs once, returns seconds per step


def bench_rbm(*, repeats: int = 7, seed: int = 0, device: str | None = None) -> dict:
    """Milliseconds per step, median of ``repeats`` measurements in turn, and the ratio to the matrix products alone."""
    check_number("--repeats", repeats, low=1, integer=True)
    place = check_device(device)
    batches = []
    for batch_size in BATCHES:
        rows = _in_turn(_contestants(batch_size, seed, place), repeats)
        batches.append({"batch_size": batch_size, "rows": rows})
    return {
        "what": f"one step of CD-1, RBM {VISIBLE}-{HIDDEN}, float32",
        "threads": torch.get_num_threads(),
        "device": str(place),
        "repeats": repeats,
        "batches": batches,
        "notes": _notes(),
    }


def bench_ais(*, repeats: int = 7, seed: int = 0, device: str | None = None) -> dict:
    """Milliseconds per temperature, median of ``repeats`` measurements in turn, and the ratio to the two products."""
    check_number("--repeats", repeats, low=1, integer=True)
    place = check_device(device)
    contestants = {"two matrix products": _two_products(place), "annealed importance sampling": _annealing(seed, place)}
    return {
        "what": f"one temperature of annealed importance sampling, RBM {VISIBLE}-{HIDDEN}, float32",
        "threads": torch.get_num_threads(),
        "device": str(place),
        "repeats": repeats,
        "batches": [{"batch_size": CHAINS, "rows": _in_turn(contestants, repeats)}],
        "notes": [],
    }


def _in_turn(contestants: dict[str, Contestant], repeats: int) -> list[dict]:
    """A row for each contestant; the first is the limit that ratios are to."""
    for run in contestants.values():
        run()  # warm-up
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(repeats):
        for name, run in contestants.items():
            seconds[name].append(run())
    limits = seconds[next(iter(contestants))]
    return [
        {
            "name": name,
            "milliseconds": 1e3 * median(times),
            "ratio": median(times) / median(limits),
            "ratio_low": min(t / b for t, b in zip(times, limits, strict=True)),
            "ratio_high": max(t / b for t, b in zip(times, limits, strict=True)),
        }
        for name, times in seconds.items()
    ]


def _notes() -> list[str]:
    absent = [p for p in ("learnergy", "rbms") if importlib.util.find_spec(p) is None]
    return [f"not installed: {', '.join(absent)} (pip install 'lamina[peers]')"] if absent else []


def _steps(batch_size: int) -> int:
    return max(1, ROWS // batch_size)


def _rows(batch_size: int, seed: int, device: torch.device) -> torch.Tensor:
    """Binary rows for one measurement, a whole number of batches, (about ROWS, VISIBLE)."""
    return Random(seed).bernoulli(torch.full((_steps(batch_size) * batch_size, VISIBLE), 0.3)).to(device)


def _contestants(batch_size: int, seed: int, device: torch.device) -> dict[str, Contestant]:
    X = _rows(batch_size, seed, device)
    found = {
        "five matrix products": _products(batch_size, device),
        "lamina.fit": _lamina(X, batch_size, sample_visible=True),
        "lamina.fit, visible means": _lamina(X, batch_size, sample_visible=False),
        "plain torch loop": _plain_torch(X, batch_size),
    }
    if device.type == "cpu":
        found["scikit-learn BernoulliRBM"] = _scikit_learn(X, batch_size)
        for name, make in (("learnergy", _learnergy), ("rbms", _rbms)):
            if importlib.util.find_spec(name):
                found[name] = make(X, batch_size)
    return found


def _timed(work: Callable[[], Any], steps: int, device: torch.device) -> float:
    began = perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return (perf_counter() - began) / steps


def _products(batch_size: int, device: torch.device) -> Contestant:
    steps = _steps(batch_size)
    W = torch.randn(VISIBLE, HIDDEN, device=device)
    v = torch.rand(batch_size, VISIBLE, device=device)
    h = torch.rand(batch_size, HIDDEN, device=device)
    out_h, out_v, out_w = torch.empty_like(h), torch.empty_like(v), torch.empty_like(W)

    def work() -> None:
        for _ in range(steps):
            torch.mm(v, W, out=out_h)
            torch.mm(h, W.T, out=out_v)
            torch.mm(v, W, out=out_h)
            torch.mm(v.T, h, out=out_w)
            torch.mm(v.T, h, out=out_w)

    return lambda: _timed(work, steps, device)


def _two_products(device: torch.device) -> Contestant:
    W = torch.randn(VISIBLE, HIDDEN, device=device)
    v, h = torch.rand(CHAINS, VISIBLE, device=device), torch.rand(CHAINS, HIDDEN, device=device)
    out_h, out_v = torch.empty_like(h), torch.empty_like(v)

    def work() -> None:
        for _ in range(TEMPERATURES):
            torch.mm(v, W, out=out_h)
            torch.mm(h, W.T, out=out_v)

    return lambda: _timed(work, TEMPERATURES, device)


def _annealing(seed: int, device: torch.device) -> Contestant:
    """Through the public door, with weights of the size that training reaches."""
    rbm = RBM(VISIBLE, HIDDEN).to(device)
    rbm.initialise(seed, scale=0.1)

    def work() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UnreliableEstimateWarning)
            log_partition(rbm, n_chains=CHAINS, betas=TEMPERATURES, random_state=seed)

    return lambda: _timed(work, TEMPERATURES, device)


def _lamina(X: torch.Tensor, batch_size: int, *, sample_visible: bool) -> Contestant:
    """Through the public door: the loop's own seconds for the epoch, data order, monitors and all."""
    steps = _steps(batch_size)
    rbm = RBM(VISIBLE, HIDDEN).to(X.device)

    def run() -> float:
        history = fit(
            rbm,
            X,
            ContrastiveDivergence(sample_visible=sample_visible),
            epochs=1,
            batch_size=batch_size,
            learning_rate=0.05,
            momentum=0.5,
            weight_decay=2e-4,
            random_state=0,
        )
        return history.records[0].seconds / steps

    return run


@torch.no_grad()
def _plain_torch(X: torch.Tensor, batch_size: int) -> Contestant:
    """The loop that one writes in an afternoon, well: no autograd, no loader, `torch.bernoulli`."""
    steps = _steps(batch_size)
    W = 0.01 * torch.randn(VISIBLE, HIDDEN, device=X.device)
    b, c = torch.zeros(VISIBLE, device=X.device), torch.zeros(HIDDEN, device=X.device)
    velocity = torch.zeros_like(W)

    @torch.no_grad()
    def work() -> None:
        order = torch.randperm(len(X), device=X.device)
        for k in range(steps):
            v = X[order[k * batch_size : (k + 1) * batch_size]]
            h = torch.sigmoid(v @ W + c)
            v_minus = torch.bernoulli(torch.sigmoid(torch.bernoulli(h) @ W.T + b))
            h_minus = torch.sigmoid(v_minus @ W + c)
            gradient = (v.T @ h - v_minus.T @ h_minus) / batch_size - 2e-4 * W
            velocity.mul_(0.5).add_(gradient, alpha=0.05)
            W.add_(velocity)
            b.add_((v - v_minus).mean(0), alpha=0.05)
            c.add_((h - h_minus).mean(0), alpha=0.05)

    return lambda: _timed(work, steps, X.device)


def _scikit_learn(X: torch.Tensor, batch_size: int) -> Contestant:
    steps = _steps(batch_size)
    from sklearn.neural_network import BernoulliRBM

    rows = X.numpy()
    rbm = BernoulliRBM(HIDDEN, batch_size=batch_size, n_iter=1, random_state=0)
    return lambda: _timed(lambda: rbm.fit(rows), steps, X.device)


def _learnergy(X: torch.Tensor, batch_size: int) -> Contestant:
    steps = _steps(batch_size)
    import logging

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from learnergy.models.bernoulli import RBM as LearnergyRBM  # noqa: N811 - it is a class
    logging.disable(logging.INFO)
    data = torch.utils.data.TensorDataset(X, torch.zeros(len(X)))
    rbm = LearnergyRBM(n_visible=VISIBLE, n_hidden=HIDDEN, steps=1, learning_rate=0.05, momentum=0.5)
    return lambda: _timed(lambda: rbm.fit(data, batch_size=batch_size, epochs=1), steps, X.device)


def _rbms(X: torch.Tensor, batch_size: int) -> Contestant:
    """Its own step: chains begun at the batch, one Gibbs step, its gradient, SGD."""
    steps = _steps(batch_size)
    from rbms.bernoulli_bernoulli.classes import BBRBM

    rbm = BBRBM(0.01 * torch.randn(VISIBLE, HIDDEN), torch.zeros(VISIBLE), torch.zeros(HIDDEN))
    rbm.init_grad()
    optimiser = torch.optim.SGD(rbm.parameters(), lr=0.05, maximize=True)

    def work() -> None:
        order = torch.randperm(len(X))
        for k in range(steps):
            v = X[order[k * batch_size : (k + 1) * batch_size]]
            data = rbm.init_chains(num_samples=len(v), start_v=v)
            chains = rbm.sample_state(n_steps=1, chains=rbm.init_chains(num_samples=len(v), start_v=v))
            rbm.compute_gradient(data, chains, centered=False)
            optimiser.step()

    return lambda: _timed(work, steps, X.device)
