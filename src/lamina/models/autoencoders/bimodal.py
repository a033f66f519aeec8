"""The bimodal deep autoencoder: two kinds of signal, one code, and either one missing.

The problem: the same event gives two signals (sound and lips; the left and the right half of a picture). A network
that must give back both from either one has to find what they share (docs/mathematics.md, eq. 170 to 172).

Conventions. A row is the concatenation [a, b]: n_a values of the first signal, n_b of the second. Which of them are
there is said by ``present`` (..., 2), true where a and where b are given; None means both. A missing signal enters as
zeros, and what stands in its columns is never read, be it NaN::

    x_m = a or b, or 0 where missing       h_m = φ(… φ(x_m W + c) …)            m = a, b
    code = φ([h_a, h_b] W + c)             the way back mirrors it, with weights of its own

Source: Ngiam, Khosla, Kim, Nam, Lee, Ng 2011, Multimodal deep learning. Inside: `BimodalAutoencoder`, and `bimodal`,
which unrolls machines that were trained layer by layer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lamina.core.checks import check_number
from lamina.core.errors import DataError, SettingError
from lamina.core.random import Random, as_random
from lamina.models.activations import ACTIVATIONS, check_activation
from lamina.models.networks import MLP
from lamina.models.stack import Stack
from lamina.units import Bernoulli, Family, Gaussian, Spin

OUTPUTS = ("sigmoid", "identity")
_ACTIVATION_OF: dict[type[Family], str] = {Bernoulli: "sigmoid", Gaussian: "identity", Spin: "tanh"}
_PARTS = ("encoder_a", "encoder_b", "joint", "disjoint", "decoder_a", "decoder_b")


class BimodalAutoencoder(nn.Module):
    """Two signals of ``sizes_a[0]`` and ``sizes_b[0]`` values, each through layers of its own, then ``shared`` ones.

    ``BimodalAutoencoder((392, 256), (392, 256), 128)``: one layer of 256 for each, a common code of 128. ``outputs``
    are "sigmoid" (values in [0, 1]) or "identity" (real values, standardised: zero must mean nothing unusual), one for
    each signal; ``activation`` is that of all other units. As a layer: rows [a, b] → code (n, n_hidden) → rows.
    """

    def __init__(
        self,
        sizes_a: Sequence[int],
        sizes_b: Sequence[int],
        shared: int | Sequence[int],
        *,
        activation: str = "sigmoid",
        outputs: tuple[str, str] = ("sigmoid", "sigmoid"),
        dtype: torch.dtype = torch.float32,
        random_state: int | Random | None = 0,
    ) -> None:
        super().__init__()
        check_activation(activation)
        self.sizes_a, self.sizes_b = _sizes("sizes_a", sizes_a, 2), _sizes("sizes_b", sizes_b, 2)
        self.shared = _sizes("shared", [shared] if isinstance(shared, int) else shared, 1)
        if len(outputs) != 2 or any(output not in OUTPUTS for output in outputs):
            raise SettingError(f"outputs are {outputs!r}; expected a pair of 'sigmoid' and 'identity'")
        self.activation, self.outputs = activation, tuple(outputs)
        middle = (self.sizes_a[-1] + self.sizes_b[-1], *self.shared)
        sizes = {"encoder_a": self.sizes_a, "encoder_b": self.sizes_b, "joint": middle}
        sizes |= {"decoder_a": self.sizes_a[::-1], "decoder_b": self.sizes_b[::-1], "disjoint": middle[::-1]}
        random = as_random(random_state)
        for name in _PARTS:
            part = MLP(sizes[name], activation=activation, dtype=dtype, random_state=random.child(name))
            setattr(self, name, part)

    @property
    def n_a(self) -> int:
        return self.sizes_a[0]

    @property
    def n_b(self) -> int:
        return self.sizes_b[0]

    @property
    def n_visible(self) -> int:
        return self.n_a + self.n_b

    @property
    def n_hidden(self) -> int:
        return self.shared[-1]

    def extra_repr(self) -> str:
        return f"sizes_a={self.sizes_a}, sizes_b={self.sizes_b}, shared={self.shared}, outputs={self.outputs}"

    @torch.no_grad()
    def initialise(self, random_state: int | Random | None, data_mean: Tensor | None = None) -> BimodalAutoencoder:
        """Draw all weights afresh; output biases such that a zero input to them gives the data's mean."""
        random = as_random(random_state)
        for name in _PARTS:
            getattr(self, name).initialise(random.child(name))
        if data_mean is not None:
            for part, output, mean in zip(self._decoders, self.outputs, self.split(data_mean), strict=True):
                family = Bernoulli(len(mean)) if output == "sigmoid" else Gaussian(len(mean))
                part.b[-1].copy_(family.bias_from_data(mean.to(part.b[-1])))
        return self

    @property
    def _decoders(self) -> tuple[Any, Any]:
        return self.decoder_a, self.decoder_b

    def split(self, v: Tensor) -> tuple[Tensor, Tensor]:
        """Rows [a, b] as (a, b): views of (..., n_a) and (..., n_b)."""
        if v.shape[-1] != self.n_visible:
            raise DataError(
                f"rows have shape {tuple(v.shape)}; expected (..., {self.n_visible}): {self.n_a} values of the first "
                f"signal, then {self.n_b} of the second"
            )
        return v[..., : self.n_a], v[..., self.n_a :]

    # up -------------------------------------------------------------------------------------------------------------

    def mean_h_from_v(self, v: Tensor, present: Tensor | None = None) -> Tensor:
        """The code of rows [a, b]: (..., n_visible), present (..., 2) or None → (..., n_hidden)."""
        a, b = self.split(v)
        if present is not None:
            present = present.bool()
            a = torch.where(present[..., :1], a, torch.zeros_like(a))  # a product would let NaN through
            b = torch.where(present[..., 1:], b, torch.zeros_like(b))
        activate = ACTIVATIONS[self.activation]
        arms = [activate(self.encoder_a(a)), activate(self.encoder_b(b))]  # type: ignore[operator]
        return activate(self.joint(torch.cat(arms, -1)))  # type: ignore[operator]

    def code(self, a: Tensor | None = None, b: Tensor | None = None) -> Tensor:
        """The code of what is given, the other signal taken as missing: (..., n_a), (..., n_b) → (..., n_hidden)."""
        return self.mean_h_from_v(*self._joined(a, b))

    def _joined(self, a: Tensor | None, b: Tensor | None) -> tuple[Tensor, Tensor]:
        given = a if a is not None else b
        if given is None:
            raise SettingError("neither a nor b was given; expected at least one of the two signals")
        for name, x, n in (("a", a, self.n_a), ("b", b, self.n_b)):
            if x is not None and (x.shape[-1] != n or x.shape[:-1] != given.shape[:-1]):
                raise DataError(f"{name} has shape {tuple(x.shape)}; expected {(*given.shape[:-1], n)}")
        lead = given.shape[:-1]
        parts = [given.new_zeros(*lead, n) if x is None else x for x, n in ((a, self.n_a), (b, self.n_b))]
        present = torch.tensor([a is not None, b is not None], device=given.device)
        return torch.cat(parts, -1), present.expand(*lead, 2)

    # down -----------------------------------------------------------------------------------------------------------

    def fields_from_h(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """What the two outputs see, before σ where there is one: (..., n_hidden) → (..., n_a), (..., n_b)."""
        middle = ACTIVATIONS[self.activation](self.disjoint(h))  # type: ignore[operator]
        n = self.sizes_a[-1]
        return self.decoder_a(middle[..., :n]), self.decoder_b(middle[..., n:])  # type: ignore[operator]

    def mean_v_from_h(self, h: Tensor) -> Tensor:
        """Rows [a, b] from codes: (..., n_hidden) → (..., n_visible)."""
        fields = zip(self.outputs, self.fields_from_h(h), strict=True)
        return torch.cat([ACTIVATIONS[output](field) for output, field in fields], -1)

    def reconstruct(self, a: Tensor | None = None, b: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Both signals from what is given: (..., n_a), (..., n_b)."""
        return self.split(self.mean_v_from_h(self.code(a, b)))

    # files ----------------------------------------------------------------------------------------------------------

    def spec(self) -> dict:
        """What JSON must hold to build this model again; the arrays are the state dict."""
        lists = {name: list(getattr(self, name)) for name in ("sizes_a", "sizes_b", "shared", "outputs")}
        return {"class": "BimodalAutoencoder", **lists, "activation": self.activation}

    @classmethod
    def from_spec(cls, spec: dict, build: Callable[[dict], Any]) -> BimodalAutoencoder:
        """The model that `spec` describes."""
        options = {"activation": spec["activation"], "outputs": tuple(spec["outputs"])}
        return cls(spec["sizes_a"], spec["sizes_b"], spec["shared"], **options)


@torch.no_grad()
def bimodal(layer_a: nn.Module, layer_b: nn.Module, shared: nn.Module) -> BimodalAutoencoder:
    """The autoencoder that trained layers unroll to: its code and its reconstructions are exactly theirs.

    ``layer_a`` and ``layer_b`` are RBMs, `Autoencoder` layers or stacks of them; ``shared`` is one whose visible side
    is their hidden units, those of ``layer_a`` first. A Gaussian side's 1/σ² is folded into the weights. All units but
    the lowest need one activation; `SettingError` otherwise.
    """
    arms = [_unrolled(layer) for layer in (layer_a, layer_b, shared)]
    (ups_a, downs_a), (ups_b, downs_b), (ups, downs) = arms
    sizes_a, sizes_b, sizes = ([len(up[0][0]), *(len(W[0]) for W, _, _ in up)] for up, _ in arms)
    if sizes_a[-1] + sizes_b[-1] != sizes[0]:
        raise SettingError(
            f"the shared layer has {sizes[0]} visible units; expected {sizes_a[-1]} + {sizes_b[-1]}, the hidden units "
            f"of the two layers below"
        )
    inner = {name for step in (*ups_a, *ups_b, *ups, *downs, *downs_a[:-1], *downs_b[:-1]) for name in [step[2]]}
    if len(inner) > 1:
        raise SettingError(f"the layers need different activations ({', '.join(sorted(inner))}): use one kind of units")
    like = ups[0][0]
    model = BimodalAutoencoder(
        sizes_a,
        sizes_b,
        sizes[1:],
        activation=inner.pop(),
        outputs=(downs_a[-1][2], downs_b[-1][2]),
        dtype=like.dtype,
    ).to(like.device)
    for name, steps in zip(_PARTS, (ups_a, ups_b, ups, downs, downs_a, downs_b), strict=True):
        part = getattr(model, name)
        for k, (W, bias, _) in enumerate(steps):
            part.W[k].copy_(W)
            part.b[k].copy_(bias)
    return model


Step = tuple[Tensor, Tensor, str]  # weights (n_in, n_out), bias, activation


def _unrolled(layer: Any) -> tuple[list[Step], list[Step]]:
    """The affine steps that ``layer`` takes upward, and those downward, in the order in which they are taken."""
    layers = list(layer.layers) if isinstance(layer, Stack) else [layer]
    steps = [_steps(one) for one in layers]
    return [up for up, _ in steps], [down for _, down in reversed(steps)]


def _steps(layer: Any) -> tuple[Step, Step]:
    if hasattr(layer, "visible") and hasattr(layer, "hidden") and hasattr(layer, "W"):  # a machine
        into, back = _interaction(layer.visible, layer.W), _interaction(layer.hidden, layer.W)
        up = (into[:, None] * layer.W, layer.c, _activation_of(layer.hidden))
        return up, (back[:, None] * layer.W.T, layer.b, _activation_of(layer.visible))
    if all(hasattr(layer, name) for name in ("W", "b", "c", "activation", "output")):  # an `Autoencoder`
        decoder = getattr(layer, "V", None)
        back = layer.W if decoder is None else decoder
        return (layer.W, layer.c, layer.activation), (back.T, layer.b, layer.output)
    raise SettingError(f"a {type(layer).__name__} layer cannot be unrolled: expected an RBM, an Autoencoder or a Stack")


def _interaction(family: Family, W: Tensor) -> Tensor:
    return family.interaction(torch.ones(family.n, dtype=W.dtype, device=W.device))


def _activation_of(family: Family) -> str:
    if type(family) not in _ACTIVATION_OF:
        raise SettingError(f"{family!r} units cannot be unrolled; expected Bernoulli, Gaussian or Spin units")
    return _ACTIVATION_OF[type(family)]


def _sizes(name: str, sizes: Sequence[int], least: int) -> tuple[int, ...]:
    if len(sizes) < least:
        raise SettingError(f"{name} are {tuple(sizes)}; expected at least {least} number(s) of units")
    for size in sizes:
        check_number(f"a size in {name}", size, low=1, integer=True)
    return tuple(int(size) for size in sizes)
