"""The room's door: light to open, and every name behind it."""

import subprocess
import sys

import lamina.data


def test_the_door_loads_nothing_heavy():
    heavy = "torch sklearn pandas matplotlib pooch requests PIL pyarrow scipy"
    code = f"import sys, lamina.data; print([m for m in '{heavy}'.split() if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_every_name_is_there_and_described():
    for name in lamina.data.__all__:
        assert getattr(lamina.data, name).__doc__, name
