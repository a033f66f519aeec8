"""What the layers of a convolutional deep belief network hold, given all or part of the visible units.

Lee, Grosse, Ranganath, Ng 2009, section 3.6: every detection map feels the maps below it and, through its pooled units,
the map above. Given the odd layers and v, the even layers are independent of each other, and the other way round, so
two half-sweeps update everything. By sampling this is block Gibbs sampling of p(h, unknown v | known v); with means in
the place of samples it is mean field, of which each half-sweep lowers the variational free energy. Means are biased
towards one explanation and fast; samples are right in the long run and slow to change their mind.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lamina.core.checks import check_number
from lamina.core.errors import DataError
from lamina.core.random import Random, as_random
from lamina.models.energy.conv_dbn import ConvolutionalDBN


@dataclass(frozen=True)
class Explanation:
    """``v`` (n, channels, *size) with the unknown part filled in; detection maps ``h`` and pooled maps ``p``, one per
    layer: states where they were sampled, else means."""

    v: Tensor
    h: tuple[Tensor, ...]
    p: tuple[Tensor, ...]


@torch.no_grad()
def infer(
    dbn: ConvolutionalDBN,
    v: Tensor,
    *,
    known: Tensor | None = None,
    sweeps: int = 20,
    sample: bool = False,
    random_state: int | Random | None = None,
    start: Explanation | None = None,
) -> Explanation:
    """Hidden maps of all layers and the unknown visible units, given the known ones, after ``sweeps`` sweeps.

    ``known``: a boolean map that broadcasts to ``v`` (n, channels, *size), True where ``v`` is given (None:
    everywhere); elsewhere values of ``v`` are ignored, and begin at the free units' means. ``sample``: block Gibbs
    sampling with the stream ``random_state`` instead of mean field. ``start``: an earlier result to go on from. One
    pass upward, without what is above, comes before the first sweep.
    """
    check_number("sweeps", sweeps, low=0, integer=True)
    dbn[0].check_maps(v)
    if known is not None:
        _check_known(known, v)
    state = _State(dbn, v, known, as_random(random_state).child("infer") if sample else None)
    state.begin(start)
    for sweep in range(sweeps):
        state.sweep(sweep)
    return Explanation(state.v, tuple(state.h), tuple(state.p))


def _check_known(known: Tensor, v: Tensor) -> None:
    try:
        fits = known.dtype == torch.bool and torch.broadcast_shapes(known.shape, v.shape) == v.shape
    except RuntimeError:  # torch's word for shapes that do not broadcast
        fits = False
    if not fits:
        raise DataError(
            f"known has shape {tuple(known.shape)} and type {known.dtype}; expected a boolean map that broadcasts to "
            f"{tuple(v.shape)}: True where v is given"
        )


class _State:
    """Maps of all layers during inference."""

    def __init__(self, dbn: ConvolutionalDBN, v: Tensor, known: Tensor | None, random: Random | None) -> None:
        self.dbn, self.given, self.known, self.random = dbn, v, known, random
        self.h: list[Tensor] = []
        self.p: list[Tensor] = []
        self.v = v

    def begin(self, start: Explanation | None) -> None:
        if start is not None:
            self.v, self.h, self.p = self._with_known(start.v), list(start.h), list(start.p)
            return
        bottom = self.dbn[0]
        if self.known is not None:
            free = bottom.b.view(-1, *(1 for _ in bottom.kernel)).expand_as(self.given).clone()
            self.v = self._with_known(bottom.visible.mean(free.movedim(1, -1)).movedim(-1, 1))
        below = self.v
        for k in range(len(self.dbn)):
            h, p = self._layer(k, below, None, "start", 0)
            self.h.append(h)
            self.p.append(p)
            below = p

    def sweep(self, number: int) -> None:
        """Layers 1, 3, ... (counted from 1), then layers 2, 4, ... and the unknown visible units."""
        for first in (0, 1):
            for k in range(first, len(self.dbn), 2):
                below = self.v if k == 0 else self.p[k - 1]
                above = self.h[k + 1] if k + 1 < len(self.dbn) else None
                self.h[k], self.p[k] = self._layer(k, below, above, "layer", number)
        if self.known is not None:
            v = self.dbn[0].mean_v_from_h(self.h[0])
            if self.random is not None:
                v = self.dbn[0].sample_v_from_mean(v, self.random.child("visible").at(number))
            self.v = self._with_known(v)

    def _layer(self, k: int, below: Tensor, above: Tensor | None, name: str, number: int) -> tuple[Tensor, Tensor]:
        h, p = self.dbn.means_given(k, below, above)
        if self.random is None:
            return h, p
        h = self.dbn[k].sample_h_from_mean(h, self.random.child(name, k).at(number))
        return h, self.dbn[k].pool(h)

    def _with_known(self, v: Tensor) -> Tensor:
        return self.given if self.known is None else torch.where(self.known, self.given, v)
