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


@pytest.fixture
def quick(monkeypatch):
    """Studies that take a few steps where they would take thousands."""
    from small_studies import make_quick

    make_quick(monkeypatch.setattr)


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """Runs of `lamina learn` that ended, by name: copy a folder before changing it."""
    from small_studies import finish_runs

    with pytest.MonkeyPatch.context() as patch:
        return finish_runs(tmp_path_factory.mktemp("finished"), patch)
