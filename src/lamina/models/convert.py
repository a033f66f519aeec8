"""A trained stack becomes something else: one function each, all by copying weights."""

from __future__ import annotations

import math
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lamina.core.errors import SettingError
from lamina.core.random import Random
from lamina.models.autoencoders import Autoencoder, DeepAutoencoder
from lamina.models.energy import DBM, DBN, RBM
from lamina.models.networks import MLP
from lamina.models.stack import Stack
from lamina.units import Bernoulli, Family, Gaussian, Rectified, Spin

# The activation whose value is the family's mean: σ(f) for Bernoulli units, f for Gaussian ones, tanh f for spins.
_ACTIVATION_OF = {Bernoulli: "sigmoid", Gaussian: "identity", Spin: "tanh"}


@torch.no_grad()
def classifier(
    stack: Stack,
    n_classes: int,
    *,
    dropout: float = 0.0,
    input_dropout: float = 0.0,
    random_state: int | Random | None = 0,
) -> MLP:
    """A network whose hidden layers compute exactly ``stack.encode``, with a fresh softmax head of ``n_classes``.

    Layers are RBMs, `Autoencoder` layers or both, of one activation. A Gaussian visible side's 1/σ² is folded into the
    first weights. The head starts at 0, so that the first steps of
    fine-tuning do not send random errors down into the trained layers.
    """
    activation = _common_activation(stack)
    first = next(stack.parameters())
    sizes = [stack.n_visible, *stack.sizes, n_classes]
    network = MLP(
        sizes,
        activation=activation,
        dropout=dropout,
        input_dropout=input_dropout,
        dtype=first.dtype,
        random_state=random_state,
    ).to(first.device)
    for k, layer in enumerate(stack.layers):
        network.W[k].copy_(_input_weights(layer))
        network.b[k].copy_(layer.c)
    network.W[-1].zero_()
    return network


@torch.no_grad()
def rectified_classifier(stack: Stack, n_classes: int, *, random_state: int | Random | None = 0) -> MLP:
    """A network of rectified, batch-normalised units that look where the stack's units look.

    Every unit keeps the direction of its weights, its filter; their length is set to √2, which is what He et al. (2015)
    draw on average, and its bias to 0, both of which normalisation makes up for. Unlike `classifier` this does not
    compute ``stack.encode``: it is for training on, where saturated sigmoid units would let too little gradient through
    (measured in docs/design/few-labels.md).
    """
    _common_activation(stack)
    first = next(stack.parameters())
    sizes = [stack.n_visible, *stack.sizes, n_classes]
    network = MLP(sizes, activation="relu", normalise=True, dtype=first.dtype, random_state=random_state).to(
        first.device
    )
    for k, layer in enumerate(stack.layers):
        W = _input_weights(layer)
        network.W[k].copy_(W * (math.sqrt(2) / W.norm(dim=0).clamp(min=1e-12)))
    return network


@torch.no_grad()
def autoencoder(stack: Stack) -> DeepAutoencoder:
    """The stack unrolled (Hinton & Salakhutdinov 2006): ``reconstruct(v)`` is ``stack.decode(stack.encode(v))``.

    The way down has its own copies of the weights, so that fine-tuning may part them from the way up. Bernoulli units
    become sigmoid ones, Gaussian units identity (1/σ² is folded into the weights that leave them), spins tanh, noisy
    rectified units relu; autoencoder layers and stacks among the layers keep their activations. Raises `SettingError`
    for layers of other kinds, whose means no affine map with an activation gives.
    """
    layers = [one for layer in stack.layers for one in _unrolled(layer)]
    up, down = [one.up for one in layers], [one.down for one in layers]
    first = next(stack.parameters())
    network = DeepAutoencoder(
        [len(layers[0].b), *(len(one.c) for one in layers)],
        activation=up[:-1],
        down=down[1:],
        code=up[-1],
        output=down[0],
        dtype=first.dtype,
    ).to(first.device)
    for k, one in enumerate(layers):
        for mine, given in ((network.W[k], one.W), (network.c[k], one.c), (network.V[k], one.V), (network.b[k], one.b)):
            mine.copy_(given)
    return network


@dataclass(frozen=True)
class _Layer:
    """One layer of an unrolled stack: up φ(c + v W), down ψ(b + h Vᵀ)."""

    W: Tensor
    c: Tensor
    up: str
    V: Tensor
    b: Tensor
    down: str


def _unrolled(layer: Any) -> list[_Layer]:
    if isinstance(layer, Stack):
        return [one for inner in layer.layers for one in _unrolled(inner)]
    if isinstance(layer, DeepAutoencoder):
        ups, downs = [*layer.activation, layer.code], [layer.output, *layer.down]
        back = layer.W if layer.tied else layer.V
        return [_Layer(layer.W[k], layer.c[k], ups[k], back[k], layer.b[k], downs[k]) for k in range(layer.depth)]
    if isinstance(layer, Autoencoder):
        return [_Layer(layer.W, layer.c, layer.activation, layer.decoder, layer.b, layer.output)]
    if not isinstance(layer, RBM):
        raise SettingError(
            f"a {type(layer).__name__} layer cannot be unrolled into an autoencoder; expected RBMs and autoencoders: "
            f"stack.encode and stack.decode work with any layer"
        )
    V = layer.W * layer.hidden.interaction(torch.ones_like(layer.c))
    up, down = _mean_as_activation(layer.hidden, "hidden"), _mean_as_activation(layer.visible, "visible")
    return [_Layer(_input_weights(layer), layer.c, up, V, layer.b, down)]


def _mean_as_activation(family: Family, side: str) -> str:
    try:
        return _activation_of(family)
    except SettingError:
        raise SettingError(
            f"{family!r} {side} units cannot be unrolled: no elementwise activation gives their mean; expected "
            f"Bernoulli, Gaussian, Spin or Rectified(sampler='noisy') units"
        ) from None


@torch.no_grad()
def dbn(stack: Stack, n_classes: int = 0, *, random_state: int | Random | None = 0) -> DBN:
    """A deep belief network with the stack's weights: the lower layers directed and tied, the last one the memory.

    With ``n_classes`` the memory gets one group of label units, whose weights start at N(0, 0.01²) and biases at 0: the
    network has to learn them (`lamina.training.pretrain_dbn`, `lamina.training.UpDown`).
    """
    for layer in stack.layers:
        if not isinstance(layer, RBM):
            raise SettingError(f"a {type(layer).__name__} layer cannot become part of a DBN: only RBMs can")
    first = next(stack.parameters())
    machines: Any = stack.layers
    sides = [*(machine.visible for machine in machines), machines[-1].hidden]
    network = DBN(sides, n_classes, dtype=first.dtype, random_state=random_state).to(first.device)
    for layer, machine in zip(network.directed, machines, strict=False):
        layer.tie_to(machine)  # type: ignore[operator]
    last: Any = machines[-1]
    network.top.W[: network.n_penultimate].copy_(last.W)
    network.top.b[: network.n_penultimate].copy_(last.b)
    network.top.c.copy_(last.c)
    return network


@torch.no_grad()
def dbm(stack: Stack) -> DBM:
    """A deep Boltzmann machine with the stack's weights; a layer that two machines share gets the mean of its biases.

    A place to start learning from (`lamina.training.MeanFieldPCD`): machines that were trained each for itself count
    the evidence for a middle layer twice once they are joined. `lamina.training.pretrain_deep` trains them for their
    place.
    """
    machines: Any = list(stack.layers)
    for layer in machines:
        if not isinstance(layer, RBM) or type(layer.hidden) is not Bernoulli:
            raise SettingError(
                f"a layer {layer!r} cannot become part of a deep Boltzmann machine; expected RBMs with Bernoulli "
                f"hidden units"
            )
    first = next(stack.parameters())
    joined = DBM(deepcopy(machines[0].visible), *stack.sizes, dtype=first.dtype).to(first.device)
    joined.b[0].copy_(machines[0].b)
    for k, layer in enumerate(machines):
        joined.W[k].copy_(layer.W)
        joined.b[k + 1].copy_(layer.c if k + 1 == len(machines) else (layer.c + machines[k + 1].b) / 2)
    return joined


@torch.no_grad()
def dbm_classifier(
    machine: DBM,
    n_classes: int,
    *,
    dropout: float = 0.0,
    input_dropout: float = 0.0,
    random_state: int | Random | None = 0,
) -> MLP:
    """A network whose hidden layers compute the machine's mean-field means, with a softmax head that starts at 0.

    Its inputs are rows beside their means q(h_2 | v), `lamina.inference.augmented_rows` (Salakhutdinov and Hinton
    2009): the first layer has the weights [W_0; W_1ᵀ], so that at the fixed point it gives q(h_1 | v), and the next
    q(h_2 | v) again. A machine of one hidden layer has rows alone as inputs. From three hidden layers on, a layer
    between the first and the last gets twice its input from below in place of that from above, as in `DBM.bottom_up`.
    """
    sizes = list(machine.sizes)
    if machine.depth > 1:
        sizes[0] += sizes[2]
    options: dict[str, Any] = {"dropout": dropout, "input_dropout": input_dropout, "random_state": random_state}
    first = machine.b[0]
    network = MLP([*sizes, n_classes], activation="sigmoid", dtype=first.dtype, **options).to(first.device)
    from_rows = machine.interaction(0, torch.ones_like(first))[:, None] * machine.W[0]
    network.W[0].copy_(torch.cat([from_rows, machine.W[1].T]) if machine.depth > 1 else from_rows)
    for k in range(1, machine.depth):
        network.W[k].copy_(machine.W[k] * (2.0 if k + 1 < machine.depth else 1.0))
    for k in range(machine.depth):
        network.b[k].copy_(machine.b[k + 1])
    network.W[-1].zero_()
    return network


@torch.no_grad()
def recognition_stack(network: DBN) -> Stack:
    """The recognition direction of a DBN as machines, each with its layer's generative biases below.

    Label units are held at their free mean softmax(b_y): what they add to the top fields goes into its biases.
    """
    directed: Any = network.directed
    machines = [_machine(layer.visible, layer.hidden, layer.R, layer.b, layer.c) for layer in directed]
    n, top = network.n_penultimate, network.top
    labels = torch.softmax(top.b[n:], 0) @ top.W[n:]
    return Stack([*machines, _machine(network.penultimate, top.hidden, top.W[:n], top.b[:n], top.c + labels)])


def _machine(visible: Any, hidden: Any, W: Tensor, b: Tensor, c: Tensor) -> RBM:
    machine = RBM(deepcopy(visible), deepcopy(hidden), dtype=W.dtype).to(W.device)
    for mine, given in ((machine.W, W), (machine.b, b), (machine.c, c)):
        mine.copy_(given)
    return machine


def _input_weights(layer: Any) -> Tensor:
    """The weights that the hidden units put on the visible values themselves: a Gaussian side's 1/σ² is folded in."""
    if isinstance(layer, Autoencoder):
        return layer.W
    ones = torch.ones(layer.n_visible, dtype=layer.W.dtype, device=layer.W.device)
    return layer.visible.interaction(ones)[:, None] * layer.W


def _common_activation(stack: Stack) -> str:
    names = set()
    for layer in stack.layers:
        if not isinstance(layer, (Autoencoder, RBM)):
            raise SettingError(
                f"a {type(layer).__name__} layer cannot become part of a perceptron: only RBMs and Autoencoders can"
            )
        names.add(layer.activation if isinstance(layer, Autoencoder) else _activation_of(layer.hidden))
    if len(names) > 1:
        raise SettingError(
            f"the layers need different activations ({', '.join(sorted(names))}): use one hidden family, or one "
            f"activation"
        )
    return names.pop()


def _activation_of(family: Family) -> str:
    if isinstance(family, Rectified) and family.sampler == "noisy":
        return "relu"
    if type(family) not in _ACTIVATION_OF:
        raise SettingError(
            f"{family!r} hidden units have no activation of a perceptron that computes their mean; expected Bernoulli, "
            f"Gaussian, Spin or Rectified(sampler='noisy') units"
        )
    return _ACTIVATION_OF[type(family)]
