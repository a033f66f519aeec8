"""Using a finished run: predict classes, encode rows, draw samples (see `lamina.studies.sampling` for the ways)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from lamina.core.checks import check_device, check_matrix, check_number
from lamina.core.errors import DataError, RunFolderError, SettingError
from lamina.data import DataSet, load, names, read
from lamina.frontends.scaling import Scaling, check_range, scale_rows
from lamina.metrics import error_rate
from lamina.models import MLP, Stack
from lamina.models.autoencoders import VariationalAutoencoder
from lamina.models.energy import DBN, RBM, ClassificationRBM
from lamina.models.networks import FeatureClassifier
from lamina.storage import load as load_model
from lamina.storage import read_description
from lamina.studies.generate import classifier_of
from lamina.studies.run_folder import check_keeps_model, read_scaling
from lamina.studies.sampling import draw
from lamina.training import encode_rows


@dataclass(frozen=True)
class Run:
    """A finished run: its folder, the main model, the front-end, and what the model says of classes and rows."""

    folder: Path
    model: Any
    scaling: Scaling
    classes: tuple[str, ...]
    feature_names: tuple[str, ...] | None
    device: torch.device


def open_finished(folder: str | Path, *, device: str | None = None, part: str = "") -> Run:
    """The run in ``folder``; ``part="stack"`` takes the layers learnt without labels instead of the main model.

    Raises `RunFolderError` where there is no run, `ModelFileError` where its files are missing or altered.
    """
    folder = Path(folder)
    if not (folder / "settings.json").is_file():
        raise RunFolderError(f"{folder} is no run folder (no settings.json); expected one that 'lamina learn' made")
    check_keeps_model(folder)
    if not (folder / part / "model.json").is_file():
        raise RunFolderError(f"{folder} holds no finished model; expected a run that ended: go on with --resume")
    place = check_device(device)
    extra = read_description(folder / part)["extra"]
    model = load_model(folder / part).to(place)
    names = extra.get("feature_names")
    classes = tuple(extra.get("classes", ()))
    return Run(folder, model, read_scaling(folder), classes, None if names is None else tuple(names), place)


def open_rows(data: str, *, label: str | None = None) -> DataSet:
    """Rows to apply a run to: a file, a folder, or a named data set (its test part where it has one)."""
    if data in names() and not Path(data).exists():
        dataset = load(data)
        if dataset.X_test is None:
            return dataset
        return DataSet(dataset.name, dataset.X_test, dataset.y_test, dataset.classes, dataset.shape)
    return read(data, label=label)


def _scaled(run: Run, dataset: DataSet) -> Any:
    X = dataset.X
    if run.feature_names and dataset.feature_names and run.feature_names != dataset.feature_names:
        X = X[:, _columns(run.feature_names, dataset.feature_names, dataset.name)]
    check_matrix(X, name=f"the rows of {dataset.name}", n_features=len(run.scaling.shift))
    check_range(run.scaling, X, f"the rows of {dataset.name}")
    return scale_rows(X, run.scaling)


def _columns(wanted: tuple[str, ...], given: tuple[str, ...], name: str) -> list[int]:
    """Positions of the columns that the run learnt from: tables are matched by name, other columns are left out."""
    place = {column: k for k, column in enumerate(given)}
    missing = [column for column in wanted if column not in place]
    if missing:
        raise DataError(
            f"{name} lacks {len(missing)} column(s) that the run learnt from ({', '.join(missing[:5])}); expected all "
            f"of them, by name"
        )
    return [place[column] for column in wanted]


def predict(folder: str | Path, data: str, *, label: str | None = None, device: str | None = None) -> dict:
    """Class names and probabilities for every row: {"classes", "predicted", "probabilities" (n, classes), "error"}.

    ``error`` is the share of wrong rows where ``data`` hold labels, else None.
    """
    run = open_finished(folder, device=device)
    classify = _classifier(run)
    dataset = open_rows(data, label=label)
    like = next(run.model.parameters())
    outputs = encode_rows(lambda x: classify(x.to(like)), _scaled(run, dataset), len(run.classes))
    probabilities = outputs.cpu().numpy() if hasattr(outputs, "cpu") else np.asarray(outputs)
    predicted = probabilities.argmax(1)
    return {
        "classes": list(run.classes),
        "predicted": [run.classes[k] for k in predicted],
        "probabilities": probabilities,
        "error": _error(run, dataset, predicted),
    }


def _classifier(run: Run) -> Any:
    """Rows (n, n_features) → class probabilities (n, n_classes)."""
    if isinstance(run.model, (MLP, FeatureClassifier)):
        return lambda x: functional.softmax(run.model(x), 1)
    found = classifier_of(run.model)
    if found is None:
        raise SettingError(f"{run.folder} was learnt without labels and cannot predict classes: use 'lamina encode'")
    return found


def _error(run: Run, dataset: DataSet, predicted: np.ndarray) -> float | None:
    """Error against the labels in ``dataset``, compared by class name: codes need not be the run's."""
    if dataset.y is None or not (dataset.y >= 0).any():
        return None
    code = {name: k for k, name in enumerate(run.classes)}
    known = np.flatnonzero(dataset.y >= 0)
    true = np.array([code.get(dataset.classes[k], -1) for k in dataset.y[known]])
    return error_rate(true, predicted[known])


def _open_layers(folder: str | Path, device: str | None) -> Run:
    """The run with its layers as a stack, whatever made it."""
    if (Path(folder) / "stack").is_dir() or not (Path(folder) / "model.json").is_file():
        return open_finished(folder, device=device, part="stack")
    run = open_finished(folder, device=device)
    if isinstance(run.model, DBN):
        return replace(run, model=run.model.stack().to(run.device))
    if isinstance(run.model, (RBM, ClassificationRBM, VariationalAutoencoder)):
        return replace(run, model=Stack([run.model]))
    raise SettingError(f"{folder} holds a {type(run.model).__name__}, which gives no codes here; expected layers")


def encode(
    folder: str | Path, data: str, *, layer: int | None = None, label: str | None = None, device: str | None = None
) -> np.ndarray:
    """Codes (n, n_hidden) of the layers learnt without labels; ``layer`` counts from 1, the top one unless given.

    A machine or a deep belief network of ``--model`` gives the means of its hidden units.
    """
    run = _open_layers(folder, device)
    stack: Any = run.model
    if layer is not None:
        check_number("--layer", layer, low=1, high=len(stack), integer=True)
    depth = layer or len(stack)
    like = next(stack.parameters())
    X = _scaled(run, open_rows(data, label=label))
    codes = encode_rows(lambda x: stack.encode(x.to(like), depth), X, stack.sizes[depth - 1])
    return codes.cpu().numpy() if hasattr(codes, "cpu") else np.asarray(codes)


def sample(
    folder: str | Path,
    n: int | None = None,
    *,
    steps: int | None = None,
    clamp: Sequence[str] = (),
    stage: str | None = None,
    seed: int = 0,
    device: str | None = None,
) -> np.ndarray:
    """``n`` rows drawn from the model of a run, in the data's own units, (n, n_features) float32: see `draw`."""
    return draw(folder, n, steps=steps, clamp=clamp, stage=stage, seed=seed, device=device).rows


def sample_shape(folder: str | Path) -> tuple[int, ...]:
    """Shape of one row of the run's data: (channels, height, width) for images."""
    part = Path(folder) / "stack"
    return tuple(read_description(part if part.is_dir() else Path(folder))["extra"].get("shape", ()))
