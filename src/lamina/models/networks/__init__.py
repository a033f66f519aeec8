"""Feed-forward networks."""

from lamina.models.networks.mlp import MLP

__all__ = ["MLP"]
