"""The run folder: where a study keeps its settings, model, records and checkpoints."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from lamina.core.errors import FileFormatError, RunFolderError
from lamina.core.storage import new_folder, plain, read_arrays, read_json, write_arrays, write_json
from lamina.frontends.scaling import Scaling


def open_run(
    out: str | None, name: str, settings: dict, *, overwrite: bool, resume: bool, later: dict | None = None
) -> Path:
    """The folder of a run, with ``settings.json`` in it.

    Without ``out`` a fresh name below ``runs/`` is found. ``resume`` goes on in a folder whose settings are the same.
    ``later`` are options that older runs do not know, with the value that they had without saying so.
    """
    folder = Path(out) if out else _fresh(Path("runs"), name)
    if resume:
        found = {**(later or {}), **read_settings(folder)}
        odd = sorted(k for k in {*found, *plain(settings)} if found.get(k) != plain(settings).get(k))
        if odd:
            raise RunFolderError(
                f"{folder} was begun with other settings ({', '.join(odd)}): resume with the same ones, or use a "
                f"new --out"
            )
        return folder
    new_folder(folder, overwrite=overwrite)
    write_json(folder / "settings.json", settings)
    return folder


def read_settings(folder: Path) -> dict:
    """What the run in ``folder`` was asked to do."""
    if not (folder / "settings.json").is_file():
        raise RunFolderError(f"{folder} is no run folder (no settings.json); expected one to resume: check the name")
    found = read_json(folder / "settings.json")
    if not isinstance(found, dict):
        raise FileFormatError(f"{folder / 'settings.json'} holds no settings: it was altered; restore it")
    return found


def check_keeps_model(folder: Path) -> None:
    """Raise `RunFolderError` for a run that ended without a model to use: a comparison."""
    if "layers" in read_settings(folder):
        raise RunFolderError(
            f"{folder} is a comparison, which keeps no model; expected a run of 'lamina learn': learn the kind that "
            f"you want with --layer"
        )


def _fresh(parent: Path, name: str) -> Path:
    folder, k = parent / name, 2
    while folder.exists():
        folder, k = parent / f"{name}-{k}", k + 1
    return folder


def write_scaling(folder: Path, scaling: Scaling) -> None:
    """Keep the front-end beside the model: `predict` on new rows needs the same scaling."""
    about = json.dumps({"units": scaling.units, "why": scaling.why, "sha256": _digest(scaling)})
    # One entry: safetensors writes several in an order that changes from file to file.
    write_arrays(folder / "scaling.safetensors", {"shift": scaling.shift, "factor": scaling.factor}, {"about": about})


def _digest(scaling: Scaling) -> str:
    """Checksum of all that a scaling holds."""
    words = f"{scaling.units}\n{scaling.why}\n".encode()
    return hashlib.sha256(words + scaling.shift.tobytes() + scaling.factor.tobytes()).hexdigest()


def read_scaling(folder: Path) -> Scaling:
    """The inverse of `write_scaling`."""
    from safetensors import safe_open

    from lamina.core.errors import ModelFileError

    arrays = read_arrays(folder / "scaling.safetensors", ModelFileError)
    with safe_open(folder / "scaling.safetensors", framework="np") as file:
        metadata: Any = file.metadata() or {}
    try:
        about = json.loads(metadata["about"])
        scaling = Scaling(about["units"], arrays["shift"], arrays["factor"], about["why"])
    except (KeyError, TypeError, ValueError):
        raise ModelFileError(f"{folder / 'scaling.safetensors'} holds no scaling: it was altered; restore it") from None
    if about.get("sha256") != _digest(scaling):
        raise ModelFileError(
            f"{folder / 'scaling.safetensors'} does not match its own checksum: it was altered; restore it"
        )
    return scaling


def write_records(folder: Path, document: dict, arrays: dict[str, np.ndarray]) -> None:
    """Keep all that the report draws: arrays first, so that ``records.json`` never names what is not there."""
    write_arrays(folder / "records.safetensors", arrays)
    write_json(folder / "records.json", document)
