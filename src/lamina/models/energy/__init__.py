"""Energy-based models."""

from lamina.models.energy.rbm import RBM

__all__ = ["RBM"]
