"""Files that are whole or absent: written aside, flushed to disk, renamed. Arrays as safetensors, the rest as JSON.

Nothing here holds or runs code: no pickle is written or read.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from lamina.core.errors import FileFormatError, RunFolderError


@contextmanager
def _one_line_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RunFolderError(
            f"cannot write {path}: {error.strerror or error}; expected a writable folder with free space: "
            f"choose another with --out, or free some"
        ) from error


def write_bytes(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path`` so that a reader sees the old file or the new one, never half of either."""
    with _one_line_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, aside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(aside, 0o644)
            os.replace(aside, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(aside)
            raise


def write_json(path: Path, document: Any) -> None:
    """Write ``document`` as JSON (UTF-8, indented, NumPy numbers as numbers, NaN as null)."""
    text = json.dumps(plain(document), indent=1, ensure_ascii=False, allow_nan=False)
    write_bytes(path, (text + "\n").encode())


def plain(value: Any) -> Any:
    """``value`` with NumPy numbers, tuples, paths and arrays turned into what JSON knows; NaN, infinity into None."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, np.integer):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return float(value) if np.isfinite(value) else None
    if value is None or isinstance(value, (int, str)):
        return value
    return str(value)


def read_json(path: Path, error: type[FileFormatError] = FileFormatError) -> Any:
    """The JSON document in ``path``; ``error`` where it is missing, truncated or no JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise error(f"{path} is missing; expected a JSON file that Lamina wrote: is this the right folder?") from None
    except (OSError, ValueError) as problem:
        raise error(f"{path} cannot be read as JSON ({problem}); it is truncated or was altered: restore it") from None


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None) -> None:
    """Write named arrays as safetensors."""
    from safetensors.numpy import save

    packed = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    write_bytes(path, save(packed, metadata=dict(metadata) if metadata else None))


def read_arrays(path: Path, error: type[FileFormatError] = FileFormatError) -> dict[str, np.ndarray]:
    """The named arrays of a safetensors file; ``error`` where it is missing, truncated or something else."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    if not path.is_file():
        raise error(f"{path} is missing; expected a safetensors file that Lamina wrote: is this the right folder?")
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError, KeyError) as problem:
        raise error(f"{path} is no whole safetensors file ({problem}): it is truncated or was altered") from None


def new_folder(path: Path, *, overwrite: bool = False) -> Path:
    """Make an empty folder at ``path``; `RunFolderError` where one with content exists and ``overwrite`` is off.

    Overwriting removes only a folder that holds a ``settings.json`` of ours: never somebody's other files.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        if not overwrite:
            raise RunFolderError(
                f"{path} exists already; expected a new folder: pass --overwrite to replace it, --resume to go on with "
                f"it, or another --out"
            )
        if not (path / "settings.json").is_file():
            raise RunFolderError(f"{path} is not a run folder (no settings.json in it): it will not be overwritten")
        shutil.rmtree(path)
    with _one_line_errors(path):
        path.mkdir(parents=True, exist_ok=True)
    return path


def write_array(path: Path, array: np.ndarray) -> None:
    """Write one array as ``.npy``."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    write_bytes(path, buffer.getvalue())
