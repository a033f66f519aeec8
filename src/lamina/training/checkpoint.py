"""Checkpoints: one file that is whole or absent, from which a run goes on bit for bit.

``state.safetensors`` holds weights, best weights, optimiser and rule tensors; its metadata hold epoch, step, history
and a fingerprint of the settings. One file, so that weights never pair with another moment's optimiser.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lamina.core.errors import ModelFileError, SettingError
from lamina.core.storage import plain, write_bytes
from lamina.training.history import History
from lamina.training.optimisers import Optimiser

FILE = "state.safetensors"


@dataclass
class Progressed:
    """How far a run has come: the next epoch (from 0) and batch to do, steps done, history, running sums."""

    epoch: int = 0
    batch: int = 0
    step: int = 0
    finished: bool = False
    history: History = field(default_factory=History)
    best: float | None = None
    seconds: float = 0.0
    rows_seen: int = 0


def optimiser_tensors(optimiser: Optimiser | None) -> dict[str, Tensor]:
    """The optimiser's state as named tensors, in the order of its parameters.

    L-BFGS also keeps numbers and lists of tensors: a number becomes ``…/number``, a list ``…/length`` and ``…/0``, ...
    """
    found: dict[str, Tensor] = {}
    if optimiser is None:
        return found
    for k, entry in optimiser.state_dict()["state"].items():
        for name, value in entry.items():
            if isinstance(value, Tensor):
                found[f"{k}/{name}"] = value
            elif isinstance(value, (int, float)):
                kind = torch.int64 if isinstance(value, int) else torch.float64
                found[f"{k}/{name}/number"] = torch.tensor(value, dtype=kind)
            elif isinstance(value, list) and all(isinstance(item, Tensor) for item in value):
                found[f"{k}/{name}/length"] = torch.tensor(len(value))
                found |= {f"{k}/{name}/{i}": item for i, item in enumerate(value)}
    return found


def restore_optimiser(optimiser: Optimiser, tensors: dict[str, Tensor]) -> None:
    """The inverse of `optimiser_tensors`."""
    document = optimiser.state_dict()
    state: dict[int, dict[str, Any]] = {}
    for key, value in tensors.items():
        k, name, *kind = key.split("/")
        entry = state.setdefault(int(k), {})
        if not kind:
            entry[name] = value
        elif kind == ["number"]:
            entry[name] = value.item()
        elif kind == ["length"]:
            entry[name] = [tensors[f"{k}/{name}/{i}"] for i in range(int(value))]
    optimiser.load_state_dict({"state": state, "param_groups": document["param_groups"]})


def write(
    folder: Path,
    progressed: Progressed,
    groups: dict[str, dict[str, Tensor]],
    fingerprint: dict,
) -> None:
    """Write the checkpoint: ``groups`` are named sets of tensors (model, best, optimiser, rule, sums)."""
    from safetensors.torch import save

    tensors = {
        f"{group}/{name}": value.detach().cpu().contiguous().clone()
        for group, named in groups.items()
        for name, value in named.items()
    }
    document = {**vars(progressed), "history": progressed.history.to_dict()}
    metadata = {
        "progress": json.dumps(plain(document)),
        "fingerprint": json.dumps(plain(fingerprint), sort_keys=True),
    }
    write_bytes(folder / FILE, save(tensors, metadata=metadata))


def read(folder: Path, fingerprint: dict) -> tuple[Progressed, dict[str, dict[str, Tensor]]] | None:
    """Progress and tensors by group, or None where there is no checkpoint.

    Raises `SettingError` where the checkpoint belongs to a run with other settings, `ModelFileError` where it is
    damaged.
    """
    from safetensors import SafetensorError, safe_open

    path = folder / FILE
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            # Cloned: sums over memory that is aligned otherwise may be rounded otherwise.
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118 - not a dict
        document = json.loads(metadata["progress"])
        found = json.loads(metadata["fingerprint"])
        progressed = Progressed(**{**document, "history": History.from_dict(document["history"])})
    except (SafetensorError, OSError, KeyError, ValueError, TypeError) as problem:
        raise ModelFileError(f"{path} is no whole checkpoint ({problem}): delete it to begin again") from None
    expected = json.loads(json.dumps(plain(fingerprint)))
    if found != expected:
        odd = sorted(k for k in {*found, *expected} if found.get(k) != expected.get(k))
        raise SettingError(
            f"the checkpoint in {folder} was made with other settings ({', '.join(odd)}): resume with the same ones, "
            f"or use a new folder"
        )
    groups: dict[str, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        group, name = key.split("/", 1)
        groups.setdefault(group, {})[name] = value
    return progressed, groups


def restore_model(model: nn.Module, state: dict[str, Tensor]) -> None:
    """Copy ``state`` into the model's own tensors (they stay where the optimiser knows them)."""
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            tensor.copy_(state[name])
