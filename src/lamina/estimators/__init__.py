"""The scikit-learn door: estimators that fit, transform and predict.

Constructors only store, `fit` validates, learnt values end in ``_``. The learning itself is `lamina.training`'s.
"""

from lamina.estimators.autoencoder_classifier import AutoencoderClassifier
from lamina.estimators.bernoulli_rbm import BernoulliRBM
from lamina.estimators.classification_rbm import ClassificationRBM
from lamina.estimators.convolutional_autoencoder import ConvolutionalAutoencoder
from lamina.estimators.convolutional_rbm import ConvolutionalRBM
from lamina.estimators.dbm import DBM
from lamina.estimators.dbn_classifier import DBNClassifier
from lamina.estimators.dbn_regressor import DBNRegressor
from lamina.estimators.gaussian_rbm import GaussianRBM
from lamina.estimators.hopfield import Hopfield
from lamina.estimators.sequence_autoencoder import SequenceAutoencoder
from lamina.estimators.sparse_coding import SparseCoding
from lamina.estimators.stacked_autoencoder import StackedAutoencoder

__all__ = [
    "DBM",
    "AutoencoderClassifier",
    "BernoulliRBM",
    "ClassificationRBM",
    "ConvolutionalAutoencoder",
    "ConvolutionalRBM",
    "DBNClassifier",
    "DBNRegressor",
    "GaussianRBM",
    "Hopfield",
    "SequenceAutoencoder",
    "SparseCoding",
    "StackedAutoencoder",
]
