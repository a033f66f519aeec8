"""Inference: sampling and exact sums. Nothing here changes a parameter."""

from lamina.inference.annealing_paths import AnnealingPath, annealing_path
from lamina.inference.betas import salakhutdinov_betas
from lamina.inference.deep_belief import Dream, LikelihoodBound, deep_belief_bound, dream
from lamina.inference.deep_boltzmann_bounds import conservative_deep_bound, deep_boltzmann_bound
from lamina.inference.deep_gibbs import deep_gibbs, deep_samples, fill_in
from lamina.inference.deep_mean_field import DeepMeanField, augmented_rows, deep_mean_field, mean_field_bound
from lamina.inference.dropout_averaging import averaged_outputs, sampled_outputs
from lamina.inference.enumeration import binary_states, exact_log_partition
from lamina.inference.forecasting import conditional_log_likelihood, forecast, generate
from lamina.inference.gibbs import free_running, gibbs
from lamina.inference.hierarchical import Explanation, infer
from lamina.inference.importance_bound import elbo, importance_weighted_bound
from lamina.inference.latent_gibbs import latent_gibbs
from lamina.inference.likelihood import log_likelihood
from lamina.inference.mean_field import MeanField, mean_field, variational_free_energy
from lamina.inference.partition import LogPartition, log_partition
from lamina.inference.pseudo_likelihood import pseudo_log_likelihood
from lamina.inference.raise_estimator import raise_log_likelihood
from lamina.inference.recall import Recall, recall, recall_pairs, retrieve, winner_take_all
from lamina.inference.sequential_gibbs import sequential_gibbs
from lamina.inference.sparse_codes import (
    Codes,
    alternating_directions,
    code_objective,
    conjugate_gradient_codes,
    coordinate_descent,
    feature_sign,
    fista,
)
from lamina.inference.tempering import Tempered, Tempering, parallel_tempering

__all__ = [
    "AnnealingPath",
    "Codes",
    "DeepMeanField",
    "Dream",
    "Explanation",
    "LikelihoodBound",
    "LogPartition",
    "MeanField",
    "Recall",
    "Tempered",
    "Tempering",
    "alternating_directions",
    "annealing_path",
    "augmented_rows",
    "averaged_outputs",
    "binary_states",
    "code_objective",
    "conditional_log_likelihood",
    "conjugate_gradient_codes",
    "conservative_deep_bound",
    "coordinate_descent",
    "deep_belief_bound",
    "deep_boltzmann_bound",
    "deep_gibbs",
    "deep_mean_field",
    "deep_samples",
    "dream",
    "elbo",
    "exact_log_partition",
    "feature_sign",
    "fill_in",
    "fista",
    "forecast",
    "free_running",
    "generate",
    "gibbs",
    "importance_weighted_bound",
    "infer",
    "latent_gibbs",
    "log_likelihood",
    "log_partition",
    "mean_field",
    "mean_field_bound",
    "parallel_tempering",
    "pseudo_log_likelihood",
    "raise_log_likelihood",
    "recall",
    "recall_pairs",
    "retrieve",
    "salakhutdinov_betas",
    "sampled_outputs",
    "sequential_gibbs",
    "variational_free_energy",
    "winner_take_all",
]
