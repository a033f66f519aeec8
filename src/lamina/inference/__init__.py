"""Inference: sampling and exact sums. Nothing here changes a parameter."""

from lamina.inference.enumeration import binary_states, exact_log_partition
from lamina.inference.gibbs import free_running, gibbs

__all__ = ["binary_states", "exact_log_partition", "free_running", "gibbs"]
