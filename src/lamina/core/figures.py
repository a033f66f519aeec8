"""Pictures, curves and maps as records: studies and recipes make them, run folders keep them, the report draws them.

Whoever measures does not draw. A figure here holds numbers and words alone; `pack` turns figures into a JSON list and
named arrays, `unpack` is its inverse.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lamina.core.errors import DataError

Series = tuple[Any, Any] | tuple[Any, Any, Any]


@dataclass(frozen=True)
class Images:
    """Pictures in a grid. ``rows`` is (n_rows, n_columns, height, width), or (n, height, width) for as many columns as
    fit; values in 0..1, or with ``signed`` any numbers around 0 (filters), each picture on its own scale. NaN is shown
    as a hole.

    ``captions``: one per row of the grid (four dimensions) or one per picture (three), or none.
    """

    title: str
    rows: np.ndarray
    captions: tuple[str, ...] = ()
    signed: bool = False
    note: str = ""

    def __post_init__(self) -> None:
        rows = np.asarray(self.rows)
        if rows.ndim not in (3, 4) or 0 in rows.shape or rows.dtype.kind not in "fiub":
            raise DataError(
                f"the pictures {self.title!r} have shape {rows.shape} and type {rows.dtype}; expected numbers "
                f"(n_rows, n_columns, height, width) or (n, height, width)"
            )
        if self.captions and len(self.captions) != len(rows):
            raise DataError(
                f"the pictures {self.title!r} have {len(self.captions)} captions for {len(rows)} rows; expected one "
                f"for each, or none"
            )


@dataclass(frozen=True)
class Lines:
    """Curves on common axes. ``series``: name → (x, y) or (x, y, sd), sequences of equal length; NaN leaves a gap."""

    title: str
    x_label: str
    y_label: str
    series: Mapping[str, Series]
    log_x: bool = False
    log_y: bool = False
    note: str = ""

    def __post_init__(self) -> None:
        if not self.series:
            raise DataError(f"the curves {self.title!r} are none; expected at least one series")
        for name, columns in self.series.items():
            lengths = [len(column) for column in columns]
            if len(columns) not in (2, 3) or len(set(lengths)) != 1 or not lengths[0]:
                raise DataError(
                    f"the curve {name!r} of {self.title!r} has columns of lengths {lengths}; expected (x, y) or "
                    f"(x, y, sd) of one length above 0"
                )


@dataclass(frozen=True)
class Points:
    """Dots in a plane, coloured by class. ``places`` (n, 2); ``labels`` (n,) whole numbers into ``names``, negative
    where a dot has no class."""

    title: str
    places: np.ndarray
    labels: np.ndarray
    names: tuple[str, ...]
    note: str = ""

    def __post_init__(self) -> None:
        places, labels = np.asarray(self.places), np.asarray(self.labels)
        if places.ndim != 2 or places.shape[1] != 2 or not len(places) or labels.shape != (len(places),):
            raise DataError(
                f"the dots {self.title!r} have shape {places.shape} and labels {labels.shape}; expected (n, 2) and (n,)"
            )
        if not np.isfinite(places).all():
            raise DataError(f"the dots {self.title!r} hold NaN or infinity; expected finite places: leave those out")
        if labels.dtype.kind not in "iu" or labels.max() >= len(self.names):
            raise DataError(
                f"the dots {self.title!r} have labels of type {labels.dtype} up to {labels.max()} for "
                f"{len(self.names)} names; expected whole numbers below that"
            )


@dataclass(frozen=True)
class Nets:
    """Nets of knots and threads in a plane, side by side, all on one scale: where the units of a map lie among rows.

    ``places``: one array (n, 2) per net; ``edges``: one array (m, 2) of whole numbers per net, the knots that a thread
    joins; ``captions``: one per net, or none.
    """

    title: str
    places: Sequence[np.ndarray]
    edges: Sequence[np.ndarray]
    captions: tuple[str, ...] = ()
    note: str = ""

    def __post_init__(self) -> None:
        if (
            not len(self.places)
            or len(self.places) != len(self.edges)
            or len(self.captions) not in (0, len(self.edges))
        ):
            raise DataError(
                f"the nets {self.title!r} have {len(self.places)} places, {len(self.edges)} edges, "
                f"{len(self.captions)} captions; expected one of each per net (or no captions)"
            )
        for places, edges in zip(map(np.asarray, self.places), map(np.asarray, self.edges), strict=True):
            fine = places.ndim == 2 and places.shape[1] == 2 and len(places) and np.isfinite(places).all()
            if not fine or edges.ndim != 2 or edges.shape[1] != 2 or edges.dtype.kind not in "iu":
                raise DataError(
                    f"a net of {self.title!r} has places {places.shape} and edges {edges.shape}; expected finite "
                    f"(n, 2) and whole numbers (m, 2)"
                )
            if edges.size and not 0 <= edges.min() <= edges.max() < len(places):
                raise DataError(f"a net of {self.title!r} names knot {edges.max()} of {len(places)}")


Figure = Images | Lines | Points | Nets


def pack(figures: Sequence[Figure]) -> tuple[list[dict], dict[str, np.ndarray]]:
    """``figures`` as a JSON list and the arrays that it names."""
    documents, arrays = [], {}
    for number, one in enumerate(figures, start=1):
        key = f"figure-{number:02d}"
        document: dict[str, Any] = {"kind": type(one).__name__.lower(), "title": one.title, "note": one.note}
        if isinstance(one, Images):
            arrays[key] = np.asarray(one.rows, np.float32)
            document |= {"array": key, "captions": list(one.captions), "signed": one.signed}
        elif isinstance(one, Points):
            arrays[key] = np.asarray(one.places, np.float32)
            arrays[f"{key}-labels"] = np.asarray(one.labels, np.int64)
            document |= {"array": key, "names": list(one.names)}
        elif isinstance(one, Nets):
            for k, (places, edges) in enumerate(zip(one.places, one.edges, strict=True), start=1):
                arrays[f"{key}-{k}-places"] = np.asarray(places, np.float32)
                arrays[f"{key}-{k}-edges"] = np.asarray(edges, np.int64)
            document |= {"array": key, "nets": len(one.places), "captions": list(one.captions)}
        else:
            names = {f"{key}-{k}": name for k, name in enumerate(one.series, start=1)}
            for at, name in names.items():
                arrays[at] = np.asarray([np.asarray(c, np.float64) for c in one.series[name]])
            document |= {"x_label": one.x_label, "y_label": one.y_label, "log_x": one.log_x, "log_y": one.log_y}
            document["series"] = [{"name": name, "array": at} for at, name in names.items()]
        documents.append(document)
    return documents, arrays


def unpack(documents: Sequence[Mapping[str, Any]], arrays: Mapping[str, np.ndarray]) -> list[Figure]:
    """The figures that `pack` packed. `DataError` where a document or an array is missing or not what it says."""
    try:
        return [_unpacked(document, arrays) for document in documents]
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"the figures cannot be read: {error} is missing or garbled; expected what a run wrote"
        ) from None


def _unpacked(document: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Figure:
    title, note = str(document["title"]), str(document["note"])
    if document["kind"] == "images":
        captions = tuple(map(str, document["captions"]))
        return Images(title, arrays[document["array"]], captions, bool(document["signed"]), note)
    if document["kind"] == "points":
        key = str(document["array"])
        return Points(title, arrays[key], arrays[f"{key}-labels"], tuple(map(str, document["names"])), note)
    if document["kind"] == "nets":
        keys = [f"{document['array']}-{k}" for k in range(1, int(document["nets"]) + 1)]
        captions = tuple(map(str, document["captions"]))
        places, edges = ([arrays[f"{key}-{part}"] for key in keys] for part in ("places", "edges"))
        return Nets(title, places, edges, captions, note)
    if document["kind"] != "lines":
        raise DataError(f"a figure is of kind {document['kind']!r}; expected images, lines, nets or points")
    series = {str(one["name"]): tuple(arrays[one["array"]]) for one in document["series"]}
    axes = {"log_x": bool(document["log_x"]), "log_y": bool(document["log_y"])}
    return Lines(title, str(document["x_label"]), str(document["y_label"]), series, **axes, note=note)  # type: ignore[arg-type]
