"""Real values: a variational autoencoder with a Gaussian likelihood, on patches of photographs.

A linear one with a learnt variance for each pixel is factor analysis, whose likelihood is a closed form: what learning
by the bound reaches can be held against maximum likelihood. One with a hidden layer, whose decoder gives a variance for
each pixel and patch, can say more: contrast varies from patch to patch, which no Gaussian knows.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_sample_images
from sklearn.decomposition import FactorAnalysis
from torch import Tensor
from torch.distributions import MultivariateNormal

from lamina.core.random import Random
from lamina.frontends.patches import random_patches
from lamina.inference import importance_weighted_bound
from lamina.models.autoencoders import VariationalAutoencoder
from lamina.recipes.context import Context
from lamina.training import Schedule, Variational, fit

SIZE, CODE = 8, 16
ROWS, TEST_ROWS, QUICK_ROWS = 10_000, 2000, 1000
PASSES, QUICK_PASSES = 40, 3
RATE = 3e-3
SAMPLES, QUICK_SAMPLES = 1000, 50
SHARE = 0.7  # of each photograph's width, to learn from; the rest is tested on
MODELS: dict[str, dict[str, Any]] = {
    "linear": {"hidden": ()},
    "one hidden layer": {"hidden": (128,), "variance": "predicted"},
}


def measured(context: Context) -> dict[str, float]:
    """Nats per test patch: the full Gaussian, factor analysis, and both autoencoders."""
    train, test = patches(context)
    factors = FactorAnalysis(CODE, random_state=0).fit(train)
    found = {"full Gaussian": gaussian(train, test), "factor analysis": float(factors.score(test))}
    for name, options in MODELS.items():
        model = context.model(f"photographs {name}", partial(learnt, context, train, name, options))
        found[name] = bound(context, model, torch.from_numpy(test))
        if not model.hidden:
            found[f"{name}, exact"] = exact(model, torch.from_numpy(test))
    return found


def patches(context: Context) -> tuple[np.ndarray, np.ndarray]:
    """Log intensities at random places, (n, 64) float32 each: mean 0 and deviation 1 over all values learnt from.

    Intensities are whole grey levels, on which a density could grow without bound (black is exactly black): each level
    is spread evenly over its width first.
    """
    random = Random(context.seed).child("patches")
    images = [spread(photograph, random.child(k)) for k, photograph in enumerate(load_sample_images().images)]
    n, n_test = (QUICK_ROWS, QUICK_ROWS // 2) if context.quick else (ROWS, TEST_ROWS)
    edge = [round(SHARE * image.shape[1]) for image in images]
    left = [image[:, :e] for image, e in zip(images, edge, strict=True)]
    right = [image[:, e:] for image, e in zip(images, edge, strict=True)]
    train = random_patches(left, n, SIZE, random.child("train")).reshape(n, -1)
    test = random_patches(right, n_test, SIZE, random.child("test")).reshape(n_test, -1)
    mean, deviation = train.mean(), train.std()
    return ((train - mean) / deviation).astype(np.float32), ((test - mean) / deviation).astype(np.float32)


def spread(photograph: np.ndarray, random: Random) -> np.ndarray:
    """Log of the grey levels (height, width) of an RGB picture plus uniform noise of one level."""
    levels = np.round(photograph.astype(np.float64).mean(2))
    return np.log(levels + random.uniform(levels.shape, torch.float64).numpy() + 10)


def learnt(context: Context, X: np.ndarray, name: str, options: dict[str, Any]) -> VariationalAutoencoder:
    passes = QUICK_PASSES if context.quick else PASSES
    context.say(f"photographs, {name}: {passes} passes over {len(X):,} patches")
    random = Random(context.seed).child("photographs", name)
    model = VariationalAutoencoder(X.shape[1], CODE, likelihood="gaussian", **options)
    model.initialise(random.child("model"), torch.from_numpy(X.mean(0)))
    fit(
        model,
        X,
        Variational(),
        epochs=passes,
        batch_size=200,
        learning_rate=Schedule(((0.0, RATE), (float(passes), RATE / 100)), linear=True),
        optimiser="adam",
        random_state=random.child("learning"),
        device=context.device,
        checkpoint=context.stage(f"photographs {name}") / "checkpoint",
        callbacks=context.callbacks(f"photographs {name}"),
    )
    return model


def gaussian(train: np.ndarray, test: np.ndarray) -> float:
    """Mean log density of test rows under the Gaussian with the mean and covariance of the training rows."""
    X = torch.from_numpy(train).double()
    return float(MultivariateNormal(X.mean(0), X.T.cov()).log_prob(torch.from_numpy(test).double()).mean())


def exact(model: VariationalAutoencoder, v: Tensor) -> float:
    """Mean of log N(v; b, V Vᵀ + Ψ), the likelihood of a linear model."""
    V, b = model.decoder.W[0].detach().double().cpu(), model.decoder.b[0].detach().double().cpu()
    covariance = V.T @ V + torch.diag(model.s.detach().double().cpu().exp())
    return float(MultivariateNormal(b, covariance).log_prob(v.double()).mean())


def bound(context: Context, model: VariationalAutoencoder, v: Tensor) -> float:
    samples = QUICK_SAMPLES if context.quick else SAMPLES
    random = Random(context.seed).child("photographs", "evaluation")
    return float(importance_weighted_bound(model, v.to(model.decoder.W[0]), samples, random).mean())
