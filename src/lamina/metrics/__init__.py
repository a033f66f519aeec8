"""Metrics: one task per file; arrays in, numbers out."""

from lamina.metrics.classification import Spread, confusion_matrix, error_rate, spread
from lamina.metrics.gabor import GaborFits, fit_gabor
from lamina.metrics.topography import hits, majority_labels, nearest_units, quantisation_error, topographic_error

__all__ = [
    "GaborFits",
    "Spread",
    "confusion_matrix",
    "error_rate",
    "fit_gabor",
    "hits",
    "majority_labels",
    "nearest_units",
    "quantisation_error",
    "spread",
    "topographic_error",
]
