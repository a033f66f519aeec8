"""The series: real prices that matplotlib ships as sample data, how much they move, and a chaotic map.

matplotlib is not imported: its files are read where it is installed (``mpl-data/sample_data``). ``goog.npz`` holds
1,047 days of Google's share (2004-08-19 to 2008-10-14), ``Stocks.csv`` monthly closes of eight shares and two indices
(1990 to 2022, finance.yahoo.com). Prices are those adjusted for splits and dividends.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from lamina.core.errors import DataError
from lamina.core.random import Random

VALIDATION_MONTH, TEST_MONTH = "2010-01", "2016-01"  # the same for all monthly series, which move together
SHARES = (0.6, 0.8)  # of a daily or synthetic series: where validation and test begin
CHAOS_LENGTH, CHAOS_NOISE = 1500, 0.01


@dataclass(frozen=True)
class Series:
    """``level`` (n,) at equal steps of time; its moments before ``validation`` are for training, those from ``test``
    on for the test. ``read`` (n,) is what a forecaster is shown at each moment, with NaN where there is nothing.

    ``relative``: forecasts are of the change of ``level`` (log prices), not of ``level`` itself.
    """

    name: str
    level: np.ndarray
    read: np.ndarray
    validation: int
    test: int
    relative: bool


def sample_file(name: str) -> Path:
    """A file of matplotlib's sample data; `DataError` where it is not there."""
    found = find_spec("matplotlib")
    path = Path(found.origin).parent / "mpl-data" / "sample_data" / name if found and found.origin else Path(name)
    if not path.is_file():
        raise DataError(
            f"there is no {path}; expected matplotlib's sample data: some systems ship it apart "
            f"(python-matplotlib-data), pip install matplotlib brings it"
        )
    return path


def prices(name: str, price: np.ndarray, validation: int, test: int) -> Series:
    """Log prices; what is read are log returns, r_t = p_t − p_{t−1}."""
    level = np.log(price)
    return Series(name, level, np.concatenate([[np.nan], np.diff(level)]), validation, test, relative=True)


def google_prices() -> list[Series]:
    """Google's daily closes."""
    with np.load(sample_file("goog.npz"), allow_pickle=False) as file:
        price = file["price_data"]["adj_close"].astype(np.float64)
    return [prices("GOOG", price, *_places(len(price)))]


def monthly_prices() -> list[Series]:
    """All shares and indices with prices before `VALIDATION_MONTH`."""
    with sample_file("Stocks.csv").open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(line for line in file if not line.startswith("#"))
    rows = [row for row in rows if row[0].endswith("-01")]  # other days hold dividends, or repeat a price
    found = []
    for column, name in enumerate(header[1:], 1):
        mine = [row for row in rows if row[column]]
        validation, test = (sum(row[0] < month for row in mine) for month in (VALIDATION_MONTH, TEST_MONTH))
        if validation:
            found.append(prices(name, np.array([float(row[column]) for row in mine]), validation, test))
    return found


def google_moves() -> list[Series]:
    """How much Google's price moved: 100 · |log return| of each day."""
    google = google_prices()[0]
    moved = 100 * np.abs(google.read[1:])
    return [Series("GOOG, |return|", moved, moved, *_places(len(moved)), relative=False)]


def chaos(seed: int) -> list[Series]:
    """Hénon's map x_{t+1} = 1 − 1.4 x_t² + 0.3 x_{t−1}, seen with a little noise: no line foretells it."""
    x = [0.1, 0.1]
    for _ in range(CHAOS_LENGTH + 98):
        x.append(1 - 1.4 * x[-1] ** 2 + 0.3 * x[-2])
    noise = Random(seed).child("chaos").normal((CHAOS_LENGTH,)).double().numpy()
    level = np.array(x[100:]) + CHAOS_NOISE * noise
    return [Series("Hénon map", level, level, *_places(len(level)), relative=False)]


def _places(n: int) -> tuple[int, int]:
    return int(SHARES[0] * n), int(SHARES[1] * n)
