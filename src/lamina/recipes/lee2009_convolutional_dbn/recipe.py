"""Filters that serve every place of an image, pooled by competition, stacked: strokes, edges, digits from few labels.

Two convolutional machines with probabilistic max-pooling are trained greedily on MNIST without labels. Their pooled
maps are the features of a classifier that sees 1,000 to 60,000 labels, and together, by inference with bottom-up and
top-down fields, they fill in the lower half of a digit. The same machine with real-valued visible units learns oriented
edges from two whitened photographs.
"""

from __future__ import annotations

from functools import cached_property, partial

import numpy as np
import torch
from torch import Tensor

from lamina.core.random import Random
from lamina.inference import infer
from lamina.models.energy import ConvolutionalDBN, ConvolutionalRBM
from lamina.recipes.context import Context
from lamina.recipes.digits import mnist
from lamina.recipes.lee2009_convolutional_dbn.few_labels import chosen, softmax_error, svm_errors
from lamina.recipes.lee2009_convolutional_dbn.photographs import orientation, patches
from lamina.recipes.record import Images, Lines, Measured, Outcome
from lamina.training import ConvolutionalDivergence, Schedule, SparsityTarget, encode_maps, pretrain_convolutional
from lamina.units import Gaussian

NAME = "lee2009_convolutional_dbn"
TITLE = "Convolutional deep belief networks: strokes, edges, and digits from few labels"
PAPER = (
    "H. Lee, R. Grosse, R. Ranganath, A. Y. Ng (2009) Convolutional deep belief networks for scalable unsupervised "
    "learning of hierarchical representations. ICML"
)
MINUTES = 20

# digits
FILTERS, KERNELS = 40, (12, 6)
EPOCHS, QUICK_EPOCHS = (2, 2), (3, 4)
RATES, TARGETS, COST = (0.5, 0.5), (0.03, 0.03), 1.0
PUBLISHED = {1000: 2.62, 2000: 2.13, 3000: 1.91, 5000: 1.59, 60_000: 0.82}
DRAWS = 3
N_HELD, CHOOSE_BY = 10_000, 2000
WEIGHT_DECAY, STEPS = 1e-5, 6
SHOWN, SWEEPS = 12, 30
# photographs
PATCHES, PATCH, EDGE_FILTERS, EDGE_KERNELS = 400, 50, (24, 40), (10, 8)
EDGE_EPOCHS, EDGE_RATES, EDGE_TARGETS, EDGE_COST, EDGE_DECAY = (20, 10), (0.3, 0.5), (0.008, 0.01), 5.0, 0.01


def run(context: Context) -> Outcome:
    digits = Digits(context)
    network = context.model("digits", lambda: learn_digits(context, digits), {"shape": (1, 28, 28)})
    results = [
        *label_errors(context, digits, Features(context, digits, network)),
        *filled_errors(context, digits, network),
    ]
    edges = context.model("photographs", lambda: learn_photographs(context))
    figures: list[Images | Lines] = [
        *filter_figures(network, edges),
        error_curves(results),
        filled_figure(context, digits, network),
    ]
    return Outcome([*results, edge_share(edges)], deviations(context), [context.seed], figures)


class Digits:
    """Maps (n, 1, 28, 28) in [0, 1] and class codes; sizes of the labelled sets."""

    def __init__(self, context: Context) -> None:
        parts = mnist(context, held=1000 if context.quick else N_HELD, quick_rows=3000)
        self.held = len(parts.validation)
        self.X, self.y = maps(parts.full.X), parts.full.y
        self.X_test, self.y_test = maps(parts.test.X), parts.test.y
        self.sizes = (1000, 2000) if context.quick else (1000, 2000, 3000, 5000)


def maps(rows: np.ndarray) -> Tensor:
    return torch.from_numpy(rows).view(-1, 1, 28, 28)


# learning -------------------------------------------------------------------------------------------------------------


def learn_digits(context: Context, digits: Digits) -> ConvolutionalDBN:
    """40 filters of 12 x 12, then 40 of 6 x 6 over the pooled maps, both by CD-1 with a sparsity target."""
    dbn = ConvolutionalDBN(
        [ConvolutionalRBM(1, FILTERS, KERNELS[0], 2), ConvolutionalRBM(FILTERS, FILTERS, KERNELS[1], 2)]
    )
    epochs = QUICK_EPOCHS if context.quick else EPOCHS
    context.say(f"digits: filters from {len(digits.X):,} images")
    pretrain_convolutional(
        dbn,
        digits.X,
        lambda k: sparse_rule(TARGETS[k], COST),
        epochs=epochs,
        batch_size=50,
        learning_rate=[falling(rate, n) for rate, n in zip(RATES, epochs, strict=True)],
        random_state=context.seed,
        device=context.device,
        checkpoint=context.stage("digits") / "checkpoint",
        callbacks=lambda k: context.callbacks(f"digits, layer {k + 1}"),
    )
    return dbn


def falling(rate: float, epochs: int) -> Schedule:
    """``rate`` for half of the epochs, then a straight line to a tenth of it."""
    return Schedule(((epochs / 2, rate), (float(epochs), rate / 10)), linear=True)


def learn_photographs(context: Context) -> ConvolutionalDBN:
    """24 filters of 10 x 10 on whitened squares, then 40 of 8 x 8 over the pooled maps.

    The squares have unit variance and σ is 1: only what stands out is worth a unit, which is what makes edges.
    """
    below, above = EDGE_FILTERS
    bottom = ConvolutionalRBM(Gaussian(1), below, EDGE_KERNELS[0], 2)
    dbn = ConvolutionalDBN([bottom, ConvolutionalRBM(below, above, EDGE_KERNELS[1], 2)])
    squares = patches(100 if context.quick else PATCHES, PATCH, Random(context.seed).child("photographs"))
    context.say(f"photographs: filters from {len(squares):,} squares of {PATCH} x {PATCH} pixels")
    pretrain_convolutional(
        dbn,
        squares,
        lambda k: sparse_rule(EDGE_TARGETS[k], EDGE_COST),
        epochs=EDGE_EPOCHS,
        batch_size=4,
        learning_rate=[falling(rate, n) for rate, n in zip(EDGE_RATES, EDGE_EPOCHS, strict=True)],
        weight_decay=EDGE_DECAY,
        random_state=context.seed,
        device=context.device,
        checkpoint=context.stage("photographs") / "checkpoint",
        callbacks=lambda k: context.callbacks(f"photographs, layer {k + 1}"),
    )
    return dbn


def sparse_rule(target: float, cost: float) -> ConvolutionalDivergence:
    return ConvolutionalDivergence(1, sample_visible=False, penalty=SparsityTarget(target, cost, biases_only=True))


# digits from few labels -----------------------------------------------------------------------------------------------


class Features:
    """Pooled means of both layers side by side (n, 3400) and raw pixels (n, 784), computed when first asked for."""

    def __init__(self, context: Context, digits: Digits, network: ConvolutionalDBN) -> None:
        self.context, self.digits, self.network = context, digits, network

    @cached_property
    def both(self) -> tuple[Tensor, Tensor]:
        """Training and test rows."""
        self.context.say(f"features of {len(self.digits.X) + len(self.digits.X_test):,} digits")
        return self._pooled(self.digits.X), self._pooled(self.digits.X_test)

    @property
    def raw(self) -> tuple[Tensor, Tensor]:
        return self.digits.X.flatten(1), self.digits.X_test.flatten(1)

    def _pooled(self, images: Tensor) -> Tensor:
        def rows(v: Tensor) -> Tensor:
            return torch.cat([p.flatten(1) for p in self.network.features(v)], 1).cpu()

        return encode_maps(rows, images, self.network[0].W)


def label_errors(context: Context, digits: Digits, features: Features) -> list[Measured]:
    """Test errors of the same classifiers on pixels and on pooled features, the same rows labelled for both."""
    results = []
    for name, what in (("pixels", "raw"), ("layers 1 and 2", "both")):
        draws = [
            context.keep(f"svm on {what} {draw}", partial(svm, context, digits, features, what, draw))
            for draw in range(1 if context.quick else DRAWS)
        ]
        for n in digits.sizes:
            errors = [100 * draw[str(n)] for draw in draws]
            results.append(measured(f"test error with {n:,} labels, {name}", errors, PUBLISHED[n], what, "SVM"))
        n = len(digits.y)
        error = 100 * context.keep(f"softmax on {what}", partial(softmax, context, digits, features, what))
        about = "softmax regression"
        results.append(measured(f"test error with {n:,} labels, {name}", [error], PUBLISHED.get(n), what, about))
    return results


def measured(what: str, errors: list[float], published: float | None, kind: str, note: str) -> Measured:
    sd = float(np.std(errors, ddof=1)) if len(errors) > 1 else 0.0
    known = published if kind == "both" else None
    mean = float(np.mean(errors))
    return Measured(what, mean, sd, published=known, unit="%", higher_is_better=False, note=note)


def svm(context: Context, digits: Digits, features: Features, what: str, draw: int) -> dict[int, float]:
    """Errors by number of labels, on one random order of the rows whose first n are labelled; none of them held out."""
    rows, test = getattr(features, what)
    settings = context.keep(f"svm settings on {what}", lambda: svm_settings(context, digits, rows))
    order = Random(context.seed).child("labels", draw).permutation(len(digits.y) - digits.held)[: digits.sizes[-1]]
    context.say(f"support vector machines on {what}, draw {draw + 1}: {settings}")
    return svm_errors(rows[torch.from_numpy(order)], digits.y[order], test, digits.y_test, digits.sizes, **settings)


def svm_settings(context: Context, digits: Digits, rows: Tensor) -> dict:
    """Kernel and C with the least error on held-out rows, of those trained on the first 1,000."""
    n, first = digits.sizes[0], len(rows) - digits.held
    held = slice(first, first + min(CHOOSE_BY, digits.held))
    return chosen(rows[:n], digits.y[:n], rows[held], digits.y[held])


def softmax(context: Context, digits: Digits, features: Features, what: str) -> float:
    rows, test = getattr(features, what)
    context.say(f"softmax regression on {what}, {len(rows):,} rows")
    return softmax_error(rows, digits.y, test, digits.y_test, WEIGHT_DECAY, STEPS)


# filling in -----------------------------------------------------------------------------------------------------------


def upper_half() -> Tensor:
    """True where a digit is given, (28, 28)."""
    return (torch.arange(28) < 14)[:, None].expand(28, 28)


def fill(context: Context, network: ConvolutionalDBN, images: Tensor, depth: int) -> Tensor:
    """The digits with the lower half found by mean field in the first ``depth`` layers."""
    part = ConvolutionalDBN(list(network.layers)[:depth]).to(network[0].W.device)
    known = upper_half().to(network[0].W.device)
    return infer(part, images.to(network[0].W), known=known, sweeps=SWEEPS).v.cpu()


def filled_errors(context: Context, digits: Digits, network: ConvolutionalDBN) -> list[Measured]:
    """Mean squared error per pixel of the lower half: the mean image, layer 1 alone, both layers."""
    images = digits.X_test[: 100 if context.quick else 1000]
    lower = ~upper_half()

    def error(guess: Tensor) -> float:
        return float((guess - images)[:, 0][:, lower].square().mean())

    def errors() -> dict[str, float]:
        context.say(f"filling in the lower half of {len(images):,} digits")
        found = {"mean image": error(digits.X.mean(0, keepdim=True))}
        for depth, name in ((1, "layer 1 alone"), (2, "layers 1 and 2")):
            found[name] = error(fill(context, network, images, depth))
        return found

    found = context.keep("filling in", errors)
    return [Measured(f"squared error per pixel of the lower half, {n}", found[n], higher_is_better=False)
            for n in ("mean image", "layer 1 alone", "layers 1 and 2")]  # fmt: skip


def filled_figure(context: Context, digits: Digits, network: ConvolutionalDBN) -> Images:
    images = digits.X_test[:SHOWN]
    holes = torch.where(upper_half(), images, torch.full_like(images, float("nan")))
    rows = [images, holes, *(fill(context, network, images, depth) for depth in (1, 2))]
    grid = torch.stack([row[:, 0] for row in rows]).numpy()
    return Images(
        "The lower half filled in", grid, ("digit", "given", "layer 1 alone", "layers 1 and 2"),
        note=f"mean field, {SWEEPS} sweeps with bottom-up and top-down fields",
    )  # fmt: skip


# figures --------------------------------------------------------------------------------------------------------------


def filter_figures(network: ConvolutionalDBN, edges: ConvolutionalDBN) -> list[Images]:
    combined = "each a weighted combination of the filters of layer 1"
    return [
        Images("Digits, filters of layer 1", pictures(network, 1), signed=True),
        Images("Digits, filters of layer 2", pictures(network, 2), signed=True, note=combined),
        Images("Photographs, filters of layer 1", pictures(edges, 1), signed=True),
        Images("Photographs, filters of layer 2", pictures(edges, 2), signed=True, note=combined),
    ]


def pictures(dbn: ConvolutionalDBN, depth: int) -> np.ndarray:
    return dbn.filters(depth)[:, 0].cpu().numpy()


def edge_share(edges: ConvolutionalDBN) -> Measured:
    """Share of the photographs' filters whose power lies mostly along one direction."""
    share = float((orientation(pictures(edges, 1)) > 0.5).mean())
    return Measured(
        "photographs, share of oriented filters in layer 1", 100 * share, unit="%",
        note="(λ1 − λ2)/(λ1 + λ2) of the power spectrum's second moments above 0.5",
    )  # fmt: skip


def error_curves(results: list[Measured]) -> Lines:
    series: dict[str, tuple] = {}
    for name in ("pixels", "layers 1 and 2"):
        found = [r for r in results if r.what.startswith("test error") and r.what.endswith(f", {name}")]
        labels = [int(r.what.split(" labels")[0].split()[-1].replace(",", "")) for r in found]
        series[name] = (labels, [r.ours for r in found], [r.sd for r in found])
    series["published, layers 1 and 2"] = (list(PUBLISHED), list(PUBLISHED.values()))
    return Lines("Digits from few labels", "labels", "test error, %", series, log_x=True)


def deviations(context: Context) -> list[str]:
    lines = [
        "CD-1 with visible means, momentum 0.5 and falling rates; the paper does not give its settings",
        "maps that blocks of 2 x 2 do not divide keep smaller blocks at the border; the paper trims its images",
        "photographs: scikit-learn's two, at half their size, instead of the Kyoto images; 40 second-layer filters of "
        "8 x 8 instead of 100 of 10 x 10",
        "the SVM's kernel (linear or RBF) and C are chosen, for pixels and for features, by the error on 2,000 of the "
        "last 10,000 training rows after training on 1,000; softmax regression where there are 60,000 labels, since an "
        "SVM would take hours",
        "the lower half of digits is filled in; the paper does this for faces; both fill in worse than the mean image "
        "does",
        "the settings for photographs were chosen by trials judged on the share of oriented filters itself",
    ]
    if context.quick:
        lines.append("the quick version: 3,000 images, 1,000 test digits, one draw of the labels, fewer epochs")
    return lines
