"""Lamina learns layers of features from unlabelled signals, one layer at a time.

A layer learns without labels. Layers stack. A stack becomes whatever you need. This file is the table of contents: the
public names and where they live. Each is loaded when first used, so that ``import lamina`` costs little.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOME = {
    # units: what a side of a machine is made of
    "Bernoulli": "lamina.units",
    "Gaussian": "lamina.units",
    # models
    "RBM": "lamina.models",
    "Stack": "lamina.models",
    "MLP": "lamina.models",
    # learning
    "fit": "lamina.training",
    "pretrain": "lamina.training",
    "ContrastiveDivergence": "lamina.training",
    "PersistentContrastiveDivergence": "lamina.training",
    "FastPersistentContrastiveDivergence": "lamina.training",
    "SparsityTarget": "lamina.training",
    "SparseGroup": "lamina.training",
    "L1": "lamina.training",
    "MaxNorm": "lamina.training",
    "BackPropagation": "lamina.training",
    "FullBackPropagation": "lamina.training",
    "VirtualAdversarial": "lamina.training",
    "Schedule": "lamina.training",
    "History": "lamina.training",
    # inference
    "gibbs": "lamina.inference",
    # files and randomness
    "save": "lamina.storage",
    "load": "lamina.storage",
    "Random": "lamina.core.random",
    "LaminaError": "lamina.core.errors",
}
_ROOMS = (
    "cli",
    "core",
    "data",
    "estimators",
    "frontends",
    "inference",
    "metrics",
    "models",
    "recipes",
    "report",
    "studies",
    "training",
    "units",
)

__all__ = ["__version__", *_HOME, *_ROOMS]

if TYPE_CHECKING:
    from lamina.core.errors import LaminaError as LaminaError
    from lamina.core.random import Random as Random
    from lamina.inference import gibbs as gibbs
    from lamina.models import MLP as MLP
    from lamina.models import RBM as RBM
    from lamina.models import Stack as Stack
    from lamina.storage import load as load
    from lamina.storage import save as save
    from lamina.training import L1 as L1
    from lamina.training import BackPropagation as BackPropagation
    from lamina.training import ContrastiveDivergence as ContrastiveDivergence
    from lamina.training import FastPersistentContrastiveDivergence as FastPersistentContrastiveDivergence
    from lamina.training import FullBackPropagation as FullBackPropagation
    from lamina.training import History as History
    from lamina.training import MaxNorm as MaxNorm
    from lamina.training import PersistentContrastiveDivergence as PersistentContrastiveDivergence
    from lamina.training import Schedule as Schedule
    from lamina.training import SparseGroup as SparseGroup
    from lamina.training import SparsityTarget as SparsityTarget
    from lamina.training import VirtualAdversarial as VirtualAdversarial
    from lamina.training import fit as fit
    from lamina.training import pretrain as pretrain
    from lamina.units import Bernoulli as Bernoulli
    from lamina.units import Gaussian as Gaussian


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    if name in _ROOMS:
        return import_module(f"lamina.{name}")
    raise AttributeError(f"module 'lamina' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
