"""A stack joins layers: each layer's hidden side is the next one's visible side.

Any object with ``n_visible``, ``n_hidden``, ``mean_h_from_v`` and ``mean_v_from_h`` is a layer; `sample` also needs the
two ``sample_…`` functions of the top layer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from lamina.core.errors import SettingError
from lamina.core.random import Random, as_random


class Stack(nn.Module):
    """Layers from the bottom up, e.g. ``Stack([RBM(784, 500), RBM(500, 500)])``."""

    def __init__(self, layers: Sequence[nn.Module]) -> None:
        super().__init__()
        if not layers:
            raise SettingError("a stack needs at least one layer; 0 given")
        for k, (below, above) in enumerate(pairwise(layers)):
            if below.n_hidden != above.n_visible:
                raise SettingError(
                    f"layer {k + 1} has {below.n_hidden} hidden units but layer {k + 2} expects {above.n_visible} "
                    f"visible units; expected equal sizes: change one of them"
                )
        self.layers = nn.ModuleList(layers)

    @property
    def n_visible(self) -> int:
        return int(self.layers[0].n_visible)  # type: ignore[arg-type]

    @property
    def n_hidden(self) -> int:
        return int(self.layers[-1].n_hidden)  # type: ignore[arg-type]

    @property
    def sizes(self) -> tuple[int, ...]:
        """Numbers of hidden units, from the bottom up."""
        return tuple(int(layer.n_hidden) for layer in self.layers)  # type: ignore[arg-type]

    def __len__(self) -> int:
        return len(self.layers)

    def __getitem__(self, k: int) -> nn.Module:
        return self.layers[k]

    def encode(self, v: Tensor, depth: int | None = None) -> Tensor:
        """Means upward through the first ``depth`` layers (all): (..., n_visible) → (..., n_hidden)."""
        for layer in list(self.layers)[:depth]:
            v = layer.mean_h_from_v(v)
        return v

    def decode(self, h: Tensor, depth: int | None = None) -> Tensor:
        """Means downward from the top of the first ``depth`` layers: (..., n_hidden) → (..., n_visible)."""
        for layer in reversed(list(self.layers)[:depth]):
            h = layer.mean_v_from_h(h)
        return h

    # A stack is a layer itself.
    mean_h_from_v = encode
    mean_v_from_h = decode

    @torch.no_grad()
    def sample(
        self,
        n: int,
        *,
        steps: int = 1000,
        random_state: int | Random | None = None,
        start: Tensor | None = None,
    ) -> Tensor:
        """``n`` draws (n, n_visible): ``steps`` of Gibbs sampling in the top layer, then means downward.

        This is how a deep belief network generates (Hinton, Osindero, Teh 2006). ``start`` (n, n_visible) begins the
        chain at data; otherwise it begins at the top layer's free visible units. Short chains started at data stay
        near the data; chains of less than about 1,000 steps from nowhere have not mixed.
        """
        top = self.layers[-1]
        if not hasattr(top, "sample_v_from_h"):
            raise SettingError(f"the top layer, {type(top).__name__}, cannot sample: only stochastic layers generate")
        random = as_random(random_state).child("sample")
        if start is not None:
            v = self.encode(start, len(self) - 1)
        else:
            v = top.visible.sample(top.b.expand(n, -1), random.child("start"))
        for step in range(steps):
            h = top.sample_h_from_v(v, random.at(step))
            v = top.mean_v_from_h(h) if step == steps - 1 else top.sample_v_from_h(h, random)
        return self.decode(v, len(self) - 1)

    def classifier(self, n_classes: int, **options) -> nn.Module:
        """A classifier that starts at this stack's weights: see `lamina.models.convert.classifier`."""
        from lamina.models.convert import classifier

        return classifier(self, n_classes, **options)

    def autoencoder(self) -> nn.Module:
        """The stack unrolled, to be fine-tuned as one network: see `lamina.models.convert.autoencoder`."""
        from lamina.models.convert import autoencoder

        return autoencoder(self)

    def dbn(self, n_classes: int = 0, **options: Any) -> nn.Module:
        """A deep belief network that starts at this stack's weights: see `lamina.models.convert.dbn`."""
        from lamina.models.convert import dbn

        return dbn(self, n_classes, **options)

    def dbm(self) -> nn.Module:
        """A deep Boltzmann machine that starts at this stack's weights: see `lamina.models.convert.dbm`."""
        from lamina.models.convert import dbm

        return dbm(self)

    def spec(self) -> dict:
        """What JSON must hold to build this stack again; the arrays are the state dict."""
        return {"class": "Stack", "layers": [layer.spec() for layer in self.layers]}

    @classmethod
    def from_spec(cls, spec: dict, build: Callable[[dict], Any]) -> Stack:
        """The stack that `spec` describes; ``build`` makes its layers."""
        return cls([build(layer) for layer in spec["layers"]])
