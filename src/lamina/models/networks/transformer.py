"""A small vision transformer: an image as a sequence of patches that attend to each other.

The problem: an image of ``channels`` × height × width is cut into square patches; each is a token, a vector of
``width`` numbers, and every block lets each token read from all others. As tokens are a set with places written on
them, any subset of the patches can be encoded: that is what a masked autoencoder lives on.

Conventions. Rows are images flattened (channels, height, width), as everywhere. With x_p the pixels of patch p and
P(p) its place, the sequence and each block are (docs/mathematics.md, eq. 163 to 166)::

    z_p = x_p E + e + P(p)
    z ← z + Attention(norm(z)) W_o + b_o         z ← z + GELU(norm(z) W_1 + b_1) W_2 + b_2

and a last norm closes it. Places are fixed: sines and cosines of row and column, half of the width each.

Source: Dosovitskiy et al. 2021 (image as patches, pre-norm blocks); Vaswani et al. 2017 (attention, sines); Chen, Xie,
He 2021 (sines in two dimensions). Inside: `patches_of`, `rows_of`, `grid_positions`, `Block`, `VisionTransformer`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from lamina.core.checks import check_number
from lamina.core.errors import DataError, SettingError
from lamina.core.random import Random, as_random

POOLINGS = ("mean", "class")
TOKEN_SD = 0.02  # of the values that class and mask tokens start with


def patches_of(v: Tensor, shape: Sequence[int], patch: int) -> Tensor:
    """Images as patches in reading order: (n, channels · height · width) → (n, patches, channels · patch²)."""
    channels, height, width = shape
    grid = v.reshape(len(v), channels, height // patch, patch, width // patch, patch)
    return grid.permute(0, 2, 4, 1, 3, 5).reshape(len(v), -1, channels * patch * patch)


def rows_of(patches: Tensor, shape: Sequence[int], patch: int) -> Tensor:
    """The inverse of `patches_of`: (n, patches, channels · patch²) → (n, channels · height · width)."""
    channels, height, width = shape
    grid = patches.reshape(len(patches), height // patch, width // patch, channels, patch, patch)
    return grid.permute(0, 3, 1, 4, 2, 5).reshape(len(patches), -1)


def grid_positions(rows: int, columns: int, width: int) -> Tensor:
    """Places on a grid in reading order, (rows · columns, width) float32: for coordinate r and k = 0 … width/4 − 1,

    sin(r ω_k) and cos(r ω_k) with ω_k = 10000^(−4k/width), of the row in the first half, of the column in the second.
    """
    frequencies = 10000.0 ** (-torch.arange(width // 4, dtype=torch.float64) * 4 / width)
    row, column = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    angles = [axis.reshape(-1, 1) * frequencies for axis in (row, column)]
    found = torch.cat([f(angle) for angle in angles for f in (torch.sin, torch.cos)], 1)
    return found.float()  # rounded, so that a network read from a file has the same in any type


class Block(nn.Module):
    """One block: attention over tokens, then a perceptron on each; each reads a normalised copy and adds to the token.

    (n, tokens, width) → (n, tokens, width). Cost per row: about 12 · tokens · width² multiplications for a hidden side
    of 4 · width, and 2 · tokens² · width for the attention.
    """

    def __init__(self, width: int, heads: int, hidden: int, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.heads = heads
        self.norm_1 = nn.LayerNorm(width, dtype=dtype)
        self.norm_2 = nn.LayerNorm(width, dtype=dtype)
        sizes = {"qkv": (width, 3 * width), "o": (width, width), "1": (width, hidden), "2": (hidden, width)}
        self.W = nn.ParameterDict({name: nn.Parameter(torch.empty(size, dtype=dtype)) for name, size in sizes.items()})
        self.b = nn.ParameterDict(
            {name: nn.Parameter(torch.zeros(size[1], dtype=dtype)) for name, size in sizes.items()}
        )

    def initialise(self, random: Random) -> None:
        for name, W in self.W.items():
            glorot_(W, random.child(name))
            self.b[name].zero_()
        for norm in (self.norm_1, self.norm_2):
            norm.reset_parameters()

    def attention(self, z: Tensor) -> Tensor:
        """Σ_q softmax_q(⟨query_p, key_q⟩ / √(width/heads)) value_q, head by head: (n, tokens, width) → the same."""
        n, tokens, width = z.shape
        qkv = affine(z, self.W["qkv"], self.b["qkv"]).view(n, tokens, 3, self.heads, width // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        read = functional.scaled_dot_product_attention(query, key, value)
        return affine(read.transpose(1, 2).reshape(n, tokens, width), self.W["o"], self.b["o"])

    def forward(self, z: Tensor) -> Tensor:
        z = z + self.attention(self.norm_1(z))
        hidden = functional.gelu(affine(self.norm_2(z), self.W["1"], self.b["1"]))
        return z + affine(hidden, self.W["2"], self.b["2"])


class VisionTransformer(nn.Module):
    """Images of ``shape`` (channels, height, width) as rows (n, n_visible) → features (n, ``width``).

    ``pooling="mean"`` averages the tokens after the last norm; ``"class"`` puts a learnt token before the patches and
    takes what becomes of it. With ``n_classes`` a linear head gives the outputs of `forward`; it starts at 0. ``patch``
    must divide height and width, 4 and ``heads`` must divide ``width``. ``hidden`` is the perceptrons' hidden size
    (4 · width). Weights start by Glorot and Bengio (2010), biases at 0, the class token at N(0, 0.02²).
    """

    def __init__(
        self,
        shape: Sequence[int] = (1, 28, 28),
        patch: int = 4,
        *,
        width: int = 64,
        depth: int = 4,
        heads: int = 4,
        hidden: int | None = None,
        pooling: str = "mean",
        n_classes: int = 0,
        dtype: torch.dtype = torch.float32,
        random_state: int | Random | None = 0,
    ) -> None:
        super().__init__()
        check_images(shape, patch)
        check_width(width, heads)
        check_number("depth", depth, low=0, integer=True)
        check_number("n_classes", n_classes, low=0, integer=True)
        if pooling not in POOLINGS:
            raise SettingError(f"pooling is {pooling!r}; expected 'mean' or 'class'")
        self.shape = tuple(int(s) for s in shape)
        self.patch, self.width, self.heads = int(patch), int(width), int(heads)
        self.hidden = 4 * self.width if hidden is None else int(hidden)
        check_number("hidden", self.hidden, low=1, integer=True)
        self.pooling, self.n_classes = pooling, int(n_classes)
        self.E = nn.Parameter(torch.empty(self.n_pixels, self.width, dtype=dtype))
        self.e = nn.Parameter(torch.zeros(self.width, dtype=dtype))
        self.blocks: Any = nn.ModuleList(Block(self.width, self.heads, self.hidden, dtype) for _ in range(depth))
        self.norm = nn.LayerNorm(self.width, dtype=dtype)
        if pooling == "class":
            self.token = nn.Parameter(torch.empty(self.width, dtype=dtype))
        if self.n_classes:
            self.head_W = nn.Parameter(torch.zeros(self.width, self.n_classes, dtype=dtype))
            self.head_b = nn.Parameter(torch.zeros(self.n_classes, dtype=dtype))
        self.positions: Tensor
        self.register_buffer("positions", grid_positions(*self.grid, self.width).to(dtype), persistent=False)
        self.initialise(random_state)

    @property
    def grid(self) -> tuple[int, int]:
        """Patches down and across."""
        return self.shape[1] // self.patch, self.shape[2] // self.patch

    @property
    def n_patches(self) -> int:
        return math.prod(self.grid)

    @property
    def n_pixels(self) -> int:
        """Values in a patch."""
        return self.shape[0] * self.patch**2

    @property
    def n_visible(self) -> int:
        return math.prod(self.shape)

    @property
    def n_hidden(self) -> int:
        return self.width

    @property
    def n_out(self) -> int:
        return self.n_classes or self.width

    def extra_repr(self) -> str:
        return f"shape={self.shape}, patch={self.patch}, width={self.width}, heads={self.heads}"

    @torch.no_grad()
    def initialise(self, random_state: int | Random | None, data_mean: Tensor | None = None) -> VisionTransformer:
        """Draw all weights afresh, the head at 0; ``data_mean`` is not used: patches share their biases."""
        random = as_random(random_state).child("weights")
        glorot_(self.E, random.child("patches"))
        self.e.zero_()
        for k, block in enumerate(self.blocks):
            block.initialise(random.child("block", k))
        self.norm.reset_parameters()
        if self.pooling == "class":
            self.token.copy_(random.child("token").normal(self.token.shape, self.token.dtype).mul_(TOKEN_SD))
        if self.n_classes:
            self.head_W.zero_()
            self.head_b.zero_()
        return self

    def patches(self, v: Tensor) -> Tensor:
        """(n, n_visible) → (n, patches, n_pixels)."""
        if v.dim() != 2 or v.shape[1] != self.n_visible:
            raise DataError(
                f"rows have shape {tuple(v.shape)}; expected (n, {self.n_visible}): images {self.shape} as flat rows"
            )
        return patches_of(v, self.shape, self.patch)

    def encode_patches(self, patches: Tensor, places: Tensor | None = None) -> Tensor:
        """Tokens after the last norm, the class token first where there is one.

        ``patches`` (n, k, n_pixels) are any k patches of each image and ``places`` (n, k) int64 their numbers; None
        means all of them in reading order. → (n, k or k + 1, width). The order makes no difference.
        """
        z = affine(patches, self.E, self.e) + (self.positions if places is None else self.positions[places])
        if self.pooling == "class":
            z = torch.cat([self.token.expand(len(z), 1, -1), z], 1)
        for block in self.blocks:
            z = block(z)
        return self.norm(z)

    def mean_h_from_v(self, v: Tensor) -> Tensor:
        """Pooled features of whole images: (..., n_visible) → (..., width)."""
        tokens = self.encode_patches(self.patches(v.reshape(-1, v.shape[-1])))
        pooled = tokens[:, 0] if self.pooling == "class" else tokens.mean(1)
        return pooled.view(*v.shape[:-1], self.width)

    encode = mean_h_from_v

    def forward(self, v: Tensor, random: Random | None = None, track: bool = False) -> Tensor:
        """Outputs before any softmax (features without a head): (n, n_visible) → (n, n_classes). Nothing is random."""
        h = self.mean_h_from_v(v)
        return affine(h, self.head_W, self.head_b) if self.n_classes else h

    @torch.no_grad()
    def classifier(self, n_classes: int) -> VisionTransformer:
        """A network with these weights, copied, and a fresh head of ``n_classes`` that starts at 0."""
        check_number("n_classes", n_classes, low=2, integer=True)
        found = VisionTransformer.from_spec({**self.spec(), "n_classes": n_classes}, lambda spec: spec).to(self.E)
        mine = {name: value for name, value in self.state_dict().items() if not name.startswith("head_")}
        found.load_state_dict(mine, strict=False)
        return found

    def spec(self) -> dict:
        """What JSON must hold to build this network again; the arrays are the state dict."""
        options = ("patch", "width", "heads", "hidden", "pooling", "n_classes")
        return {
            "class": "VisionTransformer",
            "shape": list(self.shape),
            "depth": len(self.blocks),
            **{name: getattr(self, name) for name in options},
        }

    @classmethod
    def from_spec(cls, spec: dict, build: Callable[[dict], Any]) -> VisionTransformer:
        """The network that `spec` describes."""
        options = ("width", "depth", "heads", "hidden", "pooling", "n_classes")
        return cls(spec["shape"], spec["patch"], **{name: spec[name] for name in options})


def affine(x: Tensor, W: Tensor, b: Tensor) -> Tensor:
    """x W + b with W (n_in, n_out): (..., n_in) → (..., n_out)."""
    return functional.linear(x, W.T, b)


@torch.no_grad()
def glorot_(W: Tensor, random: Random) -> None:
    """Draw W (n_in, n_out) from U(±√(6/(n_in + n_out)))."""
    W.copy_(random.uniform(W.shape, W.dtype).mul_(2).sub_(1).mul_(math.sqrt(6 / sum(W.shape))))


def check_images(shape: Sequence[int], patch: int) -> None:
    """Raise `SettingError` unless ``shape`` is (channels, height, width), cut evenly by ``patch``."""
    check_number("patch", patch, low=1, integer=True)
    try:
        sizes = [int(size) for size in shape]
    except (TypeError, ValueError):
        sizes = []
    if len(sizes) != 3 or min(sizes) < 1 or sizes[1] % patch or sizes[2] % patch:
        raise SettingError(
            f"shape is {shape!r} and patch {patch}; expected (channels, height, width), the last two multiples of patch"
        )


def check_width(width: int, heads: int, name: str = "width") -> None:
    """Raise `SettingError` unless 4 and ``heads`` divide ``width``."""
    check_number(name, width, low=4, integer=True)
    check_number("heads", heads, low=1, integer=True)
    if width % 4 or width % heads:
        raise SettingError(
            f"{name} is {width} with {heads} heads; expected a multiple of 4 (sines and cosines of two coordinates) "
            f"and of the heads"
        )
