"""Training: the one loop and the rules that it runs."""

from lamina.training.back_propagation import BackPropagation, FullBackPropagation
from lamina.training.contrastive_divergence import ContrastiveDivergence
from lamina.training.finetune import adversarial_radius, falling, fine_tune, train_head
from lamina.training.greedy import encode_rows, pretrain
from lamina.training.history import EpochRecord, History
from lamina.training.loop import fit
from lamina.training.persistent import PersistentContrastiveDivergence
from lamina.training.rules import GradientRule, ObjectiveRule, Rule, StatisticsRule
from lamina.training.schedules import Schedule, warm_momentum
from lamina.training.virtual_adversarial import VirtualAdversarial

__all__ = [
    "BackPropagation",
    "ContrastiveDivergence",
    "EpochRecord",
    "FullBackPropagation",
    "GradientRule",
    "History",
    "ObjectiveRule",
    "PersistentContrastiveDivergence",
    "Rule",
    "Schedule",
    "StatisticsRule",
    "VirtualAdversarial",
    "adversarial_radius",
    "encode_rows",
    "falling",
    "fine_tune",
    "fit",
    "pretrain",
    "train_head",
    "warm_momentum",
]
