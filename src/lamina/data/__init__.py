"""The data room: locate, download, verify, parse and split; nothing here filters or normalises."""

from lamina.data.draw import draw_labels
from lamina.data.duplicates import Duplicates, duplicates_across
from lamina.data.labels import EncodedLabels, encode_labels
from lamina.data.named import describe, load, locate, names
from lamina.data.read import read
from lamina.data.records import DataSet
from lamina.data.split import split

__all__ = [
    "DataSet",
    "Duplicates",
    "EncodedLabels",
    "describe",
    "draw_labels",
    "duplicates_across",
    "encode_labels",
    "load",
    "locate",
    "names",
    "read",
    "split",
]
