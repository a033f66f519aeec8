"""Groups of hidden units that compete: a sparse-group penalty against a plain machine of the same size.

Hidden units stand in groups of ten. The penalty is the sum over groups of the length of a group's mean activities: it
asks for few active groups per digit, and leaves units within an active group alone. A plain machine and a penalised one
of 500 units learn MNIST by CD-1, for three seeds each. A linear classifier on the hidden means of each, its strength of
regularisation chosen on rows kept aside, tells how much the features say about the class; Hoyer's measure and the share
of active groups tell how sparse they are.
"""

from __future__ import annotations

import warnings
from functools import partial

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from lamina.core.random import Random
from lamina.models.energy import RBM
from lamina.recipes.context import Context
from lamina.recipes.digits import Digits, mnist
from lamina.recipes.record import Images, Measured, Outcome
from lamina.training import ContrastiveDivergence, SparseGroup, falling, fit

NAME = "luo2011_sparse_group"
TITLE = "Sparse-group RBM: fewer active groups, better features"
PAPER = "H. Luo, R. Shen, C. Niu, C. Ullrich (2011) Sparse group restricted Boltzmann machines. AAAI"
MINUTES = 7

N_HIDDEN, GROUP_SIZE, COST = 500, 10, 0.1
EPOCHS, QUICK_EPOCHS = 10, 2
SEEDS, QUICK_SEEDS = 3, 1
HELD = 10_000
STRENGTHS = (0.1, 1.0, 10.0)  # C of scikit-learn: the inverse strength of the classifier's regularisation
STEPS = 100
METHODS = {"plain": False, "sparse group": True}
MEASURES = {  # name in the memory → (title, unit, higher is better)
    "error": ("test error, linear classifier, {}", "%", False),
    "sparseness": ("Hoyer sparseness, {}", "", True),
    "groups": ("active groups, {}", "%", False),
}


def run(context: Context) -> Outcome:
    digits = mnist(context, held=HELD)
    seeds = [context.seed + k for k in range(QUICK_SEEDS if context.quick else SEEDS)]
    found: dict[str, list[dict]] = {name: [] for name in METHODS}
    machines: dict[str, RBM] = {}
    for seed in seeds:
        for name in METHODS:
            rbm = machine(context, digits, name, seed)
            machines.setdefault(name, rbm)
            key = f"measures {name} {seed}"
            found[name].append(context.keep(key, partial(measures, context, digits, rbm)))
            context.say(f"{name}, seed {seed}: test error {found[name][-1]['error']:.2f} %")
    return Outcome(rows(found), deviations(context), seeds, [filters(machines), activities(machines, digits)])


def machine(context: Context, digits: Digits, name: str, seed: int) -> RBM:
    """The machine of this method and seed, from this run's memory if it is there."""
    epochs = QUICK_EPOCHS if context.quick else EPOCHS
    X = digits.train.X
    penalty = SparseGroup(GROUP_SIZE, COST) if METHODS[name] else None

    def make() -> RBM:
        context.say(f"{name}, seed {seed}: {epochs} passes over {len(X):,} rows")
        rbm = RBM(784, N_HIDDEN).initialise(seed, torch.from_numpy(X.mean(0)))
        fit(
            rbm,
            X,
            ContrastiveDivergence(1, sample_visible=False, penalty=penalty),
            epochs=epochs,
            batch_size=100,
            learning_rate=falling(0.1, epochs),
            momentum=0.5,
            weight_decay=2e-4,
            random_state=Random(seed).child("learning"),  # the same numbers for both methods
            device=context.device,
            checkpoint=context.stage(f"{name} {seed}") / "checkpoint",
            callbacks=context.callbacks(f"{name} {seed}"),
        )
        return rbm

    return context.model(f"{name} {seed}", make, {"shape": (1, 28, 28)})  # type: ignore[return-value]


@torch.no_grad()
def features(rbm: RBM, X: np.ndarray) -> np.ndarray:
    """E[h | v], (n, n_hidden)."""
    return torch.cat([rbm.mean_h_from_v(part) for part in torch.from_numpy(X).to(rbm.W).split(5000)]).cpu().numpy()


def measures(context: Context, digits: Digits, rbm: RBM) -> dict[str, float]:
    """Test error in percent of the classifier chosen on validation rows; sparseness and active groups on test rows."""
    H = {part: features(rbm, getattr(digits, part).X) for part in ("train", "validation", "test")}
    steps = 30 if context.quick else STEPS
    fitted = [classifier(H["train"], digits.train.y, strength, steps) for strength in STRENGTHS]
    errors = [wrong(model, H["validation"], digits.validation.y) for model in fitted]
    best = int(np.argmin(errors))
    return {
        "error": wrong(fitted[best], H["test"], digits.test.y),
        "validation": errors[best],
        "C": STRENGTHS[best],
        "sparseness": float(hoyer(H["test"]).mean()),
        "groups": 100 * float(active_groups(H["test"], GROUP_SIZE).mean()),
    }


def classifier(H: np.ndarray, y: np.ndarray, strength: float, steps: int) -> LogisticRegression:
    """Multinomial logistic regression; the limit of its steps is part of the protocol, so it may not converge."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return LogisticRegression(C=strength, max_iter=steps).fit(H, y)


def wrong(model: LogisticRegression, H: np.ndarray, y: np.ndarray) -> float:
    return 100 * float((model.predict(H) != y).mean())


def hoyer(H: np.ndarray) -> np.ndarray:
    """(√n − ‖h‖₁/‖h‖₂) / (√n − 1) per row: 0 where all units are equally active, 1 where one alone is (Hoyer 2004)."""
    root = np.sqrt(H.shape[1])
    return (root - np.abs(H).sum(1) / np.maximum(np.linalg.norm(H, axis=1), 1e-12)) / (root - 1)


def active_groups(H: np.ndarray, size: int) -> np.ndarray:
    """Share of groups of ``size`` units in which some unit's probability exceeds ½, per row."""
    return (H.reshape(len(H), -1, size).max(2) > 0.5).mean(1)


def rows(found: dict[str, list[dict]]) -> list[Measured]:
    """Mean and standard deviation over seeds of every measure of both methods."""
    results = []
    for measure, (title, unit, higher) in MEASURES.items():
        for name, runs in found.items():
            values = [run[measure] for run in runs]
            sd = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
            chosen = ", ".join(f"{run['C']:g}" for run in runs)
            note = f"C = {chosen}; validation error {np.mean([run['validation'] for run in runs]):.2f} %"
            what = title.format(name)
            results.append(
                Measured(what, float(np.mean(values)), sd, None, unit, higher, note if measure == "error" else "")
            )
    return results


def filters(machines: dict[str, RBM]) -> Images:
    """The first 20 units of each machine: two groups of the penalised one."""
    pictures = [rbm.W.detach()[:, :20].T.reshape(-1, 28, 28).cpu().numpy() for rbm in machines.values()]
    note = f"units 1 to 20: two groups of {GROUP_SIZE} where there is a penalty"
    return Images("Filters", np.stack(pictures), tuple(machines), signed=True, note=note)


def activities(machines: dict[str, RBM], digits: Digits) -> Images:
    """Mean activity of all units, a row per group, for the first digits of the test."""
    shape = (-1, N_HIDDEN // GROUP_SIZE, GROUP_SIZE)
    pictures = [features(rbm, digits.test.X[:12]).reshape(shape) for rbm in machines.values()]
    title = "Hidden activity of twelve test digits, a line per group"
    return Images(title, np.stack(pictures), tuple(machines))


def deviations(context: Context) -> list[str]:
    found = [
        f"CD-1 with visible means, {EPOCHS} passes over 50,000 rows; the other 10,000 choose the classifier's C, and "
        f"chose the penalty's cost {COST:g} beforehand, on one seed.",
        "What is compared is a linear classifier on one layer's features, which the paper does not report; its best "
        "number, 0.84 %, is that of two layers fine-tuned as a network.",
        "The penalty is a mean over rows, so that its cost is a share of the mean log-likelihood's scale; the pull is "
        "on weights and biases through the slope of the hidden means.",
        f"At most {STEPS} steps of the classifier's optimiser (L-BFGS) for every machine alike.",
    ]
    if context.quick:
        found.insert(0, "QUICK: 4,000 rows, 2 passes, one seed; the numbers show only that all runs.")
    return found
