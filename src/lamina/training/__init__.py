"""Training: the one loop and the rules that it runs."""

from lamina.training.back_propagation import BackPropagation, FullBackPropagation
from lamina.training.boltzmann_learning import BoltzmannLearning
from lamina.training.conditional_divergence import ConditionalDivergence
from lamina.training.contrastive_divergence import ContrastiveDivergence
from lamina.training.convolutional_divergence import ConvolutionalDivergence
from lamina.training.convolutional_greedy import encode_maps, pretrain_convolutional
from lamina.training.deep_belief import pretrain_dbn, start_memory, up_down
from lamina.training.deep_boltzmann import MeanFieldPCD
from lamina.training.fast_persistent import FastPersistentContrastiveDivergence
from lamina.training.finetune import adversarial_radius, falling, fine_tune, train_head
from lamina.training.greedy import RedrawnInput, encode_rows, pretrain
from lamina.training.greedy_deep_boltzmann import pretrain_deep
from lamina.training.hebbian import HebbianStorage, hebbian, pseudo_inverse, store, store_pairs, storkey
from lamina.training.history import EpochRecord, History
from lamina.training.hybrid_classification import HybridClassification
from lamina.training.likelihood_monitor import LikelihoodMonitor
from lamina.training.loop import fit
from lamina.training.parallel_tempering import ParallelTempering
from lamina.training.penalties import L1, MaxNorm, SparseGroup, SparsityTarget
from lamina.training.persistent import PersistentContrastiveDivergence
from lamina.training.rules import GradientRule, ObjectiveRule, Rule, StatisticsRule
from lamina.training.sampling_rule import SamplingRule
from lamina.training.schedules import Schedule, warm_momentum
from lamina.training.virtual_adversarial import VirtualAdversarial
from lamina.training.wake_sleep import UpDown

__all__ = [
    "L1",
    "BackPropagation",
    "BoltzmannLearning",
    "ConditionalDivergence",
    "ContrastiveDivergence",
    "ConvolutionalDivergence",
    "EpochRecord",
    "FastPersistentContrastiveDivergence",
    "FullBackPropagation",
    "GradientRule",
    "HebbianStorage",
    "History",
    "HybridClassification",
    "LikelihoodMonitor",
    "MaxNorm",
    "MeanFieldPCD",
    "ObjectiveRule",
    "ParallelTempering",
    "PersistentContrastiveDivergence",
    "RedrawnInput",
    "Rule",
    "SamplingRule",
    "Schedule",
    "SparseGroup",
    "SparsityTarget",
    "StatisticsRule",
    "UpDown",
    "VirtualAdversarial",
    "adversarial_radius",
    "encode_maps",
    "encode_rows",
    "falling",
    "fine_tune",
    "fit",
    "hebbian",
    "pretrain",
    "pretrain_convolutional",
    "pretrain_dbn",
    "pretrain_deep",
    "pseudo_inverse",
    "start_memory",
    "store",
    "store_pairs",
    "storkey",
    "train_head",
    "up_down",
    "warm_momentum",
]
