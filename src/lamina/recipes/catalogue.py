"""Which recipes there are: a fixed table in the order of the documentation; each module is loaded when asked for."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from importlib.resources import files
from json import loads
from typing import Any

from lamina.core.errors import UnknownNameError, nearest_names

NAMES = (
    "salakhutdinov2008_ais",
    "melchior2016_centering",
    "hinton2006_dbn",
    "salakhutdinov2009_dbm",
    "larochelle2008_classification_rbm",
    "lee2008_sparse_rbm",
    "luo2011_sparse_group",
    "lee2009_convolutional_dbn",
    "hopfield1982_capacity",
    "taylor2006_conditional_rbm",
    "explaining_away",
    "hinton2006_autoencoder",
    "vincent2010_stacked_denoising",
    "denoising_vector_field",
    "rifai2011_contractive",
    "linear_autoencoder_is_pca",
    "kingma2014_vae",
    "ngiam2011_bimodal",
    "he2022_masked_autoencoder",
    "olshausen1996_sparse_coding",
    "lee2007_efficient_sparse_coding",
    "ranzato2006_sparse_energy",
    "lecun1989_zipcode",
    "lecun1998_lenet5",
    "simard2003_elastic",
    "dropout_srivastava2014",
    "maxout_goodfellow2013",
    "bengio2007_greedy",
    "erhan2010_why_pretraining",
    "deep_versus_shallow",
    "parity",
    "folding",
    "vanishing_gradient",
    "activations",
    "optimisers",
    "modularisation",
    "hidden_representations",
    "series_forecast",
    "doctor",
    "kohonen1982_maps",
    "five_learning_rules",
)


@dataclass(frozen=True)
class Entry:
    """A recipe of the table: ``published`` rows of its ``published.json``, ``recorded`` its ``results.json`` if any,
    ``minutes`` that the full version takes, as the recipe says, or None."""

    name: str
    title: str
    paper: str
    about: str
    published: tuple[dict, ...]
    recorded: dict | None
    minutes: float | None
    module: Any


def find(name: str) -> Entry:
    """The recipe called ``name``; `UnknownNameError` with the nearest names where there is none."""
    if name not in NAMES:
        raise UnknownNameError(f"no recipe is called {name!r}: {nearest_names(name, list(NAMES))}")
    module = import_module(f"lamina.recipes.{name}.recipe")
    published = _document(name, "published.json") or {"values": []}
    about = " ".join((module.__doc__ or "").split())
    recorded = _document(name, "results.json")
    minutes = getattr(module, "MINUTES", None)
    return Entry(name, module.TITLE, module.PAPER, about, tuple(published["values"]), recorded, minutes, module)


def entries() -> list[Entry]:
    """All recipes, in the order of the table."""
    return [find(name) for name in NAMES]


def _document(name: str, file: str) -> dict | None:
    """A JSON file that lies beside the recipe, None where there is none."""
    path = files("lamina.recipes").joinpath(name, file)
    return loads(path.read_text(encoding="utf-8")) if path.is_file() else None
