"""The one line that says why a file cannot be used."""

from pathlib import Path

from lamina.core.errors import FileFormatError


def one_line(error: BaseException) -> str:
    """The error's own words on one line, at most 120 characters."""
    return " ".join(str(error).split())[:120] or type(error).__name__


def unreadable(path: Path, error: BaseException, expected: str) -> FileFormatError:
    """The exception to raise where opening or parsing `path` failed with `error`."""
    if isinstance(error, PermissionError):
        return FileFormatError(f"{path}: may not be read, expected {expected}: change its permissions")
    if path.is_file() and path.stat().st_size == 0:
        return FileFormatError(f"{path}: empty file, expected {expected}: copy or write it again")
    return FileFormatError(
        f"{path}: damaged, truncated or of another kind ({one_line(error)}), expected {expected}: "
        "copy or write it again"
    )
