"""Strokes and edges from an encoder and a decoder: sparse codes that a search refines and one product guesses.

An encoder and a decoder with a sparsifying logistic between them learn MNIST's digits, and whitened patches of
photographs. For every row the code of least energy is searched for, and encoder and decoder take a step towards it.
Afterwards the encoder alone gives the codes. Measured are how near its guesses are to the codes of least energy, how
sparse the codes are, what is left of the rows, how much a linear classifier with few labels gains from codes over
pixels, and how many decoder filters of patches are Gabor functions. A small deconvolutional network codes the same
digits by filters that serve every place.
"""

from __future__ import annotations

import warnings

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from lamina.core.random import Random
from lamina.metrics import fit_gabor
from lamina.models.sparse import SparseEncoderDecoder
from lamina.recipes.context import Context
from lamina.recipes.digits import Digits, mnist
from lamina.recipes.olshausen1996_sparse_coding.natural import Patches, natural_patches
from lamina.recipes.ranzato2006_sparse_energy.deconvolution import IMAGES, deconvolved
from lamina.recipes.record import Images, Lines, Measured, Outcome
from lamina.training import L1, Schedule, SparseEnergy, fit

NAME = "ranzato2006_sparse_energy"
TITLE = "Sparse encoder and decoder: strokes, edges, features for few labels"
PAPER = (
    "M. Ranzato, C. Poultney, S. Chopra, Y. LeCun (2006) Efficient learning of sparse representations with an "
    "energy-based model. NIPS 19"
)
MINUTES = 6

SETTINGS: dict[str, dict] = {
    # scale: what rows are multiplied by, so that columns of length 1 and codes below 1 can add up to them
    "digits": {"n": 196, "eta": 0.1, "tie": 0.3, "scale": 0.5, "l1": 5e-4, "rate": 0.003, "epochs": 2},
    "patches": {"n": 200, "eta": 0.1, "tie": 0.3, "scale": 0.25, "l1": 2e-3, "rate": 0.002, "epochs": 4},
}
BETA, SEARCH, BATCH = 1.0, 5, 50
SIZE, PLACES, CONTRAST, QUICK_PLACES = 12, 60_000, 0.7, 6000
MEASURING = 15  # steps of the search when codes are measured
LABELS, DRAWS, STRENGTHS, STEPS = (100, 1000), 3, (3.0, 30.0, 300.0, 3000.0), 100
CHOOSE_BY = 2000
GOOD, WIDE = 0.7, 0.8  # R² from which a filter counts as a Gabor function; its least σ in pixels: no single dots
WORDS = {"pixels": "pixels", "guess": "encoder's codes", "code": "codes of least energy"}


def run(context: Context) -> Outcome:
    digits = mnist(context)
    patches = natural_patches(QUICK_PLACES if context.quick else PLACES, SIZE, CONTRAST, Random(context.seed))
    held = natural_patches(8000, SIZE, CONTRAST, Random(context.seed).child("held"))
    rows = {"digits": digits.train.X, "patches": patches.rows}
    models = {name: learnt(context, name, X) for name, X in rows.items()}
    results = []
    for name, X in {"digits": digits.test.X, "patches": held.rows[:2000]}.items():
        results += measured(models[name], name, X)
    results += few_labels(context, models["digits"], digits)
    results += gabor_shares(models["patches"], patches)
    layers, drawn = deconvolved(context, digits)
    figures: list[Images | Lines] = [*pictures(models, digits, patches), curves(context), *drawn]
    return Outcome([*results, *layers], deviations(context), [context.seed], figures)


def learnt(context: Context, name: str, X: np.ndarray) -> SparseEncoderDecoder:
    """The model of these rows, from this run's memory if it is there."""
    settings = SETTINGS[name]

    def make() -> SparseEncoderDecoder:
        model = begun(context, name, X.shape[1])
        epochs = 1 if context.quick else settings["epochs"]
        context.say(f"{name}: {epochs} passes over {len(X):,} rows")
        history = fit(
            model,
            X * np.float32(settings["scale"]),
            SparseEnergy(),
            epochs=epochs,
            batch_size=BATCH,
            learning_rate=Schedule(((0.0, settings["rate"]), (float(epochs), settings["rate"] / 10)), linear=True),
            optimiser="adam",
            penalties=[L1(settings["l1"])] if settings["l1"] else (),
            random_state=Random(context.seed).child(name),
            device=context.device,
            checkpoint=context.stage(name) / "checkpoint",
            callbacks=context.callbacks(name),
        )
        context.keep(f"curve {name}", lambda: {k: history[k] for k in ("energy", "guessed energy")})
        return model

    return context.model(name, make)  # type: ignore[return-value]  # what `make` made, or the same read back


def begun(context: Context, name: str, n_visible: int) -> SparseEncoderDecoder:
    settings = SETTINGS[name]
    return SparseEncoderDecoder(
        n_visible,
        settings["n"],
        eta=settings["eta"],
        beta=BETA,
        tie=settings["tie"],
        iterations=SEARCH,
        random_state=Random(context.seed).child(name),
    )


# measures -----------------------------------------------------------------------------------------------------------


@torch.no_grad()
def encoded(model: SparseEncoderDecoder, X: np.ndarray, scale: float) -> dict[str, np.ndarray]:
    """Codes guessed and codes of least energy, (n, n_hidden) each, and ``energies`` (n, 2) of the two."""
    found: dict[str, list[np.ndarray]] = {"guess": [], "code": [], "energies": []}
    for v in (torch.from_numpy(X) * scale).to(model.W).split(2000):
        codes = model.codes(v, MEASURING)
        found["guess"].append(model.mean_h_from_v(v).cpu().numpy())
        found["code"].append(model.sparse(codes.z).cpu().numpy())
        found["energies"].append(torch.stack([codes.guessed_energy, codes.energy], 1).cpu().numpy())
    return {name: np.concatenate(parts) for name, parts in found.items()}


def measured(model: SparseEncoderDecoder, name: str, X: np.ndarray) -> list[Measured]:
    """How far guesses are from codes of least energy, how sparse the codes are, and what they leave of the rows."""
    scale = SETTINGS[name]["scale"]
    found = encoded(model, X, scale)
    D, rows = model.dictionary().detach().cpu().numpy(), X * scale
    left = {k: 100 * float(((rows - found[k] @ D.T) ** 2).sum() / (rows**2).sum()) for k in ("guess", "code")}
    guessed, least = found["energies"].mean(0)
    codes = found["code"]
    on = f"{100 * (codes > 0.5).mean():.1f} % of the codes exceed ½; least used unit {codes.mean(0).min():.3f}"
    return [
        Measured(f"{name}: energy of the guess over the least", float(guessed / least), higher_is_better=False),
        Measured(f"{name}: unexplained, encoder's codes", left["guess"], unit="%", higher_is_better=False),
        Measured(f"{name}: unexplained, codes of least energy", left["code"], unit="%", higher_is_better=False),
        Measured(f"{name}: mean code", float(codes.mean()), higher_is_better=False, note=on),
        Measured(f"{name}: Hoyer sparseness of the codes", float(hoyer(codes).mean())),
    ]


def hoyer(H: np.ndarray) -> np.ndarray:
    """(√n − ‖h‖₁/‖h‖₂) / (√n − 1) per row: 0 where all units are equally active, 1 where one alone is (Hoyer 2004)."""
    root = np.sqrt(H.shape[1])
    return (root - np.abs(H).sum(1) / np.maximum(np.linalg.norm(H, axis=1), 1e-12)) / (root - 1)


def few_labels(context: Context, model: SparseEncoderDecoder, digits: Digits) -> list[Measured]:
    """Test error of softmax regression on pixels and on codes, with few labels."""
    found = context.keep("few labels", lambda: label_errors(context, model, digits))
    results = []
    for n in found["sizes"]:
        for name, words in WORDS.items():
            errors = found["errors"][f"{name} {n}"]
            sd = float(np.std(errors, ddof=1)) if len(errors) > 1 else 0.0
            what = f"test error, {words}, {n} labels"
            results.append(
                Measured(what, float(np.mean(errors)), sd, None, "%", False, f"{len(errors)} draws of labels")
            )
    return results


def label_errors(context: Context, model: SparseEncoderDecoder, digits: Digits) -> dict:
    """Errors in percent for every feature, number of labels and draw; the strength is chosen on validation rows."""
    sizes, draws = (LABELS[:1], 1) if context.quick else (LABELS, DRAWS)
    scale = SETTINGS["digits"]["scale"]
    parts = {"validation": digits.validation.X[:CHOOSE_BY], "test": digits.test.X}
    chosen = {}
    for draw in range(draws):
        chosen[draw] = Random(context.seed).child("labels", draw).permutation(len(digits.train))[: sizes[-1]]
        parts[f"labelled {draw}"] = digits.train.X[chosen[draw]]
    codes = {part: encoded(model, X, scale) for part, X in parts.items()}
    errors: dict[str, list[float]] = {}
    for name in WORDS:
        H = {part: (parts[part] if name == "pixels" else codes[part][name]) for part in parts}
        unit = np.sqrt((H["validation"] ** 2).sum(1).mean())  # rows of mean squared length 1, whatever the feature
        H = {part: rows / unit for part, rows in H.items()}
        for n in sizes:
            for draw in range(draws):
                labelled, y = H[f"labelled {draw}"][:n], digits.train.y[chosen[draw]][:n]
                fitted = [classifier(labelled, y, strength) for strength in STRENGTHS]
                held = [wrong(one, H["validation"], digits.validation.y[:CHOOSE_BY]) for one in fitted]
                best = fitted[int(np.argmin(held))]
                errors.setdefault(f"{name} {n}", []).append(wrong(best, H["test"], digits.test.y))
    return {"sizes": list(sizes), "errors": errors}


def classifier(H: np.ndarray, y: np.ndarray, strength: float) -> LogisticRegression:
    """Softmax regression; the limit of its steps is part of the protocol, so it may not converge."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return LogisticRegression(C=strength, max_iter=STEPS).fit(H, y)


def wrong(model: LogisticRegression, H: np.ndarray, y: np.ndarray) -> float:
    return 100 * float((model.predict(H) != y).mean())


def gabor_shares(model: SparseEncoderDecoder, patches: Patches) -> list[Measured]:
    """Share of Gabor functions among the decoder's and the encoder's filters of patches."""
    found = []
    for name, W in {"decoder": model.dictionary(), "encoder": model.W}.items():
        fits = fit_gabor(patches.pictures(W.detach().cpu().numpy().T))
        wide = np.minimum(fits.sigma_along, fits.sigma_across) >= WIDE
        dots = 100 * float(((fits.r2 >= GOOD) & ~wide).mean())
        note = f"σ at least {WIDE:g} pixels; narrower fits as good, dots: {dots:.0f} %; {len(fits)} filters"
        what = f"patches: Gabor functions (R² ≥ {GOOD:g}), {name}"
        found.append(Measured(what, 100 * float(((fits.r2 >= GOOD) & wide).mean()), unit="%", note=note))
    return found


# pictures -----------------------------------------------------------------------------------------------------------


def pictures(models: dict[str, SparseEncoderDecoder], digits: Digits, patches: Patches) -> list[Images]:
    """Filters of both models, and test digits beside what codes leave of them."""
    strokes = models["digits"].dictionary().detach().cpu().numpy().T.reshape(-1, 28, 28)
    edges, filters = (
        patches.pictures(W.detach().cpu().numpy().T) for W in (models["patches"].dictionary(), models["patches"].W)
    )
    return [
        Images("Decoder filters of digits", strokes, signed=True),
        parts_of(models["digits"], digits.test.X[:6]),
        rebuilt(models["digits"], digits.test.X[:14]),
        Images("Decoder filters of patches", edges, signed=True),
        Images("Encoder filters of patches", filters, signed=True),
    ]


def parts_of(model: SparseEncoderDecoder, X: np.ndarray) -> Images:
    """Each digit, what its code rebuilds, and the ten parts that add most to it, z̄_j d_j."""
    scale = SETTINGS["digits"]["scale"]
    codes = encoded(model, X, scale)["code"]
    D = model.dictionary().detach().cpu().numpy()
    rows = []
    for x, h in zip(X, codes, strict=True):
        parts = h * D  # (pixels, units)
        most = np.argsort(-h)[:10]
        rows.append(np.stack([x * scale, parts.sum(1), *parts[:, most].T]))
    shown = np.stack(rows).reshape(len(X), -1, 28, 28)
    note = "left to right: digit, sum of all parts, the ten parts of largest code"
    return Images("Digits as sums of parts", shown, signed=True, note=note)


def rebuilt(model: SparseEncoderDecoder, X: np.ndarray) -> Images:
    """Test digits, and their reconstructions from the encoder's codes and from those of least energy."""
    scale = SETTINGS["digits"]["scale"]
    codes, D = encoded(model, X, scale), model.dictionary().detach().cpu().numpy()
    rows = [X, *(np.clip(codes[k] @ D.T / scale, 0, 1) for k in ("guess", "code"))]
    captions = ("test digits", "from the encoder's codes", "from codes of least energy")
    return Images("Reconstructions", np.stack(rows).reshape(3, -1, 28, 28), captions)


def curves(context: Context) -> Lines:
    series = {}
    for name in SETTINGS:
        kept = context.keep(f"curve {name}", dict)
        for measure, words in (("energy", "least"), ("guessed energy", "guess")):
            values = np.asarray(kept[measure])
            series[f"{name}, {words}"] = (np.arange(1, len(values) + 1), values)
    return Lines("Energy while learning", "pass over the rows", "mean energy per row", series)


def deviations(context: Context) -> list[str]:
    digits, patches = SETTINGS["digits"], SETTINGS["patches"]
    found = [
        f"Rows are multiplied by {digits['scale']:g} (digits, grey values in [0, 1]) and {patches['scale']:g} (patches "
        "of deviation 1), so that columns of length 1 with codes below 1 can add up to them: on larger rows the codes "
        "went to fewer and fewer units. The paper's own scale was not at hand.",
        f"η = {digits['eta']:g} for both (paper: 0.01 for digits, 0.02 for patches, quoted from memory, where hardly a "
        f"unit was active here), β = {BETA:g}, {SEARCH} steps of the search per row while learning.",
        f"Batches of {BATCH} rows, Adam at rates that fall from {digits['rate']:g} and {patches['rate']:g} to a tenth "
        f"(paper: one row at a time, plain gradients); L1 penalties of {digits['l1']:g} and {patches['l1']:g} on "
        "encoder and decoder, without which filters were whole digits after as many steps. Chosen in short runs on "
        "6,000 training digits, by eye (strokes) and by energy, and on other patches, where no setting that was tried "
        "gave Gabor functions: less of the penalty left noise, this much ends in single dots.",
        f"Two photographs that come with scikit-learn, halved, whitened in whole ({SIZE} × {SIZE} pixels, "
        f"contrasts to the power {1 - CONTRAST:.1f}), in place of 100,000 patches of the Berkeley set.",
        "The classifier on few labels is an addition: the paper starts a convolutional network at such filters (0.39 % "
        f"with distorted digits, quoted from memory), left out here. Its strength is one of {STRENGTHS}, chosen on "
        f" {CHOOSE_BY:,} validation rows for each feature and draw alike.",
        f"Codes of least energy are those after {MEASURING} steps of the search from the encoder's guess.",
        "The paper shows its filters and gives no number for how many are Gabor functions.",
        f"The deconvolutional network (Zeiler et al. 2010, 2011) is an addition: two small layers on {IMAGES} digits.",
    ]
    if context.quick:
        found.insert(0, "QUICK: few rows, one pass, one draw of 100 labels; the numbers show only that all runs.")
    return found
