"""Solvers for sparse codes: pure functions of rows, a dictionary and a cost.

A sparse coder's code is the minimum of an energy, as a softmax unit's mean is the maximum of one: the function that
finds it is part of the model, which must encode without knowing of the verbs. So the solvers live beside the model and
hold no state; `lamina.inference.sparse_codes` is their public door.
"""

from lamina.models.sparse.solvers.alternating_directions import alternating_directions
from lamina.models.sparse.solvers.conjugate_gradients import conjugate_gradient_codes
from lamina.models.sparse.solvers.coordinate_descent import coordinate_descent
from lamina.models.sparse.solvers.feature_sign import feature_sign
from lamina.models.sparse.solvers.problem import Codes, code_objective
from lamina.models.sparse.solvers.proximal import fista

__all__ = [
    "Codes",
    "alternating_directions",
    "code_objective",
    "conjugate_gradient_codes",
    "coordinate_descent",
    "feature_sign",
    "fista",
]
