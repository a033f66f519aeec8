"""What a denoising autoencoder knows: the slope of the log-density, read off from how it repairs points of the plane.

A layer learns to move points x = v + σε, noise added, back to where they came from. The best it can do is to move them
by σ² ∇ log p_σ(x), p_σ being the density of the noisy points; so (r(x) − x)/σ² is an estimate of the score, without a
density ever being written down. Here the density is known, and the estimate is held against the truth: for a Gaussian,
where the best denoiser is linear and known in closed form, and for a spiral, where free weights learn a curved field.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import torch

from lamina.core.random import Random
from lamina.models.autoencoders import Autoencoder
from lamina.recipes.context import Context
from lamina.recipes.denoising_vector_field.arrows import arrows, grid
from lamina.recipes.denoising_vector_field.densities import Mixture, ellipse, spiral
from lamina.recipes.record import Lines, Measured, Outcome
from lamina.training import GaussianNoise, Reconstruction, falling, fit

NAME = "denoising_vector_field"
TITLE = "Denoising autoencoders estimate the slope of the log-density"
PAPER = (
    "P. Vincent (2011) A connection between score matching and denoising autoencoders. Neural Computation 23; "
    "G. Alain, Y. Bengio (2014) What regularized auto-encoders learn from the data-generating distribution. JMLR 15"
)
MINUTES = 3

SIGMAS = (0.8, 0.4, 0.2, 0.1)
DRAWN = 0.2  # the noise of the fields that are drawn
N_HIDDEN = 300
N_ROWS, QUICK_ROWS = 20_000, 2000
STEPS, QUICK_STEPS = 2000, 60
BATCH = 1000
N_POINTS = 4000  # where fields are compared: draws of the density, so that the error is weighted by it
DENSITIES: dict[str, Mixture] = {"Gaussian": ellipse(), "spiral": spiral()}


def run(context: Context) -> Outcome:
    found: dict[str, dict[str, dict]] = {name: {} for name in DENSITIES}
    for name in DENSITIES:
        for sigma in SIGMAS:
            layer = trained(context, name, sigma)
            found[name][str(sigma)] = context.keep(f"{name} {sigma}", partial(compared, context, layer, name, sigma))
            context.say(f"{name}, σ = {sigma:g}: relative error {found[name][str(sigma)]['smoothed']['error']:.3f}")
    figures = [*fields(context), *(errors(name, found[name]) for name in DENSITIES)]
    return Outcome(rows(found), deviations(context), [context.seed], figures)


def begun(context: Context, name: str) -> Autoencoder:
    """A linear layer for the Gaussian; for the spiral, sigmoid units whose steps lie all over the plane."""
    if name == "Gaussian":
        return Autoencoder(2, 2, activation="identity", output="identity", tied=False, random_state=context.seed)
    layer = Autoencoder(2, N_HIDDEN, activation="sigmoid", output="identity", tied=False, random_state=context.seed)
    random = Random(context.seed).child("units")
    with torch.no_grad():
        layer.W.copy_(4 * random.child("directions").normal(layer.W.shape))
        places = 4 * random.child("places").uniform(layer.W.shape) - 2
        layer.c.copy_(-(layer.W * places).sum(0))
        layer.V.mul_(0.1)
    return layer


def trained(context: Context, name: str, sigma: float) -> Autoencoder:
    """The denoiser of this density and noise, from this run's memory if it is there."""
    n, steps = (QUICK_ROWS, QUICK_STEPS) if context.quick else (N_ROWS, STEPS)
    epochs = max(1, steps * BATCH // n)
    title = f"{name} {sigma:g}"

    def make() -> Autoencoder:
        layer = begun(context, name)
        fit(
            layer,
            DENSITIES[name].sample(n, Random(context.seed).child("rows", name)).astype(np.float32),
            Reconstruction("squared", corruption=GaussianNoise(sigma)),
            epochs=epochs,
            batch_size=BATCH,
            learning_rate=falling(0.01, epochs, hold=0.3),
            optimiser="adam",
            random_state=Random(context.seed).child("learning", title),
            device=context.device,
            checkpoint=context.stage(title) / "checkpoint",
            callbacks=context.callbacks(title),
        )
        return layer

    return context.model(title, make)  # type: ignore[no-any-return]


@torch.no_grad()
def field(layer: Autoencoder, x: np.ndarray, sigma: float) -> np.ndarray:
    """(r(x) − x)/σ²: (n, 2) → (n, 2)."""
    v = torch.from_numpy(x).to(layer.W)
    return ((layer.mean_v_from_h(layer.mean_h_from_v(v)) - v) / sigma**2).double().cpu().numpy()


def compared(context: Context, layer: Autoencoder, name: str, sigma: float) -> dict[str, dict[str, float]]:
    """The learnt field against the score of the noisy density and of the density itself, each at draws of its own;
    and the field of the best possible denoiser against the density's own score: what σ alone costs."""
    density, random = DENSITIES[name], Random(context.seed).child("points", name)
    noisy, clean = density.sample(N_POINTS, random.child("noisy"), sigma), density.sample(N_POINTS, random)
    return {
        "smoothed": agreement(field(layer, noisy, sigma), density.score(noisy, sigma)),
        "data": agreement(field(layer, clean, sigma), density.score(clean)),
        "best": agreement(density.score(clean, sigma), density.score(clean)),
    }


def agreement(found: np.ndarray, true: np.ndarray) -> dict[str, float]:
    """√(Σ‖found − true‖² / Σ‖true‖²), and the cosine Σ found·true / √(Σ‖found‖² Σ‖true‖²) over all points."""
    lengths = (found**2).sum(), (true**2).sum()
    return {
        "error": float(np.sqrt(((found - true) ** 2).sum() / lengths[1])),
        "cosine": float((found * true).sum() / np.sqrt(lengths[0] * lengths[1])),
    }


def rows(found: Mapping[str, Mapping[str, dict]]) -> list[Measured]:
    results = []
    for name, by_sigma in found.items():
        for sigma, one in by_sigma.items():
            kept: dict[str, Any] = {"unit": "%", "higher_is_better": False}
            note = f"cosine {one['smoothed']['cosine']:.4f}"
            what = f"{name}, σ = {sigma}: error of the field against the score of the noisy density"
            results.append(Measured(what, 100 * one["smoothed"]["error"], **kept, note=note))
            note = f"cosine {one['data']['cosine']:.4f}; best possible denoiser {100 * one['best']['error']:.1f} %"
            what = f"{name}, σ = {sigma}: error of the field against the score of the density"
            results.append(Measured(what, 100 * one["data"]["error"], **kept, note=note))
    return results


def errors(name: str, by_sigma: Mapping[str, dict]) -> Lines:
    """Errors against σ: the noisy density's score is what is learnt; the density's own is reached as σ falls."""
    sigmas = np.array(list(map(float, by_sigma)))[::-1]
    curve = lambda key: (sigmas, [100 * one[key]["error"] for one in by_sigma.values()][::-1])  # noqa: E731
    series = {
        "learnt, against the noisy density": curve("smoothed"),
        "learnt, against the density": curve("data"),
        "best denoiser, against the density": curve("best"),
    }
    return Lines(f"Error of the field, {name}", "σ of the noise", "relative error, %", series)


def fields(context: Context) -> list[Lines]:
    """The learnt field and the true one on a grid, over points of the density: a pair of pictures per density."""
    pictures = []
    for name, density in DENSITIES.items():
        layer = trained(context, name, DRAWN)
        points = grid(density)
        outline = ridge(density)
        for title, values in (
            ("learnt by denoising", field(layer, points, DRAWN)),
            ("true score of the noisy density", density.score(points, DRAWN)),
        ):
            series: dict[str, Any] = {"density": outline, "field": arrows(points, values)}
            note = f"σ = {DRAWN:g}. Arrows longer than a cell are cut to its size."
            pictures.append(Lines(f"{name}: {title}", "x", "y", series, note=note))
    return pictures


def ridge(density: Mixture) -> tuple[np.ndarray, np.ndarray]:
    """The line that stands for the density: through the means of a mixture, or a Gaussian's two-sigma ellipse."""
    if len(density.means) > 1:
        return density.means[:, 0], density.means[:, 1]
    angle = np.linspace(0, 2 * np.pi, 100)
    circle = 2 * np.stack([np.cos(angle), np.sin(angle)], 1) @ np.linalg.cholesky(density.covariance).T
    return circle[:, 0] + density.means[0, 0], circle[:, 1] + density.means[0, 1]


def deviations(context: Context) -> list[str]:
    n, steps = (QUICK_ROWS, QUICK_STEPS) if context.quick else (N_ROWS, STEPS)
    found = [
        "The papers prove the connection and draw fields; densities, sizes and numbers are ours.",
        f"{n:,} rows, {steps:,} steps of Adam on batches of {BATCH:,} with fresh noise; {N_HIDDEN} sigmoid units with "
        f"free weights and a linear output for the spiral, two linear units for the Gaussian.",
        "Vincent's layer has tied weights, and its field is then the slope of an energy; free weights here, as in the "
        "general result of Alain and Bengio, since tied ones learnt the spiral badly in a short trial.",
        "Errors are means over draws of the density in question: places where it is low hardly count.",
    ]
    if context.quick:
        found.insert(0, "QUICK: few rows and steps; the numbers show only that all runs.")
    return found
