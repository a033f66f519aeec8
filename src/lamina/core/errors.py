"""Every exception that Lamina raises on purpose.

The tree, each leaf with the built-in type that callers already catch::

    LaminaError
    ├── DataError (ValueError)            values, shapes, labels of the user's data
    │   └── LabelError                    labels that cannot be learnt from, or that the model never saw
    ├── SettingError (ValueError)         an option outside its limits, or options that contradict
    ├── UnknownNameError (LookupError)    a data set, model class or option nobody knows
    ├── FileFormatError (ValueError)      a file that is not what its name says, or is truncated
    │   └── ModelFileError                a model folder that is incomplete, damaged or tampered with
    ├── DownloadError (OSError)           an address that did not give the expected bytes
    ├── RunFolderError (OSError)          an output folder that exists, is full or cannot be written
    ├── DeviceError (RuntimeError)        a device that this machine lacks
    ├── DivergenceError (ArithmeticError) a run whose numbers left the finite range
    ├── MissingPackageError (ImportError) an optional package that is not installed
    └── Interrupted (KeyboardInterrupt)   Ctrl-C, after what was learnt has been saved

and the warnings, for results that stand but should not be believed as they are::

    LaminaWarning (UserWarning)
    └── UnreliableEstimateWarning         an estimate whose own diagnostics say that it may be far off

Each message is one line: what was given, what was expected, what to do.
"""

from typing import Any


class LaminaError(Exception):
    """Root of the tree: catch this to catch everything that Lamina raises on purpose."""


class DataError(LaminaError, ValueError):
    """The user's data cannot be used as they are: values, shapes or labels."""


class LabelError(DataError):
    """Labels that cannot be learnt from or that the model never saw."""


class SettingError(LaminaError, ValueError):
    """An option outside its limits, or two options that contradict each other."""


class UnknownNameError(LaminaError, LookupError):
    """A name that no registry holds; the message names the nearest ones."""


class FileFormatError(LaminaError, ValueError):
    """A file that is not what its name says, or that ends too early."""


class ModelFileError(FileFormatError):
    """A model folder with a missing, truncated or altered file."""


class DownloadError(LaminaError, OSError):
    """An address that could not be reached or did not give the expected bytes."""


class RunFolderError(LaminaError, OSError):
    """An output folder that exists already, is full, or cannot be written."""


class DeviceError(LaminaError, RuntimeError):
    """A device that was asked for and that this machine does not have."""


class DivergenceError(LaminaError, ArithmeticError):
    """Training left the range of finite numbers; the last good weights were kept.

    ``history`` holds the epochs that ended before it (a `lamina.History`, or None): `lamina.diagnose` reads it.
    """

    def __init__(self, message: str, history: Any = None) -> None:
        super().__init__(message)
        self.history = history


class MissingPackageError(LaminaError, ImportError):
    """An optional package that is needed here and is not installed."""


class Interrupted(LaminaError, KeyboardInterrupt):  # noqa: N818 - it is no error
    """Ctrl-C, after the step was finished and what was learnt was saved."""


class LaminaWarning(UserWarning):
    """Root of the warnings that Lamina gives on purpose."""


class UnreliableEstimateWarning(LaminaWarning):
    """An estimate, of a partition function for one, that may be far off: too few chains or temperatures."""


def nearest_names(name: str, known: list[str]) -> str:
    """``known`` as text, the names closest to ``name`` first: for messages of `UnknownNameError`."""
    from difflib import get_close_matches

    close = get_close_matches(name, known, n=3, cutoff=0.4)
    if close:
        return f"did you mean {' or '.join(repr(c) for c in close)}? (known: {', '.join(sorted(known))})"
    return f"known: {', '.join(sorted(known))}"
