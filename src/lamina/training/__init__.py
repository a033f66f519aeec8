"""Training: the one loop and the rules that it runs."""

from lamina.training.averaging import WeightAverage
from lamina.training.back_propagation import BackPropagation, FullBackPropagation
from lamina.training.bimodal import BimodalReconstruction, pretrain_bimodal
from lamina.training.boltzmann_learning import BoltzmannLearning
from lamina.training.classification import Classification
from lamina.training.code_penalties import CodeKL, CodeL1, Contraction
from lamina.training.competitive import CompetitiveLearning
from lamina.training.conditional_divergence import ConditionalDivergence
from lamina.training.contrastive_divergence import ContrastiveDivergence
from lamina.training.convolutional_dictionary import ConvolutionalDictionary, pretrain_deconvolutional
from lamina.training.convolutional_divergence import ConvolutionalDivergence
from lamina.training.convolutional_greedy import encode_maps, pretrain_convolutional
from lamina.training.corruption import GaussianNoise, Masking, SaltAndPepper
from lamina.training.counter_propagation import CounterPropagationLearning, OutstarMeans
from lamina.training.deep_belief import pretrain_dbn, start_memory, up_down
from lamina.training.deep_boltzmann import MeanFieldPCD
from lamina.training.dictionary import LagrangeDual, OnlineDictionary, atoms_from_rows
from lamina.training.distortions import Distortion, ElasticDistortion
from lamina.training.fast_persistent import FastPersistentContrastiveDivergence
from lamina.training.finetune import adversarial_radius, falling, fine_tune, train_head
from lamina.training.full_reconstruction import FullReconstruction
from lamina.training.greedy import RedrawnInput, encode_rows, pretrain
from lamina.training.greedy_deep_boltzmann import pretrain_deep
from lamina.training.hebbian import HebbianStorage, hebbian, pseudo_inverse, store, store_pairs, storkey
from lamina.training.hebbian_learning import Hebb, Oja, Sanger, centre_on
from lamina.training.history import EpochRecord, History
from lamina.training.hybrid_classification import HybridClassification
from lamina.training.layer_kinds import KINDS, LayerKind, layered, pretrain_kind
from lamina.training.likelihood_monitor import LikelihoodMonitor
from lamina.training.loop import fit
from lamina.training.masked import MaskedReconstruction
from lamina.training.neighbourhoods import shrinking
from lamina.training.optimisers import LBFGS, SGD, Adagrad, Adam, RMSProp
from lamina.training.parallel_tempering import ParallelTempering
from lamina.training.penalised_back_propagation import PenalisedBackPropagation
from lamina.training.penalties import L1, MaxGradientNorm, MaxNorm, SparseGroup, SparsityTarget
from lamina.training.perceptron import PerceptronRule, mistake_bound
from lamina.training.persistent import PersistentContrastiveDivergence
from lamina.training.predictive_sparse import PredictiveSparse
from lamina.training.quasi_newton import QuasiNewton
from lamina.training.reconstruction import Reconstruction, reconstruction_loss
from lamina.training.rules import GradientRule, ObjectiveRule, Rule, StatisticsRule
from lamina.training.sampling_rule import SamplingRule
from lamina.training.schedules import (
    Schedule,
    cosine,
    exponential,
    inverse_scaling,
    plateau,
    step,
    warm_momentum,
    warm_up,
)
from lamina.training.self_organising import BatchMap, OnlineMap, prototypes_from_plane, prototypes_from_rows
from lamina.training.sequence_back_propagation import SequenceBackPropagation
from lamina.training.sequence_reconstruction import SequenceReconstruction
from lamina.training.sparse_energy import SparseEnergy
from lamina.training.switched_reconstruction import SwitchedReconstruction
from lamina.training.variational import Variational
from lamina.training.virtual_adversarial import VirtualAdversarial
from lamina.training.wake_sleep import UpDown

__all__ = [
    "Adagrad",
    "Adam",
    "BackPropagation",
    "BatchMap",
    "BimodalReconstruction",
    "BoltzmannLearning",
    "Classification",
    "CodeKL",
    "CodeL1",
    "CompetitiveLearning",
    "ConditionalDivergence",
    "Contraction",
    "ContrastiveDivergence",
    "ConvolutionalDictionary",
    "ConvolutionalDivergence",
    "CounterPropagationLearning",
    "Distortion",
    "ElasticDistortion",
    "EpochRecord",
    "FastPersistentContrastiveDivergence",
    "FullBackPropagation",
    "FullReconstruction",
    "GaussianNoise",
    "GradientRule",
    "Hebb",
    "HebbianStorage",
    "History",
    "HybridClassification",
    "KINDS",
    "L1",
    "LBFGS",
    "LagrangeDual",
    "LayerKind",
    "LikelihoodMonitor",
    "MaskedReconstruction",
    "Masking",
    "MaxGradientNorm",
    "MaxNorm",
    "MeanFieldPCD",
    "ObjectiveRule",
    "Oja",
    "OnlineDictionary",
    "OnlineMap",
    "OutstarMeans",
    "ParallelTempering",
    "PenalisedBackPropagation",
    "PerceptronRule",
    "PersistentContrastiveDivergence",
    "PredictiveSparse",
    "QuasiNewton",
    "RMSProp",
    "Reconstruction",
    "RedrawnInput",
    "Rule",
    "SGD",
    "SaltAndPepper",
    "SamplingRule",
    "Sanger",
    "Schedule",
    "SequenceBackPropagation",
    "SequenceReconstruction",
    "SparseEnergy",
    "SparseGroup",
    "SparsityTarget",
    "StatisticsRule",
    "SwitchedReconstruction",
    "UpDown",
    "Variational",
    "VirtualAdversarial",
    "WeightAverage",
    "adversarial_radius",
    "atoms_from_rows",
    "centre_on",
    "cosine",
    "encode_maps",
    "encode_rows",
    "exponential",
    "falling",
    "fine_tune",
    "fit",
    "hebbian",
    "inverse_scaling",
    "layered",
    "mistake_bound",
    "plateau",
    "pretrain",
    "pretrain_bimodal",
    "pretrain_convolutional",
    "pretrain_dbn",
    "pretrain_deconvolutional",
    "pretrain_deep",
    "pretrain_kind",
    "prototypes_from_plane",
    "prototypes_from_rows",
    "pseudo_inverse",
    "reconstruction_loss",
    "shrinking",
    "start_memory",
    "step",
    "store",
    "store_pairs",
    "storkey",
    "train_head",
    "up_down",
    "warm_momentum",
    "warm_up",
]
