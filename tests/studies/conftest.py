"""Every study here is a short one."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _short(quick):
    pass
