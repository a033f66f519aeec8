"""Families of units: what a visible or hidden side of a machine is made of."""

from lamina.units.bernoulli import Bernoulli, as_family
from lamina.units.family import Family
from lamina.units.gaussian import Gaussian

__all__ = ["Bernoulli", "Family", "Gaussian", "as_family"]
