"""Shared by all tests: one thread per process, so that results do not hang on how many cores the machine has."""

from __future__ import annotations

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture
def float64():
    """Tensors made without a type are float64 inside the test."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)
