"""Maps: units that compete for a row, and linear units that learn by Hebb's rule."""

from lamina.models.maps.competitive import CompetitiveLayer
from lamina.models.maps.counter_propagation import CounterPropagation
from lamina.models.maps.grid import grid_distances, grid_places
from lamina.models.maps.hamming import HammingNetwork
from lamina.models.maps.hebbian_layer import HebbianLayer
from lamina.models.maps.self_organising_map import SelfOrganisingMap

__all__ = [
    "CompetitiveLayer",
    "CounterPropagation",
    "HammingNetwork",
    "HebbianLayer",
    "SelfOrganisingMap",
    "grid_distances",
    "grid_places",
]
