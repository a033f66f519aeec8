"""Codes that change little: autoencoders with a penalty of the Jacobian beside denoising, decayed and basic ones.

One layer of sigmoid units learns digits in four ways that differ in one thing each. Looked at afterwards, on test rows:
how much the code moves when the row does (the singular values of the Jacobian ∂h/∂v, and the contraction ratio, how far
two points apart in the code for how far apart they were in the input), and what the code is good for (a linear
classifier on it, and the layer with a softmax head trained on).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import nn

from lamina.core.random import Random
from lamina.models import MLP, Stack
from lamina.models.autoencoders import Autoencoder
from lamina.recipes.context import Context
from lamina.recipes.digits import Digits, Part, mnist
from lamina.recipes.record import Images, Lines, Measured, Outcome
from lamina.training import (
    BackPropagation,
    Contraction,
    GaussianNoise,
    Reconstruction,
    falling,
    fit,
    pretrain,
    reconstruction_loss,
)

NAME = "rifai2011_contractive"
TITLE = "Contractive autoencoders on MNIST: codes that change little"
PAPER = (
    "S. Rifai, P. Vincent, X. Muller, X. Glorot, Y. Bengio (2011) Contractive auto-encoders: explicit invariance "
    "during feature extraction. International Conference on Machine Learning"
)
MINUTES = 5

N_HIDDEN = 500
EPOCHS, QUICK_EPOCHS = 8, 1
TUNING, QUICK_TUNING = 8, 2
HEAD, QUICK_HEAD = 5, 2
ROWS = 20_000  # training rows: the first of the official part
RATE, HEAD_RATE = 1e-3, 3e-3
CONTRACTION, NOISE, DECAY = 0.2, 0.3, 0.3
WAYS: dict[str, tuple[Callable[[], Reconstruction], float]] = {  # name → (rule, weight decay)
    "contractive": (lambda: Reconstruction(penalties=[Contraction(CONTRACTION)]), 0.0),
    "denoising": (lambda: Reconstruction(corruption=GaussianNoise(NOISE)), 0.0),
    "weight decay": (lambda: Reconstruction(), DECAY),
    "basic": (lambda: Reconstruction(), 0.0),
}
SPECTRA = 50  # test rows whose Jacobian is taken apart
RADII = np.array([0.25, 0.5, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0])
SHOWN = 14


def run(context: Context) -> Outcome:
    digits = fewer(mnist(context))
    found, layers = {}, {}
    for name in WAYS:
        layers[name] = trained(context, digits, name)
        found[name] = context.keep(f"measures {name}", partial(measures, context, digits, layers[name], name))
        context.say(f"{name}: fine-tuned {found[name]['tuned']:.2f} %, linear {found[name]['linear']:.2f} %")
    figures: list[Images | Lines] = [spectra(found), ratios(found), filters(layers)]
    return Outcome(rows(found), deviations(context), [context.seed], figures)


def fewer(digits: Digits) -> Digits:
    """The same with only the first `ROWS` training rows."""
    train = Part(digits.train.X[:ROWS], digits.train.y[:ROWS])
    return Digits(train, digits.validation, digits.test, digits.full)


def trained(context: Context, digits: Digits, name: str) -> Stack:
    """One layer, learnt without labels, from this run's memory if it is there."""
    epochs = QUICK_EPOCHS if context.quick else EPOCHS
    rule, decay = WAYS[name]

    def make() -> Stack:
        context.say(f"{name}: {epochs} passes over {len(digits.train):,} rows")
        stack = Stack([Autoencoder(784, N_HIDDEN)])
        pretrain(
            stack,
            digits.train.X,
            lambda k: rule(),
            epochs=epochs,
            learning_rate=falling(RATE, epochs),
            momentum=0.0,
            weight_decay=decay,
            optimiser="adam",
            random_state=Random(context.seed).child("layer"),  # the same numbers for all
            device=context.device,
            checkpoint=context.stage(name) / "checkpoint",
            callbacks=lambda k: context.callbacks(name),
        )
        return stack

    return context.model(name, make, {"shape": (1, 28, 28)})  # type: ignore[no-any-return]


def measures(context: Context, digits: Digits, stack: Stack, name: str) -> dict:
    """Errors in percent on test rows; mean singular values; contraction ratio at each of `RADII`."""
    tuned = network(context, digits, stack, f"tuned {name}", QUICK_TUNING if context.quick else TUNING, frozen=0)
    linear = network(context, digits, stack, f"linear {name}", QUICK_HEAD if context.quick else HEAD, frozen=1)
    layer: Autoencoder = stack[0]  # type: ignore[assignment]
    X = torch.from_numpy(digits.test.X).to(layer.W)
    return {
        "tuned": error(tuned, digits.test),
        "linear": error(linear, digits.test),
        "validation": error(tuned, digits.validation),
        "singular": singular_values(layer, X[:SPECTRA]).mean(0).tolist(),
        "ratio": [contraction_ratio(layer, X[:1000], radius, context.seed) for radius in RADII],
        "reconstruction": float(reconstruction_loss(stack[0], X, X, "squared").mean().detach()),
    }


def network(context: Context, digits: Digits, stack: Stack, title: str, epochs: int, frozen: int) -> MLP:
    """The layer with a softmax head: trained whole, or with the layer as it is (``frozen`` = 1)."""

    def make() -> nn.Module:
        made = stack.classifier(10, random_state=context.seed)
        rule = BackPropagation(frozen=frozen)
        rule.watched = "validation error"
        fit(
            made,
            (digits.train.X, digits.train.y),
            rule,
            epochs=epochs,
            learning_rate=falling(HEAD_RATE if frozen else RATE, epochs, hold=0.3),
            optimiser="adam",
            validation=(digits.validation.X, digits.validation.y),
            patience=epochs,  # never stops early: the best epoch's weights are put back
            random_state=Random(context.seed).child("labels"),
            device=context.device,
            checkpoint=context.stage(title) / "checkpoint",
            callbacks=context.callbacks(title),
        )
        return made

    return context.model(title, make)  # type: ignore[no-any-return]


@torch.no_grad()
def error(made: MLP, part: Part) -> float:
    """Share of rows of the wrong class, in percent."""
    chunks = torch.from_numpy(part.X).to(made.W[0]).split(5000)
    found = torch.cat([made(chunk).argmax(1) for chunk in chunks]).cpu().numpy()
    return 100 * float((found != part.y).mean())


@torch.no_grad()
def singular_values(layer: Autoencoder, X: torch.Tensor) -> np.ndarray:
    """Singular values of ∂h/∂v at each row, largest first: (n, n_visible) → (n, min(n_visible, n_hidden)).

    The Jacobian is diag(φ′) Wᵀ; its squared singular values are the eigenvalues of diag(φ′) WᵀW diag(φ′), of the size
    of the code alone.
    """
    gram = (layer.W.T @ layer.W).double()
    rank = min(layer.W.shape)
    found = []
    for v in X:
        h = layer.mean_h_from_v(v).double()
        slope = h * (1 - h)  # sigmoid units
        squared = torch.linalg.eigvalsh(slope[:, None] * gram * slope)
        found.append(squared.clamp(min=0).sqrt().flip(0)[:rank])
    return torch.stack(found).cpu().numpy()


@torch.no_grad()
def contraction_ratio(layer: Autoencoder, X: torch.Tensor, radius: float, seed: int) -> float:
    """Mean over rows of ‖h(v + u) − h(v)‖ / ‖u‖ for one u of length ``radius`` in a random direction per row."""
    u = Random(seed).child("directions").normal(X.shape, X.dtype).to(X.device)
    u *= radius / u.norm(dim=1, keepdim=True)
    apart = (layer.mean_h_from_v(X + u) - layer.mean_h_from_v(X)).norm(dim=1)
    return float((apart / radius).mean())


def rows(found: dict[str, dict]) -> list[Measured]:
    results = []
    for name, one in found.items():
        what, note = f"test error of the fine-tuned network, {name}", f"validation error {one['validation']:.2f} %"
        results.append(Measured(what, one["tuned"], unit="%", higher_is_better=False, note=note))
    for name, one in found.items():
        note = f"reconstruction: {one['reconstruction']:.2f} squared error per test row"
        what = f"test error of a linear classifier on the code, {name}"
        results.append(Measured(what, one["linear"], unit="%", higher_is_better=False, note=note))
    for name, one in found.items():
        values = np.array(one["singular"])
        note = f"largest {values[0]:.3g}; {int((values > 0.1 * values[0]).sum())} above a tenth of the largest"
        what = f"norm of the code's Jacobian, {name}"
        results.append(Measured(what, float(np.sqrt((values**2).sum())), higher_is_better=False, note=note))
    return results


def spectra(found: dict[str, dict]) -> Lines:
    series = {name: (np.arange(1, len(one["singular"]) + 1), one["singular"]) for name, one in found.items()}
    note = f"Mean over {SPECTRA} test rows: how far the code moves per step of the row, along each principal direction."
    return Lines("Singular values of the Jacobian", "rank", "singular value", series, log_y=True, note=note)


def ratios(found: dict[str, dict]) -> Lines:
    series = {name: (RADII, one["ratio"]) for name, one in found.items()}
    note = "How far the code moves when a test row is moved by a step of this length in a random direction, per length."
    return Lines("Contraction", "length of the step", "contraction ratio", series, log_x=True, note=note)


def filters(layers: dict[str, Stack]) -> Images:
    """The same first units of every layer."""
    weights = [stack[0].W.detach() for stack in layers.values()]  # type: ignore[union-attr, operator]
    pictures = [W[:, :SHOWN].T.reshape(-1, 28, 28).cpu().numpy() for W in weights]
    note = f"Weights of the first {SHOWN} units; all start from the same weights."
    return Images("Filters", np.stack(pictures), tuple(layers), signed=True, note=note)


def deviations(context: Context) -> list[str]:
    found = [
        f"{N_HIDDEN} units (paper: 1000), the first {ROWS:,} training rows (paper: 50,000), one seed, and {TUNING} "
        f"passes of fine-tuning, which end long before it has converged: errors are far above the paper's, and only "
        f"their order can be compared.",
        f"Cost of contraction {CONTRACTION:g}, deviation of the noise {NOISE:g}, weight decay {DECAY:g} (decoupled), "
        f"chosen beforehand and not searched, as the paper does for each; Adam in place of gradient descent.",
        "The contraction ratio is that of random directions; the paper takes points on a sphere too (quoted from "
        "memory). Singular values are means over test rows.",
        f"{EPOCHS} passes without labels, {HEAD} for the linear classifier; best epochs by error on 10,000 validation "
        f"rows.",
    ]
    if context.quick:
        found.insert(0, "QUICK: 3,750 rows and few passes; the numbers show only that all runs.")
    return found
