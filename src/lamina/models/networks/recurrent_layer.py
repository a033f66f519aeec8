"""One recurrent layer: units that read a frame and their own values one frame before, in one or both directions.

With x_t (n_in,) a frame and h_t (n_hidden,) the units' values, h_0 = 0 (docs/mathematics.md, eq. 204 to 207):

    elman   h_t = tanh(A x_t + R h_{t−1} + a)
    lstm    (i, f, o) = σ(…), g = tanh(…) of A x_t + R h_{t−1} + a;  c_t = f c_{t−1} + i g;  h_t = o tanh(c_t)

A bidirectional layer holds a second set of weights that reads each sequence from its end to its start; the two values
of a frame are joined (Schuster and Paliwal 1997). The cells are PyTorch's, whose weights are (n_out, n_in); of its two
biases per unit the second is kept at 0 and not learnt, since only their sum matters.

Sequences of different lengths go through the cells padded, and the backward cells get every sequence reversed to the
front of its row. That gives the values of packed sequences to rounding, and on a CPU takes a half to a quarter of the
time (docs/design/networks.md).
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from lamina.core.random import Random
from lamina.models.ragged import clear_padding, frame_at, reverse

KINDS: dict[str, Any] = {"elman": nn.RNN, "lstm": nn.LSTM}
GATES = {"elman": 1, "lstm": 4}  # PyTorch's order: input, forget, cell, output
FORGET = 1


class RecurrentLayer(nn.Module):
    """``n_in`` → ``n_out`` = n_hidden, or 2 n_hidden where ``bidirectional``; ``kind`` is "elman" or "lstm"."""

    def __init__(self, n_in: int, n_hidden: int, kind: str, bidirectional: bool, dtype: torch.dtype) -> None:
        super().__init__()
        self.n_in, self.n_hidden, self.kind = n_in, n_hidden, kind
        self.bidirectional = bidirectional
        self.ahead = _cells(kind, n_in, n_hidden, dtype)
        if bidirectional:
            self.back = _cells(kind, n_in, n_hidden, dtype)

    @property
    def directions(self) -> list[Any]:
        """The cells that read ahead and, where there are any, those that read back."""
        return [self.ahead, self.back] if self.bidirectional else [self.ahead]

    @property
    def n_out(self) -> int:
        return self.n_hidden * (1 + self.bidirectional)

    @torch.no_grad()
    def initialise(self, random: Random) -> None:
        """Draw afresh: A by Glorot and Bengio (2010), R orthogonal, each per gate; biases 0, of forget gates 1."""
        for k, cells in enumerate(self.directions):
            gates = GATES[self.kind]
            for gate in range(gates):
                stream, rows = random.child(k, gate), slice(gate * self.n_hidden, (gate + 1) * self.n_hidden)
                cells.weight_ih_l0[rows] = glorot((self.n_hidden, self.n_in), cells.weight_ih_l0, stream.child("A"))
                cells.weight_hh_l0[rows] = orthogonal(self.n_hidden, cells.weight_hh_l0, stream.child("R"))
            cells.bias_ih_l0.zero_()
            cells.bias_hh_l0.zero_()
            if self.kind == "lstm":
                cells.bias_ih_l0[FORGET * self.n_hidden : (FORGET + 1) * self.n_hidden] = 1.0

    def values(self, x: Tensor, lengths: Tensor, truncate: int | None = None) -> Tensor:
        """The units' values: (n, T, n_in), (n,) → (n, T, n_out); in the padding they are of no meaning.

        ``truncate``: slopes go back at most to the start of a stretch of so many frames.
        """
        found = run(self.ahead, x, truncate)
        if not self.bidirectional:
            return found
        return torch.cat([found, reverse(run(self.back, reverse(x, lengths), truncate), lengths)], 2)

    # step by step -----------------------------------------------------------------------------------------------------

    def warm(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Any]:
        """The values (n, T, n_hidden) of the cells that read ahead, and their state after each last frame."""
        packed = pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
        values, state = self.ahead(packed)
        return pad_packed_sequence(values, batch_first=True, total_length=x.shape[1])[0], state

    def step(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        """The values at one more frame x (n, n_in), and the state after it."""
        values, state = self.ahead(x.unsqueeze(1), state)
        return values[:, 0], state


class FullyRecurrentLayer(RecurrentLayer):
    """Units that all feed back into all, of which the last ``n_read`` are read (Williams and Zipser 1989).

    What is read is a unit's input s before the nonlinearity, as outputs are everywhere before the softmax; tanh(s) is
    what it feeds back (docs/mathematics.md, eq. 208). Directions do not see each other: what is read is their sum.
    """

    def __init__(self, n_in: int, n_hidden: int, n_read: int, bidirectional: bool, dtype: torch.dtype) -> None:
        super().__init__(n_in, n_hidden + n_read, "elman", bidirectional, dtype)
        self.n_read = n_read

    def read(self, x: Tensor, values: Tensor, lengths: Tensor, truncate: int | None = None) -> Tensor:
        """Inputs s of the read units from all units' ``values``: (n, T, n_read), or both directions' side by side."""
        values = clear_padding(values, lengths)
        found = self._fields(self.ahead, x, _before(values[:, :, : self.n_hidden], truncate))
        if not self.bidirectional:
            return found
        x, values = reverse(x, lengths), reverse(values[:, :, self.n_hidden :], lengths)
        return torch.cat([found, reverse(self._fields(self.back, x, _before(values, truncate)), lengths)], 2)

    def _fields(self, cells: Any, x: Tensor, before: Tensor) -> Tensor:
        """s_t = A x_t + R y_{t−1} + a of the read units, which are the last ones."""
        A, R, a = (w[-self.n_read :] for w in (cells.weight_ih_l0, cells.weight_hh_l0, cells.bias_ih_l0))
        return functional.linear(x, A, a) + functional.linear(before, R)

    def read_step(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """What is read at one more frame x (n, n_in), and the state after it."""
        return self._fields(self.ahead, x, state[0]), self.step(x, state)[1]


def summary(values: Tensor, lengths: Tensor, answer: str, n_ahead: int) -> Tensor:
    """``answer`` from values (n, T, k): "each" (n, T, k), zeros in the padding; "mean" over frames (n, k); "last" after
    all frames were read (n, k), which for the values from column ``n_ahead`` on, read back to front, is the first."""
    if answer == "each":
        return clear_padding(values, lengths)
    if answer == "mean":
        return clear_padding(values, lengths).sum(1) / lengths.unsqueeze(1)
    return torch.cat([frame_at(values[:, :, :n_ahead], lengths - 1), values[:, 0, n_ahead:]], 1)


def run(cells: Any, x: Tensor, truncate: int | None) -> Tensor:
    """Values of PyTorch's cells from a state of 0; with ``truncate`` the state is cut loose after each stretch."""
    if truncate is None or x.shape[1] <= truncate:
        return cells(x)[0]
    parts, state = [], None
    for stretch in x.split(truncate, 1):
        values, state = cells(stretch, state)
        state = tuple(s.detach() for s in state) if isinstance(state, tuple) else state.detach()
        parts.append(values)
    return torch.cat(parts, 1)


def _before(values: Tensor, truncate: int | None) -> Tensor:
    """The values one frame before, 0 before the first; cut loose at the start of each stretch, as in `run`."""
    before = functional.pad(values[:, :-1], (0, 0, 1, 0))
    if truncate is None:
        return before
    starts = (torch.arange(before.shape[1], device=before.device) % truncate == 0).unsqueeze(1)
    return torch.where(starts, before.detach(), before)


def _cells(kind: str, n_in: int, n_hidden: int, dtype: torch.dtype) -> Any:
    """PyTorch's cells without its own initial values, which would come from a global stream."""
    cells = KINDS[kind](n_in, n_hidden, batch_first=True, dtype=dtype, device="meta").to_empty(device="cpu")
    cells.bias_hh_l0.requires_grad_(False)
    return cells


def glorot(shape: tuple[int, int], like: Tensor, random: Random) -> Tensor:
    """Uniform in ±√(6/(n_in + n_out)), in the type and place of ``like`` (Glorot and Bengio 2010)."""
    return random.uniform(shape, like.dtype, like.device).mul_(2).sub_(1).mul_(math.sqrt(6 / sum(shape)))


def orthogonal(n: int, like: Tensor, random: Random) -> Tensor:
    """A random rotation or reflection (n, n), uniform over all: Q of a QR decomposition of normal numbers, R's diagonal
    positive. It keeps the length of what it is applied to, so that slopes through time neither vanish nor explode but
    by the units' own (Saxe, McClelland, Ganguli 2014)."""
    Q, R = torch.linalg.qr(random.normal((n, n), torch.float64))
    return (Q * R.diagonal().sign()).to(like)
