"""The scikit-learn door: estimators that fit, transform and predict.

Constructors only store, `fit` validates, learnt values end in ``_``. The learning itself is `lamina.training`'s.
"""

from lamina.estimators.bernoulli_rbm import BernoulliRBM
from lamina.estimators.classification_rbm import ClassificationRBM
from lamina.estimators.convolutional_rbm import ConvolutionalRBM
from lamina.estimators.dbm import DBM
from lamina.estimators.dbn_classifier import DBNClassifier
from lamina.estimators.dbn_regressor import DBNRegressor
from lamina.estimators.gaussian_rbm import GaussianRBM
from lamina.estimators.hopfield import Hopfield

__all__ = [
    "DBM",
    "BernoulliRBM",
    "ClassificationRBM",
    "ConvolutionalRBM",
    "DBNClassifier",
    "DBNRegressor",
    "GaussianRBM",
    "Hopfield",
]
