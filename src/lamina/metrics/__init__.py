"""Metrics: one task per file; arrays in, numbers out."""

from lamina.metrics.classification import Spread, confusion_matrix, error_rate, spread

__all__ = ["Spread", "confusion_matrix", "error_rate", "spread"]
