"""Autoencoders: networks that learn a code by having to give their input back."""

from lamina.models.autoencoders.autoencoder import Autoencoder
from lamina.models.autoencoders.bimodal import BimodalAutoencoder, bimodal
from lamina.models.autoencoders.convolutional import ConvolutionalAutoencoder
from lamina.models.autoencoders.deep_autoencoder import DeepAutoencoder
from lamina.models.autoencoders.masked import MaskedAutoencoder
from lamina.models.autoencoders.recurrent import RecurrentAutoencoder
from lamina.models.autoencoders.variational import VariationalAutoencoder

__all__ = [
    "Autoencoder",
    "BimodalAutoencoder",
    "ConvolutionalAutoencoder",
    "DeepAutoencoder",
    "MaskedAutoencoder",
    "RecurrentAutoencoder",
    "VariationalAutoencoder",
    "bimodal",
]
