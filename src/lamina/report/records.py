"""Reads a run folder's saved records: ``records.json`` and, where there is one, ``records.safetensors``.

Nothing here knows a model. What is read is checked once, against the tables below, so that the figures
may trust types and shapes. Everything may be missing but ``data``, or in the records of a recipe ``name``; null counts
as missing.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from lamina.core.errors import DataError, FileFormatError, RunFolderError
from lamina.core.figures import Figure, unpack

DOCUMENT_FILE = "records.json"
ARRAY_FILE = "records.safetensors"

#: Part of the document → its JSON type.
PART_TYPES: dict[str, type] = {
    "kind": str,
    "name": str,
    "paper": str,
    "about": str,
    "measured": list,
    "figures": list,
    "deviations": list,
    "seeds": list,
    "quick": bool,
    "lamina": str,
    "title": str,
    "summary": str,
    "command": str,
    "data": dict,
    "layer": dict,
    "codes": list,
    "compared": list,
    "results": list,
    "label_curve": list,
    "curves": list,
    "facts": dict,
    "diagnosis": dict,
    "settings": dict,
    "environment": dict,
    "timing": list,
    "memory": dict,
    "choice": list,
    "notes": list,
    "warnings": list,
    "captions": dict,
    "filter_shape": list,
}

#: Part that is a list of objects → fields that each object must have, with their JSON types.
ENTRY_FIELDS: dict[str, dict[str, type]] = {
    "results": {"name": str},
    "measured": {"what": str},
    "label_curve": {"n_labels": int, "results": list},
    "curves": {"epochs": list, "series": dict},
    "timing": {"stage": str},
    "choice": {"name": str},
    "codes": {"layer": int},
    "compared": {"layer": str},
}

#: Field of ``data`` → its JSON type, where it is there.
DATA_FIELDS: dict[str, type] = {"shape": list, "classes": list}

#: Array → number of dimensions.
ARRAY_DIMENSIONS = {
    "examples": 2,
    "example_labels": 1,
    "filters": 2,
    "reconstruction_input": 2,
    "reconstruction_output": 2,
    "samples": 2,
    "interpolations": 3,
    "code_2d": 2,
    "code_labels": 1,
    "confusion": 2,
    "mistakes": 2,
    "mistake_true": 1,
    "mistake_predicted": 1,
}

#: Arrays whose rows belong together.
SAME_ROWS = (
    ("examples", "example_labels"),
    ("reconstruction_input", "reconstruction_output"),
    ("code_2d", "code_labels"),
    ("mistakes", "mistake_true"),
    ("mistakes", "mistake_predicted"),
)

#: Arrays whose columns are the features of the data.
FEATURE_ARRAYS = ("examples", "reconstruction_input", "reconstruction_output", "samples", "interpolations", "mistakes")


@dataclass(frozen=True)
class Records:
    """What a run left behind: the JSON document, the arrays by name, the figures; checked, and read-only in intent."""

    folder: Path
    document: Mapping[str, Any]
    arrays: Mapping[str, np.ndarray]
    figures: Sequence[Figure] = ()

    @property
    def data(self) -> Mapping[str, Any]:
        """What is known of the data set: name, sizes, shape, classes; of a recipe, nothing."""
        return self.document.get("data", {})

    @property
    def kind(self) -> str:
        """What made the records: ``study`` (layers and a classifier), ``comparison``, ``generative`` or ``recipe``."""
        return self.document.get("kind", "study")

    def part(self, name: str) -> Any:
        """The part ``name`` of the document, or an empty list or dict of its type where it is missing."""
        return self.document.get(name, PART_TYPES[name]())

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one row: (channels, height, width) of an image, else (features,), () if unknown."""
        if self.data.get("shape"):
            return tuple(int(size) for size in self.data["shape"])
        for name in FEATURE_ARRAYS:
            if name in self.arrays:
                return (self.arrays[name].shape[-1],)
        return (int(self.data["n_features"]),) if self.data.get("n_features") else ()

    @property
    def filter_shape(self) -> tuple[int, ...]:
        """Shape of one filter: that of a row, unless ``filter_shape`` says otherwise (convolution)."""
        return tuple(int(size) for size in self.part("filter_shape")) or self.shape

    def class_name(self, code: int) -> str:
        """Name of class ``code``; negative codes are rows without a label."""
        if code < 0:
            return "no label"
        classes = self.data.get("classes") or []
        return str(classes[code]) if code < len(classes) else str(code)

    def caption(self, name: str, words: str) -> str:
        """``words``, followed by what the run itself says of the array or part ``name``."""
        own = self.part("captions").get(name)
        return f"{words} {own}" if own else words


def read_records(run_folder: Path | str) -> Records:
    """Reads and checks the records of ``run_folder``.

    Raises `RunFolderError` where the folder or its ``records.json`` is missing or cannot be read, and
    `FileFormatError` where a file is truncated or does not hold what the format says.
    """
    folder = Path(run_folder)
    if not folder.is_dir():
        given = "is not a folder" if folder.exists() else "does not exist"
        raise RunFolderError(f"run folder {str(folder)!r} {given}: give the folder that a run was saved to")
    document = _read_document(folder / DOCUMENT_FILE)
    arrays = _read_arrays(folder / ARRAY_FILE)
    try:
        figures = unpack(document.get("figures", []), arrays)
    except DataError as error:
        raise FileFormatError(f"{str(folder / DOCUMENT_FILE)!r}: {error}") from None
    records = Records(folder, document, arrays, figures)
    _check_features(records)
    return records


def _read_document(path: Path) -> dict[str, Any]:
    try:
        words = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise RunFolderError(
            f"{str(path.parent)!r} holds no {path.name}: it is no run folder, or the run has not finished"
        ) from None
    except OSError as error:
        raise RunFolderError(f"{str(path)!r} cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise FileFormatError(f"{str(path)!r} is not UTF-8 text: run again to write it anew") from None
    try:
        document = json.loads(words)
    except (ValueError, RecursionError) as error:
        where = f"line {error.lineno}" if isinstance(error, json.JSONDecodeError) else "too deeply nested"
        raise FileFormatError(
            f"{str(path)!r} is not complete JSON ({where}): it was cut short or altered; run again to write it anew"
        ) from None
    return _checked_document(document, path)


def _checked_document(document: Any, path: Path) -> dict[str, Any]:
    if not isinstance(document, dict):
        raise FileFormatError(f"{str(path)!r} holds a {type(document).__name__} where an object was expected")
    parts = {name: part for name, part in document.items() if part is not None}
    of_recipe = parts.get("kind") == "recipe"
    if not of_recipe and "data" not in parts:
        raise FileFormatError(f"{str(path)!r} has no part 'data', which says what was learnt from")
    if of_recipe and "name" not in parts:
        raise FileFormatError(f"{str(path)!r} has no part 'name', which says what recipe was followed")
    for name, part in parts.items():
        _check_type(part, PART_TYPES.get(name, object), repr(name), path)
    for field, expected in DATA_FIELDS.items():
        if parts.get("data", {}).get(field) is not None:
            _check_type(parts["data"][field], expected, f"data.{field}", path)
    _check_sizes(parts.get("data", {}).get("shape") or [], "data.shape", path)
    _check_sizes(parts.get("filter_shape", []), "filter_shape", path)
    for name, fields in ENTRY_FIELDS.items():
        for position, entry in enumerate(parts.get(name, [])):
            _check_entry(entry, fields, f"{name}[{position}]", path)
    for position, row in enumerate(parts.get("measured", [])):
        for field in ("published", "ours", "sd", "low", "high"):
            _check_numbers([row.get(field)], f"measured[{position}].{field}", path)
    for position, result in enumerate(parts.get("results", [])):
        _check_result(result, f"results[{position}]", path)
    for position, point in enumerate(parts.get("label_curve", [])):
        for place, entry in enumerate(point["results"]):
            where = f"label_curve[{position}].results[{place}]"
            _check_entry(entry, ENTRY_FIELDS["results"], where, path)
            _check_result(entry, where, path)
    _check_diagnosis(parts.get("diagnosis", {}), path)
    for position, curve in enumerate(parts.get("curves", [])):
        _check_curve(curve, f"curves[{position}]", path)
    return parts


def _check_type(value: Any, expected: type, where: str, path: Path) -> None:
    if not isinstance(value, expected):
        raise FileFormatError(f"{str(path)!r}: {where} is a {type(value).__name__}, expected a {expected.__name__}")


def _check_entry(entry: Any, fields: dict[str, type], where: str, path: Path) -> None:
    _check_type(entry, dict, where, path)
    for field, expected in fields.items():
        if field not in entry:
            raise FileFormatError(f"{str(path)!r}: {where} has no {field!r}")
        _check_type(entry[field], expected, f"{where}.{field}", path)


def _check_sizes(sizes: list[Any], where: str, path: Path) -> None:
    if not all(type(size) is int and size > 0 for size in sizes):
        raise FileFormatError(f"{str(path)!r}: {where} is {sizes}, expected whole numbers above zero")


def _check_numbers(values: list[Any], where: str, path: Path) -> None:
    """Null stands for a value that was not measured."""
    for value in values:
        if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float))):
            raise FileFormatError(f"{str(path)!r}: {where} holds {value!r}, expected numbers or null")


def _check_diagnosis(diagnosis: dict[str, Any], path: Path) -> None:
    stages = diagnosis.get("stages", [])
    _check_type(stages, list, "diagnosis.stages", path)
    for position, stage in enumerate(stages):
        where = f"diagnosis.stages[{position}]"
        _check_entry(stage, {"name": str, "findings": list}, where, path)
        for place, finding in enumerate(stage["findings"]):
            fields: dict[str, type] = {"name": str, "evidence": list, "remedy": str, "options": list}
            _check_entry(finding, fields, f"{where}.findings[{place}]", path)


def _check_result(result: dict[str, Any], where: str, path: Path) -> None:
    for field in ("error_mean", "error_sd", "seconds"):
        _check_numbers([result.get(field)], f"{where}.{field}", path)
    errors = result.get("errors") or []
    _check_type(errors, list, f"{where}.errors", path)
    _check_numbers(errors, f"{where}.errors", path)


def _check_curve(curve: dict[str, Any], where: str, path: Path) -> None:
    _check_numbers(curve["epochs"], f"{where}.epochs", path)
    for name, values in curve["series"].items():
        _check_type(values, list, f"{where}.series[{name!r}]", path)
        _check_numbers(values, f"{where}.series[{name!r}]", path)
        if len(values) != len(curve["epochs"]):
            given = f"{len(values)} values for {len(curve['epochs'])} epochs"
            raise FileFormatError(f"{str(path)!r}: {where}.series[{name!r}] has {given}")


def _read_arrays(path: Path) -> dict[str, np.ndarray]:
    if not path.exists():
        return {}
    try:
        arrays = safetensors.numpy.load_file(path)
    except OSError as error:
        raise RunFolderError(f"{str(path)!r} cannot be read: {error.strerror or error}") from None
    except (safetensors.SafetensorError, ValueError, TypeError, KeyError) as error:
        reason = " ".join(str(error).split())
        raise FileFormatError(
            f"{str(path)!r} is not a whole safetensors file ({reason}): run again to write it anew"
        ) from None
    for name, dimensions in ARRAY_DIMENSIONS.items():
        if name in arrays and arrays[name].ndim != dimensions:
            raise FileFormatError(
                f"{str(path)!r}: {name!r} has shape {arrays[name].shape}, expected {dimensions} dimensions"
            )
    for first, second in SAME_ROWS:
        if first in arrays and second in arrays and len(arrays[first]) != len(arrays[second]):
            raise FileFormatError(
                f"{str(path)!r}: {first!r} has {len(arrays[first])} rows and {second!r} has {len(arrays[second])}"
            )
    # An array without rows has nothing to show: the same as no array.
    return {name: array for name, array in arrays.items() if array.size}


def _check_features(records: Records) -> None:
    """The columns of the arrays against the shape of one row, and the confusion against the classes."""
    path = str(records.folder / ARRAY_FILE)
    for name in (*FEATURE_ARRAYS, "filters"):
        array, shape = records.arrays.get(name), records.filter_shape if name == "filters" else records.shape
        if array is not None and array.shape[-1] != math.prod(shape):
            raise FileFormatError(
                f"{path!r}: {name!r} has {array.shape[-1]} columns, expected {math.prod(shape)} "
                f"for rows of shape {shape}"
            )
    confusion, classes = records.arrays.get("confusion"), records.data.get("classes")
    if confusion is None:
        return
    n_classes = len(classes) if classes else confusion.shape[0]
    if confusion.shape != (n_classes, n_classes):
        raise FileFormatError(
            f"{path!r}: 'confusion' has shape {confusion.shape}, expected {(n_classes, n_classes)} (classes × classes)"
        )
