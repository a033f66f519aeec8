"""The classes that a model file may name: a fixed table, never an import by path."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import torch
from torch import nn

from lamina.core.errors import LaminaError, ModelFileError

# Every class that a file may name and where it lives: loaded when first asked for.
_HOMES = {
    "Bernoulli": "lamina.units",
    "Binomial": "lamina.units",
    "Concatenated": "lamina.units",
    "Gaussian": "lamina.units",
    "Rectified": "lamina.units",
    "Softmax": "lamina.units",
    "Spin": "lamina.units",
    "RBM": "lamina.models.energy",
    "BidirectionalAssociativeMemory": "lamina.models.energy",
    "BoltzmannMachine": "lamina.models.energy",
    "ClassificationRBM": "lamina.models.energy",
    "ConditionalRBM": "lamina.models.energy",
    "ConvolutionalDBN": "lamina.models.energy",
    "ConvolutionalRBM": "lamina.models.energy",
    "DBM": "lamina.models.energy",
    "DBN": "lamina.models.energy",
    "Hopfield": "lamina.models.energy",
    "ModernHopfield": "lamina.models.energy",
    "TemporalRBM": "lamina.models.energy",
    "CompetitiveLayer": "lamina.models.maps",
    "CounterPropagation": "lamina.models.maps",
    "HammingNetwork": "lamina.models.maps",
    "HebbianLayer": "lamina.models.maps",
    "SelfOrganisingMap": "lamina.models.maps",
    "Autoencoder": "lamina.models.autoencoders",
    "BimodalAutoencoder": "lamina.models.autoencoders",
    "ConvolutionalAutoencoder": "lamina.models.autoencoders",
    "DeepAutoencoder": "lamina.models.autoencoders",
    "MaskedAutoencoder": "lamina.models.autoencoders",
    "RecurrentAutoencoder": "lamina.models.autoencoders",
    "VariationalAutoencoder": "lamina.models.autoencoders",
    "ConvolutionalSparseCoding": "lamina.models.sparse",
    "DeconvolutionalNetwork": "lamina.models.sparse",
    "PredictiveSparseCoding": "lamina.models.sparse",
    "SparseCoding": "lamina.models.sparse",
    "SparseEncoderDecoder": "lamina.models.sparse",
    "ConvolutionalNetwork": "lamina.models.networks",
    "FeatureClassifier": "lamina.models.networks",
    "RecurrentNetwork": "lamina.models.networks",
    "Perceptron": "lamina.models.networks",
    "VisionTransformer": "lamina.models.networks",
    "MLP": "lamina.models.networks",
    "Stack": "lamina.models.stack",
}


def _class_of(spec: Any) -> Any:
    name = spec.get("class") if isinstance(spec, dict) else None
    if name not in _HOMES:
        raise ModelFileError(
            f"the model file names the class {name!r}; expected one of {', '.join(sorted(_HOMES))}: was it altered, or "
            f"made by a newer Lamina?"
        )
    return getattr(import_module(_HOMES[name]), name)


def _from_spec(spec: Any) -> Any:
    """The model or family that ``spec`` describes, with parameters as its constructor leaves them."""
    return _class_of(spec).from_spec(spec, _from_spec)


def build(spec: dict, state: dict[str, torch.Tensor] | None = None) -> nn.Module:
    """A model from its ``spec()`` and, if given, its state dict, in the arrays' own type (float64 stays float64).

    Raises `ModelFileError` where the class is unknown, an entry is missing, or an array's name or shape is not the
    model's.
    """
    try:
        model = _from_spec(spec)
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
