"""Series forecasts: the series themselves, questions that never see what comes later, forecasts, a quick run."""

from __future__ import annotations

import numpy as np
import pytest

from lamina.core.errors import DataError
from lamina.recipes.context import Context
from lamina.recipes.series_forecast import forecasts, recipe, series
from lamina.recipes.series_forecast.series import Series


def walk(n=200, relative=True, seed=0):
    level = np.cumsum(np.random.default_rng(seed).normal(0.05, 1.0, n))
    read = np.concatenate([[np.nan], np.diff(level)]) if relative else level
    return Series("walk", level, read, 120, 160, relative)


def test_real_prices_are_there_and_in_order():
    google, monthly = series.google_prices()[0], series.monthly_prices()
    assert len(google.level) == 1047
    assert np.exp(google.level[[0, -1]]).round(2).tolist() == [100.34, 362.71]
    np.testing.assert_allclose(google.read[1:], np.diff(google.level))
    assert [one.name for one in monthly] == ["IBM", "AAPL", "MSFT", "XRX", "AMZN", "GOOGL", "ADBE", "^GSPC", "^IXIC"]
    ends = {len(one.level) - one.test for one in monthly} | {one.test - one.validation for one in monthly}
    assert ends == {78, 72}  # months of 2016-01 … 2022-06 and of six years: the same for all
    moved = series.google_moves()[0]
    np.testing.assert_allclose(moved.level, 100 * np.abs(google.read[1:]))


def test_the_map_is_henons_but_for_its_noise():
    x = series.chaos(0)[0].level
    error = x[2:] - (1 - 1.4 * x[1:-1] ** 2 + 0.3 * x[:-2])
    assert 0.005 < error.std() < 0.05
    assert x.std() > 0.6


def test_missing_files_are_named(monkeypatch):
    with pytest.raises(DataError, match=r"nothing.csv; expected matplotlib's sample data"):
        series.sample_file("nothing.csv")
    monkeypatch.setattr(series, "find_spec", lambda name: None)
    with pytest.raises(DataError, match="pip install matplotlib"):
        series.sample_file("goog.npz")


@pytest.mark.parametrize("relative", [True, False])
def test_answers_lie_in_their_part_and_what_is_read_before_it(relative):
    one = walk(relative=relative)
    training, validation, test = forecasts.parts([one], (1, 4), 15)
    for part, low, high in ((training, 0, 120), (validation, 120, 160), (test, 160, 200)):
        assert part.moments.min() >= low
        assert part.moments.max() + 4 == high - 1
        for row in (0, len(part) - 1):
            t = part.moments[row]
            expected = [one.level[t + h] - (one.level[t] if relative else 0) for h in (1, 4)]
            np.testing.assert_allclose(part.answers[row], expected)
            np.testing.assert_allclose(part.unscaled(part.y)[row], expected)
            read = part.X[row, : part.lengths[row], 0] * np.nanstd(one.read[:120]) + np.nanmean(one.read[:120])
            np.testing.assert_allclose(read, one.read[t + 1 - part.lengths[row] : t + 1], atol=1e-5)
            assert np.isfinite(read).all()
            np.testing.assert_allclose(part.naive[row], 0 if relative else one.level[t])


def test_nothing_later_reaches_an_earlier_part():
    one = walk()
    changed = Series("walk", *(np.concatenate([a[:160], a[160:] + 100]) for a in (one.level, one.read)), 120, 160, True)
    for a, b in zip(forecasts.parts([one], (1, 4), 15)[:2], forecasts.parts([changed], (1, 4), 15)[:2], strict=True):
        for name in ("X", "y", "drift", "centre", "scale"):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name))


def test_the_linear_forecast_finds_an_autoregression():
    generator, x = np.random.default_rng(0), [0.0, 0.0]
    for e in generator.normal(size=3000):
        x.append(0.6 * x[-1] - 0.5 * x[-2] + e)
    level = np.array(x)
    split = forecasts.parts([Series("ar", level, level, 1800, 2400, False)], (1,), 15)
    found, order = forecasts.linear(*split)
    test = split[2]
    expected = 0.6 * level[test.moments] - 0.5 * level[test.moments - 1]
    assert order >= 2
    assert np.abs(found[:, 0] - expected).max() < 0.4
    ratio = np.sqrt(np.square(found - test.answers).mean() / np.square(test.naive - test.answers).mean())
    np.testing.assert_allclose(forecasts.ratios(found, test), ratio)
    np.testing.assert_allclose(forecasts.ratios(test.naive, test), 1.0)
    gains = np.square(test.naive - test.answers) - np.square(found - test.answers)
    assert forecasts.paired_t(found, test) == pytest.approx(gains.mean() / (gains.std(ddof=1) / np.sqrt(len(gains))))


def test_ratios_are_means_over_series_and_a_day_counts_once():
    both = [walk(), walk()]
    test = forecasts.parts(both, (1, 4), 15)[2]
    alone = forecasts.parts(both[:1], (1, 4), 15)[2]
    np.testing.assert_allclose(forecasts.ratios(test.drift, test), forecasts.ratios(alone.drift, alone))
    assert forecasts.paired_t(test.drift, test) == pytest.approx(forecasts.paired_t(alone.drift, alone))


def test_a_quick_run(tmp_path, monkeypatch):
    monkeypatch.setattr(recipe, "QUICK_EPOCHS", 1)
    monkeypatch.setattr(series, "CHAOS_LENGTH", 400)
    whole = recipe.cases
    monkeypatch.setattr(recipe, "cases", lambda context: dict(list(whole(context).items())[-1:]))
    context = Context(tmp_path, quick=True)
    outcome = recipe.run(context)
    assert outcome.seeds == [0, 1]
    assert "QUICK" in outcome.deviations[0]
    ours = {result.what.rsplit(", ", 1)[1]: result.ours for result in outcome.results}
    assert set(ours) == {"training mean", "linear", "Elman", "LSTM"}
    assert 0.3 < ours["linear"] < 0.65
    assert ours["LSTM"] < 0.75
    assert [type(figure).__name__ for figure in outcome.figures] == ["Lines", "Lines"]
    again = recipe.run(Context(tmp_path, quick=True))  # from memory
    assert [r.ours for r in again.results] == [r.ours for r in outcome.results]
