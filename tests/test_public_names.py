"""The table of contents: every public name is there, each where the table says, and looking costs little."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import lamina
from lamina.models import registry

NAMES = [name for name in lamina.__all__ if name not in lamina._ROOMS]
FOLDERS = {path.name for path in Path(lamina.__file__).parent.iterdir() if path.is_dir() and any(path.glob("*.py"))}


@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_is_there(name):
    found = getattr(lamina, name)
    if name in lamina._HOME:
        assert found is getattr(import_module(lamina._HOME[name]), name)


@pytest.mark.parametrize("room", [room for room in lamina._ROOMS if room in FOLDERS])
def test_every_room_opens_and_keeps_its_promises(room):
    module = getattr(lamina, room)
    for name in getattr(module, "__all__", ()):
        assert hasattr(module, name), f"lamina.{room}.{name}"


def test_every_folder_of_code_is_a_public_room():
    assert set(lamina._ROOMS) >= FOLDERS


def test_unknown_names_are_unknown():
    with pytest.raises(AttributeError, match="no attribute 'RMB'"):
        lamina.RMB  # noqa: B018
    assert set(dir(lamina)) >= set(lamina.__all__)


def test_importing_the_package_loads_nothing_heavy():
    code = "import sys, lamina; print(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    heavy = {"torch", "numpy", "scipy", "sklearn", "pandas", "matplotlib", "safetensors", "requests", "pooch", "PIL"}
    assert not loaded & heavy
    assert not {name for name in loaded if name.startswith("lamina.")}


def test_the_models_load_no_package_for_data_or_figures():
    code = "import sys, lamina; lamina.RBM, lamina.fit, lamina.save, lamina.gibbs; print(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not set(done.stdout.split()) & {"sklearn", "pandas", "matplotlib", "requests", "pooch"}


def test_what_type_checkers_see_is_what_there_is():
    """The block under TYPE_CHECKING repeats the table, name by name and home by home."""
    tree = ast.parse(Path(lamina.__file__).read_text(encoding="utf-8"))
    (block,) = [node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    seen = {}
    for node in block.body:
        assert isinstance(node, ast.ImportFrom)
        for alias in node.names:
            assert alias.asname == alias.name, "re-exported names are written 'X as X'"
            seen[alias.name] = node.module
    assert seen == lamina._HOME


def test_every_model_with_a_spec_is_in_the_registry():
    """A class that can be saved but not loaded would be found out too late."""
    for name in import_module("lamina.models").__all__:
        assert name in registry._HOMES
    for name in ("Bernoulli", "Gaussian"):
        assert name in registry._HOMES


def test_the_registry_refuses_names_that_it_does_not_hold():
    for name in ("Nope", "os.system", "lamina.models.energy.rbm.RBM", "", None):
        with pytest.raises(
            lamina.core.errors.ModelFileError, match=r"expected one of Autoencoder, .*Stack, TemporalRBM"
        ):
            registry.build({"class": name})
