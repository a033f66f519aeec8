"""The multi-layer perceptron: affine layers with an activation between them and an affine head.

a_0 = x,  a_k = φ(a_{k−1} W_k + b_k),  output = a_L W + b. Weights are stored (n_in, n_out), as an RBM's.
Dropout (Srivastava et al. 2014) is inverted: values kept are divided by the keep probability during training, so
nothing is scaled afterwards; it is on only where a stream of random numbers is handed in. Without one, the network
computes with the mean of what it would keep: the weight-scaling rule. For a linear network that is the mean over all
sampled networks exactly; `lamina.inference.dropout_averaging` measures how far it is from it for others.

φ is elementwise, or ``"prelu"``, whose slope below 0 is learnt, one number per unit (He et al. 2015), or ``"maxout"``,
where W_k has ``pieces`` columns for every unit and the unit answers with the largest of its fields (Goodfellow et al.
2013): column j·pieces + i is piece i of unit j.

With ``normalise``, every affine map is followed by batch normalisation (Ioffe & Szegedy 2015) before its bias is
added: z ← (z − m)/√(s² + 10⁻⁵), m and s² of the batch while a stream is handed in, running averages otherwise. It
has no scale of its own: that of the next layer's weights does the same. The outputs are normalised too, which keeps
them from running away where an entropy is minimised.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lamina.core.checks import check_number
from lamina.core.errors import DataError, SettingError
from lamina.core.random import Random, as_random
from lamina.models.activations import ACTIVATIONS, PRELU_START, check_network_activation, maxout, prelu
from lamina.models.networks.initial import Initial, check_initial, draw, mean_square

TRACKING = 0.05  # share of the batch in the running averages at each step


class MLP(nn.Module):
    """A perceptron with layer sizes ``sizes`` = (n_in, hidden ..., n_out), counted in units.

    ``activation`` is one of `lamina.models.activations.NETWORK_ACTIVATIONS`; ``pieces`` counts the fields of each
    maxout unit. ``dropout`` is the probability to drop a hidden unit, ``input_dropout`` that of an input;
    ``normalise`` turns on batch normalisation. ``initial`` says how large the weights start
    (`lamina.models.networks.initial`): "auto" is by He et al. (2015) for rectified and maxout units, N(0, 2/n_in) for
    ReLU, the head and other activations by Glorot & Bengio (2010), U(±√(6/(n_in + n_out))); "he" and "glorot" are
    these for all hidden layers; a number is the standard deviation of all weights. Raises `SettingError`.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        *,
        activation: str = "relu",
        pieces: int = 2,
        dropout: float = 0.0,
        input_dropout: float = 0.0,
        normalise: bool = False,
        initial: Initial = "auto",
        dtype: torch.dtype = torch.float32,
        random_state: int | Random | None = 0,
    ) -> None:
        super().__init__()
        check_network_activation(activation)
        if len(sizes) < 2:
            raise SettingError(f"sizes are {tuple(sizes)}; expected at least (n_in, n_out)")
        check_number("pieces", pieces, low=1, integer=True)
        for name, value in (("dropout", dropout), ("input_dropout", input_dropout)):
            check_number(name, value, low=0.0, high=0.95)
        self.sizes = tuple(int(s) for s in sizes)
        self.activation = activation
        self.pieces = int(pieces)
        self.dropout = float(dropout)
        self.input_dropout = float(input_dropout)
        self.normalise = bool(normalise)
        self.initial = check_initial(initial)
        fields = [n * self.pieces if activation == "maxout" else n for n in self.sizes[1:-1]] + [self.sizes[-1]]
        pairs = list(zip(self.sizes, fields, strict=False))
        self.W = nn.ParameterList(nn.Parameter(torch.empty(pair, dtype=dtype)) for pair in pairs)
        self.b = nn.ParameterList(nn.Parameter(torch.zeros(n, dtype=dtype)) for n in fields)
        if activation == "prelu":
            self.a = nn.ParameterList(nn.Parameter(torch.empty(n, dtype=dtype)) for n in self.sizes[1:-1])
        if self.normalise:
            for k, n in enumerate(fields):
                self.register_buffer(f"running_mean_{k}", torch.zeros(n, dtype=dtype))
                self.register_buffer(f"running_variance_{k}", torch.ones(n, dtype=dtype))
        self.initialise(random_state)

    @property
    def n_visible(self) -> int:
        return self.sizes[0]

    @property
    def n_out(self) -> int:
        return self.sizes[-1]

    def extra_repr(self) -> str:
        return f"sizes={self.sizes}, activation={self.activation!r}, dropout={self.dropout}"

    @torch.no_grad()
    def initialise(self, random_state: int | Random | None) -> MLP:
        """Draw the weights afresh; biases to 0, learnt slopes to where they start."""
        random = as_random(random_state).child("weights")
        m = mean_square(self.activation, self.pieces)
        for k, W in enumerate(self.W):
            hidden = k < len(self.W) - 1
            initial = self.initial if hidden or isinstance(self.initial, float) else "glorot"
            W.copy_(draw(W.shape, self.sizes[k + 1], initial, m, random.child(k), W.dtype))
            self.b[k].zero_()
        for slopes in self.a if self.activation == "prelu" else ():
            slopes.fill_(PRELU_START)
        return self

    def layer_parameters(self) -> list[list[nn.Parameter]]:
        """What every layer learns, the lowest first, the head last: weights, biases and, if any, slopes."""
        layers = [[W, b] for W, b in zip(self.W, self.b, strict=True)]
        for k, slopes in enumerate(self.a if self.activation == "prelu" else ()):
            layers[k].append(slopes)
        return layers

    def _activate(self, k: int, z: Tensor) -> Tensor:
        """Values of hidden layer k: fields (..., n) or, with maxout, (..., n·pieces) → (..., n)."""
        if self.activation == "maxout":
            return maxout(z, self.pieces)
        if self.activation == "prelu":
            return prelu(z, self.a[k])
        return ACTIVATIONS[self.activation](z)

    def _affine(self, k: int, x: Tensor, training: bool, track: bool) -> Tensor:
        """Layer k's affine map, normalised where that is on; ``track`` updates the running averages."""
        if not self.normalise:
            return torch.nn.functional.linear(x, self.W[k].T, self.b[k])
        mean, variance = getattr(self, f"running_mean_{k}"), getattr(self, f"running_variance_{k}")
        z = x @ self.W[k]
        if training and len(z) > 1:
            kept_mean, kept_variance = (mean, variance) if track else (None, None)
            z = torch.nn.functional.batch_norm(z, kept_mean, kept_variance, training=True, momentum=TRACKING)
        else:
            z = torch.nn.functional.batch_norm(z, mean, variance, training=False)
        return z + self.b[k]

    def hidden_means(self, x: Tensor, random: Random | None = None, track: bool = False) -> list[Tensor]:
        """Activations of every hidden layer: (..., n_in) → list of (..., n_k). With ``random``, dropout is on."""
        if x.shape[-1] != self.n_visible:
            raise DataError(
                f"inputs have shape {tuple(x.shape)}; expected (..., {self.n_visible}): pass the columns used in fit"
            )
        layers = []
        x = _drop(x, self.input_dropout, random)
        for k in range(len(self.W) - 1):
            x = _drop(self._activate(k, self._affine(k, x, random is not None, track)), self.dropout, random)
            layers.append(x)
        return layers

    def forward(self, x: Tensor, random: Random | None = None, track: bool = False) -> Tensor:
        """Outputs before any softmax: (n, n_in) → (n, n_out).

        With ``random``, dropout is on and normalisation takes the batch's own mean and variance; ``track`` then also
        moves the running averages towards them.
        """
        hidden = self.hidden_means(x, random, track)
        top = hidden[-1] if hidden else _drop(x, self.input_dropout, random)
        return self._affine(len(self.W) - 1, top, random is not None, track)

    def encode(self, x: Tensor) -> Tensor:
        """The last hidden layer: (..., n_in) → (..., n_hidden)."""
        hidden = self.hidden_means(x)
        return hidden[-1] if hidden else x

    def spec(self) -> dict:
        """What JSON must hold to build this network again; the arrays are the state dict."""
        spec = {
            "class": "MLP",
            "sizes": list(self.sizes),
            "activation": self.activation,
            "dropout": self.dropout,
            "input_dropout": self.input_dropout,
            "normalise": self.normalise,
        }
        if self.activation == "maxout":
            spec["pieces"] = self.pieces
        if self.initial != "auto":  # left out elsewhere, so that older files and checkpoints stay what they are
            spec["initial"] = self.initial
        return spec

    @classmethod
    def from_spec(cls, spec: dict, build: Callable[[dict], Any]) -> MLP:
        """The network that `spec` describes."""
        options = ("activation", "dropout", "input_dropout", "normalise")
        later = {name: spec[name] for name in ("pieces", "initial") if name in spec}
        return cls(spec["sizes"], **{name: spec[name] for name in options}, **later)


def _drop(x: Tensor, probability: float, random: Random | None) -> Tensor:
    if random is None or probability == 0.0:
        return x
    keep = random.bernoulli(torch.full_like(x, 1 - probability))
    return x * keep.div_(1 - probability)
