"""Biases that alone give the mean."""

from __future__ import annotations

import pytest
import torch

from lamina.models.activations import ACTIVATIONS
from lamina.models.autoencoders.output_bias import field_of_mean


@pytest.mark.parametrize("output", ["identity", "relu", "softplus", "sigmoid", "tanh"])
def test_the_field_gives_the_mean(output):
    mean = torch.tensor([0.02, 0.3, 0.97], dtype=torch.float64)
    torch.testing.assert_close(ACTIVATIONS[output](field_of_mean(output, mean)), mean)
    ends = field_of_mean(output, torch.tensor([0.0, 1.0]))  # as far as there is a field at all
    assert torch.isfinite(ends).all()
    if output != "identity":
        assert ACTIVATIONS[output](ends)[0] == pytest.approx(0.0, abs=0.0101)


def test_other_outputs_start_at_zero():
    for output in set(ACTIVATIONS) - {"identity", "relu", "softplus", "sigmoid", "tanh"}:
        assert not field_of_mean(output, torch.ones(3)).any()
