"""Models: nouns without loops, files or optimisers."""

from lamina.models.energy import RBM
from lamina.models.networks import MLP
from lamina.models.stack import Stack

__all__ = ["MLP", "RBM", "Stack"]
