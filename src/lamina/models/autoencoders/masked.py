"""The masked autoencoder: most patches of an image are hidden, and a network must guess them from the rest.

An encoder (`VisionTransformer`) sees the visible patches alone, which makes it cheap: at 75 % hidden it handles a
quarter of the tokens. A light decoder gets the encoded tokens and, for each hidden patch, one learnt mask token with
the patch's place, and predicts the pixels of the hidden patches (docs/mathematics.md, eq. 167 to 169). After learning
the decoder is put aside, and the encoder reads whole images.

Which patches are hidden is an argument: `draw_places` draws it, from a stream. What lies in a hidden patch is never
read by `predict`, be it NaN.

Source: He, Chen, Xie, Li, Dollár, Girshick 2022, Masked autoencoders are scalable vision learners.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lamina.core.checks import check_number
from lamina.core.errors import SettingError
from lamina.core.random import Random, as_random
from lamina.models.networks.transformer import (
    TOKEN_SD,
    Block,
    VisionTransformer,
    affine,
    check_width,
    glorot_,
    grid_positions,
    rows_of,
)

SMALL = 1e-6  # added to a patch's variance before it is divided by


class MaskedAutoencoder(nn.Module):
    """A masked autoencoder of images ``shape`` (channels, height, width), with the share ``masked`` of patches hidden.

    As a layer its hidden values are the encoder's pooled features of whole images, (n, n_visible) → (n, width); there
    is no way back from them (`mean_v_from_h` raises `SettingError`): images are filled in by `fill_in`. With
    ``normalise`` each hidden patch is predicted relative to its own mean and standard deviation (He et al. 2022, found
    better there). ``width``, ``depth``, ``heads``, ``hidden`` and ``pooling`` are the encoder's, as in
    `VisionTransformer`; ``decoder_heads`` is ``heads`` unless given.
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
        decoder_width: int = 32,
        decoder_depth: int = 1,
        decoder_heads: int | None = None,
        masked: float = 0.75,
        normalise: bool = False,
        dtype: torch.dtype = torch.float32,
        random_state: int | Random | None = 0,
    ) -> None:
        super().__init__()
        check_number("masked", masked, low=0.0, high=1.0)
        check_number("decoder_depth", decoder_depth, low=0, integer=True)
        self.decoder_heads = heads if decoder_heads is None else int(decoder_heads)
        check_width(decoder_width, self.decoder_heads, "decoder_width")
        options: dict[str, Any] = {"width": width, "depth": depth, "heads": heads, "hidden": hidden}
        self.encoder = VisionTransformer(shape, patch, pooling=pooling, dtype=dtype, **options)
        self.masked, self.normalise = float(masked), bool(normalise)
        self.decoder_width = int(decoder_width)
        if not 0 < self.n_seen < self.n_patches:
            raise SettingError(
                f"masked is {masked:g} of {self.n_patches} patches, which hides {self.n_patches - self.n_seen}; "
                f"expected at least one hidden and one visible patch"
            )
        self.mask = nn.Parameter(torch.empty(self.decoder_width, dtype=dtype))
        self.W_in = nn.Parameter(torch.empty(width, self.decoder_width, dtype=dtype))
        self.b_in = nn.Parameter(torch.zeros(self.decoder_width, dtype=dtype))
        inner = 4 * self.decoder_width
        self.blocks: Any = nn.ModuleList(
            Block(self.decoder_width, self.decoder_heads, inner, dtype) for _ in range(decoder_depth)
        )
        self.norm = nn.LayerNorm(self.decoder_width, dtype=dtype)
        self.W_out = nn.Parameter(torch.empty(self.decoder_width, self.encoder.n_pixels, dtype=dtype))
        self.b_out = nn.Parameter(torch.zeros(self.encoder.n_pixels, dtype=dtype))
        self.positions: Tensor
        places = grid_positions(*self.encoder.grid, self.decoder_width).to(dtype)
        self.register_buffer("positions", places, persistent=False)
        self.initialise(random_state)

    @property
    def n_patches(self) -> int:
        return self.encoder.n_patches

    @property
    def n_seen(self) -> int:
        """Visible patches per image: ⌊(1 − masked) · patches⌋, as in the paper's code."""
        return int(self.n_patches * (1 - self.masked) + 1e-9)

    @property
    def n_visible(self) -> int:
        return self.encoder.n_visible

    @property
    def n_hidden(self) -> int:
        return self.encoder.n_hidden

    @torch.no_grad()
    def initialise(self, random_state: int | Random | None, data_mean: Tensor | None = None) -> MaskedAutoencoder:
        """Draw all weights afresh. ``data_mean`` (n_visible,) sets the output biases to its mean over patches, unless
        patches are normalised."""
        random = as_random(random_state)
        self.encoder.initialise(random.child("encoder"))
        random = random.child("decoder")
        for name in ("W_in", "W_out"):
            glorot_(getattr(self, name), random.child(name))
        self.mask.copy_(random.child("mask").normal(self.mask.shape, self.mask.dtype).mul_(TOKEN_SD))
        for k, block in enumerate(self.blocks):
            block.initialise(random.child("block", k))
        self.norm.reset_parameters()
        self.b_in.zero_()
        self.b_out.zero_()
        if data_mean is not None and not self.normalise:
            self.b_out.copy_(self.encoder.patches(data_mean.to(self.b_out)[None])[0].mean(0))
        return self

    # masks ----------------------------------------------------------------------------------------------------------

    def draw_places(self, n: int, random: Random, device: torch.device | str = "cpu") -> tuple[Tensor, Tensor]:
        """Numbers of visible (n, n_seen) and of hidden patches (n, n_patches − n_seen), int64: each row's own draw.

        The order of independent uniform numbers is a uniform permutation; its first places are the visible ones.
        """
        order = random.uniform((n, self.n_patches), device=device).argsort(stable=True, dim=1)
        return order[:, : self.n_seen], order[:, self.n_seen :]

    # what a layer offers --------------------------------------------------------------------------------------------

    def mean_h_from_v(self, v: Tensor) -> Tensor:
        """The encoder's pooled features of whole images: (..., n_visible) → (..., width)."""
        return self.encoder.mean_h_from_v(v)

    encode = mean_h_from_v

    def mean_v_from_h(self, h: Tensor) -> Tensor:
        """Raises `SettingError`: pooled features have lost which patch said what."""
        raise SettingError(
            "a masked autoencoder cannot decode pooled features; expected images with hidden patches: use "
            "fill_in(v, visible, hidden)"
        )

    # guessing -------------------------------------------------------------------------------------------------------

    def predict(self, v: Tensor, visible: Tensor, hidden: Tensor) -> Tensor:
        """Pixels of the hidden patches, guessed from the visible ones: (n, n_visible), places → (n, k, n_pixels).

        With ``normalise`` they are in each patch's own units (`targets`).
        """
        tokens = self.encoder.encode_patches(_taken(self.encoder.patches(v), visible), visible)
        return affine(self._decoded(affine(tokens, self.W_in, self.b_in), visible, hidden), self.W_out, self.b_out)

    def _decoded(self, seen: Tensor, visible: Tensor, hidden: Tensor) -> Tensor:
        """The decoder's tokens of the hidden patches. Tokens are a set: the hidden ones come last."""
        n_extra = seen.shape[1] - visible.shape[1]  # a class token has no place
        z = torch.cat([seen[:, n_extra:] + self.positions[visible], self.mask + self.positions[hidden]], 1)
        if n_extra:
            z = torch.cat([seen[:, :n_extra], z], 1)
        for block in self.blocks:
            z = block(z)
        return self.norm(z[:, -hidden.shape[1] :])

    def targets(self, v: Tensor, hidden: Tensor) -> Tensor:
        """What `predict` should say: the hidden patches' pixels, normalised if ``normalise``: (n, k, n_pixels)."""
        patches = _taken(self.encoder.patches(v), hidden)
        if not self.normalise:
            return patches
        mean, scale = _moments(patches)
        return (patches - mean) / scale

    @torch.no_grad()
    def fill_in(self, v: Tensor, visible: Tensor, hidden: Tensor) -> Tensor:
        """Images with the hidden patches replaced by guesses: (n, n_visible) → the same.

        With ``normalise`` a guess is only a pattern: mean and scale are taken from the true patch, as in the paper's
        pictures.
        """
        patches = self.encoder.patches(v).clone()
        guess = self.predict(v, visible, hidden)
        if self.normalise:
            mean, scale = _moments(_taken(patches, hidden))
            guess = guess * scale + mean
        patches.scatter_(1, hidden[..., None].expand_as(guess), guess)
        return rows_of(patches, self.encoder.shape, self.encoder.patch)

    def hide(self, v: Tensor, hidden: Tensor, value: float = float("nan")) -> Tensor:
        """Images with ``value`` in the hidden patches (NaN is drawn as a hole): (n, n_visible) → the same."""
        patches = self.encoder.patches(v).clone()
        patches.scatter_(1, hidden[..., None].expand(-1, -1, patches.shape[2]), value)
        return rows_of(patches, self.encoder.shape, self.encoder.patch)

    def classifier(self, n_classes: int) -> VisionTransformer:
        """The encoder, copied, with a fresh head of ``n_classes``: for `lamina.training.Classification`."""
        return self.encoder.classifier(n_classes)

    # files ----------------------------------------------------------------------------------------------------------

    def spec(self) -> dict:
        """What JSON must hold to build this model again; the arrays are the state dict."""
        options = ("decoder_width", "decoder_heads", "masked", "normalise")
        return {
            "class": "MaskedAutoencoder",
            "encoder": self.encoder.spec(),
            "decoder_depth": len(self.blocks),
            **{name: getattr(self, name) for name in options},
        }

    @classmethod
    def from_spec(cls, spec: dict, build: Callable[[dict], Any]) -> MaskedAutoencoder:
        """The model that `spec` describes."""
        encoder = spec["encoder"]
        options = {name: encoder[name] for name in ("width", "depth", "heads", "hidden", "pooling")}
        options |= {name: spec[name] for name in ("decoder_width", "decoder_depth", "decoder_heads", "masked")}
        return cls(encoder["shape"], encoder["patch"], normalise=spec["normalise"], **options)


def _taken(patches: Tensor, places: Tensor) -> Tensor:
    """The patches at ``places`` (n, k): (n, patches, n_pixels) → (n, k, n_pixels)."""
    return patches.gather(1, places[..., None].expand(-1, -1, patches.shape[2]))


def _moments(patches: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and √(variance + 10⁻⁶) over each patch's pixels, (n, k, 1) each."""
    mean = patches.mean(2, keepdim=True)
    return mean, (patches.var(2, keepdim=True, unbiased=False) + SMALL).sqrt()
