"""The scikit-learn door: estimators that fit, transform and predict.

Constructors only store, `fit` validates, learnt values end in ``_``. The learning itself is `lamina.training`'s.
"""

from lamina.estimators.autoencoder_classifier import AutoencoderClassifier
from lamina.estimators.bernoulli_rbm import BernoulliRBM
from lamina.estimators.classification_rbm import ClassificationRBM
from lamina.estimators.convnet_classifier import ConvNetClassifier
from lamina.estimators.convolutional_autoencoder import ConvolutionalAutoencoder
from lamina.estimators.convolutional_rbm import ConvolutionalRBM
from lamina.estimators.counter_propagation import CounterPropagation, CounterPropagationClassifier
from lamina.estimators.dbm import DBM
from lamina.estimators.dbn_classifier import DBNClassifier
from lamina.estimators.dbn_regressor import DBNRegressor
from lamina.estimators.gaussian_rbm import GaussianRBM
from lamina.estimators.hebbian_pca import HebbianPCA
from lamina.estimators.hopfield import Hopfield
from lamina.estimators.mlp_classifier import MLPClassifier
from lamina.estimators.mlp_regressor import MLPRegressor
from lamina.estimators.recurrent_classifier import RecurrentClassifier
from lamina.estimators.recurrent_regressor import RecurrentRegressor
from lamina.estimators.self_organising_map import SelfOrganisingMap
from lamina.estimators.sequence_autoencoder import SequenceAutoencoder
from lamina.estimators.sparse_coding import SparseCoding
from lamina.estimators.stacked_autoencoder import StackedAutoencoder

__all__ = [
    "DBM",
    "AutoencoderClassifier",
    "BernoulliRBM",
    "ClassificationRBM",
    "ConvNetClassifier",
    "ConvolutionalAutoencoder",
    "ConvolutionalRBM",
    "CounterPropagation",
    "CounterPropagationClassifier",
    "DBNClassifier",
    "DBNRegressor",
    "GaussianRBM",
    "HebbianPCA",
    "Hopfield",
    "MLPClassifier",
    "MLPRegressor",
    "RecurrentClassifier",
    "RecurrentRegressor",
    "SelfOrganisingMap",
    "SequenceAutoencoder",
    "SparseCoding",
    "StackedAutoencoder",
]
