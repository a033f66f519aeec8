"""Two signals, one code: the left and the right half of a digit are taken as two senses, and either may be missing.

Machines learn each half, a shared one learns their hidden units side by side, and all three are unrolled to a deep
autoencoder. Fine-tuned to give back both halves from both, from the left or from the right alone, it is compared with
the same network that always saw both: how well it guesses the half that is missing, how well its code tells the digit
when a half is missing, and whether a classifier that was trained on codes of left halves reads codes of right halves.
"""

from __future__ import annotations

import warnings
from functools import partial
from typing import Any

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from lamina.core.random import Random
from lamina.models.activations import ACTIVATIONS
from lamina.models.autoencoders import BimodalAutoencoder, bimodal
from lamina.models.energy import RBM
from lamina.recipes.context import Context
from lamina.recipes.digits import mnist
from lamina.recipes.ngiam2011_bimodal.halves import CanonicalPair, Pair, canonical, halves, linear_guess, pictures
from lamina.recipes.record import Images, Lines, Measured, Outcome
from lamina.training import BimodalReconstruction, falling, fit, pretrain_bimodal

NAME = "ngiam2011_bimodal"
TITLE = "Bimodal autoencoder: one code for two halves of a digit"
PAPER = "J. Ngiam, A. Khosla, M. Kim, J. Nam, H. Lee, A. Ng (2011) Multimodal deep learning. ICML"
MINUTES = 6

N_HIDDEN, N_SHARED = 256, 128
PRETRAIN_EPOCHS, EPOCHS, QUICK_EPOCHS = 4, 10, 2
RATE, TUNING_RATE = 0.05, 1e-3
KINDS = {"either half": (1 / 3, 1 / 3, 1 / 3), "always both": (1.0, 0.0, 0.0)}  # shares of what is shown
N_LABELS = 5000
STRENGTHS = (0.1, 1.0)  # C of scikit-learn: the inverse strength of the classifier's regularisation
RIDGES = (1.0, 10.0, 100.0)  # of the linear regression
VARIATES, CANONICAL_RIDGE = (20, 50, 100), 0.1
SIDES = {"right from left": ("a", "b"), "left from right": ("b", "a")}
CARRIED = {"left to right": ("a", "b"), "right to left": ("b", "a")}  # learnt from, tested on
GIVEN = {"both halves": "ab", "the left half": "a", "the right half": "b"}


def run(context: Context) -> Outcome:
    parts = data(context)
    start = unrolled(context, parts["train"])
    models = {name: tuned(context, parts, start, name) for name in KINDS}
    guesses = context.keep("guesses", partial(guess_errors, models, parts))
    context.say(f"guessing the right half: {guesses['right from left']}")
    codes = context.keep("codes", partial(code_errors, models, parts))
    context.say(f"classifiers on codes, given ...: {codes}")
    same = context.keep("same half", partial(same_half_errors, models, parts))
    context.say(f"trained and tested on one half: {same}")
    shared = context.keep("shared", partial(shared_errors, models, start, parts))
    context.say(f"trained on one half, tested on the other: {shared}")
    results = [
        *guess_rows(guesses),
        *code_rows(codes, "test error given"),
        *code_rows(same, SAME),
        *shared_rows(shared),
    ]
    figures: list[Images | Lines] = [drawn(models["either half"], parts), curves(context)]
    return Outcome(results, deviations(context), [context.seed], figures)


def data(context: Context) -> dict[str, Pair]:
    digits = mnist(context)
    return {name: halves(part.X, part.y) for name, part in vars(digits).items()}


# learning -----------------------------------------------------------------------------------------------------------


def unrolled(context: Context, train: Pair) -> BimodalAutoencoder:
    """The autoencoder that the pre-trained machines unroll to, from this run's memory if it is there."""
    epochs = QUICK_EPOCHS if context.quick else PRETRAIN_EPOCHS

    def make() -> BimodalAutoencoder:
        context.say(f"machines of {N_HIDDEN} units for each half and {N_SHARED} for both: {epochs} passes each")
        n_a, n_b = train.a.shape[1], train.b.shape[1]
        machines = RBM(n_a, N_HIDDEN), RBM(n_b, N_HIDDEN), RBM(2 * N_HIDDEN, N_SHARED)
        pretrain_bimodal(
            *machines,
            train.a,
            train.b,
            epochs=epochs,
            learning_rate=RATE,
            random_state=Random(context.seed).child("pre-training"),
            device=context.device,
            checkpoint=context.stage("unrolled") / "checkpoint",
            callbacks=lambda name: context.callbacks(f"machine {name}"),
        )
        return bimodal(*machines)

    return context.model("unrolled", make)  # type: ignore[return-value]


def tuned(context: Context, parts: dict[str, Pair], start: BimodalAutoencoder, name: str) -> BimodalAutoencoder:
    """``start`` fine-tuned by what ``name`` shows it."""
    epochs = QUICK_EPOCHS if context.quick else EPOCHS

    def make() -> BimodalAutoencoder:
        context.say(f"{name}: {epochs} passes over {len(parts['train']):,} rows")
        model = BimodalAutoencoder.from_spec(start.spec(), lambda spec: spec)
        model.load_state_dict(start.state_dict())
        history = fit(
            model,
            parts["train"].rows,
            BimodalReconstruction(KINDS[name]),
            epochs=epochs,
            batch_size=100,
            learning_rate=falling(TUNING_RATE, epochs),
            optimiser="adam",
            validation=parts["validation"].first(2000).rows,
            random_state=Random(context.seed).child("tuning"),
            device=context.device,
            checkpoint=context.stage(name) / "checkpoint",
            callbacks=context.callbacks(name),
        )
        context.keep(
            f"curve {name}", lambda: {f"from {seen}": history[f"validation loss from {seen}"] for seen in "ab"}
        )
        return model

    return context.model(name, make, {"shape": (1, 28, 28)})  # type: ignore[return-value]


# guessing the other half --------------------------------------------------------------------------------------------


@torch.no_grad()
def guess(model: BimodalAutoencoder, pair: Pair, given: str) -> tuple[np.ndarray, np.ndarray]:
    """Both halves from the half ``given`` ("a" or "b")."""
    like = next(model.parameters())
    chunks = torch.from_numpy(getattr(pair, given)).split(5000)
    found = [model.reconstruct(**{given: chunk.to(like)}) for chunk in chunks]
    a, b = (torch.cat(columns).cpu().numpy() for columns in zip(*found, strict=True))
    return a, b


def guess_errors(models: dict[str, BimodalAutoencoder], parts: dict[str, Pair]) -> dict[str, dict[str, float]]:
    """Mean squared error per pixel on test rows of the half that was not given, for each method."""
    test, train = parts["test"], parts["train"]
    found: dict[str, dict[str, float]] = {}
    for side, (given, wanted) in SIDES.items():
        truth = getattr(test, wanted)
        errors = {name: squared(guess(model, test, given)["ab".index(wanted)], truth) for name, model in models.items()}
        errors["linear regression"] = squared(regression(parts, given, wanted)(getattr(test, given)), truth)
        errors["mean image"] = squared(getattr(train, wanted).mean(0), truth)
        found[side] = errors
    return found


def regression(parts: dict[str, Pair], given: str, wanted: str) -> Any:
    """The ridge regression that does best on validation rows."""
    X, Y = getattr(parts["train"], given), getattr(parts["train"], wanted)
    fitted = [linear_guess(X, Y, strength) for strength in RIDGES]
    held = parts["validation"]
    errors = [squared(one(getattr(held, given)), getattr(held, wanted)) for one in fitted]
    return fitted[int(np.argmin(errors))]


def squared(guessed: np.ndarray, truth: np.ndarray) -> float:
    return float(np.mean((guessed - truth) ** 2, dtype=np.float64))


# classifiers on the code --------------------------------------------------------------------------------------------


@torch.no_grad()
def code(model: BimodalAutoencoder, pair: Pair, given: str) -> np.ndarray:
    """The code of the halves ``given`` ("ab", "a" or "b")."""
    like = next(model.parameters())
    halves_given = {half: torch.from_numpy(getattr(pair, half)).to(like) for half in given}
    return model.code(**halves_given).cpu().numpy()


def pixels(pair: Pair, given: str) -> np.ndarray:
    """The halves ``given`` as they are, zeros for the other."""
    return np.concatenate([x if half in given else np.zeros_like(x) for half, x in (("a", pair.a), ("b", pair.b))], 1)


def encoders(models: dict[str, BimodalAutoencoder]) -> dict[str, Any]:
    """Functions (halves, which are given) → features, by name."""
    return {name: partial(code, model) for name, model in models.items()} | {"pixels": pixels}


def code_errors(models: dict[str, BimodalAutoencoder], parts: dict[str, Pair]) -> dict[str, dict[str, float]]:
    """Test errors in percent of a classifier trained on codes of both halves, by what it is given in the test."""
    train = parts["train"].first(N_LABELS)
    found = {}
    for name, encode in encoders(models).items():
        chosen = best_classifier(encode(train, "ab"), train.y, encode(parts["validation"], "ab"), parts["validation"].y)
        test = parts["test"]
        found[name] = {title: wrong(chosen, encode(test, given), test.y) for title, given in GIVEN.items()}
    return found


def same_half_errors(models: dict[str, BimodalAutoencoder], parts: dict[str, Pair]) -> dict[str, dict[str, float]]:
    """Test errors in percent of classifiers trained and tested on codes of the same half: what one half can tell."""
    train, held, test = parts["train"].first(N_LABELS), parts["validation"], parts["test"]
    found: dict[str, dict[str, float]] = {}
    for name, encode in encoders(models).items():
        found[name] = {}
        for title, given in list(GIVEN.items())[1:]:
            chosen = best_classifier(encode(train, given), train.y, encode(held, given), held.y)
            found[name][title] = wrong(chosen, encode(test, given), test.y)
    return found


def best_classifier(H: np.ndarray, y: np.ndarray, H_held: np.ndarray, y_held: np.ndarray) -> LogisticRegression:
    """Multinomial logistic regression whose C does best on validation rows; its steps are limited for all alike."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        fitted = [LogisticRegression(C=strength, max_iter=150).fit(H, y) for strength in STRENGTHS]
    return min(fitted, key=lambda model: wrong(model, H_held, y_held))


def wrong(model: LogisticRegression, H: np.ndarray, y: np.ndarray) -> float:
    return 100 * float((model.predict(H) != y).mean())


# trained on one half, tested on the other ---------------------------------------------------------------------------


@torch.no_grad()
def first_layer(start: BimodalAutoencoder, pair: Pair) -> Pair:
    """Hidden means of the pre-trained machine of each half."""
    like, activate = next(start.parameters()), ACTIVATIONS[start.activation]
    a = activate(start.encoder_a(torch.from_numpy(pair.a).to(like))).cpu().numpy()  # type: ignore[operator]
    b = activate(start.encoder_b(torch.from_numpy(pair.b).to(like))).cpu().numpy()  # type: ignore[operator]
    return Pair(a, b, pair.y)


def shared_errors(
    models: dict[str, BimodalAutoencoder], start: BimodalAutoencoder, parts: dict[str, Pair]
) -> dict[str, dict[str, float]]:
    """Test errors in percent of classifiers that learn from one half and are tested on the other, for each code."""
    found: dict[str, dict[str, float]] = {}
    for name, model in models.items():
        found[name] = crossed(parts, partial(code, model))
    hidden = {name: first_layer(start, part) for name, part in parts.items()}
    for title, rows in (("canonical correlation of pixels", parts), ("canonical correlation of hidden units", hidden)):
        found[title] = best_variates(rows, canonical(rows["train"].a, rows["train"].b, CANONICAL_RIDGE))
    most = np.bincount(parts["train"].y).argmax()
    rate = 100 * float((parts["test"].y != most).mean())
    found["most frequent class"] = dict.fromkeys(CARRIED, rate)
    return found


def crossed(parts: dict[str, Pair], encode: Any, held: str = "test") -> dict[str, float]:
    """Errors in percent of a classifier from codes of one half on codes of the other, its C by validation rows."""
    train, validation = parts["train"].first(N_LABELS), parts["validation"]
    found = {}
    for side, (learnt, tested) in CARRIED.items():
        chosen = best_classifier(encode(train, learnt), train.y, encode(validation, tested), validation.y)
        found[side] = wrong(chosen, encode(parts[held], tested), parts[held].y)
    return found


def best_variates(parts: dict[str, Pair], pair: CanonicalPair) -> dict[str, float]:
    """As `crossed`, with the number of canonical variates that does best on validation rows, for each direction."""

    def encode(k: int, rows: Pair, given: str) -> np.ndarray:
        return pair.project_a(rows.a, k) if given == "a" else pair.project_b(rows.b, k)

    numbers = [k for k in VARIATES if k <= len(pair.correlations)]
    held = [crossed(parts, partial(encode, k), "validation") for k in numbers]
    found = {}
    for side in held[0]:
        k = numbers[int(np.argmin([errors[side] for errors in held]))]
        found[side] = crossed(parts, partial(encode, k))[side]
    return found


# what is reported ---------------------------------------------------------------------------------------------------

SAME = "test error, classifier trained and tested on"
TITLES = {"either half": "autoencoder shown either half", "always both": "autoencoder always shown both"}


def guess_rows(found: dict[str, dict[str, float]]) -> list[Measured]:
    return [
        Measured(f"squared error per pixel, {side}: {TITLES.get(name, name)}", error, higher_is_better=False)
        for side, errors in found.items()
        for name, error in errors.items()
    ]


def code_rows(found: dict[str, dict[str, float]], what: str) -> list[Measured]:
    names = {name: f"code of the {TITLES[name]}" if name in TITLES else name for name in found}
    givens = next(iter(found.values()))
    return [
        Measured(f"{what} {given}: {names[name]}", errors[given], unit="%", higher_is_better=False)
        for given in givens
        for name, errors in found.items()
    ]


def shared_rows(found: dict[str, dict[str, float]]) -> list[Measured]:
    return [
        Measured(
            f"test error, classifier carried {side}: {TITLES.get(name, name)}", error, unit="%", higher_is_better=False
        )
        for side in CARRIED
        for name, errors in found.items()
        for error in [errors[side]]
    ]


def drawn(model: BimodalAutoencoder, parts: dict[str, Pair], n: int = 14) -> Images:
    """Test digits, each half alone, and what the network and the linear regression make of it."""
    test = parts["test"].first(n)
    hole = np.full_like(test.a, np.nan)
    line = np.clip(regression(parts, "a", "b")(test.a), 0, 1)
    rows = {
        "the truth": pictures(test.a, test.b),
        "left given": pictures(test.a, hole),
        "guess": pictures(*guess(model, test, "a")),
        "linear guess": pictures(test.a, line),
        "right given": pictures(hole, test.b),
        "guess of it": pictures(*guess(model, test, "b")),
    }
    return Images("One half given, both guessed", np.stack(list(rows.values())), tuple(rows), note="test digits")


def curves(context: Context) -> Lines:
    series = {}
    for name in KINDS:
        for seen, losses in context.keep(f"curve {name}", dict).items():
            given = "left" if seen.endswith("a") else "right"
            series[f"{name}, given {given}"] = (np.arange(1, len(losses) + 1), losses)
    return Lines(
        "Both halves from one, validation rows", "pass over the rows", "cross-entropy (nats)", series, log_y=True
    )


def deviations(context: Context) -> list[str]:
    found = [
        "Left and right halves of MNIST digits in place of sound and video of speakers: two signals of one event, but "
        "of one kind.",
        "The paper's numbers belong to other tasks. Its classifiers carried from one signal to the other stand in the "
        "same order (share of right answers, quoted from memory): autoencoder 30.7 and 24.3 %, canonical correlation "
        "of raw signals 41.9 and 42.9 %, of hidden units 57.3 and 91.7 %, chance 10 %.",
        f"One machine of {N_HIDDEN} units per signal and a shared one of {N_SHARED}, CD-1 without a sparsity target, "
        f"{PRETRAIN_EPOCHS} passes over 50,000 rows; the paper's layers are sparse and overcomplete.",
        f"What is shown is drawn anew for every row at every step, a third each; the paper adds copies of the rows "
        f"with one signal missing. {EPOCHS} passes of Adam.",
        f"Logistic regression on {N_LABELS:,} labelled rows in place of a linear SVM; its C, the ridge and the number "
        f"of canonical variates are chosen on 10,000 validation rows; {CANONICAL_RIDGE:g} of the mean variance is "
        f"added to the covariances' diagonals.",
        "One seed.",
    ]
    if context.quick:
        found.insert(0, f"QUICK: 5,000 rows, {QUICK_EPOCHS} passes; the numbers show only that all runs.")
    return found
