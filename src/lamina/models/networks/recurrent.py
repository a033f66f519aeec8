"""Recurrent networks: a sequence in, one answer per sequence or one per frame out.

Layers of recurrent units (`lamina.models.networks.recurrent_layer`) read the frames x_1 … x_L in order, each layer the
values of the one below; an affine head reads the topmost (docs/mathematics.md, eq. 209):

    answer="last"   y = r W + b,   r the values after all frames were read
    answer="mean"   y = r W + b,   r their mean over the frames
    answer="each"   y_t = h_t W + b

Three kinds of units: "elman", whose hidden layer feeds back into itself (Elman 1990); "fully-recurrent", whose outputs
feed back as well, into every unit (Williams and Zipser 1989), and which has neither layers nor a head of its own;
"lstm" (Hochreiter and Schmidhuber 1997, with forget gates). A bidirectional network reads every sequence from both ends
(Schuster and Paliwal 1997).

Sequences of different lengths are X (n, T, n_visible) with ``lengths`` (n,), at the front of their rows; what stands
behind a sequence's end is never looked at. Every sequence gets the answer that it would get alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from numbers import Integral
from typing import Any

import torch
from torch import Tensor, nn

from lamina.core.checks import check_number
from lamina.core.errors import SettingError, nearest_names
from lamina.core.random import Random, as_random
from lamina.models.networks.recurrent_layer import FullyRecurrentLayer, RecurrentLayer, glorot, summary
from lamina.models.ragged import check_sequences, clear_padding, frame_at

CELLS = ("elman", "fully-recurrent", "lstm")
ANSWERS = ("last", "mean", "each")
Batch = Tensor | tuple[Tensor, Tensor]
_OPTIONS = ("cell", "bidirectional", "answer", "dropout")


class RecurrentNetwork(nn.Module):
    """``RecurrentNetwork(13, 64, 10)``: 13 values per frame, 64 units, 10 outputs; ``hidden=(64, 64)`` has two layers.

    ``dropout`` is the probability to drop a value on its way up, to the next layer or the head, never one on its way
    through time (Zaremba, Sutskever, Vinyals 2014); it is on only where a stream of random numbers is handed in.
    Weights of inputs start by Glorot and Bengio (2010), those between units orthogonal, biases at 0 but those of forget
    gates at 1 (Jozefowicz et al. 2015).

    ``head_W`` (n_hidden, n_out) and ``head_b`` (n_out,) are the head; a fully recurrent network has none: its last
    n_out units are read, ``hidden`` counts the others. Raises `SettingError` where it is asked for layers or dropout,
    which it has no place for.
    """

    #: rules that train any network hand over so many arrays, as a tuple: sequences and lengths
    n_inputs = 2

    def __init__(
        self,
        n_visible: int,
        hidden: int | Sequence[int],
        n_out: int,
        *,
        cell: str = "elman",
        bidirectional: bool = False,
        answer: str = "last",
        dropout: float = 0.0,
        dtype: torch.dtype = torch.float32,
        random_state: int | Random | None = 0,
    ) -> None:
        super().__init__()
        self.hidden = _checked_sizes(n_visible, hidden, n_out)
        _check_kinds(cell, answer, dropout, len(self.hidden))
        self.n_visible, self.n_out = int(n_visible), int(n_out)
        self.cell, self.answer = cell, answer
        self.bidirectional, self.dropout = bool(bidirectional), float(dropout)
        self.layers: Any = nn.ModuleList(self._layers(dtype))
        if self.cell != "fully-recurrent":
            self.head_W = nn.Parameter(torch.zeros(self.n_hidden, self.n_out, dtype=dtype))
            self.head_b = nn.Parameter(torch.zeros(self.n_out, dtype=dtype))
        self.initialise(random_state)

    def _layers(self, dtype: torch.dtype) -> list[RecurrentLayer]:
        if self.cell == "fully-recurrent":
            return [FullyRecurrentLayer(self.n_visible, self.hidden[0], self.n_out, self.bidirectional, dtype)]
        layers: list[RecurrentLayer] = []
        for n in self.hidden:
            n_in = layers[-1].n_out if layers else self.n_visible
            layers.append(RecurrentLayer(n_in, n, self.cell, self.bidirectional, dtype))
        return layers

    @property
    def n_hidden(self) -> int:
        """Values that `encode` gives: those of the topmost layer, of both directions."""
        return int(self.layers[-1].n_out)

    def extra_repr(self) -> str:
        options = ", ".join(f"{name}={getattr(self, name)!r}" for name in _OPTIONS)
        return f"{self.n_visible}, {self.hidden}, {self.n_out}, {options}"

    @torch.no_grad()
    def initialise(self, random_state: int | Random | None) -> RecurrentNetwork:
        """Draw the weights afresh."""
        random = as_random(random_state).child("weights")
        for k, layer in enumerate(self.layers):
            layer.initialise(random.child("layer", k))
        if self.cell != "fully-recurrent":
            self.head_W.copy_(glorot((self.n_hidden, self.n_out), self.head_W, random.child("head")))
            self.head_b.zero_()
        return self

    def layer_parameters(self) -> list[list[nn.Parameter]]:
        """The learnt tensors of every layer, the lowest first, the head last (a fully recurrent network is one)."""
        layers = [[p for p in layer.parameters() if p.requires_grad] for layer in self.layers]
        return layers if self.cell == "fully-recurrent" else [*layers, [self.head_W, self.head_b]]

    # answers ----------------------------------------------------------------------------------------------------------

    def forward(
        self,
        x: Batch,
        random: Random | None = None,
        track: bool = False,
        lengths: Tensor | None = None,
        truncate: int | None = None,
    ) -> Tensor:
        """Outputs before any softmax: x (n, T, n_visible), lengths (n,) → (n, n_out), or (n, T, n_out) with zeros in
        the padding where the network answers each frame. The tuple (x, lengths) as ``x`` will do as well.

        With ``random``, dropout is on. ``truncate``: slopes go back through time at most to the start of a stretch of
        so many frames (values are the same). ``track`` means nothing here: it is there for networks that keep running
        averages. Raises `DataError` for another width, lengths outside 1 … T, or NaN in a frame that counts.
        """
        x, lengths = self._checked(x, lengths)
        return self.outputs(clear_padding(x, lengths), lengths, random, truncate)

    def outputs(self, x: Tensor, lengths: Tensor, random: Random | None = None, truncate: int | None = None) -> Tensor:
        """`forward` of sequences that were looked at before, with finite numbers in the padding."""
        if len(x) == 0:
            return x.new_zeros((0, x.shape[1], self.n_out) if self.answer == "each" else (0, self.n_out))
        values, top = self._values(x, lengths, random, truncate)
        if self.cell != "fully-recurrent":
            outputs = summary(top, lengths, self.answer, self.hidden[-1]) @ self.head_W + self.head_b
            return clear_padding(outputs, lengths) if self.answer == "each" else outputs
        read = self.layers[0].read(x, values[0], lengths, truncate)
        outputs = summary(read, lengths, self.answer, self.n_out)
        return outputs[..., : self.n_out] + outputs[..., self.n_out :] if self.bidirectional else outputs

    def _values(
        self, x: Tensor, lengths: Tensor, random: Random | None, truncate: int | None
    ) -> tuple[list[Tensor], Tensor]:
        """Every layer's values, and those of the topmost with what dropout left of them."""
        found = []
        for layer in self.layers:
            found.append(layer.values(x, lengths, truncate))
            x = _drop(found[-1], self.dropout, random)
        return found, x

    def hidden_means(
        self, x: Batch, random: Random | None = None, track: bool = False, lengths: Tensor | None = None
    ) -> list[Tensor]:
        """The units' values in every layer and frame, the lowest first: list of (n, T, n_k), zeros in the padding."""
        x, lengths = self._checked(x, lengths)
        if len(x) == 0:
            return [x.new_zeros(0, x.shape[1], layer.n_out) for layer in self.layers]
        values, _ = self._values(clear_padding(x, lengths), lengths, random, None)
        return [clear_padding(layer, lengths) for layer in values]

    def encode(self, x: Batch, lengths: Tensor | None = None) -> Tensor:
        """What the head reads: (n, n_hidden), or (n, T, n_hidden) where the network answers each frame. Of a fully
        recurrent network, all units."""
        x, lengths = self._checked(x, lengths)
        top = self.hidden_means(x, lengths=lengths)[-1]
        return summary(top, lengths, self.answer, self.layers[-1].n_hidden)

    def _checked(self, x: Batch, lengths: Tensor | None) -> tuple[Tensor, Tensor]:
        x, lengths = x if isinstance(x, tuple) else (x, lengths)
        return x, check_sequences(x, lengths, self.n_visible)

    # going on ---------------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def forecast(
        self,
        x: Tensor,
        steps: int,
        lengths: Tensor | None = None,
        frames: Callable[[Tensor], Tensor] | None = None,
    ) -> Tensor:
        """The frames after each sequence's end, the network running on what it foretells: (n, steps, n_visible).

        For a network that was trained to give the next frame at each: with s_L its state after x_L,
        x̂_{L+1} = φ(y_L), x̂_{L+k+1} = φ(y(x̂_{L+k}, s_{L+k−1})). ``frames`` is φ, for outputs that are no frames yet
        (`torch.sigmoid` for frames of 0 and 1). Errors add up: the network learnt on true frames, not on its own.
        """
        self._check_goes_on()
        check_number("steps", steps, low=1, integer=True)
        lengths = check_sequences(x, lengths, self.n_visible)
        if len(x) == 0:
            return x.new_zeros(0, steps, self.n_visible)
        x, phi = clear_padding(x, lengths), frames or (lambda outputs: outputs)
        found, states = [phi(frame_at(self.outputs(x, lengths), lengths - 1))], []
        for layer in self.layers:
            x, state = layer.warm(x, lengths)
            states.append(state)
        while len(found) < steps:
            found.append(phi(self._step(found[-1], states)))
        return torch.stack(found, 1)

    def _step(self, frame: Tensor, states: list[Any]) -> Tensor:
        """The outputs (n, n_out) at one more frame (n, n_visible); ``states`` are moved on."""
        if self.cell == "fully-recurrent":
            outputs, states[0] = self.layers[0].read_step(frame, states[0])
            return outputs
        for k, layer in enumerate(self.layers):
            frame, states[k] = layer.step(frame, states[k])
        return frame @ self.head_W + self.head_b

    def _check_goes_on(self) -> None:
        if self.answer != "each" or self.bidirectional or self.n_out != self.n_visible:
            raise SettingError(
                f"this network cannot go on with a sequence (answer={self.answer!r}, bidirectional="
                f"{self.bidirectional}, {self.n_visible} values per frame, {self.n_out} outputs); expected "
                f"answer='each', one direction and as many outputs as values"
            )

    # files ------------------------------------------------------------------------------------------------------------

    def spec(self) -> dict:
        """What JSON must hold to build this network again; the arrays are the state dict."""
        sizes = {"n_visible": self.n_visible, "hidden": list(self.hidden), "n_out": self.n_out}
        return {"class": "RecurrentNetwork", **sizes, **{name: getattr(self, name) for name in _OPTIONS}}

    @classmethod
    def from_spec(cls, spec: dict, build: Callable[[dict], Any]) -> RecurrentNetwork:
        """The network that `spec` describes."""
        options = {name: spec[name] for name in _OPTIONS}
        return cls(spec["n_visible"], spec["hidden"], spec["n_out"], **options)


def _checked_sizes(n_visible: Any, hidden: Any, n_out: Any) -> tuple[int, ...]:
    check_number("n_visible", n_visible, low=1, integer=True)
    check_number("n_out", n_out, low=1, integer=True)
    sizes = (hidden,) if isinstance(hidden, (Integral, float, str)) else tuple(hidden)
    if not sizes:
        raise SettingError("hidden is empty; expected a number of units, or one per layer such as (64, 64)")
    for size in sizes:
        check_number("hidden", size, low=1, integer=True)
    return tuple(int(size) for size in sizes)


def _check_kinds(cell: str, answer: str, dropout: Any, n_layers: int) -> None:
    for name, value, known in (("cell", cell, CELLS), ("answer", answer, ANSWERS)):
        if value not in known:
            raise SettingError(f"{name} is {value!r}; {nearest_names(str(value), list(known))}")
    check_number("dropout", dropout, low=0.0, high=0.95)
    if cell == "fully-recurrent" and (n_layers > 1 or dropout):
        raise SettingError(
            f"cell is 'fully-recurrent' with {n_layers} sizes in hidden and dropout {dropout:g}; expected one size and "
            f"no dropout: every unit feeds into every other, so there is no layer above (cell='elman' has layers)"
        )


def _drop(x: Tensor, probability: float, random: Random | None) -> Tensor:
    if random is None or probability == 0.0:
        return x
    keep = random.bernoulli(torch.full_like(x, 1 - probability))
    return x * keep.div_(1 - probability)
