"""Lamina learns layers of features from unlabelled signals, one layer at a time.

A layer learns without labels. Layers stack. A stack becomes whatever you need. This file is the table of contents: the
public names and where they live. Each is loaded when first used, so that ``import lamina`` costs little.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOME = {
    # units: what a side of a machine is made of
    "Bernoulli": "lamina.units",
    "Binomial": "lamina.units",
    "Concatenated": "lamina.units",
    "Gaussian": "lamina.units",
    "Rectified": "lamina.units",
    "Softmax": "lamina.units",
    "Spin": "lamina.units",
    # models
    "RBM": "lamina.models",
    "Stack": "lamina.models",
    "MLP": "lamina.models",
    # relatives of the machine, deep and convolutional models, memories
    "ClassificationRBM": "lamina.models.energy",
    "ConditionalRBM": "lamina.models.energy",
    "TemporalRBM": "lamina.models.energy",
    "DBN": "lamina.models.energy",
    "DBM": "lamina.models.energy",
    "ConvolutionalRBM": "lamina.models.energy",
    "ConvolutionalDBN": "lamina.models.energy",
    "BoltzmannMachine": "lamina.models.energy",
    "Hopfield": "lamina.models.energy",
    "ModernHopfield": "lamina.models.energy",
    "BidirectionalAssociativeMemory": "lamina.models.energy",
    "HammingNetwork": "lamina.models.maps",
    # autoencoders and sparse coding
    "Autoencoder": "lamina.models.autoencoders",
    "DeepAutoencoder": "lamina.models.autoencoders",
    "ConvolutionalAutoencoder": "lamina.models.autoencoders",
    "RecurrentAutoencoder": "lamina.models.autoencoders",
    "BimodalAutoencoder": "lamina.models.autoencoders",
    "MaskedAutoencoder": "lamina.models.autoencoders",
    "VariationalAutoencoder": "lamina.models.autoencoders",
    "SparseCoding": "lamina.models.sparse",
    "PredictiveSparseCoding": "lamina.models.sparse",
    "SparseEncoderDecoder": "lamina.models.sparse",
    "ConvolutionalSparseCoding": "lamina.models.sparse",
    "DeconvolutionalNetwork": "lamina.models.sparse",
    # networks, from lists of layers
    "Perceptron": "lamina.models.networks",
    "ConvolutionalNetwork": "lamina.models.networks",
    "Convolution": "lamina.models.networks",
    "MaxPooling": "lamina.models.networks",
    "MeanPooling": "lamina.models.networks",
    "GlobalMeanPooling": "lamina.models.networks",
    "Dense": "lamina.models.networks",
    "Dropout": "lamina.models.networks",
    "lenet1989": "lamina.models.networks",
    "lenet5": "lamina.models.networks",
    "RecurrentNetwork": "lamina.models.networks",
    "VisionTransformer": "lamina.models.networks",
    "FeatureClassifier": "lamina.models.networks",
    # maps and units that compete; linear units that learn by Hebb's rule
    "SelfOrganisingMap": "lamina.models.maps",
    "CounterPropagation": "lamina.models.maps",
    "CompetitiveLayer": "lamina.models.maps",
    "HebbianLayer": "lamina.models.maps",
    # learning: the loop, and what calls it for several layers
    "fit": "lamina.training",
    "pretrain": "lamina.training",
    "pretrain_dbn": "lamina.training",
    "pretrain_deep": "lamina.training",
    "pretrain_convolutional": "lamina.training",
    "pretrain_bimodal": "lamina.training",
    "pretrain_deconvolutional": "lamina.training",
    "layered": "lamina.training",
    "pretrain_kind": "lamina.training",
    "up_down": "lamina.training",
    "store": "lamina.training",
    "store_pairs": "lamina.training",
    # learning: rules
    "ContrastiveDivergence": "lamina.training",
    "PersistentContrastiveDivergence": "lamina.training",
    "FastPersistentContrastiveDivergence": "lamina.training",
    "ParallelTempering": "lamina.training",
    "HybridClassification": "lamina.training",
    "ConditionalDivergence": "lamina.training",
    "ConvolutionalDivergence": "lamina.training",
    "MeanFieldPCD": "lamina.training",
    "UpDown": "lamina.training",
    "BoltzmannLearning": "lamina.training",
    "HebbianStorage": "lamina.training",
    "RedrawnInput": "lamina.training",
    "BackPropagation": "lamina.training",
    "FullBackPropagation": "lamina.training",
    "PerceptronRule": "lamina.training",
    "SequenceBackPropagation": "lamina.training",
    "VirtualAdversarial": "lamina.training",
    # learning: rules of autoencoders and sparse coders; corruption of rows, penalties of codes
    "Reconstruction": "lamina.training",
    "FullReconstruction": "lamina.training",
    "SwitchedReconstruction": "lamina.training",
    "SequenceReconstruction": "lamina.training",
    "BimodalReconstruction": "lamina.training",
    "MaskedReconstruction": "lamina.training",
    "Variational": "lamina.training",
    "LagrangeDual": "lamina.training",
    "OnlineDictionary": "lamina.training",
    "PredictiveSparse": "lamina.training",
    "SparseEnergy": "lamina.training",
    "ConvolutionalDictionary": "lamina.training",
    "Classification": "lamina.training",
    "Masking": "lamina.training",
    "SaltAndPepper": "lamina.training",
    "GaussianNoise": "lamina.training",
    "CodeL1": "lamina.training",
    "CodeKL": "lamina.training",
    "Contraction": "lamina.training",
    # learning: rules of maps, competing units and Hebb
    "BatchMap": "lamina.training",
    "OnlineMap": "lamina.training",
    "CompetitiveLearning": "lamina.training",
    "CounterPropagationLearning": "lamina.training",
    "OutstarMeans": "lamina.training",
    "Hebb": "lamina.training",
    "Oja": "lamina.training",
    "Sanger": "lamina.training",
    # learning: penalties, schedules, what is kept
    "SparsityTarget": "lamina.training",
    "SparseGroup": "lamina.training",
    "L1": "lamina.training",
    "MaxNorm": "lamina.training",
    "MaxGradientNorm": "lamina.training",
    "ElasticDistortion": "lamina.training",
    "Schedule": "lamina.training",
    "History": "lamina.training",
    "LikelihoodMonitor": "lamina.training",
    # inference: likelihood
    "log_partition": "lamina.inference",
    "log_likelihood": "lamina.inference",
    "raise_log_likelihood": "lamina.inference",
    "pseudo_log_likelihood": "lamina.inference",
    "LogPartition": "lamina.inference",
    "elbo": "lamina.inference",
    "importance_weighted_bound": "lamina.inference",
    # inference: sampling, filling in, recall
    "gibbs": "lamina.inference",
    "parallel_tempering": "lamina.inference",
    "dream": "lamina.inference",
    "deep_samples": "lamina.inference",
    "fill_in": "lamina.inference",
    "deep_mean_field": "lamina.inference",
    "forecast": "lamina.inference",
    "recall": "lamina.inference",
    "averaged_outputs": "lamina.inference",
    # what is wrong with a run
    "diagnose": "lamina.studies.diagnose",
    "data_facts": "lamina.studies",
    # files and randomness
    "save": "lamina.storage",
    "load": "lamina.storage",
    "Random": "lamina.core.random",
    "LaminaError": "lamina.core.errors",
    "UnreliableEstimateWarning": "lamina.core.errors",
}
_ROOMS = (
    "cli",
    "core",
    "data",
    "estimators",
    "frontends",
    "inference",
    "metrics",
    "models",
    "recipes",
    "report",
    "studies",
    "training",
    "units",
)

__all__ = ["__version__", *_HOME, *_ROOMS]

if TYPE_CHECKING:
    from lamina.core.errors import LaminaError as LaminaError
    from lamina.core.errors import UnreliableEstimateWarning as UnreliableEstimateWarning
    from lamina.core.random import Random as Random
    from lamina.inference import LogPartition as LogPartition
    from lamina.inference import averaged_outputs as averaged_outputs
    from lamina.inference import deep_mean_field as deep_mean_field
    from lamina.inference import deep_samples as deep_samples
    from lamina.inference import dream as dream
    from lamina.inference import elbo as elbo
    from lamina.inference import fill_in as fill_in
    from lamina.inference import forecast as forecast
    from lamina.inference import gibbs as gibbs
    from lamina.inference import importance_weighted_bound as importance_weighted_bound
    from lamina.inference import log_likelihood as log_likelihood
    from lamina.inference import log_partition as log_partition
    from lamina.inference import parallel_tempering as parallel_tempering
    from lamina.inference import pseudo_log_likelihood as pseudo_log_likelihood
    from lamina.inference import raise_log_likelihood as raise_log_likelihood
    from lamina.inference import recall as recall
    from lamina.models import MLP as MLP
    from lamina.models import RBM as RBM
    from lamina.models import Stack as Stack
    from lamina.models.autoencoders import Autoencoder as Autoencoder
    from lamina.models.autoencoders import BimodalAutoencoder as BimodalAutoencoder
    from lamina.models.autoencoders import ConvolutionalAutoencoder as ConvolutionalAutoencoder
    from lamina.models.autoencoders import DeepAutoencoder as DeepAutoencoder
    from lamina.models.autoencoders import MaskedAutoencoder as MaskedAutoencoder
    from lamina.models.autoencoders import RecurrentAutoencoder as RecurrentAutoencoder
    from lamina.models.autoencoders import VariationalAutoencoder as VariationalAutoencoder
    from lamina.models.energy import DBM as DBM
    from lamina.models.energy import DBN as DBN
    from lamina.models.energy import BidirectionalAssociativeMemory as BidirectionalAssociativeMemory
    from lamina.models.energy import BoltzmannMachine as BoltzmannMachine
    from lamina.models.energy import ClassificationRBM as ClassificationRBM
    from lamina.models.energy import ConditionalRBM as ConditionalRBM
    from lamina.models.energy import ConvolutionalDBN as ConvolutionalDBN
    from lamina.models.energy import ConvolutionalRBM as ConvolutionalRBM
    from lamina.models.energy import Hopfield as Hopfield
    from lamina.models.energy import ModernHopfield as ModernHopfield
    from lamina.models.energy import TemporalRBM as TemporalRBM
    from lamina.models.maps import CompetitiveLayer as CompetitiveLayer
    from lamina.models.maps import CounterPropagation as CounterPropagation
    from lamina.models.maps import HammingNetwork as HammingNetwork
    from lamina.models.maps import HebbianLayer as HebbianLayer
    from lamina.models.maps import SelfOrganisingMap as SelfOrganisingMap
    from lamina.models.networks import Convolution as Convolution
    from lamina.models.networks import ConvolutionalNetwork as ConvolutionalNetwork
    from lamina.models.networks import Dense as Dense
    from lamina.models.networks import Dropout as Dropout
    from lamina.models.networks import FeatureClassifier as FeatureClassifier
    from lamina.models.networks import GlobalMeanPooling as GlobalMeanPooling
    from lamina.models.networks import MaxPooling as MaxPooling
    from lamina.models.networks import MeanPooling as MeanPooling
    from lamina.models.networks import Perceptron as Perceptron
    from lamina.models.networks import RecurrentNetwork as RecurrentNetwork
    from lamina.models.networks import VisionTransformer as VisionTransformer
    from lamina.models.networks import lenet5 as lenet5
    from lamina.models.networks import lenet1989 as lenet1989
    from lamina.models.sparse import ConvolutionalSparseCoding as ConvolutionalSparseCoding
    from lamina.models.sparse import DeconvolutionalNetwork as DeconvolutionalNetwork
    from lamina.models.sparse import PredictiveSparseCoding as PredictiveSparseCoding
    from lamina.models.sparse import SparseCoding as SparseCoding
    from lamina.models.sparse import SparseEncoderDecoder as SparseEncoderDecoder
    from lamina.storage import load as load
    from lamina.storage import save as save
    from lamina.studies import data_facts as data_facts
    from lamina.studies.diagnose import diagnose as diagnose
    from lamina.training import L1 as L1
    from lamina.training import BackPropagation as BackPropagation
    from lamina.training import BatchMap as BatchMap
    from lamina.training import BimodalReconstruction as BimodalReconstruction
    from lamina.training import BoltzmannLearning as BoltzmannLearning
    from lamina.training import Classification as Classification
    from lamina.training import CodeKL as CodeKL
    from lamina.training import CodeL1 as CodeL1
    from lamina.training import CompetitiveLearning as CompetitiveLearning
    from lamina.training import ConditionalDivergence as ConditionalDivergence
    from lamina.training import Contraction as Contraction
    from lamina.training import ContrastiveDivergence as ContrastiveDivergence
    from lamina.training import ConvolutionalDictionary as ConvolutionalDictionary
    from lamina.training import ConvolutionalDivergence as ConvolutionalDivergence
    from lamina.training import CounterPropagationLearning as CounterPropagationLearning
    from lamina.training import ElasticDistortion as ElasticDistortion
    from lamina.training import FastPersistentContrastiveDivergence as FastPersistentContrastiveDivergence
    from lamina.training import FullBackPropagation as FullBackPropagation
    from lamina.training import FullReconstruction as FullReconstruction
    from lamina.training import GaussianNoise as GaussianNoise
    from lamina.training import Hebb as Hebb
    from lamina.training import HebbianStorage as HebbianStorage
    from lamina.training import History as History
    from lamina.training import HybridClassification as HybridClassification
    from lamina.training import LagrangeDual as LagrangeDual
    from lamina.training import LikelihoodMonitor as LikelihoodMonitor
    from lamina.training import MaskedReconstruction as MaskedReconstruction
    from lamina.training import Masking as Masking
    from lamina.training import MaxGradientNorm as MaxGradientNorm
    from lamina.training import MaxNorm as MaxNorm
    from lamina.training import MeanFieldPCD as MeanFieldPCD
    from lamina.training import Oja as Oja
    from lamina.training import OnlineDictionary as OnlineDictionary
    from lamina.training import OnlineMap as OnlineMap
    from lamina.training import OutstarMeans as OutstarMeans
    from lamina.training import ParallelTempering as ParallelTempering
    from lamina.training import PerceptronRule as PerceptronRule
    from lamina.training import PersistentContrastiveDivergence as PersistentContrastiveDivergence
    from lamina.training import PredictiveSparse as PredictiveSparse
    from lamina.training import Reconstruction as Reconstruction
    from lamina.training import RedrawnInput as RedrawnInput
    from lamina.training import SaltAndPepper as SaltAndPepper
    from lamina.training import Sanger as Sanger
    from lamina.training import Schedule as Schedule
    from lamina.training import SequenceBackPropagation as SequenceBackPropagation
    from lamina.training import SequenceReconstruction as SequenceReconstruction
    from lamina.training import SparseEnergy as SparseEnergy
    from lamina.training import SparseGroup as SparseGroup
    from lamina.training import SparsityTarget as SparsityTarget
    from lamina.training import SwitchedReconstruction as SwitchedReconstruction
    from lamina.training import UpDown as UpDown
    from lamina.training import Variational as Variational
    from lamina.training import VirtualAdversarial as VirtualAdversarial
    from lamina.training import fit as fit
    from lamina.training import layered as layered
    from lamina.training import pretrain as pretrain
    from lamina.training import pretrain_bimodal as pretrain_bimodal
    from lamina.training import pretrain_convolutional as pretrain_convolutional
    from lamina.training import pretrain_dbn as pretrain_dbn
    from lamina.training import pretrain_deconvolutional as pretrain_deconvolutional
    from lamina.training import pretrain_deep as pretrain_deep
    from lamina.training import pretrain_kind as pretrain_kind
    from lamina.training import store as store
    from lamina.training import store_pairs as store_pairs
    from lamina.training import up_down as up_down
    from lamina.units import Bernoulli as Bernoulli
    from lamina.units import Binomial as Binomial
    from lamina.units import Concatenated as Concatenated
    from lamina.units import Gaussian as Gaussian
    from lamina.units import Rectified as Rectified
    from lamina.units import Softmax as Softmax
    from lamina.units import Spin as Spin


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    if name in _ROOMS:
        return import_module(f"lamina.{name}")
    raise AttributeError(f"module 'lamina' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
