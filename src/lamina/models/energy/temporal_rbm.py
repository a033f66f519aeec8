"""The temporal machine: a conditional RBM whose condition is the last frames of the same sequence.

p(v_1 .. v_T | first frames) = Π_t p(v_t | v_{t−1}, ..., v_{t−n_lags}), each factor a conditional machine's
(docs/mathematics.md, eq. 47). The visible biases b + Σ_k v_{t−k} A_k alone are a vector autoregression; the hidden
units choose, frame by frame, where it is to be corrected (Taylor, Hinton & Roweis 2006). Given the past, nothing of the
future enters: learning needs no message from later frames, and each frame is one row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lamina.core.checks import check_matrix, check_number
from lamina.core.errors import DataError
from lamina.core.random import Random
from lamina.models.energy.conditional_rbm import ConditionalRBM
from lamina.models.energy.rbm import RBM
from lamina.units import Family, as_family


class TemporalRBM(nn.Module):
    """``TemporalRBM(Gaussian(49), 150, n_lags=3)``; integers mean Bernoulli units.

    A *past* is (..., n_lags, n_visible), the most recent frame first: ``past[..., 0, :]`` is v_{t−1}. ``conditional``
    is the machine of one frame, whose condition is a past laid out flat.
    """

    def __init__(
        self,
        visible: int | Family,
        hidden: int | Family,
        n_lags: int,
        *,
        dtype: torch.dtype = torch.float32,
        random_state: int | Random | None = 0,
    ) -> None:
        super().__init__()
        check_number("n_lags", n_lags, low=1, integer=True)
        visible = as_family(visible)
        self.n_lags = int(n_lags)
        self.conditional = ConditionalRBM(
            visible, hidden, self.n_lags * visible.n, dtype=dtype, random_state=random_state
        )

    @property
    def visible(self) -> Family:
        return self.conditional.visible

    @property
    def hidden(self) -> Family:
        return self.conditional.hidden

    @property
    def n_visible(self) -> int:
        return self.conditional.n_visible

    @property
    def n_hidden(self) -> int:
        return self.conditional.n_hidden

    @property
    def autoregression(self) -> Tensor:
        """A_k (n_lags, n_visible, n_visible), from frame t − 1 − k (rows) to frame t (columns): a view."""
        return self.conditional.A.view(self.n_lags, self.n_visible, self.n_visible)

    def extra_repr(self) -> str:
        return f"n_lags={self.n_lags}"

    def initialise(
        self, random_state: int | Random | None, data_mean: Tensor | None = None, scale: float = 0.01
    ) -> TemporalRBM:
        """As `ConditionalRBM.initialise`."""
        self.conditional.initialise(random_state, data_mean, scale)
        return self

    def as_conditional(self) -> ConditionalRBM:
        """The machine of one frame; it shares the parameters."""
        return self.conditional

    def as_rbm(self, past: Tensor) -> RBM:
        """The machine of the frame after ``past`` (n_lags, n_visible), with copies of the parameters."""
        return self.conditional.as_rbm(self.condition(past))

    def condition(self, past: Tensor) -> Tensor:
        """A past (..., n_lags, n_visible) as the condition of the next frame, (..., n_lags · n_visible)."""
        if past.shape[-2:] != (self.n_lags, self.n_visible):
            raise DataError(
                f"the past has shape {tuple(past.shape)}; expected (..., {self.n_lags}, {self.n_visible}): "
                f"{self.n_lags} frames of {self.n_visible} values, the most recent first"
            )
        return past.flatten(-2)

    def windows(self, sequences: Tensor | Sequence[Any]) -> tuple[Tensor, Tensor]:
        """Frames (n, n_visible) and their conditions (n, n_lags · n_visible): what learning takes, one row per frame.

        ``sequences`` is one array (time, n_visible) or several of any lengths; frames with a whole past are taken, so a
        sequence gives its length − n_lags rows. A copy: n_lags + 1 times the memory of the sequences.
        """
        frames, pasts = [], []
        for sequence in self._checked(sequences):
            pieces = sequence.unfold(0, self.n_lags + 1, 1).flip(2)  # (n, n_visible, now and back)
            frames.append(pieces[:, :, 0])
            pasts.append(pieces[:, :, 1:].transpose(1, 2).flatten(1))
        return torch.cat(frames), torch.cat(pasts)

    def last_past(self, sequence: Any) -> Tensor:
        """The past of the frame that would follow ``sequence`` (time, n_visible): (n_lags, n_visible)."""
        (sequence,) = self._checked(sequence, shortest=self.n_lags)
        return sequence[-self.n_lags :].flip(0)

    def _checked(self, sequences: Any, shortest: int | None = None) -> list[Tensor]:
        """Sequences as tensors in the machine's type and place; `DataError` for what cannot be one."""
        shortest = self.n_lags + 1 if shortest is None else shortest
        one = getattr(sequences, "ndim", 0) == 2
        several = [sequences] if one else list(sequences)
        if not several:
            raise DataError("there are 0 sequences; expected at least one array (time, channels)")
        found = []
        for k, sequence in enumerate(several):
            sequence = torch.as_tensor(sequence)
            name = "the sequence" if one else f"sequence {k}"
            check_matrix(sequence.detach().cpu().numpy(), name=name, rows_at_least=shortest)
            if sequence.shape[1] != self.n_visible:
                raise DataError(
                    f"{name} has shape {tuple(sequence.shape)}; expected (time, {self.n_visible}): this machine has "
                    f"{self.n_visible} visible units"
                )
            found.append(sequence.to(self.conditional.W))
        return found

    # files -----------------------------------------------------------------------------------------------------------

    def spec(self) -> dict:
        """What JSON must hold to build this machine again; the arrays are the state dict."""
        return {
            "class": "TemporalRBM",
            "visible": self.visible.spec(),
            "hidden": self.hidden.spec(),
            "n_lags": self.n_lags,
        }

    @classmethod
    def from_spec(cls, spec: dict, build: Callable[[dict], Any]) -> TemporalRBM:
        """The machine that `spec` describes; ``build`` makes its families."""
        return cls(build(spec["visible"]), build(spec["hidden"]), spec["n_lags"])
