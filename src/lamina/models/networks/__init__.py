"""Feed-forward networks."""

from lamina.models.networks.feature_classifier import FeatureClassifier
from lamina.models.networks.mlp import MLP
from lamina.models.networks.transformer import VisionTransformer

__all__ = ["MLP", "FeatureClassifier", "VisionTransformer"]
