"""Pieces of a study that are done: kept in the run folder, so that a resumed study does each of them once."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np

from lamina.core.storage import read_arrays, read_json, write_arrays, write_json

Piece = tuple[dict, dict[str, np.ndarray]]


class Memo:
    """Results by key, each a JSON document and named arrays; nothing is kept where ``folder`` is None."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder

    def __call__(self, key: str, work: Callable[[], Piece]) -> Piece:
        """The piece ``key``: read back if it is there, else made by ``work`` and written (arrays first)."""
        if self.folder is None:
            return work()
        name = re.sub(r"[^A-Za-z0-9.-]+", "-", key)
        path = self.folder / f"{name}.json"
        arrays_path = self.folder / f"{name}.safetensors"
        if path.is_file():
            return read_json(path), read_arrays(arrays_path)
        document, arrays = work()
        write_arrays(arrays_path, arrays or {"empty": np.zeros(0, np.float32)})
        write_json(path, document)
        return document, arrays
