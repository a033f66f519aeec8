"""The data sets known by name: where each lies, what it holds, how it is read.

A file is looked for in `LAMINA_DATA` and in the cache, downloaded if it is in neither, and checked at every
load by the SHA-256 of its uncompressed bytes. MNIST: uint8, 28 x 28. USPS: float32 in [-1, 1], 16 x 16.
`digits` comes with scikit-learn and has no official test part.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from lamina.core.errors import FileFormatError, UnknownNameError, nearest_names
from lamina.data.content import read_verified
from lamina.data.download import download
from lamina.data.folders import download_folder, find_file
from lamina.data.idx import parse_idx
from lamina.data.records import DataSet

TEN_DIGITS = tuple(str(digit) for digit in range(10))


@dataclass(frozen=True)
class RemoteFile:
    """A file of a data set: its name at the address, SHA-256 and size in bytes of its uncompressed
    content."""

    name: str
    sha256: str
    size: int


@dataclass(frozen=True)
class NamedSet:
    """An entry of the list: `parse` takes each file's path and uncompressed bytes, in the order of
    `files`."""

    name: str
    what: str
    licence: str
    address: str
    files: tuple[RemoteFile, ...]
    parse: Callable[["NamedSet", list[tuple[Path, bytes]]], DataSet]

    @property
    def source(self) -> str:
        """Where it comes from, and its licence."""
        return f"{self.address} ({self.licence})"


def names() -> list[str]:
    """Names that `load` knows."""
    return sorted(SETS)


def load(name: str) -> DataSet:
    """The data set called `name`, downloaded if need be, every file checked.

    Raises UnknownNameError (nearest names), DownloadError (unreachable or wrong bytes), FileFormatError (a
    file that is there is damaged).
    """
    entry = _entry(name)
    parts = []
    for file in entry.files:
        path = find_file(name, file.name)
        if path is None:
            path = download(entry.address + file.name, download_folder(name) / file.name, file.sha256)
        parts.append((path, read_verified(path, file.sha256)))
    return entry.parse(entry, parts)


def locate(name: str) -> Path | None:
    """The folder where all files of the data set lie, or None if some would have to be downloaded. Reads
    nothing."""
    entry = _entry(name)
    if not entry.files:
        package = find_spec("sklearn")
        return Path(package.origin).parent / "datasets" / "data" if package and package.origin else None
    found = [find_file(name, file.name) for file in entry.files]
    return found[0].parent if found[0] is not None and None not in found else None


def describe(name: str) -> dict[str, Any]:
    """What the data set is: name, what, licence, addresses, files (name, sha256, size in bytes, path),
    folder or None."""
    entry = _entry(name)
    folder = locate(name)
    files = []
    for file in entry.files:
        path = find_file(name, file.name)
        files.append(
            {
                "name": file.name,
                "sha256": file.sha256,
                "size": file.size,
                "path": None if path is None else str(path),
            }
        )
    return {
        "name": entry.name,
        "what": entry.what,
        "licence": entry.licence,
        "addresses": [entry.address + file.name for file in entry.files],
        "files": files,
        "folder": None if folder is None else str(folder),
    }


def _entry(name: str) -> NamedSet:
    if name not in SETS:
        raise UnknownNameError(f"no data set is called {name!r}: {nearest_names(str(name), names())}")
    return SETS[name]


def _parse_digits(entry: NamedSet, parts: list[tuple[Path, bytes]]) -> DataSet:
    from sklearn.datasets import load_digits

    X, y = load_digits(return_X_y=True)
    return DataSet(
        name="digits",
        X=X.astype(np.uint8),
        y=y.astype(np.int64),
        classes=TEN_DIGITS,
        shape=(1, 8, 8),
        value_range=(0.0, 16.0),
        unit="grey level",
        source=entry.source,
    )


def _parse_mnist(entry: NamedSet, parts: list[tuple[Path, bytes]]) -> DataSet:
    X, y, X_test, y_test = (parse_idx(data, str(path)) for path, data in parts)
    return DataSet(
        name="mnist",
        X=X.reshape(len(X), -1),
        y=y.astype(np.int64),
        classes=TEN_DIGITS,
        shape=(1, *X.shape[1:]),
        value_range=(0.0, 255.0),
        X_test=X_test.reshape(len(X_test), -1),
        y_test=y_test.astype(np.int64),
        unit="grey level",
        source=entry.source,
    )


def _parse_usps(entry: NamedSet, parts: list[tuple[Path, bytes]]) -> DataSet:
    (X, y), (X_test, y_test) = (parse_usps(data, str(path)) for path, data in parts)
    return DataSet(
        name="usps",
        X=X,
        y=y,
        classes=TEN_DIGITS,
        shape=(1, 16, 16),
        value_range=(-1.0, 1.0),
        X_test=X_test,
        y_test=y_test,
        unit="grey level",
        source=entry.source,
    )


def parse_usps(data: bytes, where: str) -> tuple[np.ndarray, np.ndarray]:
    """Rows (n, 256) float32 in [-1, 1] and digits (n,) int64 of lines "digit value value ..."."""
    try:
        table = np.loadtxt(data.decode("ascii").splitlines(), dtype=np.float32, ndmin=2)
    except ValueError as error:
        raise FileFormatError(f"{where}: not lines of numbers ({error}): delete it and load again") from None
    if table.shape[1] != 257:
        raise FileFormatError(f"{where}: {table.shape[1]} numbers per line, expected 257: delete it and load again")
    return np.ascontiguousarray(table[:, 1:]), table[:, 0].astype(np.int64)


SETS = {
    "digits": NamedSet(
        name="digits",
        what="1,797 handwritten digits of 8 x 8 pixels, ten classes, no official test part",
        licence="CC BY 4.0, E. Alpaydin and C. Kaynak, UCI 80",
        address="scikit-learn, sklearn.datasets.load_digits",
        files=(),
        parse=_parse_digits,
    ),
    "mnist": NamedSet(
        name="mnist",
        what="handwritten digits of 28 x 28 pixels, ten classes, 60,000 training and 10,000 test images",
        licence="CC BY-SA 3.0, Y. LeCun, C. Cortes, C. Burges",
        address="https://ossci-datasets.s3.amazonaws.com/mnist/",
        files=(
            RemoteFile(
                "train-images-idx3-ubyte.gz",
                "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
                47_040_016,
            ),
            RemoteFile(
                "train-labels-idx1-ubyte.gz",
                "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
                60_008,
            ),
            RemoteFile(
                "t10k-images-idx3-ubyte.gz",
                "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
                7_840_016,
            ),
            RemoteFile(
                "t10k-labels-idx1-ubyte.gz",
                "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
                10_008,
            ),
        ),
        parse=_parse_mnist,
    ),
    "usps": NamedSet(
        name="usps",
        what="zip-code digits of 16 x 16 pixels, ten classes, 7,291 training and 2,007 test images",
        licence="AT&T, distributed with The Elements of Statistical Learning",
        address="https://hastie.su.domains/ElemStatLearn/datasets/",
        files=(
            RemoteFile(
                "zip.train.gz",
                "abc9f5c75b997cabe66b5d01727d5a681c69298e1641a8d37b55433a52129dc0",
                14_512_253,
            ),
            RemoteFile(
                "zip.test.gz",
                "6bde17b4f1cd68e0630cd2751d6495b5795d9165ab2dc4a0be8b7002b732f4cc",
                2_029_542,
            ),
        ),
        parse=_parse_usps,
    ),
}
