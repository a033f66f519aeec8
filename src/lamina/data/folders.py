"""Where files of named data sets lie: `LAMINA_DATA` is looked in first, then `~/.cache/lamina`."""

import os
from pathlib import Path

from lamina.core.errors import DownloadError


def data_folders() -> list[Path]:
    """Folders that may hold a folder per data set, the first to look in first."""
    cache = Path.home() / ".cache" / "lamina"
    named = os.environ.get("LAMINA_DATA", "").strip()
    return [Path(named).expanduser(), cache] if named else [cache]


def find_file(set_name: str, file_name: str) -> Path | None:
    """The file, compressed or not, in the first folder that holds it; None if none does."""
    for folder in data_folders():
        for name in (file_name, file_name.removesuffix(".gz")):
            path = folder / set_name / name
            if path.is_file():
                return path
    return None


def download_folder(set_name: str) -> Path:
    """The first data folder that can be written, made if need be; raises DownloadError if none can."""
    for folder in data_folders():
        target = folder / set_name
        try:
            target.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(target, os.W_OK):
            return target
    tried = ", ".join(str(folder) for folder in data_folders())
    raise DownloadError(f"{set_name}: no folder to download to can be written ({tried}): set LAMINA_DATA to one")
