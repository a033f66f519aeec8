"""Centred gradients (Montavon and Müller 2012; Melchior, Fischer, Wiskott 2016): the enhanced gradient's general form.

With offsets μ for the visible and λ for the hidden units, the machine −(s_v − μ)ᵀ W (s_h − λ) − … is the same family of
distributions in other parameters, in which learning does not care whether a pixel is stored as x or 1 − x. Its
gradient, written in the ordinary parameters, is (docs/mathematics.md, eq. 94)

    ∇W ← ΔW − Δb λᵀ − μ Δcᵀ,     ∇b ← Δb − ∇W λ,     ∇c ← Δc − ∇Wᵀ μ

where ΔW, Δb, Δc are the ordinary gradients. The offsets follow the means over data ("dd" in the paper), exponentially
with the factor ``SLIDING``; since the ordinary parameters are the ones kept, moving an offset never moves the model.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from lamina.training.distributed import World

SLIDING = 0.01  # the paper's sliding factor


class Centring:
    """Offsets that follow the means of both sides, and the transformation of a gradient by them."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.visible: Tensor | None = None
        self.hidden: Tensor | None = None

    def follow(self, s_v: Tensor, s_h: Tensor, total: int) -> None:
        """Move the offsets towards this batch's means; they begin at the first batch's."""
        visible, hidden = s_v.sum(0).div_(total), s_h.sum(0).div_(total)
        self.world.sum_([visible, hidden])
        if self.visible is None or self.hidden is None:
            self.visible, self.hidden = visible, hidden
        else:
            self.visible.lerp_(visible, SLIDING)
            self.hidden.lerp_(hidden, SLIDING)

    def transform_(self, W: Tensor, b: Tensor, c: Tensor) -> None:
        """Gradients of W (n_visible, n_hidden), b and c, transformed in place."""
        assert self.visible is not None
        assert self.hidden is not None
        W.addr_(b, self.hidden, alpha=-1.0).addr_(self.visible, c, alpha=-1.0)
        b.addmv_(W, self.hidden, alpha=-1.0)
        c.addmv_(W.T, self.visible, alpha=-1.0)

    def state(self) -> dict[str, Tensor]:
        if self.visible is None or self.hidden is None:
            return {}
        return {"visible offset": self.visible, "hidden offset": self.hidden}

    def load_state(self, state: Mapping[str, Tensor], device: torch.device) -> None:
        if "visible offset" in state:
            self.visible = state["visible offset"].to(device).clone()
            self.hidden = state["hidden offset"].to(device).clone()
