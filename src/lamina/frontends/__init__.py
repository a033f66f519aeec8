"""Front-ends: signal → features, each a pure function and a thin transformer."""

from lamina.frontends.contrast import Contrast, local_contrast, patch_contrast
from lamina.frontends.patches import PatchGrid, all_patches, assemble, random_patches
from lamina.frontends.scaling import ScaledRows, Scaling, choose_scaling
from lamina.frontends.sequences import pad_sequences, split_sequences
from lamina.frontends.whitening import FrequencyWhitening, Whitening, frequency_whitened

__all__ = [
    "Contrast",
    "FrequencyWhitening",
    "PatchGrid",
    "ScaledRows",
    "Scaling",
    "Whitening",
    "all_patches",
    "assemble",
    "choose_scaling",
    "frequency_whitened",
    "local_contrast",
    "pad_sequences",
    "patch_contrast",
    "random_patches",
    "split_sequences",
]
