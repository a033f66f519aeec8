"""The exception tree: every class under one root, each also what callers already catch."""

from __future__ import annotations

import inspect

import pytest

from lamina.core import errors

ALSO = {
    "DataError": ValueError,
    "LabelError": errors.DataError,
    "SettingError": ValueError,
    "UnknownNameError": LookupError,
    "FileFormatError": ValueError,
    "ModelFileError": errors.FileFormatError,
    "DownloadError": OSError,
    "RunFolderError": OSError,
    "DeviceError": RuntimeError,
    "DivergenceError": ArithmeticError,
    "MissingPackageError": ImportError,
    "Interrupted": KeyboardInterrupt,
}
WARNINGS = {"LaminaWarning": UserWarning, "UnreliableEstimateWarning": errors.LaminaWarning}


def classes() -> dict[str, type]:
    found = dict(inspect.getmembers(errors, inspect.isclass))
    return {name: kind for name, kind in found.items() if kind.__module__ == errors.__name__ and name != "LaminaError"}


def test_the_tree_holds_these_classes_and_no_others():
    assert set(classes()) == set(ALSO) | set(WARNINGS)


@pytest.mark.parametrize("name", sorted(WARNINGS))
def test_warnings_are_no_errors(name):
    kind = classes()[name]
    assert issubclass(kind, WARNINGS[name])
    assert not issubclass(kind, errors.LaminaError)
    assert name in errors.__doc__


@pytest.mark.parametrize("name", sorted(ALSO))
def test_each_is_ours_and_a_built_in(name):
    kind = classes()[name]
    assert issubclass(kind, errors.LaminaError)
    assert issubclass(kind, ALSO[name])
    assert name in errors.__doc__


def test_nearest_names():
    assert "did you mean 'mnist'" in errors.nearest_names("minst", ["mnist", "usps"])
    assert errors.nearest_names("zzz", ["mnist", "usps"]) == "known: mnist, usps"
