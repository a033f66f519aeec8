"""The deep belief network: directed layers below, an undirected memory on top (Hinton, Osindero, Teh 2006).

    p(v, h¹, …, h^L) = p(v | h¹) p(h¹ | h²) … p(h^{L−2} | h^{L−1}) · p_top(h^{L−1}, h^L)   (docs/mathematics.md, eq. 73)

The top two layers are a restricted Boltzmann machine. With classes its visible side is the penultimate layer and one
group of one-of-K label units side by side, so that the memory holds pairs (features, label). Recognition goes up
through weights of its own; right after greedy training both directions are tied, and wake-sleep unties them.

The model holds no loop: generation and the likelihood bound are in `lamina.inference`, learning in `lamina.training`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from lamina.core.checks import check_number
from lamina.core.errors import DataError, LabelError, SettingError
from lamina.core.random import Random, as_random
from lamina.models.energy.directed import DirectedLayer
from lamina.models.energy.rbm import RBM
from lamina.units import Concatenated, Family, Softmax, as_family

if TYPE_CHECKING:
    from lamina.models.stack import Stack


class DBN(nn.Module):
    """A deep belief network; ``layers`` are the sides from the visible units up, integers meaning Bernoulli units.

    ``DBN([784, 500, 500, 2000], n_classes=10)`` has directed layers 784-500 and 500-500 and the memory
    [500 + 10 labels]-2000. A DBN is itself a layer: ``n_visible``, ``n_hidden``, `mean_h_from_v`, `mean_v_from_h`.
    """

    def __init__(
        self,
        layers: Sequence[int | Family],
        n_classes: int = 0,
        *,
        dtype: torch.dtype = torch.float32,
        random_state: int | Random | None = 0,
    ) -> None:
        super().__init__()
        check_number("n_classes", n_classes, low=0, integer=True)
        if n_classes == 1 or len(layers) < 2:
            raise SettingError(
                f"a DBN of {len(layers)} layer(s) of units and {n_classes} class(es) was asked for; expected at least "
                f"two layers, and no class or at least two"
            )
        random = as_random(random_state)
        sides = [as_family(side) for side in layers]
        self.n_classes = int(n_classes)
        self.directed = nn.ModuleList(
            DirectedLayer(deepcopy(x), deepcopy(y), dtype=dtype, random_state=random.child("layer", k))
            for k, (x, y) in enumerate(pairwise(sides[:-1]))
        )
        below = deepcopy(sides[-2])
        memory = Concatenated([below, Softmax(self.n_classes)]) if n_classes else below
        self.top = RBM(memory, sides[-1], dtype=dtype, random_state=random.child("layer", len(self.directed)))

    @property
    def n_visible(self) -> int:
        return int(self.directed[0].n_visible) if len(self.directed) else self.n_penultimate  # type: ignore[arg-type]

    @property
    def n_penultimate(self) -> int:
        """Units of the memory's visible side, labels apart."""
        return self.top.n_visible - self.n_classes

    @property
    def n_hidden(self) -> int:
        return self.top.n_hidden

    @property
    def penultimate(self) -> Family:
        """The family of the memory's visible side, labels apart."""
        visible: Any = self.top.visible
        return visible.parts[0] if self.n_classes else visible

    # up and down ----------------------------------------------------------------------------------------------------

    def encode(self, v: Tensor, depth: int | None = None) -> Tensor:
        """Means upward through the first ``depth`` layers (all): (..., n_visible) → (..., n_hidden).

        The topmost mean sums over the unknown label: Σ_y p(y | h) E[h^L | h, y].
        """
        for layer in list(self.directed)[:depth]:
            v = layer.mean_h_from_v(v)
        if depth is not None and depth <= len(self.directed):
            return v
        return self._mean_top(v)

    def decode(self, h: Tensor) -> Tensor:
        """Means downward: (..., n_hidden) → (..., n_visible)."""
        return self.mean_down(self.top.mean_v_from_h(h)[..., : self.n_penultimate])

    # A DBN is a layer itself.
    mean_h_from_v = encode
    mean_v_from_h = decode

    def mean_down(self, h: Tensor) -> Tensor:
        """Means from the penultimate layer to the visible units: (..., n_penultimate) → (..., n_visible)."""
        for layer in reversed(list(self.directed)):
            h = layer.mean_v_from_h(h)
        return h

    @torch.no_grad()
    def sample_up(self, v: Tensor, random: Random) -> list[Tensor]:
        """v and a draw of every layer above it from q, up to the penultimate one: [(..., n_visible), ...]."""
        states = [v]
        for layer in self.directed:
            states.append(layer.sample_h_from_v(states[-1], random))
        return states

    @torch.no_grad()
    def sample_down(self, h: Tensor, random: Random) -> Tensor:
        """One top-down pass of draws, (..., n_penultimate) → (..., n_visible)."""
        for layer in reversed(list(self.directed)):
            h = layer.sample_v_from_h(h, random)
        return h

    @torch.no_grad()
    def sample_h_from_v(self, v: Tensor, random: Random) -> Tensor:
        """A draw of the topmost layer given v (and, with classes, of a label on the way): (..., n_hidden)."""
        h = self.sample_up(v, random)[-1]
        if not self.n_classes:
            return self.top.sample_h_from_v(h, random)
        labels = self._labels.sample_from_mean(self.class_probabilities_from(h), random)
        return self.top.sample_h_from_v(torch.cat([h, labels], -1), random)

    @torch.no_grad()
    def sample_v_from_h(self, h: Tensor, random: Random) -> Tensor:
        """A draw of the visible units given the topmost layer: (..., n_hidden) → (..., n_visible)."""
        return self.sample_down(self.top.sample_v_from_h(h, random)[..., : self.n_penultimate], random)

    def _mean_top(self, h: Tensor) -> Tensor:
        if not self.n_classes:
            return self.top.mean_h_from_v(h)
        field, share = self._field_without_label(h), self.class_probabilities_from(h)
        mean = torch.zeros_like(field)
        for k in range(self.n_classes):
            mean = mean + share[..., k, None] * self.top.hidden.mean(field + self._label_weights[k])
        return mean

    # labels ---------------------------------------------------------------------------------------------------------

    def with_labels(self, h: Tensor, y: Tensor) -> Tensor:
        """The memory's visible values [h, one-of-K of y]: (n, n_penultimate), class codes (n,) → (n, top.n_visible).

        Raises `LabelError` where a code is not in 0 .. n_classes − 1, `SettingError` where the network has no labels.
        """
        self._need_classes()
        if y.dim() != 1 or y.is_floating_point() or len(y) != len(h):
            raise LabelError(
                f"labels have shape {tuple(y.shape)} and type {y.dtype}; expected {len(h)} whole numbers, one per row"
            )
        if len(y) and (int(y.min()) < 0 or int(y.max()) >= self.n_classes):
            raise LabelError(
                f"class codes lie in {int(y.min())} .. {int(y.max())}; expected 0 .. {self.n_classes - 1}: leave "
                f"unlabelled rows out, or number the classes from 0"
            )
        return torch.cat([h, one_hot(y.long(), self.n_classes).to(h)], -1)

    def class_free_energies(self, h: Tensor) -> Tensor:
        """F(h, y) of the memory for every label y: (..., n_penultimate) → (..., n_classes)  (eq. 74).

        The hidden field without a label is computed once; each class then adds its row of weights.
        """
        self._need_classes()
        field = self._field_without_label(h)
        cumulants = [self.top.hidden.cumulant(field + row, self.top.c) for row in self._label_weights]
        own = self.penultimate.energy(h, self.top.b[: self.n_penultimate])
        return own[..., None] - self.top.b[self.n_penultimate :] - torch.stack(cumulants, -1)

    def free_energy_top(self, h: Tensor) -> Tensor:
        """−log Σ_y Σ_{h^L} exp(−E), the memory's free energy with labels summed out: (..., n_penultimate) → (...)."""
        if not self.n_classes:
            return self.top.free_energy(h)
        return -torch.logsumexp(-self.class_free_energies(h), -1)

    def class_probabilities_from(self, h: Tensor) -> Tensor:
        """p(y | h) = softmax(−F(h, y)), exact: (..., n_penultimate) → (..., n_classes)."""
        return torch.softmax(-self.class_free_energies(h), -1)

    @torch.no_grad()
    def class_probabilities(self, v: Tensor, n_samples: int = 0, random_state: int | Random | None = None) -> Tensor:
        """p(y | v) through the up-pass: (..., n_visible) → (..., n_classes).

        ``n_samples=0`` goes up once by means (deterministic); otherwise the average of p(y | h) over as many draws of
        the up-pass.
        """
        check_number("n_samples", n_samples, low=0, integer=True)
        if n_samples == 0:
            return self.class_probabilities_from(self.encode(v, len(self.directed)))
        random = as_random(random_state).child("class probabilities")
        draws = (self.class_probabilities_from(self.sample_up(v, random)[-1]) for _ in range(n_samples))
        total = next(draws)
        for draw in draws:
            total = total + draw
        return total / n_samples

    def classify(self, v: Tensor) -> Tensor:
        """The label of least free energy after a deterministic up-pass: (..., n_visible) → (...) int64."""
        return self.class_probabilities(v).argmax(-1)

    @property
    def _labels(self) -> Family:
        visible: Any = self.top.visible
        return visible.parts[1]

    @property
    def _label_weights(self) -> Tensor:
        return self.top.W[self.n_penultimate :]

    def _field_without_label(self, h: Tensor) -> Tensor:
        if h.shape[-1] != self.n_penultimate:
            raise DataError(
                f"values of the penultimate layer have shape {tuple(h.shape)}; expected (..., {self.n_penultimate})"
            )
        return self.penultimate.interaction(h) @ self.top.W[: self.n_penultimate] + self.top.c

    def _need_classes(self) -> None:
        if not self.n_classes:
            raise SettingError("this DBN has no label units; build it with n_classes to work with labels")

    # other forms and files --------------------------------------------------------------------------------------------

    def stack(self) -> Stack:
        """The recognition direction as a `Stack` of machines, e.g. to fine-tune as a classifier.

        Label units are folded into the top biases at their free mean softmax(b_y).
        """
        from lamina.models.convert import recognition_stack

        return recognition_stack(self)

    def spec(self) -> dict:
        """What JSON must hold to build this network again; the arrays are the state dict."""
        sides = [layer.visible for layer in self.directed]
        layers = [side.spec() for side in (*sides, self.penultimate, self.top.hidden)]  # type: ignore[operator, union-attr]
        return {"class": "DBN", "layers": layers, "n_classes": self.n_classes}

    @classmethod
    def from_spec(cls, spec: dict, build: Callable[[dict], Any]) -> DBN:
        """The network that `spec` describes; ``build`` makes its families."""
        return cls([build(side) for side in spec["layers"]], spec["n_classes"])
