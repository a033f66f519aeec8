"""Limits of every estimator's parameters, as data: what `check_settings` holds them against.

One row per parameter name, since a name means the same in all estimators; None is allowed where it is the default.
``random_state``, ``device`` and ``shape`` are checked where they are used, ``unlabelled`` may be any value.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from inspect import signature
from numbers import Number
from typing import Any

import numpy as np

from lamina.core.checks import check_number
from lamina.core.errors import SettingError, nearest_names
from lamina.models.activations import ACTIVATIONS, NETWORK_ACTIVATIONS


@dataclass(frozen=True)
class Limit:
    """A number in [low, high], one of ``choices``, or True or False (``flag``); one per layer where ``per_layer``.

    ``words`` are values that will do beside.
    """

    low: float | None = None
    high: float | None = None
    integer: bool = False
    per_layer: bool = False
    choices: tuple[str, ...] = ()
    flag: bool = False
    words: tuple[Any, ...] = ()


SMALLEST = 1e-12  # stands for "above 0"
COUNT = Limit(low=1, integer=True)
RATE = Limit(low=SMALLEST)
SHARE = Limit(low=0.0, high=0.95)

LIMITS: dict[str, Limit] = {
    # sizes
    "n_components": COUNT,
    "n_hidden": COUNT,
    "hidden": Limit(low=1, integer=True, per_layer=True),
    "n_filters": COUNT,
    "kernel": Limit(low=1, integer=True, per_layer=True),  # per axis
    "pooling": Limit(low=1, integer=True, per_layer=True),
    "n_maps": Limit(low=1, integer=True, per_layer=True),
    "code": COUNT,
    "rows": COUNT,  # of a map
    "columns": COUNT,
    "n_units": COUNT,
    "n_winners": COUNT,
    "horizon": COUNT,
    "batch_size": COUNT,
    # how long
    "n_iter": Limit(low=0, integer=True),
    "epochs": Limit(low=0, integer=True),
    "epochs_pretrain": Limit(low=0, integer=True, per_layer=True),
    "patience": Limit(low=1, integer=True),
    "truncate": COUNT,
    "k": COUNT,
    "passes": COUNT,
    "n_chains": COUNT,
    "mean_field_iterations": COUNT,
    # how fast
    "learning_rate": RATE,
    "learning_rate_pretrain": Limit(low=SMALLEST, per_layer=True),
    "momentum": Limit(low=0.0, high=0.999),
    # what holds it back
    "weight_decay": Limit(low=0.0),
    "sparsity_target": Limit(low=SMALLEST, high=1.0),
    "sparsity_cost": Limit(low=0.0),
    "generative_weight": Limit(low=0.0),
    "unlabelled_weight": Limit(low=0.0),
    "corruption": SHARE,
    "dropout": SHARE,
    "input_dropout": SHARE,
    "radius": Limit(low=SMALLEST),
    "entropy": Limit(low=0.0),
    "validation_fraction": Limit(low=0.0, high=0.9),
    "threshold": Limit(),
    "reconstruction": Limit(low=0.0),
    "max_gradient_norm": Limit(low=SMALLEST),
    "clip": Limit(low=SMALLEST),
    "cost": Limit(low=SMALLEST),
    "forgetting": Limit(low=0.0),
    "tolerance": Limit(low=0.0),
    "first_radius": RATE,
    "last_radius": RATE,
    "balance": Limit(low=0.0),
    # kinds
    "layer": Limit(choices=("autoencoder", "contractive", "denoising", "rbm", "sparse")),
    "visible": Limit(choices=("auto", "bernoulli", "gaussian")),
    "semi_supervised": Limit(choices=("auto", "adversarial", "none")),
    "activation": Limit(choices=tuple(ACTIVATIONS)),
    "downsampling": Limit(choices=("max", "switches", "stride")),
    "pass_up": Limit(choices=("mean", "sample")),
    "storage": Limit(choices=("hebbian", "storkey", "pseudo-inverse")),
    "recall": Limit(choices=("asynchronous", "synchronous")),
    "features": Limit(choices=("top", "all")),
    "dtype": Limit(choices=("float32", "float64")),
    "topology": Limit(choices=("rectangular", "hexagonal")),
    "neighbourhood": Limit(choices=("gaussian", "bubble")),
    "initial": Limit(choices=("plane", "rows")),
    "algorithm": Limit(choices=("batch", "online")),
    "output": Limit(choices=("coordinates", "distances")),
    "rule": Limit(choices=("sanger", "oja")),
    "against_dead": Limit(choices=("conscience", "frequency", "none")),
    "cell": Limit(choices=("elman", "fully-recurrent", "lstm")),
    "answer": Limit(choices=("last", "mean")),
    "optimiser": Limit(choices=("adagrad", "adam", "momentum", "nesterov", "rmsprop", "sgd")),
    "fine_tune": Limit(flag=True),
    "learn_sigma": Limit(flag=True),
    "positive": Limit(flag=True),
    "standardise": Limit(flag=True),
    "conditional": Limit(flag=True),
    "bidirectional": Limit(flag=True),
    "tied": Limit(flag=True),
    "toroidal": Limit(flag=True),
    "full": Limit(flag=True),
    "verbose": Limit(low=0, integer=True),
}

# Parameters of the perceptron estimators, in scikit-learn's sense.
PERCEPTRON: dict[str, Limit] = {
    "hidden_layer_sizes": Limit(low=1, integer=True, per_layer=True, words=((), [])),
    "activation": Limit(choices=("logistic", *NETWORK_ACTIVATIONS)),
    "solver": Limit(choices=("lbfgs", "sgd", "adam", "adagrad", "rmsprop")),
    "alpha": Limit(low=0.0),
    "batch_size": Limit(low=1, integer=True, words=("auto",)),
    "learning_rate": Limit(choices=("constant", "invscaling", "adaptive")),
    "learning_rate_init": RATE,
    "power_t": Limit(low=0.0),
    "max_iter": COUNT,
    "shuffle": Limit(flag=True),
    "tol": Limit(low=0.0),
    "warm_start": Limit(flag=True),
    "momentum": Limit(low=0.0, high=1.0),
    "nesterovs_momentum": Limit(flag=True),
    "early_stopping": Limit(flag=True),
    "validation_fraction": Limit(low=0.0, high=1.0 - 1e-12),
    "beta_1": Limit(low=0.0, high=1.0 - 1e-12),
    "beta_2": Limit(low=0.0, high=1.0 - 1e-12),
    "epsilon": RATE,
    "n_iter_no_change": Limit(low=1, integer=True, words=(math.inf,)),
    "max_fun": COUNT,
    "pieces": COUNT,
    "max_norm": RATE,
}


@cache
def _parameters(kind: Any) -> Any:
    """What the constructor takes: looked up once per class."""
    return signature(kind.__init__).parameters


def check_settings(estimator: Any) -> None:
    """Raise `SettingError` for the first parameter of ``estimator`` outside its limits.

    An estimator whose ``limits`` hold a name uses it in a sense of its own (scikit-learn's, in a drop-in).
    """
    kind: Any = type(estimator)
    defaults = _parameters(kind)
    limits = LIMITS | getattr(estimator, "limits", {})
    for name, value in estimator.get_params(deep=False).items():
        if name in limits and not (value is None and defaults[name].default is None):
            _check(name, value, limits[name])


def _check(name: str, value: Any, limit: Limit) -> None:
    if limit.words and not isinstance(value, np.ndarray) and value in limit.words:
        return
    if limit.choices:
        if value not in limit.choices:
            raise SettingError(f"{name} is {value!r}; {nearest_names(str(value), list(limit.choices))}")
    elif limit.flag:
        if not isinstance(value, (bool, np.bool_)):
            raise SettingError(f"{name} is {value!r}; expected True or False")
    elif limit.per_layer and not isinstance(value, (Number, str)):
        _check_each(name, value, limit)
    elif not (name == "verbose" and isinstance(value, bool)):  # True is scikit-learn's way to say 1
        check_number(name, value, low=limit.low, high=limit.high, integer=limit.integer)


def _check_each(name: str, value: Any, limit: Limit) -> None:
    if not isinstance(value, (Sequence, np.ndarray)) or len(value) == 0:
        raise SettingError(f"{name} is {value!r}; expected a number, or one per layer such as (500, 500)")
    for k, entry in enumerate(value):
        check_number(f"{name}[{k}]", entry, low=limit.low, high=limit.high, integer=limit.integer)
