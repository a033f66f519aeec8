"""What the report shows of a generative model: samples, chains over steps, classes on demand, rows filled in."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from lamina.core.figures import Figure, Images, Lines
from lamina.core.random import Random
from lamina.models.energy import DBN
from lamina.studies.drawing import Held, begin
from lamina.studies.generators import Generator
from lamina.studies.pictures import examples, held_out, some_rows
from lamina.studies.preparation import Prepared

N_SAMPLES = 40
N_COLUMNS = 12
MOST_CLASSES = 12
STEPS = (1, 10, 100, 1000)
FILL_STEPS = 200


class Pictures:
    """Arrays and figures of one trained model; ``deepest`` steps of Gibbs sampling at most."""

    def __init__(self, prepared: Prepared, generator: Generator, model: Any, seed: int) -> None:
        self.prepared, self.generator, self.model, self.seed = prepared, generator, model, seed
        self.shape = tuple(prepared.dataset.shape)
        self.random = Random(seed).child("pictures")
        self.like = next(model.parameters())
        self.steps = [step for step in STEPS if step <= generator.deepest_step]

    @property
    def n_classes(self) -> int:
        """Classes that the model can be asked for."""
        return int(getattr(self.model, "n_classes", 0))

    @property
    def grey(self) -> bool:
        """Whether rows are grey images, which figures can show."""
        return self.prepared.dataset.is_image and self.shape[0] == 1

    @torch.no_grad()
    def arrays(self) -> dict[str, np.ndarray]:
        """Examples, filters, reconstructions and samples, for ``records.safetensors``."""
        found = examples(self.prepared, self.seed)
        found["filters"] = _numpy(self._strongest(self.generator.filters(self.model)))
        rows = held_out(self.prepared)
        given = np.asarray(rows[some_rows(len(rows), 20, self.seed)], np.float32)
        found["reconstruction_input"] = given
        back = self.generator.reconstruct(self.model, torch.from_numpy(given).to(self.like))
        found["reconstruction_output"] = _numpy(back)
        found["samples"] = self._samples()
        for name in ("examples", "reconstruction_input", "reconstruction_output", "samples"):
            found[name] = self._visible(found[name])
        return {name: np.ascontiguousarray(array) for name, array in found.items()}

    @torch.no_grad()
    def figures(self, trace: dict[int, float]) -> list[Figure]:
        """The likelihood over epochs, chains over steps, classes on demand, rows filled in: what there is."""
        found: list[Figure] = []
        if self.grey:
            chains = [self._between()] if self.generator.independent else [self._chains()]
            found += [*chains, *self._classes(), *self._filled()]
        if len(trace) > 1:
            note = "A quick estimate with few temperatures: the table has the careful one."
            series = {"log-likelihood": (list(trace), list(trace.values()))}
            found.append(Lines("Likelihood while learning", "epoch", "nats per row", series, note=note))
        return found

    def _strongest(self, weights: Tensor) -> Tensor:
        return weights[torch.argsort(weights.norm(dim=1), descending=True)[:100]]

    def _start(self, n: int, name: str) -> Tensor | None:
        """Rows to begin chains at, for models that know no more than the neighbourhood of rows."""
        if not self.generator.from_rows:
            return None
        X = self.prepared.X
        chosen = self.random.child(name, "rows").permutation(len(X))[np.arange(n) % len(X)]
        return torch.from_numpy(np.asarray(X[np.sort(chosen)], np.float32)).to(self.like)

    def _begin(self, n: int, name: str, held: Held | None = None) -> Any:
        start = None if held is not None and held.rows is not None else self._start(n, name)
        return begin(self.model, n, self.random.child(name), held=held, start=start, shape=self.shape)

    def _samples(self) -> np.ndarray:
        chain = self._begin(N_SAMPLES, "samples")
        chain.run(self.steps[-1])
        return _numpy(chain.rows())

    def _chains(self) -> Images:
        chain = self._begin(N_COLUMNS, "chains")
        rows = []
        for step, before in zip(self.steps, (0, *self.steps), strict=False):
            chain.run(step - before)
            rows.append(self._images(chain.rows()))
        captions = tuple(f"{step:,} step{'s' if step > 1 else ''}" for step in self.steps)
        begun = "rows of the data" if self.generator.from_rows else "nowhere (units without weights)"
        note = f"{N_COLUMNS} chains of Gibbs sampling, one per column, begun at {begun}; means of the visible units."
        return Images("Chains over steps", np.stack(rows), captions, note=note)

    def _between(self) -> Images:
        """Ways between the codes of two rows, for models whose every code is a row."""
        X = held_out(self.prepared)
        ends = torch.from_numpy(np.asarray(X[some_rows(len(X), 12, self.seed + 3)], np.float32)).to(self.like)
        codes = self.model.mean_h_from_v(ends)
        n = max(1, len(codes) // 2)
        share = torch.linspace(0, 1, N_COLUMNS).to(codes).view(1, -1, 1)
        between = ((1 - share) * codes[:n, None] + share * codes[-n:, None]).flatten(0, 1)
        images = self._images(self.model.mean_v_from_h(between))
        note = "From the code of one held-out row to that of another, in equal steps."
        return Images("From one row to another", images.reshape(n, N_COLUMNS, *images.shape[1:]), note=note)

    def _classes(self) -> list[Figure]:
        n = min(self.n_classes, MOST_CLASSES)
        if not n:
            return []
        labels = torch.arange(n).repeat_interleave(N_COLUMNS)
        chain = self._begin(len(labels), "classes", Held(labels=labels))
        chain.run(self.steps[-1])
        images = self._images(chain.rows())
        names = tuple(self.prepared.dataset.classes[:n])
        note = f"Each row holds one class while {self.steps[-1]:,} steps of Gibbs sampling draw everything else."
        return [Images("Classes on demand", images.reshape(n, N_COLUMNS, *images.shape[1:]), names, note=note)]

    def _filled(self) -> list[Figure]:
        if isinstance(self.model, DBN):
            return []  # goes downward only
        X = held_out(self.prepared)
        whole = torch.from_numpy(np.asarray(X[some_rows(len(X), N_COLUMNS, self.seed + 2)], np.float32))
        holes = whole.clone().reshape(len(whole), *self.shape)
        holes[:, :, self.shape[1] // 2 :] = torch.nan
        holes = holes.flatten(1)
        chain = self._begin(len(whole), "filled", Held(rows=holes.to(self.like)))
        chain.run(FILL_STEPS)
        rows = np.stack([self._images(part) for part in (holes, chain.rows(), whole)])
        note = f"The lower half is hidden from the model and drawn by {FILL_STEPS} steps given the upper one."
        return [Images("Filled in", rows, ("given", "filled in", "the row itself"), note=note)]

    def _images(self, rows: Tensor) -> np.ndarray:
        return self._visible(_numpy(rows)).reshape(len(rows), *self.shape[1:])

    def _visible(self, rows: np.ndarray) -> np.ndarray:
        """Rows as pictures in [0, 1]; rows that are no images, or have binary units, as they are."""
        if not self.prepared.dataset.is_image or self.prepared.scaling.units == "bernoulli":
            return rows
        shown = np.asarray(self.prepared.X[:1000])
        low, high = (float(value) for value in (self._own(shown).min(), self._own(shown).max()))
        return ((self._own(rows) - low) / max(high - low, 1e-12)).astype(np.float32)

    def _own(self, rows: np.ndarray) -> np.ndarray:
        return self.prepared.scaling.invert(rows)


def _numpy(tensor: Tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy().astype(np.float32)
