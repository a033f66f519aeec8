"""Metrics: one task per file; arrays in, numbers out."""

from lamina.metrics.classification import Spread, confusion_matrix, error_rate, spread
from lamina.metrics.gabor import GaborFits, fit_gabor

__all__ = ["GaborFits", "Spread", "confusion_matrix", "error_rate", "fit_gabor", "spread"]
