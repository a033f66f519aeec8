"""Guess what is hidden: a small vision transformer learns digits by guessing patches, then from few labels.

Of every image most patches are hidden, and an encoder that sees the rest, with a light decoder, learns to predict their
pixels, on 60,000 digits without labels. Then the decoder is put aside. With 1,000 labels, a linear classifier on the
encoder's features is compared with one on the features of the same network with random weights, and one on pixels; and
fine-tuning the whole network with fine-tuning from random weights.
"""

from __future__ import annotations

import warnings
from functools import partial
from typing import Any

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from lamina.core.random import Random
from lamina.models.autoencoders import MaskedAutoencoder
from lamina.models.networks import VisionTransformer
from lamina.recipes.context import Context
from lamina.recipes.digits import Digits, mnist
from lamina.recipes.record import Images, Lines, Measured, Outcome
from lamina.training import Classification, MaskedReconstruction, Schedule, fit

NAME = "he2022_masked_autoencoder"
TITLE = "Masked autoencoder: digits learnt by guessing hidden patches"
PAPER = "K. He, X. Chen, S. Xie and others (2022) Masked autoencoders are scalable vision learners. CVPR"
MINUTES = 15

NETWORK: dict[str, Any] = {"patch": 4, "width": 64, "depth": 3, "heads": 4, "hidden": 128}
DECODER: dict[str, Any] = {"decoder_width": 32, "decoder_depth": 1, "masked": 0.75}
EPOCHS, QUICK_EPOCHS = 15, 2
BATCH, RATE, WARM_UP, DECAY = 100, 1.5e-3, 1, 0.05
N_LABELS = 1000
DRAWS, QUICK_DRAWS = 5, 2  # of labelled rows, for the linear classifiers
NETS, QUICK_NETS = 3, 1  # networks with random weights
TUNINGS, QUICK_TUNINGS = 1, 1  # draws for fine-tuning
TUNING_EPOCHS, QUICK_TUNING_EPOCHS, TUNING_BATCH, TUNING_RATE = 25, 2, 50, 1e-3
STRENGTHS = (0.01, 0.1, 1.0)  # C of scikit-learn: the inverse strength of the classifier's regularisation
CHOOSING = 2000  # validation rows
PIXELS = "pixels"


def run(context: Context) -> Outcome:
    digits = mnist(context)
    model = learnt(context, digits)
    guesses = context.keep("guesses", partial(guess_errors, model, digits))
    context.say(f"hidden pixels: error {guesses['model']:.4f}, mean image {guesses['mean image']:.4f}")
    probes = probed(context, digits, model)
    tuned = {start: tunings(context, digits, model, start) for start in ("learnt", "random")}
    results = [*guess_rows(guesses), *probe_rows(probes), *tuning_rows(tuned)]
    nets = QUICK_NETS if context.quick else NETS
    seeds = [context.seed + k for k in range(max(nets, len(tuned["learnt"])))]
    return Outcome(results, deviations(context), seeds, [pictures(model, digits), curve(context)])


# learning without labels --------------------------------------------------------------------------------------------


def learnt(context: Context, digits: Digits) -> MaskedAutoencoder:
    """The masked autoencoder after its passes over all training rows, from this run's memory if it is there."""
    epochs = QUICK_EPOCHS if context.quick else EPOCHS
    X = digits.full.X

    def make() -> MaskedAutoencoder:
        model = MaskedAutoencoder((1, 28, 28), **NETWORK, **DECODER)
        model.initialise(context.seed, torch.from_numpy(X.mean(0)))
        context.say(f"{epochs} passes over {len(X):,} rows, {model.n_seen} of {model.n_patches} patches visible")
        history = fit(
            model,
            X,
            MaskedReconstruction(),
            epochs=epochs,
            batch_size=BATCH,
            learning_rate=warmed(RATE, epochs),
            weight_decay=DECAY,
            optimiser="adam",
            random_state=Random(context.seed).child("learning"),
            device=context.device,
            checkpoint=context.stage("masked autoencoder") / "checkpoint",
            callbacks=context.callbacks("masked autoencoder"),
        )
        context.keep("curve", lambda: history["training loss"])
        return model

    return context.model("masked autoencoder", make, {"shape": (1, 28, 28)})  # type: ignore[return-value]


def warmed(rate: float, epochs: int) -> Schedule:
    """A straight line up to ``rate`` in the first pass, held for half of the passes, then a straight line down."""
    up = min(WARM_UP, epochs / 4)
    return Schedule(
        ((0.0, rate / 20), (up, rate), (max(up, epochs / 2), rate), (float(epochs), rate / 100)), linear=True
    )


@torch.no_grad()
def guess_errors(model: MaskedAutoencoder, digits: Digits) -> dict[str, float]:
    """Mean squared error over hidden pixels of test rows: of the model's guess, and of the mean training image."""
    mean = torch.from_numpy(digits.full.X.mean(0))
    sums = {"model": 0.0, "mean image": 0.0}
    random = Random(0).child("test masks")
    for rows in torch.arange(len(digits.test)).split(1000):
        v = torch.from_numpy(digits.test.X)[rows]
        visible, hidden = model.draw_places(len(v), random.at(0, rows))
        holes = torch.isnan(model.hide(v, hidden))
        guess = model.fill_in(v.to(model.mask), visible, hidden).cpu()
        share = model.n_visible * (1 - model.n_seen / model.n_patches)
        sums["model"] += float(((guess - v).square() * holes).sum()) / share
        sums["mean image"] += float(((mean - v).square() * holes).sum()) / share
    return {name: value / len(digits.test) for name, value in sums.items()}


# linear classifiers -------------------------------------------------------------------------------------------------


def labelled(digits: Digits, draw: int, seed: int) -> np.ndarray:
    """Row numbers of the training part whose labels may be used in this draw: as many as `N_LABELS`, at most a half."""
    n = min(N_LABELS, len(digits.train) // 2)
    return Random(seed).child("labels", draw).permutation(len(digits.train))[:n]


@torch.no_grad()
def features(model: Any, X: np.ndarray) -> np.ndarray:
    """Pooled features of whole images, (n, width); pixels where there is no model."""
    if model is None:
        return X
    like = next(model.parameters())
    parts = torch.from_numpy(X).split(500)
    return torch.cat([model.mean_h_from_v(part.to(like)).cpu() for part in parts]).numpy()


def probed(context: Context, digits: Digits, model: MaskedAutoencoder) -> dict[str, list[dict]]:
    """For each kind of features the errors of every draw of labels (for random weights: of every net and draw)."""
    found: dict[str, list[dict]] = {"learnt": [], "random": [], PIXELS: []}
    nets = range(QUICK_NETS if context.quick else NETS)
    candidates: list[tuple[str, str, Any]] = [("learnt", "learnt", model.encoder), (PIXELS, PIXELS, None)]
    candidates += [("random", f"random {k}", random_network(context, k)) for k in nets]
    for kind, name, network in candidates:
        runs = context.keep(f"probes {name}", partial(probes, context, digits, network))
        found[kind] += runs
        context.say(f"linear classifier on {name}: test error {np.mean([run['error'] for run in runs]):.2f} %")
    return found


def random_network(context: Context, k: int) -> VisionTransformer:
    return VisionTransformer((1, 28, 28), **NETWORK, random_state=Random(context.seed + k).child("never trained"))


def probes(context: Context, digits: Digits, network: Any) -> list[dict[str, float]]:
    """Test error in percent for each draw of labels; C is chosen on validation rows."""
    held, y_held = digits.validation.X[:CHOOSING], digits.validation.y[:CHOOSING]
    H = {"held": features(network, held), "test": features(network, digits.test.X)}
    return [
        probe(H, y_held, digits, features(network, digits.train.X[rows]), rows)
        for rows in (labelled(digits, k, context.seed) for k in range(QUICK_DRAWS if context.quick else DRAWS))
    ]


def probe(H: dict, y_held: np.ndarray, digits: Digits, codes: np.ndarray, rows: np.ndarray) -> dict[str, float]:
    scale = StandardScaler().fit(codes)
    fitted = [classifier(scale.transform(codes), digits.train.y[rows], strength) for strength in STRENGTHS]
    errors = [wrong(one, scale.transform(H["held"]), y_held) for one in fitted]
    best = int(np.argmin(errors))
    error = wrong(fitted[best], scale.transform(H["test"]), digits.test.y)
    return {"error": error, "validation": errors[best], "C": STRENGTHS[best]}


def classifier(H: np.ndarray, y: np.ndarray, strength: float) -> LogisticRegression:
    """Multinomial logistic regression; the limit of its steps is part of the protocol, so it may not converge."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return LogisticRegression(C=strength, max_iter=200).fit(H, y)


def wrong(model: LogisticRegression, H: np.ndarray, y: np.ndarray) -> float:
    return 100 * float((model.predict(H) != y).mean())


# fine-tuning --------------------------------------------------------------------------------------------------------


def tunings(context: Context, digits: Digits, model: MaskedAutoencoder, start: str) -> list[float]:
    """Test error in percent after training all weights on each draw of labels."""
    draws = range(QUICK_TUNINGS if context.quick else TUNINGS)
    errors = []
    for draw in draws:
        make = partial(tuned_error, context, digits, model, start, draw)
        errors.append(context.keep(f"tuned {start} {draw}", make))
        context.say(f"fine-tuned from {start} weights, draw {draw + 1}: test error {errors[-1]:.2f} %")
    return errors


def tuned_error(context: Context, digits: Digits, model: MaskedAutoencoder, start: str, draw: int) -> float:
    source = model if start == "learnt" else random_network(context, draw)
    network = source.classifier(10)
    epochs = QUICK_TUNING_EPOCHS if context.quick else TUNING_EPOCHS
    rows = labelled(digits, draw, context.seed)
    fit(
        network,
        (digits.train.X[rows], digits.train.y[rows]),
        Classification(),
        epochs=epochs,
        batch_size=TUNING_BATCH,
        learning_rate=warmed(TUNING_RATE, epochs),
        weight_decay=DECAY,
        optimiser="adam",
        random_state=Random(context.seed).child("tuning", draw),  # the same order for both
        device=context.device,
        checkpoint=context.stage(f"tuned {start} {draw}") / "checkpoint",
        callbacks=context.callbacks(f"tuning, {start} {draw}"),
    )
    return 100 * outputs_wrong(network, digits.test.X, digits.test.y)


@torch.no_grad()
def outputs_wrong(network: VisionTransformer, X: np.ndarray, y: np.ndarray) -> float:
    parts = torch.from_numpy(X).split(500)
    found = torch.cat([network(part.to(network.E)).argmax(1).cpu() for part in parts]).numpy()
    return float((found != y).mean())


# what is reported ---------------------------------------------------------------------------------------------------


def guess_rows(errors: dict[str, float]) -> list[Measured]:
    titles = {"model": "masked autoencoder", "mean image": "mean image"}
    note = "mean over hidden pixels of test rows, grey values in [0, 1]"
    return [
        Measured(f"squared error of hidden pixels, {title}", errors[name], higher_is_better=False, note=note)
        for name, title in titles.items()
    ]


def probe_rows(found: dict[str, list[dict]]) -> list[Measured]:
    titles = {"learnt": "learnt features", "random": "features of random weights", PIXELS: "pixels"}
    rows = []
    for kind, title in titles.items():
        errors = [run["error"] for run in found[kind]]
        note = f"{len(errors)} runs, {min(errors):.2f} to {max(errors):.2f} %; C = " + ", ".join(
            f"{strength:g}" for strength in sorted({run["C"] for run in found[kind]})
        )
        what = f"test error with 1,000 labels, linear classifier on {title}"
        rows.append(Measured(what, float(np.mean(errors)), deviation(errors), None, "%", False, note))
    return rows


def tuning_rows(found: dict[str, list[float]]) -> list[Measured]:
    rows = []
    for start, errors in found.items():
        note = f"{len(errors)} runs, {min(errors):.2f} to {max(errors):.2f} %"
        what = f"test error with 1,000 labels, all weights trained from {start} ones"
        rows.append(Measured(what, float(np.mean(errors)), deviation(errors), None, "%", False, note))
    return rows


def deviation(values: list[float]) -> float:
    return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


@torch.no_grad()
def pictures(model: MaskedAutoencoder, digits: Digits, n: int = 14) -> Images:
    v = torch.from_numpy(digits.test.X[:n]).to(model.mask)
    visible, hidden = model.draw_places(len(v), Random(0).child("pictures").at(0), v.device)
    shown = [model.hide(v, hidden), model.fill_in(v, visible, hidden).clamp(0, 1), v]
    rows = torch.stack(shown).reshape(3, len(v), 28, 28).cpu().numpy()
    note = f"{model.n_patches - model.n_seen} of {model.n_patches} patches are hidden; test digits"
    return Images("Hidden patches, guessed", rows, ("what it sees", "its guess", "the truth"), note=note)


def curve(context: Context) -> Lines:
    losses = context.keep("curve", list)
    series = {"masked autoencoder": (np.arange(1, len(losses) + 1), losses)}
    return Lines("Learning without labels", "pass over the rows", "squared error of hidden pixels", series)


def deviations(context: Context) -> list[str]:
    size = f"{NETWORK['depth']} blocks of width {NETWORK['width']} (ViT-L: 24 of 1,024)"
    found = [
        "MNIST in place of ImageNet: 60,000 grey digits of 28 × 28 pixels without labels, then 1,000 labels. Numbers "
        "of the paper are not comparable and none is quoted.",
        f"A network of {size}; patches of {NETWORK['patch']} × {NETWORK['patch']} pixels, "
        f"{100 * DECODER['masked']:.0f} % of them hidden as in the paper; decoder of {DECODER['decoder_depth']} block "
        f"of width {DECODER['decoder_width']} (paper: 8 of 512).",
        f"{EPOCHS} passes (paper: 800 to 1,600), Adam with decoupled decay {DECAY:g}, rate {RATE:g} with a warm-up of "
        f"one pass and a straight line down over the second half (paper: a cosine); no crops, no flips, no colour "
        f"jitter anywhere.",
        "Pixels are predicted as they are, not normalised patch by patch: most patches of a digit's margin are empty.",
        f"Features are the mean of the last tokens, standardised; C of the linear classifier is chosen on {CHOOSING:,} "
        f"validation rows, of which the encoder has seen the images, as of all training rows.",
        f"Fine-tuning: {TUNING_EPOCHS} passes, no augmentation, no layer-wise rates, no dropped paths; the same "
        f"settings from learnt and from random weights.",
    ]
    if context.quick:
        found.insert(0, f"QUICK: 5,000 rows, {QUICK_EPOCHS} passes, fewer draws; the numbers show only that all runs.")
    return found
