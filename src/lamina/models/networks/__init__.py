"""Feed-forward networks."""

from lamina.models.networks.convolutional import ConvolutionalNetwork, LayerSize
from lamina.models.networks.feature_classifier import FeatureClassifier
from lamina.models.networks.layers import (
    Convolution,
    Dense,
    Dropout,
    GlobalMeanPooling,
    MaxPooling,
    MeanPooling,
    Subsampling,
)
from lamina.models.networks.lenet import lenet5, lenet1989
from lamina.models.networks.mlp import MLP
from lamina.models.networks.perceptron import Perceptron
from lamina.models.networks.recurrent import RecurrentNetwork
from lamina.models.networks.transformer import VisionTransformer

__all__ = [
    "Convolution",
    "ConvolutionalNetwork",
    "Dense",
    "Dropout",
    "FeatureClassifier",
    "GlobalMeanPooling",
    "LayerSize",
    "MLP",
    "MaxPooling",
    "MeanPooling",
    "Perceptron",
    "RecurrentNetwork",
    "Subsampling",
    "VisionTransformer",
    "lenet1989",
    "lenet5",
]
