"""Maps: units that compete for a row."""

from lamina.models.maps.hamming import HammingNetwork

__all__ = ["HammingNetwork"]
