"""One atom after another, each the best for the others: the dictionary's step that needs no convergence.

    u = d_j + (b_j − D a_j) / A_jj,    d_j ← u / max(1, ‖u‖)                                               (eq. 143)

with A = HᵀH and B = VᵀH, sums over rows. Each atom's step minimises ½ Σ ‖v − h Dᵀ‖² over d_j under ‖d_j‖ ≤ 1 exactly,
so a pass never raises it; after a change of A and B by one batch, one pass is enough.

The steps are many and small: on NumPy arrays, whose calls cost a third of torch's, wherever the model is.
Source: Mairal, Bach, Ponce and Sapiro 2010, algorithm 2.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

UNUSED = 1e-6  # of A's largest diagonal: an atom used less than this is left as it is


def column_pass(D: Tensor, A: Tensor, B: Tensor, passes: int = 1) -> Tensor:
    """D (n_visible, n_hidden) after ``passes`` over its columns, for sums ``A`` (n_hidden, n_hidden) and ``B``
    (n_visible, n_hidden)."""
    atoms, targets = (np.ascontiguousarray(x.detach().T.cpu().numpy()) for x in (D, B))
    atoms = atoms.copy()
    products = A.cpu().numpy()
    scale = products.diagonal()
    used = np.flatnonzero(scale > UNUSED * scale.max(initial=0.0))
    for _ in range(passes):
        for j in used:
            atom = atoms[j]
            atom += (targets[j] - products[j] @ atoms) / scale[j]
            length = atom @ atom
            if length > 1:
                atom /= np.sqrt(length)
    return torch.from_numpy(atoms.T.copy()).to(D)
