"""Energy-based models."""

from lamina.models.energy.bam import BidirectionalAssociativeMemory
from lamina.models.energy.boltzmann_machine import BoltzmannMachine
from lamina.models.energy.classification_rbm import ClassificationRBM
from lamina.models.energy.conditional_rbm import ConditionalRBM
from lamina.models.energy.conv_dbn import ConvolutionalDBN
from lamina.models.energy.conv_rbm import ConvolutionalRBM
from lamina.models.energy.dbm import DBM
from lamina.models.energy.dbn import DBN
from lamina.models.energy.directed import DirectedLayer
from lamina.models.energy.hopfield import Hopfield
from lamina.models.energy.modern_hopfield import ModernHopfield
from lamina.models.energy.rbm import RBM
from lamina.models.energy.temporal_rbm import TemporalRBM

__all__ = [
    "DBM",
    "DBN",
    "RBM",
    "BidirectionalAssociativeMemory",
    "BoltzmannMachine",
    "ClassificationRBM",
    "ConditionalRBM",
    "ConvolutionalDBN",
    "ConvolutionalRBM",
    "DirectedLayer",
    "Hopfield",
    "ModernHopfield",
    "TemporalRBM",
]
