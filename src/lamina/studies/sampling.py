"""Rows drawn from the model of any run, with classes or single values held: what ``lamina sample`` does.

Runs of `learn` draw from their layers, runs of `generate` from their model, recipes from one of their stages.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lamina.core.checks import check_device, check_number
from lamina.core.errors import DataError, FileFormatError, RunFolderError, SettingError, nearest_names
from lamina.core.random import Random
from lamina.core.storage import read_arrays
from lamina.models import Stack
from lamina.storage import load, read_description
from lamina.studies.drawing import Held, begin, generates
from lamina.studies.layers import is_stochastic
from lamina.studies.run_folder import check_keeps_model, read_scaling, read_settings

STACK_STEPS = 25  # layers learnt by one-step contrastive divergence know the neighbourhood of the rows
STEPS = 1000


@dataclass(frozen=True)
class Drawn:
    """``rows`` (n, n_features) float32 in the data's own units, and the ``shape`` of one: () where it is not known."""

    rows: np.ndarray
    shape: tuple[int, ...]


def draw(
    folder: str | Path,
    n: int | None = None,
    *,
    steps: int | None = None,
    clamp: Sequence[str] = (),
    stage: str | None = None,
    seed: int = 0,
    device: str | None = None,
) -> Drawn:
    """``n`` rows (64, or as many as the held rows) from the model of the run in ``folder``.

    ``steps`` of Gibbs sampling (25 for layers, 1,000 for generative models); ``clamp`` holds ``"label=NAME"`` (several
    take turns) or the name of a ``.npy`` file of rows in the data's own units, NaN where values are free; ``stage``
    names a recipe's stage. Raises `RunFolderError` where there is nothing to draw from, `SettingError` for what the
    model cannot hold.
    """
    for option, value in (("-n", n), ("--steps", steps)):
        if value is not None:
            check_number(option, value, low=1, integer=True)
    check_number("--seed", seed, low=0, integer=True)
    source = _open(Path(folder), stage, device)
    if isinstance(source.model, Stack):
        return _from_stack(source, 64 if n is None else n, steps or STACK_STEPS, clamp, seed)
    held, n = _held(source, clamp, n)
    start = _examples(source, n) if source.about.get("from_rows") and held.rows is None else None
    random = Random(seed).child("sample")
    chain = begin(source.model, n, random, held=held, start=start, shape=_map_shape(source))
    chain.run(steps or int(source.about.get("steps", STEPS)))
    return Drawn(source.invert(chain.rows().cpu().numpy()), source.shape)


@dataclass(frozen=True)
class _Source:
    """A model to draw from: the run's folder, what was kept beside the model, and the scaling of its rows, if any."""

    folder: Path
    model: Any
    about: dict
    scaling: Any

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one row: as kept, or a square where its size is one."""
        if self.about.get("shape"):
            return tuple(self.about["shape"])
        n = int(getattr(self.model, "n_visible", 0))
        side = math.isqrt(n)
        return (1, side, side) if side > 1 and side * side == n else (n,) if n else ()

    @property
    def like(self) -> torch.Tensor:
        return next(self.model.parameters())

    def invert(self, rows: np.ndarray) -> np.ndarray:
        return (rows if self.scaling is None else self.scaling.invert(rows)).astype(np.float32)

    def scaled(self, rows: np.ndarray) -> np.ndarray:
        return rows.astype(np.float32) if self.scaling is None else self.scaling.apply(rows)


def _open(folder: Path, stage: str | None, device: str | None) -> _Source:
    if not (folder / "settings.json").is_file():
        raise RunFolderError(f"{folder} is no run folder (no settings.json); expected one that 'lamina learn' made")
    check_keeps_model(folder)
    recipe = "recipe" in read_settings(folder)
    if stage is not None and not recipe:
        raise SettingError(f"--stage {stage!r} was given, but {folder} is no run of a recipe; expected no --stage")
    place = check_device(device)
    if recipe:
        part = _stage(folder, stage)
    else:
        part = folder / "stack" if (folder / "stack").is_dir() else folder
    if not (part / "model.json").is_file():
        raise RunFolderError(f"{folder} holds no finished model; expected a run that ended: go on with --resume")
    about = read_description(part)["extra"]
    return _Source(folder, load(part).to(place), about, None if recipe else read_scaling(folder))


def _stage(folder: Path, stage: str | None) -> Path:
    """The stage of a recipe's run to draw from: the one asked for, or the last that holds a generative model."""
    found = sorted((folder / "stages").glob("*/model.json"), key=lambda path: path.stat().st_mtime)
    names = [path.parent.name for path in found]
    if stage is not None:
        if stage not in names:
            raise SettingError(f"--stage is {stage!r}; {nearest_names(stage, names) if names else 'there is none yet'}")
        return folder / "stages" / stage
    able = [path.parent for path in found if generates(load(path.parent))]
    if not able:
        raise RunFolderError(f"{folder} holds no model to draw from; expected a recipe that learns a generative one")
    return able[-1]


# a stack of layers --------------------------------------------------------------------------------------------------


def _from_stack(source: _Source, n: int, steps: int, clamp: Sequence[str], seed: int) -> Drawn:
    """Chains in the top layer begin at the run's example rows: long chains leave the rows' neighbourhood."""
    if clamp:
        raise SettingError(
            f"--clamp {clamp[0]!r}: layers of 'lamina learn' hold no classes or values; expected a run with --model "
            f"dbn, dbm, rbm or classification-rbm"
        )
    if not is_stochastic(source.model):
        kind = read_settings(source.folder).get("layer", "deterministic")
        raise SettingError(
            f"{source.folder} learnt {kind} layers, which compute codes and cannot be sampled; expected a run of "
            f"'lamina learn' with --layer rbm, or with --model: the report shows what lies between rows instead"
        )
    drawn = source.model.sample(n, steps=steps, random_state=seed, start=_examples(source, n)).cpu().numpy()
    return Drawn(source.invert(drawn), source.shape)


def _examples(source: _Source, n: int) -> torch.Tensor:
    kept = source.folder / "records.safetensors"
    examples = read_arrays(kept).get("examples")
    width = math.prod(source.shape)
    if examples is None or examples.ndim != 2 or examples.shape[1] != width or not len(examples):
        raise FileFormatError(f"{kept} holds no example rows to begin at: it was altered; restore it")
    return torch.from_numpy(examples[np.arange(n) % len(examples)]).to(source.like)


# what is held -------------------------------------------------------------------------------------------------------


def _held(source: _Source, clamp: Sequence[str], n: int | None) -> tuple[Held, int]:
    """What ``--clamp`` holds, and the number of rows to draw."""
    names = [words.removeprefix("label=") for words in clamp if words.startswith("label=")]
    files = [words for words in clamp if not words.startswith("label=")]
    if len(files) > 1:
        raise SettingError(f"--clamp names {len(files)} files of rows ({', '.join(files)}); expected one")
    rows = _read_rows(source, files[0]) if files else None
    if rows is not None and n is not None and n % len(rows):
        raise SettingError(f"-n is {n} with {len(rows)} held rows; expected a multiple of {len(rows)}, or no -n")
    n = n if n is not None else 64 if rows is None else len(rows)
    labels = None
    if names:
        codes = [_code(source, name) for name in names]
        labels = torch.tensor(codes)[torch.arange(n) % len(codes)]
    if rows is not None:
        rows = rows[torch.arange(n) % len(rows)]
    return Held(labels, rows), n


def _code(source: _Source, name: str) -> int:
    """The code of the class called ``name``."""
    n_classes = int(getattr(source.model, "n_classes", 0))
    if not n_classes:
        raise SettingError(
            f"--clamp label={name}: this {type(source.model).__name__} has no label units; expected a run with --model "
            f"classification-rbm, or --model dbn on rows that all have a label"
        )
    classes = [str(one) for one in source.about.get("classes") or range(n_classes)]
    if name not in classes:
        raise SettingError(f"--clamp label={name}: no class is called that; {nearest_names(name, classes)}")
    return classes.index(name)


def _read_rows(source: _Source, path: str) -> torch.Tensor:
    """Rows of a .npy file in the data's own units, scaled; NaN marks what is free."""
    if not Path(path).is_file() or not path.endswith(".npy"):
        raise SettingError(f"--clamp is {path!r}; expected label=CLASS, or a .npy file of rows with NaN where free")
    try:
        rows = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise FileFormatError(f"{path} cannot be read as .npy ({error}); expected what numpy.save writes") from None
    width = math.prod(source.shape)
    if rows.dtype.kind not in "fiub" or rows.ndim < 2 or math.prod(rows.shape[1:]) != width or not len(rows):
        raise DataError(
            f"{path} holds shape {rows.shape} and type {rows.dtype}; expected numbers (rows, {width}), as the model's "
            f"rows"
        )
    rows = rows.reshape(len(rows), -1).astype(np.float64)
    if np.isinf(rows).any():
        raise DataError(f"{path} holds infinite values; expected numbers to hold, and NaN where the model fills in")
    return torch.from_numpy(source.scaled(rows)).to(source.like)


def _map_shape(source: _Source) -> tuple[int, ...]:
    return source.shape if len(source.shape) == 3 else (1, *source.shape)
