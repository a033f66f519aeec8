"""Writes a run's report beside its records."""

import os
from contextlib import suppress
from pathlib import Path

from lamina.core.errors import RunFolderError
from lamina.report.page import page
from lamina.report.records import read_records

REPORT_FILE = "report.html"


def write_report(run_folder: Path | str) -> Path:
    """Draws ``report.html`` from the records in ``run_folder`` and returns its path.

    The file is written aside and then renamed: an older report stays whole until the new one is. Raises
    `RunFolderError` where the folder or its records are missing or the file cannot be written, and
    `FileFormatError` where the records are truncated or not what the format says.
    """
    target = Path(run_folder) / REPORT_FILE
    words = page(read_records(run_folder))
    aside = target.with_name(f".{REPORT_FILE}.{os.getpid()}")
    try:
        aside.write_text(words, encoding="utf-8", newline="\n")
        os.replace(aside, target)
    except OSError as error:
        raise RunFolderError(
            f"{str(target)!r} cannot be written: {error.strerror or error}; free the place or choose another folder"
        ) from None
    finally:
        with suppress(OSError):
            aside.unlink(missing_ok=True)
    return target
