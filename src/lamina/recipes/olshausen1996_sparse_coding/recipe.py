"""Receptive fields like those of simple cells, from sparseness alone.

Whitened patches of photographs are coded as sums of few atoms of an over-complete dictionary, once with the paper's
smooth penalty log(1 + h²), codes by conjugate gradients, and once with |h|. Atoms start as noise with the patches' own
spectrum and become localised, oriented and band-pass. How many are Gabor functions is measured by a least-squares fit,
the same for the learnt atoms, for those they started as, for the patches' principal components and for white noise.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from lamina.core.random import Random
from lamina.frontends import Whitening
from lamina.metrics import GaborFits, fit_gabor
from lamina.models.sparse import SparseCoding
from lamina.recipes.context import Context
from lamina.recipes.olshausen1996_sparse_coding.figures import PENALTIES, pictures, title, tuning, tuning_notes
from lamina.recipes.olshausen1996_sparse_coding.natural import CUT_OFF, FLAT, Patches, natural_patches
from lamina.recipes.record import Images, Lines, Measured, Outcome
from lamina.training import fit
from lamina.training.dictionary import OnlineDictionary

NAME = "olshausen1996_sparse_coding"
TITLE = "Sparse coding: Gabor functions from photographs"
PAPER = (
    "B. A. Olshausen, D. J. Field (1996) Emergence of simple-cell receptive field properties by learning a sparse code "
    "for natural images. Nature 381"
)
MINUTES = 15

SIZE, N_ATOMS = 12, 200
CONTROL = (
    0.7  # of a gain control that the paper does not have, beside: patches divided by their deviation to this power
)
PLACES, EPOCHS, SEEDS = 100_000, 3, 3
QUICK_PLACES, QUICK_EPOCHS = 12_000, 1
BATCH = 250
COSTS = {"log": 1.0, "l1": 1.0}
SEARCH = {"log": 40, "l1": 20}  # iterations at most for a batch's codes while learning
GOOD = 0.7  # R² from which a filter counts as a Gabor function
MEASURED = 2000  # patches, of places drawn anew


def run(context: Context) -> Outcome:
    seeds = [context.seed] if context.quick else [context.seed + k for k in range(SEEDS)]
    patches = {seed: data(context, seed, "patches") for seed in seeds}
    first = patches[context.seed]
    context.say(f"{len(first.rows):,} patches of {SIZE} × {SIZE} pixels, {100 * first.kept:.0f} % of the places")
    coders = {p: [coder(context, patches[seed], p, seed) for seed in seeds] for p in COSTS}
    filters = {p: [atoms(one) for one in coders[p]] for p in COSTS} | others(patches)
    fits = {name: [fit_gabor(first.pictures(rows)) for rows in found] for name, found in filters.items()}
    results = [share(name, found) for name, found in fits.items()]
    results += controlled_shares(context)
    held = data(context, context.seed, "held")
    for penalty in COSTS:
        results += measured(penalty, coders[penalty], held)
    shown = {name: found[0] for name, found in filters.items()}
    shown_fits = {name: found[0] for name, found in fits.items()}
    figures: list[Images | Lines] = [*pictures(shown, shown_fits, first), *tuning(shown_fits, GOOD)]
    return Outcome(results, deviations(context), seeds, figures, tuning_notes(shown_fits, GOOD))


def data(context: Context, seed: int, name: str, contrast: float = 0.0) -> Patches:
    """Patches to learn from ("patches"), or `MEASURED` others ("held") of the same photographs."""
    random = Random(seed).child(name)
    if name == "held":
        found = natural_patches(4 * MEASURED, SIZE, contrast, random)
        return Patches(found.rows[:MEASURED], SIZE, found.kept)
    return natural_patches(QUICK_PLACES if context.quick else PLACES, SIZE, contrast, random)


def coder(context: Context, patches: Patches, penalty: str, seed: int, kind: str = "plain") -> SparseCoding:
    """The coder with this penalty, learnt on ``patches``, from this run's memory if it is there."""
    name = f"{penalty} {seed} {kind}"

    def make() -> SparseCoding:
        one = begun(patches, penalty, seed)
        epochs = QUICK_EPOCHS if context.quick else EPOCHS
        context.say(f"{PENALTIES[penalty]}, seed {seed}, {kind}: {epochs} passes over {len(patches.rows):,} patches")
        fit(
            one,
            patches.rows,
            OnlineDictionary(),
            epochs=epochs,
            batch_size=BATCH,
            random_state=Random(seed).child(penalty),
            device=context.device,
            checkpoint=context.stage(name) / "checkpoint",
            callbacks=context.callbacks(name),
        )
        return one

    return context.model(name, make)  # type: ignore[return-value]  # what `make` made, or the same read back


def begun(patches: Patches, penalty: str, seed: int) -> SparseCoding:
    """A coder whose atoms are noise with the covariance of the patches."""
    one = SparseCoding(SIZE**2, N_ATOMS, penalty=penalty, cost=COSTS[penalty], iterations=SEARCH[penalty])
    with torch.no_grad():
        one.D.copy_(torch.from_numpy(noise(patches, seed)).T)
    return one


def noise(patches: Patches, seed: int) -> np.ndarray:
    """(n_atoms, size²) rows of length 1 from N(0, C), C the covariance of the patches."""
    whitening = Whitening.of(patches.rows, "pca")
    white = Random(seed).child("atoms").normal((N_ATOMS, whitening.n_components), torch.float64).numpy()
    rows = white * np.sqrt(whitening.variance) @ whitening.basis.T
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def atoms(one: SparseCoding) -> np.ndarray:
    """Rows (n_atoms, size²)."""
    return one.D.detach().cpu().numpy().T


def others(patches: dict[int, Patches]) -> dict[str, list[np.ndarray]]:
    """What the learnt atoms are held against, for every seed: rows (n, size²)."""
    shape = (N_ATOMS, SIZE**2)
    return {
        "principal components": [Whitening.of(one.rows, "pca").basis.T for one in patches.values()],
        "noise of the patches' covariance": [noise(one, seed) for seed, one in patches.items()],
        "white noise": [Random(seed).child("white").normal(shape, torch.float64).numpy() for seed in patches],
    }


# measures -----------------------------------------------------------------------------------------------------------


def good_share(found: GaborFits) -> float:
    """Percent of filters that are Gabor functions."""
    return 100 * float((found.r2 >= GOOD).mean())


def share(name: str, found: list[GaborFits], addition: str = "") -> Measured:
    """Share of filters that are Gabor functions, over seeds."""
    values = [good_share(one) for one in found]
    note = f"median R² {np.median(np.concatenate([one.r2 for one in found])):.2f}; {len(found[0])} filters per seed"
    what = f"Gabor functions (R² ≥ {GOOD:g}), {title(name)}{addition}"
    return Measured(what, float(np.mean(values)), spread(values), unit="%", note=note)


def spread(values: list[float]) -> float:
    return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


def controlled_shares(context: Context) -> list[Measured]:
    """Shares where the contrasts of patches were made more alike, for the first seed."""
    if context.quick:
        return []
    patches = data(context, context.seed, "patches", contrast=CONTROL)
    found = {p: coder(context, patches, p, context.seed, "controlled") for p in COSTS}
    return [share(p, [fit_gabor(patches.pictures(atoms(one)))], ", gain control") for p, one in found.items()]


@torch.no_grad()
def measured(penalty: str, coders: list[SparseCoding], held: Patches) -> list[Measured]:
    """What is left of patches of places drawn anew, and how heavy the tails of their codes are."""
    left, tails, active = [], [], []
    for one in coders:
        v = torch.from_numpy(held.rows).to(one.D)
        h = torch.cat([one.codes(part, iterations=200, tolerance=0.01).h for part in v.split(500)])
        left.append(100 * float((v - one.mean_v_from_h(h)).square().sum() / v.square().sum()))
        tails.append(kurtosis(h))
        active.append(100 * float((h.abs() > 0.1 * h.std()).double().mean()))
    name, note = PENALTIES[penalty], f"{np.mean(active):.0f} % of the codes exceed a tenth of their deviation"
    return [
        Measured(f"unexplained variance, {name}", float(np.mean(left)), spread(left), None, "%", False),
        Measured(f"kurtosis of codes, {name}", float(np.mean(tails)), spread(tails), note=note),
    ]


def kurtosis(h: Tensor) -> float:
    """E[h⁴] / E[h²]² − 3 over all codes: 0 for a normal distribution."""
    h = h.double()
    return float((h**4).mean() / (h**2).mean() ** 2 - 3)


def deviations(context: Context) -> list[str]:
    found = [
        "Two photographs that come with scikit-learn (JPEG, 427 × 640 pixels, halved) in place of ten of the American "
        "northwest (512 × 512): patches overlap, also those kept aside, and their statistics are those of two scenes.",
        f"{SIZE} × {SIZE} pixels and {N_ATOMS} atoms (paper: 16 × 16 and 192, quoted from memory); whitening by the "
        f"paper's filter with f₀ = {CUT_OFF:g} cycles per pixel on whole photographs.",
        f"Patches with less than {FLAT:g} of the image's deviation (sky, blur) are left out, and each loses its mean. "
        f"Rows with gain control divide each by its deviation to the power {CONTROL:g} too.",
        "The dictionary is learnt by block descent on sums over batches that forget (Mairal et al. 2010), atoms at "
        "most of length 1; the paper takes gradient steps and adapts lengths so that all codes have equal variance.",
        f"Costs {COSTS['log']:g} for log(1 + h²) and {COSTS['l1']:g} for |h| on patches of deviation 1: the better of "
        "two for log (0.25 and 1), the first tried for |h|, in short runs with gain control on 30,000 other places.",
        "Gain control was the main setting of a first recording (log 60.2 ± 2.0 %, |h| 99.7 ± 0.3 %); the paper's, "
        "without it, was made the main one after both had been seen, on the same measure.",
        "The paper shows its filters and gives no number for how many are Gabor functions: shares are ours.",
    ]
    if context.quick:
        found.insert(0, f"QUICK: {QUICK_PLACES:,} places, {QUICK_EPOCHS} pass; the numbers show only that all runs.")
    return found
