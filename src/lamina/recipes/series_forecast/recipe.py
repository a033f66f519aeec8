"""Can a recurrent network foretell prices? Elman and LSTM networks against forecasts that need no learning.

Log prices are so near to a random walk that "tomorrow is as today" is hard to beat; a plot of one-step forecasts over
the prices looks perfect all the same, since it is the prices one step late. The error relative to that naive forecast
(Theil's U: 1 is naive, 0 perfect) says what there is to say. Two series of which more can be known show that the
networks do learn: how much a share moves (calm and stormy times cluster, which helps on the validation part, and not on
the crash of 2008 in which the test part ends), and a chaotic map, which no line foretells.

Every forecaster is shown the last values up to a moment and asked for 1 to 10 steps later (months: 1 to 12), and is
judged on the latest fifth of each series, of which nothing was used before.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from lamina.core.random import Random
from lamina.models.networks import RecurrentNetwork
from lamina.recipes.context import Context
from lamina.recipes.record import Lines, Measured, Outcome
from lamina.recipes.series_forecast.forecasts import Part, linear, paired_t, parts, ratios
from lamina.recipes.series_forecast.series import (
    TEST_MONTH,
    VALIDATION_MONTH,
    Series,
    chaos,
    google_moves,
    google_prices,
    monthly_prices,
)
from lamina.training import MaxGradientNorm, SequenceBackPropagation, fit

NAME = "series_forecast"
TITLE = "Recurrent networks against naive forecasts of prices"
PAPER = (
    "J. L. Elman (1990) Finding structure in time, Cognitive Science 14; "
    "S. Hochreiter, J. Schmidhuber (1997) Long short-term memory, Neural Computation 9; R. Meese, K. Rogoff (1983) "
    "Empirical exchange rate models of the seventies, Journal of International Economics 14"
)
MINUTES = 4

N_SEEDS, QUICK_SEEDS = 5, 2
EPOCHS, QUICK_EPOCHS = 60, 2
PATIENCE = 10
HIDDEN, RATE, DECAY, BATCH = 16, 3e-3, 1e-3, 32
CELLS = {"Elman": "elman", "LSTM": "lstm"}
SHOWN, FEW = 60, 30  # moments in the figures of prices and of other series


@dataclass(frozen=True)
class Case:
    """Series that one forecaster is made for, the steps ahead that it is asked for, the values that it is shown."""

    series: list[Series]
    horizons: tuple[int, ...]
    window: int
    unit: str


def cases(context: Context) -> dict[str, Case]:
    found = {
        "daily price of Google": Case(google_prices(), (1, 2, 5, 10), 30, "day"),
        "monthly prices": Case(monthly_prices(), (1, 3, 6, 12), 24, "month"),
        "size of Google's daily return": Case(google_moves(), (1, 2, 5, 10), 30, "day"),
        "Hénon map": Case(chaos(context.seed), (1, 2, 3, 5), 20, "step"),
    }
    return dict(list(found.items())[::3]) if context.quick else found


def run(context: Context) -> Outcome:
    seeds = [context.seed + k for k in range(QUICK_SEEDS if context.quick else N_SEEDS)]
    results: list[Measured] = []
    figures: list[Lines] = []
    for title, case in cases(context).items():
        split = parts(case.series, case.horizons, case.window)
        found = context.keep(f"forecasts {title}", partial(forecasts, context, title, case, split, seeds))
        results += rows(title, case, found)
        figures.append(error_figure(title, case, found))
        if case.series[0].name == "GOOG":
            figures.append(price_figure(case, split[2], found))
        if not case.series[0].relative:
            figures.append(level_figure(title, case, split[2], found))
        context.say(f"{title}: " + ", ".join(f"{k} {np.mean(v['ratios'], 0)[0]:.3f}" for k, v in found["ways"].items()))
    return Outcome(results, deviations(context), seeds, figures, notes(context))


def forecasts(context: Context, title: str, case: Case, split: tuple[Part, Part, Part], seeds: list[int]) -> dict:
    """For every way to forecast: errors relative to naive ones (n_seeds, n_horizons), t against naive (n_seeds,)."""
    test = split[-1]
    line, order = linear(*split)
    plain = ("drift", test.drift) if case.series[0].relative else ("training mean", test.centre)
    made = {plain[0]: [plain[1]], "linear": [line]}
    for name in CELLS:
        made[name] = [answered(trained(context, title, name, split, seed), test) for seed in seeds]
    ways = {
        name: {"ratios": [ratios(f, test) for f in each], "t": [paired_t(f, test) for f in each]}
        for name, each in made.items()
    }
    naive = np.sqrt(np.square(test.naive - test.answers).mean(0))
    return {
        "ways": ways,
        "order": order,
        "naive": naive,
        "n": [len(part) for part in split],
        "one step": {name: made[name][0][:, 0] for name in ("linear", *CELLS)},  # of the first seed, for the figure
    }


def trained(context: Context, title: str, name: str, split: tuple[Part, Part, Part], seed: int) -> RecurrentNetwork:
    """A network that answers all horizons at once, with the weights that were best on validation questions."""
    training, validation, _ = split
    stage = f"{title} {name} {seed}"

    def make() -> RecurrentNetwork:
        network = RecurrentNetwork(1, HIDDEN, training.y.shape[1], cell=CELLS[name], random_state=seed)
        fit(
            network,
            (training.X, training.lengths, training.y),
            SequenceBackPropagation("squared"),
            epochs=QUICK_EPOCHS if context.quick else EPOCHS,
            batch_size=BATCH,
            learning_rate=RATE,
            weight_decay=DECAY,
            optimiser="adam",
            penalties=[MaxGradientNorm(1.0)],
            validation=(validation.X, validation.lengths, validation.y),
            patience=PATIENCE,
            random_state=Random(seed).child("order"),
            device=context.device,
            checkpoint=context.stage(stage) / "checkpoint",
            callbacks=context.callbacks(stage),
        )
        return network

    return context.model(stage, make)  # type: ignore[no-any-return]


@torch.no_grad()
def answered(network: RecurrentNetwork, part: Part) -> np.ndarray:
    """The network's forecasts (n, n_horizons), in the series' unit."""
    X = torch.from_numpy(part.X).to(network.head_W)
    return part.unscaled(network(X, lengths=torch.from_numpy(part.lengths)).double().cpu().numpy())


# what is reported ---------------------------------------------------------------------------------------------------


def rows(title: str, case: Case, found: dict) -> list[Measured]:
    """At the shortest horizon, and for prices at the longest too."""
    results = []
    for place in (0, len(case.horizons) - 1) if case.series[0].relative else (0,):
        ahead = f"{case.horizons[place]} {case.unit}{'s' if case.horizons[place] > 1 else ''} ahead"
        for name, way in found["ways"].items():
            values = np.array(way["ratios"])[:, place]
            what = f"{title}, {ahead}: error over naive error, {name}"
            sd = float(values.std(ddof=1)) if len(values) > 1 else 0.0
            results.append(
                Measured(what, float(values.mean()), sd, higher_is_better=False, note=note(name, found, place))
            )
    return results


def note(name: str, found: dict, place: int) -> str:
    parts_of = [f"{found['n'][2]} test questions"] if name in ("drift", "training mean") else []
    if name == "linear":
        parts_of.append(f"{found['order']} lag(s), chosen on validation questions")
    if place == 0:
        parts_of.append(f"t against naive {np.mean(found['ways'][name]['t']):.1f}")
    return "; ".join(parts_of)


def error_figure(title: str, case: Case, found: dict) -> Lines:
    series: dict = {"naive": (case.horizons, np.ones(len(case.horizons)))}
    for name, way in found["ways"].items():
        values = np.array(way["ratios"])
        columns = (case.horizons, values.mean(0))
        series[name] = (*columns, values.std(0, ddof=1)) if len(values) > 1 else columns
    text = (
        f"Root mean square error on test questions over that of the naive forecast; {found['n'][0]:,} questions to "
        f"learn from."
    )
    label = f"{case.unit}s ahead"
    return Lines(f"Errors: {title}", label, "error / naive error", series, note=text)


def price_figure(case: Case, test: Part, found: dict) -> Lines:
    """The last days of the test part, and each price as it was foretold the day before."""
    t = test.moments[-SHOWN:]
    level = case.series[0].level
    series: dict = {"price": (t + 1, np.exp(level[t + 1])), "naive (the price a day late)": (t + 1, np.exp(level[t]))}
    step = np.array(found["one step"]["LSTM"])[-SHOWN:]
    series["LSTM, a day ahead"] = (t + 1, np.exp(level[t] + step))
    text = (
        "The network's forecast seems to follow the price closely; so does the naive one, and they are nearly the "
        "same. Such a picture shows nothing about skill."
    )
    return Lines("A picture that deceives", "trading day", "US dollars", series, note=text)


def level_figure(title: str, case: Case, test: Part, found: dict) -> Lines:
    """The last test answers one step ahead, and how the linear forecast and the LSTM foretold them."""
    t = test.moments[-FEW:] + 1
    series: dict = {"true": (t, test.answers[-FEW:, 0])}
    for name in ("linear", "LSTM"):
        series[name] = (t, np.array(found["one step"][name])[-FEW:])
    text = f"The last {FEW} test answers, each foretold from what was known one {case.unit} before."
    return Lines(f"One {case.unit} ahead: {title}", case.unit, title, series, note=text)


def deviations(context: Context) -> list[str]:
    found = [
        f"One layer of {HIDDEN} units, Adam at {RATE:g}, weight decay {DECAY:g}, at most {EPOCHS} passes with the "
        f"weights of the best validation error: set beforehand and tried once on validation questions, the same for "
        f"all series.",
        f"Daily and synthetic series: 60 % to learn from, 20 % validation, 20 % test, in the order of time. Monthly "
        f"prices: validation from {VALIDATION_MONTH}, test from {TEST_MONTH} for all, one network for all series, "
        f"without DELL, which has no prices before; errors are means over series.",
        "Prices are judged by their logarithm: errors are relative ones. Costs of trading have no part in it.",
        "Networks and the linear forecast answer each horizon directly, not by running on their own forecasts.",
    ]
    if context.quick:
        found.insert(0, "QUICK: two of four cases, few passes; the numbers show only that all runs.")
    return found


def notes(context: Context) -> list[str]:
    return [
        "t against naive: mean gain in squared error over its standard error (Diebold and Mariano 1995); below 2 in "
        "size, the test part cannot tell the forecast from the naive one.",
        "sd is over the networks' seeds (initial values and order of rows); how much the test part itself varies is "
        "not in it, but in t.",
    ]
