"""Open numpy's own files without ever unpickling, and say in one line why one cannot be opened."""

import zipfile
import zlib
from pathlib import Path

import numpy as np

from lamina.core.errors import FileFormatError
from lamina.data.messages import unreadable


def load_npy(path: Path) -> np.ndarray:
    """The array of a `.npy` file, memory-mapped read-only; raises FileFormatError for anything else."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError, SyntaxError) as error:
        raise _refusal(path, error, "one numpy array of numbers, saved with numpy.save") from None
    if not isinstance(array, np.ndarray):
        array.close()
        raise FileFormatError(f"{path}: this is an archive of arrays: rename it to .npz")
    return array


def load_npz(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a `.npz` file by name; raises FileFormatError for anything else."""
    try:
        with path.open("rb") as file:  # numpy leaves a file open that it opened and could not read
            loaded = np.load(file, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                raise FileFormatError(f"{path}: this is a single array: rename it to .npy")
            with loaded as archive:
                arrays = {key: archive[key] for key in archive.files}
    except FileFormatError:
        raise
    except (OSError, ValueError, EOFError, SyntaxError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise _refusal(path, error, "named arrays of numbers or text, saved with numpy.savez") from None
    odd = [key for key, array in arrays.items() if not isinstance(array, np.ndarray)]
    if odd:  # numpy hands over the bare bytes of a member that does not start like an array
        raise FileFormatError(f"{path}: {odd[0]!r} in it is no array: save named arrays with numpy.savez")
    return arrays


def _refusal(path: Path, error: Exception, expected: str) -> FileFormatError:
    if any(words in str(error) for words in ("allow_pickle", "Object arrays", "Python objects")):
        return FileFormatError(
            f"{path}: holds Python objects or is no numpy file, expected {expected}; objects are never "
            "unpickled: "
            "save plain numbers"
        )
    return unreadable(path, error, expected)
