"""What a training run leaves behind: one record per epoch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass(frozen=True)
class EpochRecord:
    """Epoch number (from 1), steps done so far, seconds of this epoch, and the measures averaged over it.

    ``health`` holds what was seen inside the network at the end of the epoch, where `fit` was asked to look: one value
    per layer, the lowest first (`lamina.training.health`).
    """

    epoch: int
    step: int
    seconds: float
    measures: dict[str, float]
    health: dict[str, list[float]] = field(default_factory=dict)


@dataclass
class History:
    """Records of the epochs in order; ``stopped`` says why training ended.

    ``settings`` is what `fit` was asked to do, as JSON keeps it; ``start`` is the health (`EpochRecord.health`) before
    the first step, where `fit` was asked to look: what was so from the start was not learnt.
    """

    records: list[EpochRecord] = field(default_factory=list)
    stopped: str = "epochs done"
    best_epoch: int | None = None
    settings: dict = field(default_factory=dict)
    start: dict[str, list[float]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.records)

    def __iter__(self) -> Iterator[EpochRecord]:
        return iter(self.records)

    def __getitem__(self, name: str) -> list[float | None]:
        """The measure ``name`` for each epoch (None where it was not taken)."""
        return [record.measures.get(name) for record in self.records]

    @property
    def names(self) -> list[str]:
        """Names of all measures, in order of appearance."""
        return list(dict.fromkeys(name for record in self.records for name in record.measures))

    @property
    def seconds(self) -> float:
        return sum(record.seconds for record in self.records)

    def to_dict(self) -> dict:
        """As JSON keeps it."""
        return {
            "records": [vars(record) for record in self.records],
            "stopped": self.stopped,
            "best_epoch": self.best_epoch,
            "settings": self.settings,
            "start": self.start,
        }

    @classmethod
    def from_dict(cls, document: dict) -> History:
        """The inverse of `to_dict`."""
        records = [EpochRecord(**record) for record in document["records"]]
        later = (document.get("settings", {}), document.get("start", {}))  # older checkpoints have neither
        return cls(records, document["stopped"], document["best_epoch"], *later)
