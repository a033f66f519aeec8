"""Sparse coding: few basis vectors at a time explain a row."""

from lamina.models.sparse.convolutional import ConvolutionalSparseCoding
from lamina.models.sparse.deconvolutional import DeconvolutionalNetwork, LayerCodes
from lamina.models.sparse.encoder_decoder import SparseEncoderDecoder
from lamina.models.sparse.predictive import PredictiveSparseCoding
from lamina.models.sparse.sparse_coding import SparseCoding

__all__ = [
    "ConvolutionalSparseCoding",
    "DeconvolutionalNetwork",
    "LayerCodes",
    "PredictiveSparseCoding",
    "SparseCoding",
    "SparseEncoderDecoder",
]
