"""How good is an RBM, in nats? Annealed importance sampling of log Z, and how far such an estimate can be trusted.

Machines of 784 × 500 binary units learn MNIST with pixels drawn anew for every batch (the paper's binarisation), by
CD-1, by CD-25, and by persistent chains whose learning rate falls to zero. log Z of each is estimated from both sides:
annealing from the base upward (too small on average, so that digits seem too probable) and, by RAISE, from test digits
downward (a lower bound on their log-probability under the annealed model). The gap between the two says how much of the
first number to believe. A second layer of 2,000 units on top of the best machine makes a deep belief network, whose
variational bound is estimated in the same way.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch

from lamina.core.random import Random
from lamina.inference import deep_belief_bound, free_running, log_likelihood, log_partition, raise_log_likelihood
from lamina.models.energy import DBN, RBM
from lamina.recipes.context import Context
from lamina.recipes.digits import mnist
from lamina.recipes.record import Images, Lines, Measured, Outcome
from lamina.training import (
    ContrastiveDivergence,
    PersistentContrastiveDivergence,
    RedrawnInput,
    Schedule,
    encode_rows,
    fit,
    start_memory,
)
from lamina.training.rules import GradientRule
from lamina.units import Bernoulli

NAME = "salakhutdinov2008_ais"
TITLE = "Likelihood of RBMs and a deep belief network by annealed importance sampling"
PAPER = "R. Salakhutdinov, I. Murray (2008) On the quantitative analysis of deep belief networks. ICML"
MINUTES = 110

METHODS = ("PCD", "CD-25", "CD-1")
PUBLISHED = {"CD-1": -125.53, "CD-25": -86.34}
EPOCHS = {"CD-1": 50, "CD-25": 12, "PCD": 250, "top": 60}
RULES: dict[str, Any] = {
    "CD-1": lambda: ContrastiveDivergence(1),
    "CD-25": lambda: ContrastiveDivergence(25),
    "PCD": lambda: PersistentContrastiveDivergence(1, n_chains=100),
}
TEMPERATURES = {"CD-1": 14_500, "CD-25": 14_500, "PCD": 14_500, "top": 20_000}
RAISE_TEMPERATURES, RAISE_ROWS = {"CD-1": 5_000, "CD-25": 5_000, "PCD": 20_000}, 500
BINARISATION_SEED = 2008
QUICK_ROWS, QUICK_TEMPERATURES = 1000, 300


def run(context: Context) -> Outcome:
    digits = Digits(context)
    machines = {method: machine(context, digits, method) for method in METHODS}
    results, gaps = [], {}
    for method in METHODS:
        estimate = partial(likelihood, context, digits, machines[method], method)
        estimates = context.keep(f"likelihood {method}", estimate)
        results += rows_of(method, estimates, context.keep(f"seconds {method}", lambda: 0.0))
        gaps[method] = estimates
    network = deep_belief_network(context, digits, machines["PCD"])
    bound = context.keep("bound", lambda: lower_bound(context, digits, network))
    results.append(Measured("DBN 784-500-2000, lower bound", bound["bound"], 0.0, -86.22, "nats", note=bound["note"]))
    return Outcome(results, deviations(context), [context.seed], figures(context, machines, gaps, digits))


class Digits:
    """Training rows as grey values (their means), test rows drawn once from theirs."""

    def __init__(self, context: Context) -> None:
        parts = mnist(context, quick_rows=QUICK_ROWS, quick_test=200)
        self.grey, test = torch.from_numpy(parts.full.X), torch.from_numpy(parts.test.X)
        self.test = Random(BINARISATION_SEED).child("test rows").bernoulli(test)
        self.mean = self.grey.mean(0)


def redrawn(rule: GradientRule) -> GradientRule:
    """``rule``, learning from pixels drawn anew for every batch."""
    return RedrawnInput(rule, Bernoulli(784))


def falling(epochs: int, first: float) -> Schedule:
    """A learning rate that falls linearly to zero."""
    return Schedule(((0.0, first), (float(epochs), 0.0)), linear=True)


def machine(context: Context, digits: Digits, method: str) -> RBM:
    """The machine trained by ``method``, from this run's memory if it is there."""
    epochs = 1 if context.quick else EPOCHS[method]

    def make() -> RBM:
        rbm = RBM(784, 500).initialise(context.seed, digits.mean)
        context.say(f"{method}: {epochs} passes over {len(digits.grey):,} rows")
        history = fit(
            rbm,
            digits.grey,
            redrawn(RULES[method]()),
            epochs=epochs,
            batch_size=100,
            learning_rate=falling(epochs, 0.05),
            random_state=context.seed,
            device=context.device,
            checkpoint=context.stage(f"machine {method}") / "checkpoint",
            checkpoint_seconds=60.0,
            callbacks=context.callbacks(method),
        )
        context.keep(f"seconds {method}", lambda: history.seconds)
        return rbm

    return context.model(f"machine {method}", make, {"shape": (1, 28, 28)})


def likelihood(context: Context, digits: Digits, rbm: RBM, method: str) -> dict:
    """log Z from below, test log-probability with it, and the conservative estimate for the first test rows."""
    few = context.quick
    context.say(f"{method}: annealing")
    z = log_partition(
        rbm,
        "ais",
        n_chains=100,
        betas=QUICK_TEMPERATURES if few else TEMPERATURES[method],
        data_mean=digits.mean,
        random_state=1,
    )
    rows = digits.test[: 20 if few else RAISE_ROWS]
    betas = QUICK_TEMPERATURES if few else RAISE_TEMPERATURES[method]
    context.say(f"{method}: annealing back from {len(rows)} test rows")
    conservative = raise_log_likelihood(rbm, rows, betas=betas, data_mean=digits.mean, random_state=2)
    with torch.no_grad():
        forward = log_likelihood(rbm, digits.test, z.log_z)
    return {
        "log_z": z.log_z,
        "low": z.low,
        "high": z.high,
        "effective_sample_size": z.effective_sample_size,
        "n_temperatures": z.n_temperatures,
        "warning": z.warning,
        "forward": float(forward.mean()),
        "forward, same rows": float(forward[: len(rows)].mean()),
        "conservative": float(conservative.mean()),
        "rows": len(rows),
        "conservative temperatures": betas,
        "seconds": z.seconds,
    }


def rows_of(method: str, found: dict, seconds: float) -> list[Measured]:
    """Three lines of the table for one machine that was trained in so many seconds."""
    trust = f"trained in {seconds / 60:.0f} min; "
    trust += f"effective sample size {found['effective_sample_size']:.0f} of 100"
    trust += f"; log Z {found['log_z']:.2f} in [{found['low']:.2f}, {found['high']:.2f}]"
    gap = found["forward, same rows"] - found["conservative"]
    about = f"RAISE, {found['rows']} test rows, {found['conservative temperatures']:,} temperatures"
    title = f"RBM 784-500 {method}"
    return [
        Measured(f"{title}, test log-probability", found["forward"], 0.0, PUBLISHED.get(method), "nats", note=trust),
        Measured(f"{title}, conservative", found["conservative"], unit="nats", note=about),
        Measured(f"{title}, gap", gap, unit="nats", higher_is_better=False, note="on the same rows"),
    ]


def deep_belief_network(context: Context, digits: Digits, below: RBM) -> DBN:
    """784-500-2000: the best machine, and a memory that starts as that machine turned upside down."""
    epochs = 1 if context.quick else EPOCHS["top"]

    def make() -> DBN:
        dbn = DBN([784, 500, 2000])
        dbn.directed[0].tie_to(below)
        codes = encode_rows(below.mean_h_from_v, digits.grey, 500)
        random = Random(context.seed).child("top")
        start_memory(dbn, codes, None, "transposed", random)
        context.say(f"top layer: {epochs} passes")
        fit(
            dbn.top,
            codes,
            RedrawnInput(PersistentContrastiveDivergence(1, n_chains=100), Bernoulli(500)),
            epochs=epochs,
            batch_size=100,
            learning_rate=falling(epochs, 0.02),
            random_state=random,
            device=context.device,
            checkpoint=context.stage("network") / "checkpoint",
            checkpoint_seconds=60.0,
            callbacks=context.callbacks("top layer"),
        )
        return dbn

    return context.model("network", make, {"shape": (1, 28, 28)})


def lower_bound(context: Context, digits: Digits, dbn: DBN) -> dict:
    """The variational bound on log p(v) over all test rows, with the memory's log Z from annealing."""
    betas = QUICK_TEMPERATURES if context.quick else TEMPERATURES["top"]
    context.say(f"network: annealing, {betas:,} temperatures")
    codes = dbn.directed[0].mean_h_from_v(digits.grey[:10_000])
    z = log_partition(dbn.top, "ais", n_chains=100, betas=betas, data_mean=codes.mean(0), random_state=3)
    bound = deep_belief_bound(dbn, digits.test, z.log_z, n_samples=20, random_state=4)
    note = f"log Z of the top {z.log_z:.2f} in [{z.low:.2f}, {z.high:.2f}], {betas:,} temperatures, 100 chains; "
    note += (
        f"effective sample size {z.effective_sample_size:.0f}; standard error over samples {bound.standard_error:.3f}"
    )
    return {"bound": bound.mean, "note": note, "warning": z.warning}


def deviations(context: Context) -> list[str]:
    """Where this differs from the paper."""
    epochs = EPOCHS
    return [
        f"Learning rates fall linearly from 0.05 to 0; CD-1 {epochs['CD-1']}, CD-25 {epochs['CD-25']}, PCD (not in the "
        f"paper) {epochs['PCD']} passes; no momentum and no weight decay. The paper trained its CD-25 machine for "
        f"longer, with k rising from 1 to 25.",
        f"The memory of the DBN starts at the transposed machine and learns {epochs['top']} passes by PCD from draws "
        f"of the PCD machine's hidden units; the paper used CD-25.",
        f"Test rows are drawn once from their grey values (seed {BINARISATION_SEED}), training rows for every batch.",
        "The conservative estimates are not in the paper: RAISE (Burda, Grosse, Salakhutdinov 2015).",
        "Times are wall times of single-threaded runs that shared two cores with other work.",
        *(
            [f"Quick version: {QUICK_ROWS:,} training rows, one pass, {QUICK_TEMPERATURES} temperatures."]
            if context.quick
            else []
        ),
    ]


def figures(context: Context, machines: dict[str, RBM], found: dict[str, dict], digits: Digits) -> list[Images | Lines]:
    """Samples of each machine after long Gibbs chains, filters, and the two sides of each estimate."""
    n, steps = 16, 100 if context.quick else 5000
    rows = [digits.test[:n].numpy().reshape(n, 28, 28)]
    for method in METHODS:
        start = free_running(machines[method], n, steps, Random(5).child(method))
        with torch.no_grad():
            means = machines[method].mean_v_from_h(machines[method].mean_h_from_v(start))
        rows.append(means.numpy().reshape(n, 28, 28))
    first = machines["PCD"].W.detach().T[:64].numpy().reshape(4, 16, 28, 28)
    numbers = list(range(1, len(METHODS) + 1))
    sides = Lines(
        "Test log-probability from above and from below",
        "machine (in the order of the table)",
        "nats per digit",
        {
            "annealed from the base": (numbers, [found[m]["forward, same rows"] for m in METHODS]),
            "annealed back from test rows": (numbers, [found[m]["conservative"] for m in METHODS]),
        },
    )
    captions = ("test rows", *(f"{method}, {steps:,} Gibbs steps from nowhere" for method in METHODS))
    return [
        Images("Digits and samples", np.stack(rows), captions),
        Images("Filters of the PCD machine", first, signed=True),
        sides,
    ]
