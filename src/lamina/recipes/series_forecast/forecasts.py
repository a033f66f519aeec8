"""Questions with answers from a series, split by time, and the forecasts to beat.

A question is asked at a moment t: what was read up to t is known, what is asked is the level (or its change) 1, 2, …
steps later. A question belongs to the part of the series in which its moment *and* all its answers lie, so nothing of a
later part is ever seen by what learns from an earlier one; all scaling comes from the training part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lamina.frontends import pad_sequences
from lamina.recipes.series_forecast.series import Series

ORDERS = (1, 2, 3, 5, 10)  # lags of the linear forecast, of which validation questions choose
SHORTEST = max(ORDERS)  # moments that must be known


@dataclass(frozen=True)
class Part:
    """n questions: ``X`` (n, window, 1) scaled, at the front of their rows with ``lengths`` (n,); ``y`` (n, n_horizons)
    the answers, scaled; ``answers`` the same in the series' unit, ``naive`` and ``drift`` two forecasts in that unit;
    ``moments`` (n,) and the number of the ``series`` (n,)."""

    X: np.ndarray
    lengths: np.ndarray
    y: np.ndarray
    answers: np.ndarray
    naive: np.ndarray
    drift: np.ndarray
    centre: np.ndarray
    scale: np.ndarray
    moments: np.ndarray
    series: np.ndarray

    def __len__(self) -> int:
        return len(self.X)

    def unscaled(self, y: np.ndarray) -> np.ndarray:
        """Scaled answers (n, n_horizons) in the series' unit."""
        return y * self.scale + self.centre


def parts(found: Sequence[Series], horizons: Sequence[int], window: int) -> tuple[Part, Part, Part]:
    """Training, validation and test questions of all series together."""
    split = [_split(k, one, horizons, window) for k, one in enumerate(found)]
    training, validation, test = (_joined([each[k] for each in split], window) for k in range(3))
    return training, validation, test


def _split(number: int, one: Series, horizons: Sequence[int], window: int) -> list[dict]:
    longest, first = max(horizons), int(np.isnan(one.read).sum()) + SHORTEST - 1
    spans = ((first, one.validation), (one.validation, one.test), (one.test, len(one.level)))
    moments = [np.arange(low, high - longest) for low, high in spans]
    known = one.read[: one.validation]
    read = (one.read - np.nanmean(known)) / np.nanstd(known)
    answers = [_answers(one, t, horizons) for t in moments]
    centre, scale = answers[0].mean(0), answers[0].std(0)
    mean_step = (one.level[one.validation - 1] - one.level[0]) / (one.validation - 1)
    found = []
    for t, a in zip(moments, answers, strict=True):
        naive = np.repeat(np.zeros((len(t), 1)) if one.relative else one.level[t, None], len(horizons), 1)
        rows = [read[~np.isnan(read)][: m + 1 - np.isnan(read).sum()][-window:, None] for m in t]
        found.append(
            {
                "rows": rows,
                "y": (a - centre) / scale,
                "answers": a,
                "naive": naive,
                "drift": naive + mean_step * np.asarray(horizons),
                "centre": np.tile(centre, (len(t), 1)),
                "scale": np.tile(scale, (len(t), 1)),
                "moments": t,
                "series": np.full(len(t), number),
            }
        )
    return found


def _answers(one: Series, t: np.ndarray, horizons: Sequence[int]) -> np.ndarray:
    later = one.level[t[:, None] + np.asarray(horizons)]
    return later - one.level[t, None] if one.relative else later


def _joined(pieces: list[dict], window: int) -> Part:
    rows = [row for piece in pieces for row in piece["rows"]]
    X, lengths = pad_sequences(rows)
    X = np.pad(X, ((0, 0), (0, window - X.shape[1]), (0, 0)))
    others = {name: np.concatenate([p[name] for p in pieces]) for name in pieces[0] if name != "rows"}
    return Part(X.astype(np.float32), lengths, **others)


# forecasts ------------------------------------------------------------------------------------------------------------


def linear(training: Part, validation: Part, test: Part) -> tuple[np.ndarray, int]:
    """Test forecasts (n, n_horizons) of the linear autoregression with an intercept, by least squares on training
    questions, with the number of lags that is best on validation questions."""
    fits = {order: _coefficients(training, order) for order in ORDERS}
    losses = {
        order: float(np.square(_lags(validation, order) @ beta - validation.y).sum()) for order, beta in fits.items()
    }
    best = min(losses, key=lambda order: losses[order])
    return test.unscaled(_lags(test, best) @ fits[best]), best


def _coefficients(part: Part, order: int) -> np.ndarray:
    return np.linalg.lstsq(_lags(part, order), part.y, rcond=None)[0]


def _lags(part: Part, order: int) -> np.ndarray:
    """A one and the last ``order`` values read, the latest first: (n, 1 + order)."""
    places = part.lengths[:, None] - 1 - np.arange(order)
    return np.concatenate([np.ones((len(part), 1)), part.X[np.arange(len(part))[:, None], places, 0]], 1)


def ratios(forecast: np.ndarray, test: Part) -> np.ndarray:
    """Root mean square error over that of the naive forecast, a mean over series: (n_horizons,)."""
    found = []
    for number in np.unique(test.series):
        mine = test.series == number
        squares = [np.square(f[mine] - test.answers[mine]).mean(0) for f in (forecast, test.naive)]
        found.append(np.sqrt(squares[0] / squares[1]))
    return np.mean(found, 0)


def paired_t(forecast: np.ndarray, test: Part) -> float:
    """Mean over its standard error of (naive error² − error²) at the shortest horizon (Diebold and Mariano 1995);
    above 2 the forecast is better than the naive one, below −2 worse. Series of one moment count as one."""
    gains = (np.square(test.naive - test.answers) - np.square(forecast - test.answers))[:, 0]
    scale = np.square(test.naive - test.answers)[:, 0]
    for number in np.unique(test.series):  # each series in units of its own naive error
        gains[test.series == number] /= scale[test.series == number].mean()
    by_moment = _by_moment(gains, test)
    return float(by_moment.mean() / (by_moment.std(ddof=1) / np.sqrt(len(by_moment))))


def _by_moment(gains: np.ndarray, test: Part) -> np.ndarray:
    """Means over series at equal places from the end, which is the same day for all."""
    last = np.array([test.moments[test.series == number].max() for number in test.series])
    places = last - test.moments
    return np.array([gains[places == place].mean() for place in np.unique(places)])
