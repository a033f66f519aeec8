"""The classes that a model file may name: a fixed table, never an import by path."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from lamina.core.errors import LaminaError, ModelFileError
from lamina.models.energy import RBM
from lamina.models.networks import MLP
from lamina.models.stack import Stack
from lamina.units import Bernoulli, Family, Gaussian

_FAMILIES = {"Bernoulli": Bernoulli, "Gaussian": Gaussian}


def _family(spec: dict) -> Family:
    options = {k: v for k, v in spec.items() if k != "class"}
    return _look_up(_FAMILIES, spec)(**options)


def _rbm(spec: dict) -> RBM:
    return RBM(_family(spec["visible"]), _family(spec["hidden"]))


def _stack(spec: dict) -> Stack:
    return Stack([build(layer) for layer in spec["layers"]])


def _mlp(spec: dict) -> MLP:
    return MLP(
        spec["sizes"],
        activation=spec["activation"],
        dropout=spec["dropout"],
        input_dropout=spec["input_dropout"],
        normalise=spec["normalise"],
    )


_BUILDERS = {"RBM": _rbm, "Stack": _stack, "MLP": _mlp}


def _look_up(table: dict, spec: Any) -> Any:
    name = spec.get("class") if isinstance(spec, dict) else None
    if name not in table:
        raise ModelFileError(
            f"the model file names the class {name!r}; expected one of {', '.join(sorted(table))}: was it altered, or "
            f"made by a newer Lamina?"
        )
    return table[name]


def build(spec: dict, state: dict[str, torch.Tensor] | None = None) -> nn.Module:
    """A model from its ``spec()`` and, if given, its state dict, in the arrays' own type (float64 stays float64).

    Raises `ModelFileError` where the class is unknown, an entry is missing, or an array's name or shape is not the
    model's.
    """
    try:
        model = _look_up(_BUILDERS, spec)(spec)
    except ModelFileError:
        raise
    except (KeyError, TypeError, AttributeError) as error:
        raise ModelFileError(f"the model file lacks or garbles an entry ({error}): it was altered") from None
    except (LaminaError, ValueError, OverflowError, RuntimeError, MemoryError) as error:
        raise ModelFileError(f"the model file describes no possible model ({error}): it was altered") from None
    if state is not None:
        _load_state(model, state)
    return model


def _load_state(model: nn.Module, state: dict[str, torch.Tensor]) -> None:
    expected = model.state_dict()
    if set(expected) != set(state):
        odd = sorted(set(expected) ^ set(state))
        raise ModelFileError(f"the model's arrays do not match its description ({', '.join(odd[:4])}): it was altered")
    for name, array in state.items():
        if expected[name].shape != array.shape:
            raise ModelFileError(
                f"array {name} has shape {tuple(array.shape)}; the description says {tuple(expected[name].shape)}"
            )
        if not array.is_floating_point():
            raise ModelFileError(f"array {name} has type {array.dtype}; expected a floating type")
    model.to(next(iter(state.values())).dtype)
    model.load_state_dict(state)
