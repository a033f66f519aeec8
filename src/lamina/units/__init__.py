"""Families of units: what a visible or hidden side of a machine is made of."""

from lamina.units.bernoulli import Bernoulli, as_family
from lamina.units.binomial import Binomial
from lamina.units.concatenated import Concatenated
from lamina.units.family import Family
from lamina.units.gaussian import Gaussian
from lamina.units.rectified import Rectified
from lamina.units.softmax import Softmax
from lamina.units.spin import Spin

__all__ = [
    "Bernoulli",
    "Binomial",
    "Concatenated",
    "Family",
    "Gaussian",
    "Rectified",
    "Softmax",
    "Spin",
    "as_family",
]
