"""The same digits by a deconvolutional network: two layers of convolutional sparse codes, pooled with switches."""

from __future__ import annotations

import numpy as np
import torch

from lamina.core.random import Random
from lamina.models.sparse import ConvolutionalSparseCoding, DeconvolutionalNetwork
from lamina.recipes.context import Context
from lamina.recipes.digits import Digits
from lamina.recipes.record import Images, Measured
from lamina.training import pretrain_deconvolutional

MAPS, SIZES, COSTS, POOLING = (8, 16), (7, 5), (0.3, 0.2), (2, 1)
IMAGES, EPOCHS, SEARCH, BATCH, RATE = 120, (3, 2), 20, 10, 0.02
QUICK_IMAGES, JUDGED = 20, 50


def network(context: Context, digits: Digits) -> DeconvolutionalNetwork:
    """Two layers, one after another, from the first digits, from this run's memory if they are there."""

    def make() -> DeconvolutionalNetwork:
        X = maps(digits.train.X[: QUICK_IMAGES if context.quick else IMAGES])
        context.say(f"deconvolutional network: {len(X):,} digits")
        channels = (1, *MAPS)
        layers = [
            ConvolutionalSparseCoding(channels[k], MAPS[k], SIZES[k], cost=COSTS[k], iterations=SEARCH, positive=True)
            for k in range(2)
        ]
        found = DeconvolutionalNetwork(layers, POOLING)
        pretrain_deconvolutional(
            found,
            X,
            epochs=(1, 1) if context.quick else EPOCHS,
            batch_size=BATCH,
            learning_rate=RATE,
            random_state=Random(context.seed).child("deconvolution"),
            device=context.device,
            checkpoint=context.stage("deconvolution") / "checkpoint",
            callbacks=lambda k: context.callbacks(f"deconvolution, layer {k + 1}"),
        )
        return found

    return context.model("deconvolution", make)


def maps(X: np.ndarray) -> np.ndarray:
    """Rows (n, 784) as images (n, 1, 28, 28)."""
    return X.reshape(-1, 1, 28, 28)


def deconvolved(context: Context, digits: Digits) -> tuple[list[Measured], list[Images]]:
    """What is left of test digits after one and two layers; filters, the top's strongest units, reconstructions."""
    found = network(context, digits)
    with torch.no_grad():
        return described(context, found, digits)


def described(context: Context, found: DeconvolutionalNetwork, digits: Digits) -> tuple[list[Measured], list[Images]]:
    """Measures and pictures of a network that has learnt."""
    x = torch.from_numpy(maps(digits.test.X[: QUICK_IMAGES if context.quick else JUDGED])).to(found[0].F)
    codes = found.codes(x)
    drawn = [found.decode(codes[:depth]) for depth in (1, 2)]
    measured = []
    for k, (code, image) in enumerate(zip(codes, drawn, strict=True), start=1):
        left = 100 * float((x - image).square().sum() / x.square().sum())
        note = f"{100 * float((code.pooled != 0).double().mean()):.1f} % of {code.pooled[0].numel():,} pooled codes"
        what = f"digits: unexplained after {k} pooled layer{'s' if k > 1 else ''}, deconvolutional network"
        measured.append(Measured(what, left, unit="%", higher_is_better=False, note=note + " are not 0"))
    shown = np.stack([image[:14, 0].cpu().numpy().clip(0, 1) for image in (x, *drawn)])
    figures = [
        Images(
            "Deconvolutional network: filters of the first layer", found[0].filters()[:, 0].cpu().numpy(), signed=True
        ),
        Images(
            "Deconvolutional network: the strongest unit of each map of the second layer",
            found.strongest(x)[:, 0].cpu().numpy(),
            signed=True,
            note="drawn down to the pixels alone, through the switches of the digit where it stood",
        ),
        Images("Deconvolutional network: test digits drawn again", shown, ("digits", "from layer 1", "from layer 2")),
    ]
    return measured, figures
