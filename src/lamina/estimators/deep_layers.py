"""What `StackedAutoencoder` and `AutoencoderClassifier` share: sizes, rows and greedy learning of one kind of layer.

Everything else, features, fine-tuning's length and its rate, is that of the deep belief estimators: these differ in the
layers alone.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from torch import Tensor

from lamina.core.checks import check_device
from lamina.core.random import Random
from lamina.estimators.base import CheckedCD, at_least_steps, progress
from lamina.estimators.deep_belief import PRETRAIN_EPOCHS, PRETRAIN_STEPS, DeepBelief
from lamina.training.layer_kinds import KINDS, LayerKind, layered, pretrain_kind

# Kinds whose codes a perceptron computes: the others cannot be fine-tuned whole.
LAYERS = ("autoencoder", "contractive", "denoising", "rbm", "sparse")
WIDEST, NARROWEST = 500, 8


class DeepLayers(DeepBelief):
    """Base of the deep autoencoder estimators; learns nothing by itself."""

    layer: str

    def _sizes(self) -> tuple[int, ...]:
        return default_sizes(self.n_features_in_) if self.hidden is None else super()._sizes()

    def _pretrain(self, rows: Tensor, random: Random) -> None:
        """Learn ``stack_`` from ``rows`` (n_rows, n_features), layer by layer."""
        kind = _checked(self.layer)
        sizes = (rows.shape[1], *self._sizes())
        self.stack_ = layered(kind, sizes, self.visible_).to(check_device(self.device), rows.dtype)
        usual = at_least_steps(PRETRAIN_EPOCHS, PRETRAIN_STEPS, len(rows), self.batch_size)
        passes = usual if self.epochs_pretrain is None else self.epochs_pretrain
        name = type(self).__name__
        self.history_ = pretrain_kind(
            self.stack_,
            rows,
            kind,
            epochs=int(passes) if np.ndim(passes) == 0 else [int(each) for each in passes],
            batch_size=self.batch_size,
            random_state=random.child("pre-training"),
            callbacks=lambda k: progress(self.verbose, f"{name}: layer {k + 1}"),
        )


def default_sizes(n_features: int) -> tuple[int, int]:
    """Two layers: four units per feature, at least `NARROWEST` and at most `WIDEST`, and half as many above."""
    width = min(WIDEST, max(NARROWEST, 4 * n_features))
    return width, width // 2


def _checked(layer: str) -> LayerKind:
    """The kind of layer; machines take rows as they are, since the estimator has checked them as a whole."""
    if layer == "rbm":
        return replace(KINDS[layer], make_rule=lambda units: CheckedCD(sample_visible=False))
    return KINDS[layer]
