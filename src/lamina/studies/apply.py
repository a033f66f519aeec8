"""Using a finished run: predict classes, encode rows, draw samples."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from lamina.core.checks import check_device, check_matrix, check_number
from lamina.core.errors import DataError, FileFormatError, RunFolderError, SettingError
from lamina.core.storage import read_arrays
from lamina.data import DataSet, load, names, read
from lamina.frontends.scaling import Scaling, check_range, scale_rows
from lamina.metrics import error_rate
from lamina.models import MLP, Stack
from lamina.storage import load as load_model
from lamina.storage import read_description
from lamina.studies.run_folder import read_scaling
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
    if not isinstance(run.model, MLP):
        raise SettingError(f"{folder} was learnt without labels and cannot predict classes: use 'lamina encode'")
    dataset = open_rows(data, label=label)
    like = next(run.model.parameters())
    outputs = encode_rows(
        lambda x: functional.softmax(run.model(x.to(like)), 1), _scaled(run, dataset), run.model.n_out
    )
    probabilities = outputs.cpu().numpy() if hasattr(outputs, "cpu") else np.asarray(outputs)
    predicted = probabilities.argmax(1)
    return {
        "classes": list(run.classes),
        "predicted": [run.classes[k] for k in predicted],
        "probabilities": probabilities,
        "error": _error(run, dataset, predicted),
    }


def _error(run: Run, dataset: DataSet, predicted: np.ndarray) -> float | None:
    """Error against the labels in ``dataset``, compared by class name: codes need not be the run's."""
    if dataset.y is None or not (dataset.y >= 0).any():
        return None
    code = {name: k for k, name in enumerate(run.classes)}
    known = np.flatnonzero(dataset.y >= 0)
    true = np.array([code.get(dataset.classes[k], -1) for k in dataset.y[known]])
    return error_rate(true, predicted[known])


def encode(
    folder: str | Path, data: str, *, layer: int | None = None, label: str | None = None, device: str | None = None
) -> np.ndarray:
    """Codes (n, n_hidden) of the layers learnt without labels; ``layer`` counts from 1, the top one unless given."""
    run = open_finished(folder, device=device, part="stack")
    stack: Stack = run.model
    if layer is not None:
        check_number("--layer", layer, low=1, high=len(stack), integer=True)
    depth = layer or len(stack)
    like = next(stack.parameters())
    X = _scaled(run, open_rows(data, label=label))
    codes = encode_rows(lambda x: stack.encode(x.to(like), depth), X, stack.sizes[depth - 1])
    return codes.cpu().numpy() if hasattr(codes, "cpu") else np.asarray(codes)


def sample(folder: str | Path, n: int, *, steps: int = 25, seed: int = 0, device: str | None = None) -> np.ndarray:
    """``n`` rows drawn from the stack, in the data's own units, (n, n_features) float32.

    Chains of ``steps`` Gibbs steps in the top layer begin at the run's example rows: layers learnt by one-step
    contrastive divergence know the neighbourhood of the rows, and long chains leave it.
    """
    check_number("-n", n, low=1, integer=True)
    check_number("--steps", steps, low=1, integer=True)
    check_number("--seed", seed, low=0, integer=True)
    run = open_finished(folder, device=device, part="stack")
    kept = run.folder / "records.safetensors"
    examples = read_arrays(kept).get("examples")
    if examples is None or examples.shape[1:] != run.scaling.shift.shape or not len(examples):
        raise FileFormatError(f"{kept} holds no example rows to begin at: it was altered; restore it")
    start = torch.from_numpy(examples[np.arange(n) % len(examples)]).to(next(run.model.parameters()))
    drawn = run.model.sample(n, steps=steps, random_state=seed, start=start).cpu().numpy()
    return run.scaling.invert(drawn).astype(np.float32)


def sample_shape(folder: str | Path) -> tuple[int, ...]:
    """Shape of one row of the run's data: (channels, height, width) for images."""
    return tuple(read_description(Path(folder) / "stack")["extra"].get("shape", ()))
