"""The two networks of LeCun et al. that read digits: of 1989 (zip codes) and of 1998 (LeNet-5).

================ ============================== ===================================================================
`lenet1989`      16 × 16, values −1 to 1        12 maps 8 × 8, 12 maps 4 × 4 that see 8 of them each, 30 units, 10
                                                outputs: 1,256 units, 64,660 connections, 9,760 parameters
`lenet5`         28 × 28 (padded to 32 × 32)    C1 6 maps, S2, C3 16 maps by a table, S4, C5 120, F6 84 units, 10
                                                outputs: 60,000 parameters below the outputs, as in the paper
================ ============================== ===================================================================

Sources: Y. LeCun, B. Boser, J. S. Denker, D. Henderson, R. E. Howard, W. Hubbard, L. D. Jackel (1989) Backpropagation
applied to handwritten zip code recognition, Neural Computation 1; Y. LeCun, L. Bottou, Y. Bengio, P. Haffner (1998)
Gradient-based learning applied to document recognition, Proceedings of the IEEE 86, table I for C3.
"""

from __future__ import annotations

import torch

from lamina.core.random import Random
from lamina.models.networks.convolutional import ConvolutionalNetwork
from lamina.models.networks.layers import Convolution, Dense, Dropout, Subsampling

#: Which 8 of the 12 maps below each map of the second layer sees. The paper says 8 of 12 and not which: groups of four.
TABLE_1989 = tuple(tuple(sorted((first + k) % 12 for k in range(8))) for first in (0, 4, 8) for _ in range(4))
#: Which maps of S2 each map of C3 sees (LeCun et al. 1998, table I): six see 3 neighbours, six 4, three 2 + 2, one all.
TABLE_1998 = (
    *(tuple(sorted((first + k) % 6 for k in range(3))) for first in range(6)),
    *(tuple(sorted((first + k) % 6 for k in range(4))) for first in range(6)),
    *(tuple(sorted((first + k) % 6 for k in (0, 1, 3, 4))) for first in range(3)),
    (0, 1, 2, 3, 4, 5),
)


def lenet1989(*, dtype: torch.dtype = torch.float32, random_state: int | Random | None = 0) -> ConvolutionalNetwork:
    """The network that read zip codes: rows (n, 256) of 16 × 16 images in [−1, 1] → (n, 10), near ±1.

    1.7159 tanh(2x/3) everywhere, the outputs too; 5 × 5 kernels with stride 2; beyond the border everything is −1; one
    bias per unit; weights start as U(±2.4 / inputs). Meant for the squared error to targets of ±1.
    """
    return ConvolutionalNetwork(
        (1, 16, 16),
        [
            Convolution(12, 5, stride=2, padding=2, background=-1.0, biases="unit"),
            Convolution(12, 5, stride=2, padding=2, background=-1.0, biases="unit", table=TABLE_1989),
            Dense(30),
        ],
        10,
        activation="scaled_tanh",
        output="scaled_tanh",
        initial="lecun",
        dtype=dtype,
        random_state=random_state,
    )


def lenet5(
    n_out: int = 10,
    *,
    background: float = 0.0,
    activation: str = "scaled_tanh",
    dropout: float = 0.0,
    dtype: torch.dtype = torch.float32,
    random_state: int | Random | None = 0,
) -> ConvolutionalNetwork:
    """LeNet-5: rows (n, 784) of 28 × 28 images, 2 places of ``background`` put around them → (n, n_out).

    C1 and C3 convolve by 5 × 5, S2 and S4 are `Subsampling` by 2, C5 sees all that is left, F6 has 84 units. The
    paper's outputs are distances to ten drawn codes (radial basis functions, not learnt); here they are an affine
    head, to be trained with the cross-entropy. Weights start by Glorot & Bengio (2010) (paper: U(±2.4 / inputs)).
    ``dropout`` is the share of what S4, C5 and F6 send on that is dropped while learning (paper: none).
    """
    drop = [Dropout(dropout)] if dropout else []
    return ConvolutionalNetwork(
        (1, 28, 28),
        [
            Convolution(6, 5, padding=2, background=background),
            Subsampling(2),
            Convolution(16, 5, table=TABLE_1998),
            Subsampling(2),
            *drop,
            Convolution(120, 5),
            *drop,
            Dense(84),
            *drop,
        ],
        n_out,
        activation=activation,
        dtype=dtype,
        random_state=random_state,
    )
