"""The recurrent autoencoder: a sequence is read into one code, and written from it (Srivastava et al. 2015).

An LSTM reads the frames x_1 … x_L; its last hidden state is the code z. A decoder per head, again an LSTM, starts from
the code and writes frames (docs/mathematics.md, eq. 159 to 161):

    z = h_L,   (h_t, c_t) = LSTM_enc(x_t; h_{t−1}, c_{t−1}),   h_0 = c_0 = 0
    s_0 = z,   m_0 = z M + m,   (s_t, m_t) = LSTM_dec(y_{t−1}; s_{t−1}, m_{t−1}),   y_t = ρ(s_t V + b),   y_0 = 0

The head "reconstruction" writes the sequence in reverse order, x_L … x_1, as it is easier to say last what was heard
first (Sutskever, Vinyals, Le 2014); the head "forecasting" writes the frames that follow. An unconditional decoder gets
no frame y_{t−1} and must keep all in its state. A conditional one is given the true frame before while it learns, and
its own when it runs freely.

Sequences of different lengths are X (n, T, n_visible) with ``lengths`` (n,), at the front of their rows; what stands
behind a sequence's end is never looked at, not even where it is NaN. `lamina.frontends.pad_sequences` makes the two.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from lamina.core.checks import check_number
from lamina.core.errors import SettingError, nearest_names
from lamina.core.random import Random, as_random
from lamina.models.activations import ACTIVATIONS, check_activation
from lamina.models.autoencoders.output_bias import field_of_mean
from lamina.models.ragged import check_sequences, clear_padding, reverse

HEADS = ("reconstruction", "forecasting")
_OPTIONS = ("horizon", "conditional", "output")


class RecurrentAutoencoder(nn.Module):
    """LSTM encoder, code of ``n_hidden`` values, one LSTM decoder per head: ``RecurrentAutoencoder(88, 256)``.

    ``heads``: any of "reconstruction" and "forecasting"; ``horizon``: frames at the end of every sequence that the
    forecasting head learns to foretell from those before. ``conditional``: whether decoders are fed the frame before.
    ``output``: activation of the frames, "identity" for real values, "sigmoid" for values in [0, 1].

    Weights start from U(±1/√n_hidden), biases at 0 but those of the forget gates at 1 (Jozefowicz et al. 2015). The
    LSTMs are PyTorch's: theirs alone are (n_out, n_in). Raises `SettingError` for unknown or missing heads, and where
    ``horizon`` and the heads contradict each other.

    Unlike the paper's decoders, which take over both states of the encoder, these start from the code alone: m_0 is a
    learnt affine function of it.
    """

    def __init__(
        self,
        n_visible: int,
        n_hidden: int,
        *,
        heads: Sequence[str] = ("reconstruction",),
        horizon: int | None = None,
        conditional: bool = False,
        output: str = "identity",
        dtype: torch.dtype = torch.float32,
        random_state: int | Random | None = 0,
    ) -> None:
        super().__init__()
        check_number("n_visible", n_visible, low=1, integer=True)
        check_number("n_hidden", n_hidden, low=1, integer=True)
        check_activation(output, "output")
        self.heads = _checked_heads(heads, horizon)
        self.n_visible, self.n_hidden = int(n_visible), int(n_hidden)
        self.horizon = None if horizon is None else int(horizon)
        self.conditional, self.output = bool(conditional), output
        self.encoder = _lstm(self.n_visible, self.n_hidden, dtype)
        self.decoders = nn.ModuleDict({head: _Decoder(self, dtype) for head in self.heads})
        self.initialise(random_state)

    def extra_repr(self) -> str:
        return f"{self.n_visible}, {self.n_hidden}, heads={self.heads}, horizon={self.horizon}"

    @torch.no_grad()
    def initialise(self, random_state: int | Random | None, data_mean: Tensor | None = None) -> RecurrentAutoencoder:
        """Draw the weights afresh; with ``data_mean`` (n_visible,), output biases that alone give that mean frame."""
        random = as_random(random_state).child("weights")
        limit = 1 / math.sqrt(self.n_hidden)
        for name, parameter in self.named_parameters():
            if parameter.dim() < 2 or not parameter.requires_grad:
                parameter.zero_()
            else:
                drawn = random.child(name).uniform(parameter.shape, parameter.dtype, parameter.device)
                parameter.copy_(drawn.mul_(2).sub_(1).mul_(limit))
        for lstm in (self.encoder, *(decoder.lstm for decoder in self._decoders())):
            lstm.bias_ih_l0[self.n_hidden : 2 * self.n_hidden] = 1.0  # PyTorch's order: input, forget, cell, output
        if data_mean is not None:
            for decoder in self._decoders():
                decoder.b.copy_(field_of_mean(self.output, data_mean.to(decoder.b)))
        return self

    def _decoders(self) -> list[Any]:
        return list(self.decoders.values())

    # codes ----------------------------------------------------------------------------------------------------------

    def encode(self, X: Tensor, lengths: Tensor | None = None) -> Tensor:
        """The codes, the encoder's hidden state after each last frame: (n, T, n_visible), (n,) → (n, n_hidden).

        Raises `DataError` for another width, lengths outside 1 … T, or NaN in a frame that counts.
        """
        lengths = self.check_sequences(X, lengths)
        return self.encode_checked(clear_padding(X, lengths), lengths)

    def encode_checked(self, X: Tensor, lengths: Tensor) -> Tensor:
        """`encode` of sequences that were looked at before, with finite numbers in the padding."""
        if len(X) == 0:
            return X.new_zeros(0, self.n_hidden)
        states, _ = self.encoder(X[:, : int(lengths.max())])
        last = (lengths - 1).view(-1, 1, 1).expand(-1, 1, self.n_hidden)
        return states.gather(1, last).squeeze(1)  # no later frame has been seen there

    # frames from codes ----------------------------------------------------------------------------------------------

    def fields(self, head: str, code: Tensor, steps: int, given: Tensor | None = None) -> Tensor:
        """What the output units of a head see at each step: (n, n_hidden) → (n, steps, n_visible).

        ``given`` (n, steps, n_visible) are the frames to be written, of which a conditional decoder is told, at each
        step, the one before (teacher forcing); without them it runs freely.
        """
        decoder: Any = self._decoder(head)
        state = decoder.start(code)
        if len(code) == 0 or steps == 0:
            return code.new_zeros(len(code), steps, self.n_visible)
        if not self.conditional:
            fed = code.new_zeros(len(code), steps, 1)
        elif given is not None:
            fed = functional.pad(given[:, :-1], (0, 0, 1, 0))
        else:
            return self._run_freely(decoder, code, state, steps)
        hidden, _ = decoder.lstm(fed, state)
        return hidden @ decoder.V + decoder.b

    def _run_freely(self, decoder: Any, code: Tensor, state: Any, steps: int) -> Tensor:
        fields, frame = [], code.new_zeros(len(code), 1, self.n_visible)
        for _ in range(steps):
            hidden, state = decoder.lstm(frame, state)
            fields.append(hidden @ decoder.V + decoder.b)
            frame = self.frames(fields[-1])
        return torch.cat(fields, 1)

    def frames(self, fields: Tensor) -> Tensor:
        """Frames from what the output units see; same shape."""
        return ACTIVATIONS[self.output](fields)

    def decode(self, code: Tensor, lengths: Tensor) -> Tensor:
        """Sequences of ``lengths`` (n,) from codes (n, n_hidden), in forward order: (n, max lengths, n_visible)."""
        steps = int(lengths.max()) if len(lengths) else 0
        written = self.frames(self.fields("reconstruction", code, steps))
        return clear_padding(reverse(written, lengths), lengths)

    def reconstruct(self, X: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Every sequence written again from its code, decoders running freely: same shape, zeros in the padding."""
        lengths = self.check_sequences(X, lengths)
        found = self.decode(self.encode_checked(clear_padding(X, lengths), lengths), lengths)
        return functional.pad(found, (0, 0, 0, X.shape[1] - found.shape[1]))

    def forecast(self, X: Tensor, lengths: Tensor | None = None, steps: int | None = None) -> Tensor:
        """The frames that follow each sequence, the decoder running freely: (n, T, n_visible) → (n, steps, n_visible).

        ``steps`` is ``horizon`` unless given. All of X is read here: in training the last ``horizon`` frames are not.
        """
        self._decoder("forecasting")
        steps = self.horizon if steps is None else steps
        check_number("steps", steps, low=1, integer=True)
        return self.frames(self.fields("forecasting", self.encode(X, lengths), int(steps)))  # type: ignore[arg-type]

    def _decoder(self, head: str) -> nn.Module:
        if head not in self.heads:
            raise SettingError(f"this model has no {head} head (heads={self.heads}): make it with heads={HEADS}")
        return self.decoders[head]

    # checks ---------------------------------------------------------------------------------------------------------

    def check_sequences(self, X: Tensor, lengths: Tensor | None) -> Tensor:
        """The lengths (n,) int64 of sequences X (n, T, n_visible), all T where none are given; `DataError`s here."""
        return check_sequences(X, lengths, self.n_visible)

    # files ----------------------------------------------------------------------------------------------------------

    def spec(self) -> dict:
        """What JSON must hold to build this autoencoder again; the arrays are the state dict."""
        sizes = {"n_visible": self.n_visible, "n_hidden": self.n_hidden, "heads": list(self.heads)}
        return {"class": "RecurrentAutoencoder", **sizes, **{name: getattr(self, name) for name in _OPTIONS}}

    @classmethod
    def from_spec(cls, spec: dict, build: Callable[[dict], Any]) -> RecurrentAutoencoder:
        """The autoencoder that `spec` describes."""
        options = {name: spec[name] for name in ("heads", *_OPTIONS)}
        return cls(spec["n_visible"], spec["n_hidden"], **options)


class _Decoder(nn.Module):
    """An LSTM with its first cell state from the code, and the weights of its frames."""

    def __init__(self, model: RecurrentAutoencoder, dtype: torch.dtype) -> None:
        super().__init__()
        n, h = model.n_visible, model.n_hidden
        self.M = nn.Parameter(torch.zeros(h, h, dtype=dtype))
        self.m = nn.Parameter(torch.zeros(h, dtype=dtype))
        self.V = nn.Parameter(torch.zeros(h, n, dtype=dtype))
        self.b = nn.Parameter(torch.zeros(n, dtype=dtype))
        self.lstm = _lstm(n if model.conditional else 1, h, dtype)
        if not model.conditional:  # nothing is fed: weights of the input would never matter
            self.lstm.weight_ih_l0.requires_grad_(False)

    def start(self, code: Tensor) -> tuple[Tensor, Tensor]:
        """Hidden and cell state, (1, n, n_hidden) each, before the first step."""
        return code.unsqueeze(0).contiguous(), (code @ self.M + self.m).unsqueeze(0)


def _lstm(n_in: int, n_hidden: int, dtype: torch.dtype) -> nn.LSTM:
    """PyTorch's LSTM without its own initial values, which would come from a global stream."""
    return nn.LSTM(n_in, n_hidden, batch_first=True, dtype=dtype, device="meta").to_empty(device="cpu")


def _checked_heads(heads: Sequence[str], horizon: int | None) -> tuple[str, ...]:
    heads = (heads,) if isinstance(heads, str) else tuple(heads)
    for head in heads:
        if head not in HEADS:
            raise SettingError(f"heads holds {head!r}; {nearest_names(str(head), list(HEADS))}")
    if not heads or len(set(heads)) != len(heads):
        raise SettingError(f"heads is {heads}; expected one or both of {HEADS}, each once")
    if "forecasting" in heads:
        if horizon is None:
            raise SettingError("a forecasting head needs horizon=, the number of frames that it learns to foretell")
        check_number("horizon", horizon, low=1, integer=True)
    elif horizon is not None:
        raise SettingError(f"horizon is {horizon} but there is no forecasting head: add it to heads, or leave it out")
    return tuple(head for head in HEADS if head in heads)
