"""Sparse codes: the door to the solvers, which live beside the models that need them to encode.

`alternating_directions` (the fastest), `fista` (accelerated proximal gradient), `feature_sign` (exact) and
`coordinate_descent` for the penalty |h|, `conjugate_gradient_codes` for log(1 + h²). All take rows (n, n_visible), a
dictionary (n_visible, n_hidden) and a cost, and return `Codes`. Why they are a model's part is said in
`lamina.models.sparse.solvers`.
"""

from lamina.models.sparse.solvers import (
    Codes,
    alternating_directions,
    code_objective,
    conjugate_gradient_codes,
    coordinate_descent,
    feature_sign,
    fista,
)

__all__ = [
    "Codes",
    "alternating_directions",
    "code_objective",
    "conjugate_gradient_codes",
    "coordinate_descent",
    "feature_sign",
    "fista",
]
