"""Models as folders: ``model.json`` says what it is, ``model.safetensors`` holds the arrays. No code, no pickle."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import torch
from torch import nn

from lamina.core.errors import ModelFileError
from lamina.core.storage import plain, read_arrays, read_json, write_arrays, write_json
from lamina.models.registry import build

FORMAT = 1


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _document_digest(document: dict) -> str:
    """Checksum of the description itself: of all its entries but the one that holds it."""
    rest = {name: value for name, value in document.items() if name != "sha256"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def save(model: nn.Module, folder: str | Path, extra: dict | None = None) -> Path:
    """Write ``model`` to ``folder`` (made if missing): arrays first, then the description that holds their checksum.

    ``extra`` is any JSON document to keep beside the description. Raises `RunFolderError` where nothing can be
    written.
    """
    folder = Path(folder)
    arrays = {name: tensor.detach().cpu().numpy() for name, tensor in model.state_dict().items()}
    write_arrays(folder / "model.safetensors", arrays)
    document = plain(
        {
            "format": FORMAT,
            "model": model.spec(),
            "arrays_sha256": _digest(folder / "model.safetensors"),
            "extra": extra or {},
        }
    )
    write_json(folder / "model.json", {**document, "sha256": _document_digest(document)})
    return folder


def read_description(folder: str | Path) -> dict:
    """The document in ``model.json``, checked for its format and against its own checksum."""
    document = read_json(Path(folder) / "model.json", ModelFileError)
    if not isinstance(document, dict) or document.get("format") != FORMAT or "model" not in document:
        raise ModelFileError(f"{Path(folder) / 'model.json'} is no model description of format {FORMAT}")
    if document.get("sha256") != _document_digest(document):
        raise ModelFileError(
            f"{Path(folder) / 'model.json'} does not match its own checksum: it was altered; restore it"
        )
    return document


def load(folder: str | Path) -> nn.Module:
    """The model that `save` wrote, on the CPU and in its own floating type.

    Raises `ModelFileError` where a file is missing, truncated or altered, or names a class that Lamina does not have.
    """
    folder = Path(folder)
    document = read_description(folder)
    arrays = read_arrays(folder / "model.safetensors", ModelFileError)
    if _digest(folder / "model.safetensors") != document.get("arrays_sha256"):
        raise ModelFileError(
            f"{folder / 'model.safetensors'} does not have the checksum that model.json gives: one of the two was "
            f"altered; restore both"
        )
    return build(document["model"], {name: torch.from_numpy(a) for name, a in arrays.items()})
