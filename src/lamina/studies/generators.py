"""How each kind of generative model is built and taught from the command line, with defaults by the data's size.

One small class per kind; `KINDS` is the table. All learn through the one loop (`lamina.fit`), so that a run that was
killed goes on. Values in [0, 1] are probabilities: pixels are drawn anew for every batch, and what is learnt is a
distribution of binary rows (Salakhutdinov and Murray 2008).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lamina.core.errors import LabelError, SettingError
from lamina.inference import deep_mean_field
from lamina.models.energy import DBM, DBN, RBM, ClassificationRBM, ConvolutionalRBM
from lamina.studies.defaults import BATCH
from lamina.studies.generator import Generator, Taught
from lamina.studies.lesson import Lesson, falling_to_zero
from lamina.studies.variational_generator import VariationalMachine
from lamina.training import (
    ContrastiveDivergence,
    ConvolutionalDivergence,
    HybridClassification,
    MeanFieldPCD,
    PersistentContrastiveDivergence,
    SparsityTarget,
    fit,
    pretrain_dbn,
    pretrain_deep,
    warm_momentum,
)
from lamina.training.rules import GradientRule
from lamina.units import Bernoulli, Gaussian

CHAINS = 100


class Machine(Generator):
    """`RBM` by persistent contrastive divergence; by contrastive divergence where the visible units are real-valued."""

    title = "restricted Boltzmann machine"

    def __init__(self, lesson: Lesson) -> None:
        super().__init__(lesson)
        self.n_hidden = lesson.sizes((500,), exactly=1)[0]
        self.epochs = lesson.passes(12_000)
        self.rate = 0.05 if lesson.binary else 0.002
        self.from_rows = not lesson.binary

    def build(self) -> nn.Module:
        return RBM(self.lesson.family, self.n_hidden).initialise(self.lesson.random, self.lesson.mean)

    def rule(self) -> GradientRule:
        if self.lesson.binary:
            return PersistentContrastiveDivergence(1, CHAINS)
        return ContrastiveDivergence(1)

    def teach(self, model: Any) -> Taught:
        lesson = self.lesson
        history = fit(
            model,
            lesson.X,
            lesson.redrawn(self.rule()),
            epochs=self.epochs,
            learning_rate=falling_to_zero(self.rate, self.epochs),
            callbacks=[*lesson.callbacks("machine"), *lesson.traced(model)],
            **lesson.common("machine"),
        )
        return [("machine", history)]

    def settings(self) -> dict:
        about = {"hidden": self.n_hidden, "epochs": self.epochs, "learning_rate": self.rate, "batch_size": BATCH}
        return {**about, **self.rule().describe()}


class ClassMachine(Machine):
    """`ClassificationRBM`: rows and their classes as one distribution, p(y | row) taught beside it."""

    title = "classification machine"

    def check(self) -> None:
        if self.lesson.y is None or not (self.lesson.y >= 0).any():
            raise LabelError(
                "--model classification-rbm needs labels, and the data have none: name their column with --label, or "
                "use --model rbm"
            )

    def build(self) -> nn.Module:
        lesson = self.lesson
        assert lesson.y is not None
        known = lesson.y[lesson.y >= 0]
        share = torch.from_numpy(np.bincount(known, minlength=lesson.n_classes) / len(known))
        model = ClassificationRBM(lesson.family, lesson.n_classes, self.n_hidden)
        return model.initialise(lesson.random, lesson.mean, share)

    def rule(self) -> GradientRule:
        assert self.lesson.y is not None
        unlabelled = 1.0 if (self.lesson.y < 0).any() else 0.0
        persistent = CHAINS if self.lesson.binary else None
        return HybridClassification(
            discriminative_weight=10.0, generative_weight=1.0, unlabelled_weight=unlabelled, n_chains=persistent
        )

    def teach(self, model: Any) -> Taught:
        lesson = self.lesson
        history = fit(
            model,
            (lesson.X, lesson.y),
            lesson.redrawn(self.rule()),
            epochs=self.epochs,
            learning_rate=falling_to_zero(self.rate, self.epochs),
            callbacks=[*lesson.callbacks("machine"), *lesson.traced(model)],
            **lesson.common("machine"),
        )
        return [("machine", history)]


class BeliefNetwork(Generator):
    """`DBN`: machines one above the other, the topmost a memory of features and, where all rows have one, labels."""

    title = "deep belief network"

    def __init__(self, lesson: Lesson) -> None:
        super().__init__(lesson)
        self.hidden = lesson.sizes((500, 500, 2000) if len(lesson.X) >= 20_000 else (200, 400))
        if len(self.hidden) < 2:
            raise SettingError("--hidden names one layer; expected two or more for a deep belief network: see rbm")
        self.labelled = lesson.y is not None and bool((lesson.y >= 0).all())
        self.epochs = (*(lesson.passes(6000) for _ in self.hidden[1:]), lesson.passes(12_000))
        self.rates = (0.05 if lesson.binary else 0.002, *(0.05 for _ in self.hidden[1:]))

    def build(self) -> nn.Module:
        n_classes = self.lesson.n_classes if self.labelled else 0
        return DBN([self.lesson.family, *self.hidden], n_classes, random_state=self.lesson.random)

    def rule(self, k: int) -> GradientRule:
        if k == len(self.hidden) - 1:
            return PersistentContrastiveDivergence(1, CHAINS)
        rule = ContrastiveDivergence(1, sample_visible=k > 0)
        return self.lesson.redrawn(rule) if k == 0 else rule

    def teach(self, model: Any) -> Taught:
        lesson, n = self.lesson, len(self.hidden)
        names = [*(f"layer {k + 1}" for k in range(n - 1)), "memory"]
        rates = [falling_to_zero(rate, passes) for rate, passes in zip(self.rates, self.epochs, strict=True)]
        histories = pretrain_dbn(
            model,
            lesson.X,
            lesson.y if self.labelled else None,
            self.rule,
            epochs=self.epochs,
            learning_rate=rates,
            momentum=0.5,
            callbacks=lambda k: lesson.callbacks(names[k]),
            **lesson.common("layers"),
        )
        return list(zip(names, histories, strict=True))

    def settings(self) -> dict:
        about = {"hidden": self.hidden, "epochs": self.epochs, "learning_rate": self.rates, "batch_size": BATCH}
        about["label units"] = self.lesson.n_classes if self.labelled else 0
        return {**about, "rule": "CD-1 below, PCD-1 in the memory", "chains": CHAINS}

    def filters(self, model: Any) -> Tensor:
        return model.directed[0].W.T


class DeepMachine(Generator):
    """`DBM`: pairs of layers first, then all together by mean-field inference and persistent chains."""

    title = "deep Boltzmann machine"

    def __init__(self, lesson: Lesson) -> None:
        super().__init__(lesson)
        self.hidden = lesson.sizes((500, 1000) if len(lesson.X) >= 20_000 else (200, 200))
        self.before, self.epochs = lesson.passes(3000), lesson.passes(12_000)
        self.rate = 0.05 if lesson.binary else 0.002

    def build(self) -> nn.Module:
        return DBM(self.lesson.family, *self.hidden).initialise(self.lesson.random, self.lesson.mean)

    def rule(self) -> MeanFieldPCD:
        return MeanFieldPCD(1, CHAINS, centred=self.lesson.binary)

    def teach(self, model: Any) -> Taught:
        lesson = self.lesson
        names = [f"pair {k + 1}" for k in range(len(self.hidden))]
        before = pretrain_deep(
            model,
            lesson.X,
            epochs=self.before,
            learning_rate=self.rate,
            momentum=warm_momentum(self.before),
            redraw=lesson.binary,
            callbacks=lambda k: lesson.callbacks(names[k]),
            **lesson.common("pairs"),
        )
        history = fit(
            model,
            lesson.X,
            lesson.redrawn(self.rule()),
            epochs=self.epochs,
            learning_rate=falling_to_zero(self.rate / 5, self.epochs),
            callbacks=[*lesson.callbacks("all layers"), *lesson.traced(model)],
            **lesson.common("all layers"),
        )
        return [*zip(names, before, strict=True), ("all layers", history)]

    def settings(self) -> dict:
        about = {"hidden": self.hidden, "epochs of a pair": self.before, "epochs": self.epochs, "batch_size": BATCH}
        return {**about, "learning_rate": self.rate / 5, **self.rule().describe()}

    def reconstruct(self, model: Any, v: Tensor) -> Tensor:
        means = deep_mean_field(model, v, tolerance=1e-3, max_iterations=30).means
        return model.visible.mean(model.field(0, [v, *means]))

    def filters(self, model: Any) -> Tensor:
        return model.W[0].T


class ConvolutionalMachine(Generator):
    """`ConvolutionalRBM` of images: sparse shared filters by contrastive divergence."""

    title = "convolutional machine"
    from_rows = True
    deepest_step = 100

    def __init__(self, lesson: Lesson) -> None:
        super().__init__(lesson)
        self.n_filters = lesson.hidden[0] if lesson.hidden else 40
        self.kernel = max(3, round(min(lesson.shape[1:]) / 3))
        self.epochs = lesson.passes(3000)
        self.rate = 0.5 if lesson.binary else 0.02

    def check(self) -> None:
        if len(self.lesson.shape) != 3 or min(self.lesson.shape[1:]) < 4:
            raise SettingError(
                f"--model convolutional-rbm takes images of at least 4 × 4 pixels; rows here have shape "
                f"{self.lesson.shape}: use --model rbm"
            )
        if self.lesson.hidden is not None and len(self.lesson.hidden) != 1:
            raise SettingError("--hidden names several layers; expected one number, of filters, for convolutional-rbm")

    def build(self) -> nn.Module:
        channels = self.lesson.shape[0]
        visible = Bernoulli(channels) if self.lesson.binary else Gaussian(channels)
        mean = self.lesson.mean.reshape(self.lesson.shape).mean((1, 2))
        return ConvolutionalRBM(visible, self.n_filters, self.kernel).initialise(self.lesson.random, mean)

    def rule(self) -> ConvolutionalDivergence:
        return ConvolutionalDivergence(1, sample_visible=False, penalty=SparsityTarget(0.02, 1.0, biases_only=True))

    def maps(self, rows: Any) -> Any:
        return rows.reshape(len(rows), *self.lesson.shape)

    def teach(self, model: Any) -> Taught:
        lesson = self.lesson
        history = fit(
            model,
            self.maps(np.asarray(lesson.X)),
            self.rule(),
            epochs=self.epochs,
            learning_rate=falling_to_zero(self.rate, self.epochs),
            momentum=warm_momentum(self.epochs),
            callbacks=lesson.callbacks("machine"),
            **lesson.common("machine"),
        )
        return [("machine", history)]

    def settings(self) -> dict:
        about = {"filters": self.n_filters, "kernel": self.kernel, "pooling": 2, "epochs": self.epochs}
        return {**about, "learning_rate": self.rate, "batch_size": BATCH, **self.rule().describe()}

    def reconstruct(self, model: Any, v: Tensor) -> Tensor:
        return super().reconstruct(model, self.maps(v)).flatten(1)

    def filters(self, model: Any) -> Tensor:
        return model.W.flatten(1)

    @property
    def filter_shape(self) -> tuple[int, ...]:
        return (self.lesson.shape[0], self.kernel, self.kernel)


KINDS: dict[str, type[Generator]] = {
    "rbm": Machine,
    "classification-rbm": ClassMachine,
    "dbn": BeliefNetwork,
    "dbm": DeepMachine,
    "convolutional-rbm": ConvolutionalMachine,
    "vae": VariationalMachine,
}
