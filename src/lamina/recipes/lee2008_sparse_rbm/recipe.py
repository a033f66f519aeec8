"""Edges from photographs: hidden units that are asked to be rarely active become edge detectors.

A machine with Gaussian visible and binary hidden units learns whitened patches of photographs by CD-1, once with a
penalty that holds each hidden unit's mean activity near a small target and once without. With it, filters become
localised and oriented, as the receptive fields of simple cells in V1 are; without it, the same machine codes patches by
filters that spread over the whole of them. Whether a filter is localised and oriented is measured, by thresholds that
filters of noise (the same units before learning) do not pass.
"""

from __future__ import annotations

import numpy as np
import torch

from lamina.core.random import Random
from lamina.models.energy import RBM
from lamina.recipes.context import Context
from lamina.recipes.lee2008_sparse_rbm.filters import area, edge_like
from lamina.recipes.lee2008_sparse_rbm.natural_patches import Patches, natural_patches
from lamina.recipes.lee2009_convolutional_dbn.photographs import orientation
from lamina.recipes.record import Images, Lines, Measured, Outcome
from lamina.training import ContrastiveDivergence, SparsityTarget, falling, fit
from lamina.units import Gaussian

NAME = "lee2008_sparse_rbm"
TITLE = "Sparse RBM: edge detectors from photographs"
PAPER = "H. Lee, C. Ekanadham, A. Ng (2008) Sparse deep belief net model for visual area V2. NIPS 20"
MINUTES = 4

SIZE, N_COMPONENTS, N_HIDDEN = 14, 100, 200
PLACES, EPOCHS = 100_000, 40
QUICK_PLACES, QUICK_EPOCHS = 20_000, 10
SIGMA, CONTRAST = 0.5, 0.7
TARGET, COST = 0.02, 10.0
RATES = {"sparse": 0.03, "no penalty": 0.003}  # units that are active half of the time diverge at the larger rate


def run(context: Context) -> Outcome:
    patches = data(context)
    context.say(f"{len(patches.rows):,} patches of {SIZE} × {SIZE} pixels, {100 * patches.share:.0f} % of the variance")
    machines = {name: machine(context, patches, name) for name in (*RATES, "untrained")}
    results, filters = [], {}
    for name, rbm in machines.items():
        filters[name] = patches.pictures(rbm.W.detach().cpu().numpy().T)
        results += measured(name, rbm, patches, filters[name])
    figures: list[Images | Lines] = [*pictures(filters, patches), curves(context)]
    return Outcome(results, deviations(context), [context.seed], figures)


def data(context: Context) -> Patches:
    places = QUICK_PLACES if context.quick else PLACES
    return natural_patches(places, SIZE, N_COMPONENTS, CONTRAST, Random(context.seed).child("patches"))


def begun(context: Context, name: str) -> RBM:
    """The machine before learning: the same weights for all, hidden biases that give the sparse one its target."""
    rbm = RBM(Gaussian(N_COMPONENTS, sigma=SIGMA), N_HIDDEN).initialise(context.seed)
    if name == "sparse":
        with torch.no_grad():
            rbm.c.copy_(rbm.hidden.bias_from_data(torch.full_like(rbm.c, TARGET)))
    return rbm


def machine(context: Context, patches: Patches, name: str) -> RBM:
    """The machine called ``name``, from this run's memory if it is there."""
    if name == "untrained":
        return begun(context, name)
    epochs = QUICK_EPOCHS if context.quick else EPOCHS
    penalty = SparsityTarget(TARGET, COST, biases_only=True) if name == "sparse" else None

    def make() -> RBM:
        rbm = begun(context, name)
        context.say(f"{name}: {epochs} passes over {len(patches.rows):,} patches")
        history = fit(
            rbm,
            patches.rows,
            ContrastiveDivergence(1, penalty=penalty),
            epochs=epochs,
            batch_size=100,
            learning_rate=falling(RATES[name], epochs),
            momentum=0.9,
            random_state=Random(context.seed).child(name),
            device=context.device,
            checkpoint=context.stage(name) / "checkpoint",
            callbacks=context.callbacks(name),
        )
        context.keep(f"curve {name}", lambda: history["reconstruction error"])
        return rbm

    return context.model(name, make)  # type: ignore[return-value]  # what `make` made, or the same read back


@torch.no_grad()
def measured(name: str, rbm: RBM, patches: Patches, filters: np.ndarray) -> list[Measured]:
    """Share of edge detectors; and how active the units are, for machines that have learnt."""
    share = 100 * float(edge_like(filters).mean())
    note = f"median area {np.median(area(filters)):.2f}, median orientation {np.median(orientation(filters)):.2f}"
    found = [Measured(f"localised and oriented filters, {name}", share, unit="%", note=note)]
    if name in RATES:
        mean = torch.cat([rbm.mean_h_from_v(rows) for rows in torch.from_numpy(patches.rows).to(rbm.W).split(5000)])
        activity = mean.mean(0).cpu().numpy()
        low, high = np.percentile(activity, [5, 95])
        note = f"5 % and 95 % of the units: {low:.3f}, {high:.3f}"
        found.append(Measured(f"mean activity, {name}", float(activity.mean()), higher_is_better=False, note=note))
    return found


def pictures(filters: dict[str, np.ndarray], patches: Patches) -> list[Images]:
    """Patches, and the filters of each machine with the longest first."""
    found = [Images("Whitened patches", patches.pictures(patches.rows[:40]), signed=True)]
    for name in RATES:
        order = np.argsort(-np.linalg.norm(filters[name], axis=(1, 2)))
        found.append(Images(f"Filters, {name}", filters[name][order], signed=True, note=f"{N_HIDDEN} hidden units"))
    return found


def curves(context: Context) -> Lines:
    series = {}
    for name in RATES:
        errors = context.keep(f"curve {name}", list)
        series[name] = (np.arange(1, len(errors) + 1), errors)
    return Lines("Reconstruction while learning", "pass over the patches", "mean squared error", series)


def deviations(context: Context) -> list[str]:
    found = [
        "Two photographs that come with scikit-learn (427 × 640 pixels, JPEG) in place of van Hateren's 2,000: patches "
        "overlap, and their statistics are those of two scenes.",
        f"Log intensities; the {N_COMPONENTS} principal components of largest variance at variance 1 (low-pass and "
        f"whitening at once); each patch divided by its root mean square to the power {CONTRAST}. The paper whitens; "
        f"gain control is an addition: in a short trial 30 % of the filters passed with it and 3 % without.",
        f"σ = {SIGMA} throughout (paper: lowered while learning), {N_HIDDEN} hidden units (400, quoted from memory).",
        f"Learning rate {RATES['sparse']:g} with the penalty, {RATES['no penalty']:g} without, where units that are "
        f"active half of the time diverge at the larger one; momentum 0.9; both rates fall to a hundredth.",
        f"Target {TARGET} and cost {COST:g} on the hidden biases alone, as the paper does after finding it enough.",
        "The first layer alone; the paper's second layer and its comparison with area V2 are left out. The paper gives "
        "no number for its filters: shares are ours.",
    ]
    if context.quick:
        found.insert(0, f"QUICK: {QUICK_PLACES:,} places, {QUICK_EPOCHS} passes; the numbers show only that all runs.")
    return found
