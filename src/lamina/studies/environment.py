"""What a run was made with: versions, machine, time and memory."""

from __future__ import annotations

import os
import platform
import resource
import sys


def environment(device: str | None) -> dict:
    """Versions, platform, device and threads, for the record."""
    import numpy
    import sklearn
    import torch

    import lamina

    return {
        "lamina": lamina.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "scikit-learn": sklearn.__version__,
        "platform": platform.platform(),
        "cpu_count": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": device or "cpu",
    }


def peak_megabytes() -> float:
    """Largest resident memory of this process so far, MB (10^6 bytes)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024) / 1e6
