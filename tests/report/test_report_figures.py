"""The figures show the numbers that they were given."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image
from synthetic_runs import colour_run, image_run, save_run

from lamina.report import (
    code_map_figure,
    confusion_figure,
    filter_figure,
    label_curve_figure,
    learning_curve_figure,
    result_figure,
    write_report,
)
from lamina.report.confusion import largest_confusion
from lamina.report.curves import panels
from lamina.report.filters import weight_scale
from lamina.report.label_curve import method_names
from lamina.report.quantities import duration, percent, percent_decimals, seconds, shortened
from lamina.report.sparkline import envelope, sparkline
from lamina.report.svg import figure_style, inline_svg, new_figure, only_axes
from lamina.report.tiles import affordable, image_shape, png_uri, spread_over


def picture(uri: str) -> np.ndarray:
    """The pixels of a data URI."""
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))))


def test_tile_shows_the_pixels_enlarged():
    pixels = picture(png_uri(np.array([[[0.0, 1.0], [0.5, np.nan]]])))
    assert pixels.shape == (84, 84)
    assert [pixels[10, 10], pixels[10, 70], pixels[70, 10], pixels[70, 70]] == [0, 255, 128, 0]


def test_colour_tile_keeps_channels_apart():
    image = np.zeros((3, 5, 7))
    image[0, 0, 0] = image[2, 4, 6] = 7.0
    pixels = picture(png_uri(image))
    assert pixels.shape == (60, 84, 3)
    assert pixels[0, 0].tolist() == [255, 0, 0]
    assert pixels[-1, -1].tolist() == [0, 0, 255]


def test_large_images_are_reduced_to_their_means():
    pixels = picture(png_uri(np.indices((144, 144)).sum(0)[None] % 2.0))
    assert pixels.shape == (72, 72)
    assert np.all(np.abs(pixels.astype(int) - 128) <= 1)


@pytest.mark.parametrize(
    ("shape", "image"),
    [
        ((1, 8, 9), (1, 8, 9)),
        ((3, 8, 9), (3, 8, 9)),
        ((8, 9), (1, 8, 9)),
        ((72,), None),
        ((), None),
        ((22, 8, 9), None),
        ((1, 1, 72), None),
    ],
)
def test_what_counts_as_an_image(shape, image):
    assert image_shape(shape) == image


def test_grids_of_large_images_hold_fewer_tiles():
    assert affordable(60, (1, 28, 28)) == 60
    assert affordable(60, (3, 96, 96)) < 30
    assert affordable(60, (5000,)) == 60


def test_rows_are_spread_over_all():
    assert spread_over(5, 10).tolist() == [0, 1, 2, 3, 4]
    assert spread_over(10, 5).tolist() == [0, 2, 4, 6, 8]
    assert len(set(spread_over(101, 100).tolist())) == 100


def test_long_lines_keep_their_peaks():
    row = np.zeros(5000)
    row[[17, 4321]] = 9, -7
    positions, values = envelope(row)
    assert len(values) <= 160
    assert values.max() == 9
    assert values.min() == -7
    assert np.all(np.diff(positions) > 0)


def test_line_of_known_values():
    drawn = sparkline(np.array([0.0, 1.0, 0.5]), (0.0, 1.0), "<row>")
    assert 'points="3.0,53.0 80.0,3.0 157.0,28.0"' in drawn
    assert 'aria-label="&lt;row&gt;"' in drawn
    assert "<circle" in sparkline(np.array([1.0]), (1.0, 1.0), "one value")


def test_result_figure_places_means_and_spreads():
    results = [
        {"name": "lamina", "error_mean": 0.1, "error_sd": 0.02, "errors": [0.08, 0.12]},
        {"name": "other", "error_mean": 0.3, "error_sd": None, "errors": [0.3]},
    ]
    axes = result_figure(results).axes[0]
    lines = [(line.get_xdata(), line.get_ydata()) for line in axes.lines]
    assert len(lines) == 4
    np.testing.assert_allclose(lines[0][0], [8, 12])
    np.testing.assert_allclose(lines[1][0], [8, 12])
    np.testing.assert_allclose(lines[2], ([10], [0]))
    np.testing.assert_allclose(lines[3], ([30], [1]))
    low, high = axes.get_ylim()
    assert low > high


def test_label_curve_holds_every_point():
    curve = image_run()[0]["label_curve"][::-1]
    axes = label_curve_figure(curve, ["lamina", "absent", "pca + svm"]).axes[0]
    drawn = {tuple(np.asarray(line.get_ydata(), float)) for line in axes.lines if len(line.get_xdata()) == 2}
    assert (30.0, 4.0) in {tuple(np.round(ys, 6)) for ys in drawn}
    assert (60.0, 9.0) in {tuple(np.round(ys, 6)) for ys in drawn}


def test_methods_keep_the_colours_of_the_table():
    curve = [{"n_labels": 1, "results": [{"name": "c"}, {"name": "new"}]}]
    assert method_names(curve, ["a", "b", "c", "d"]) == ["a", "b", "c", "d", "new"]
    assert method_names(curve[:0], ["a"]) == []


def test_panels_group_what_is_comparable():
    grouped = panels(
        {"error": [1, 2], "validation error": [None, 3], "weight norm": [5, 6], "validation never": [None, None]}
    )
    assert list(grouped) == ["error", "weight norm"]
    assert list(grouped["error"]) == ["", "validation"]
    np.testing.assert_array_equal(grouped["error"]["validation"], [np.nan, 3])


def test_learning_curve_bridges_missing_values():
    curve = {"epochs": [1, 2, 3], "series": {"validation error": [0.4, None, 0.2]}}
    (axes,) = learning_curve_figure(curve).axes
    np.testing.assert_allclose(axes.lines[0].get_xdata(), [1, 3])
    np.testing.assert_allclose(axes.lines[0].get_ydata(), [0.4, 0.2])
    assert axes.get_title(loc="left") == "validation error"
    assert axes.get_title(loc="right") == "0.2"


def test_wide_ranges_are_drawn_on_a_logarithmic_axis():
    (axes,) = learning_curve_figure({"epochs": [1, 2], "series": {"loss": [10.0, 0.01]}}).axes
    assert axes.get_yscale() == "log"


def test_confusion_counts_and_strengths():
    confusion = np.array([[50, 1, 0], [4, 40, 0], [0, 0, 7]])
    axes = confusion_figure(confusion, ["a", "b", "c"]).axes[0]
    assert {text.get_text() for text in axes.texts} == {"50", "1", "4", "40", "7"}
    strengths = {(p.get_x() + 0.48, p.get_y() + 0.48): p.get_facecolor()[3] for p in axes.patches}
    strongest = strengths[0.0, 1.0]
    assert strongest == 1.0
    # Shares of the true class: 1 of 51 rows against 4 of 44.
    assert strengths[1.0, 0.0] == pytest.approx(0.12 + 0.88 * ((1 / 51) / (4 / 44)) ** 0.5, abs=0.006)
    assert (2.0, 0.0) not in strengths


def test_largest_confusion_in_words():
    assert largest_confusion(np.array([[5, 1], [3, 9]]), ["cat", "dog"]) == (
        "Most often dog is taken for cat (3 of 12 rows)."
    )
    assert largest_confusion(np.eye(2, dtype=int), ["cat", "dog"]) == ""


def test_many_classes_are_one_picture():
    axes = confusion_figure(np.ones((300, 300), int), [str(code) for code in range(300)]).axes[0]
    assert len(axes.images) == 1
    assert len(axes.patches) == 0


def test_code_map_colours_by_class():
    code = np.arange(12.0).reshape(6, 2)
    axes = code_map_figure(code, np.array([-1, 0, -1, 0, 1, 1]), {0: "first", 1: "second"}).axes[0]
    grey, coloured = axes.collections
    assert len(grey.get_offsets()) == 2
    colours = coloured.get_facecolors()
    assert np.all(colours[0] == colours[1])
    assert np.any(colours[1] != colours[2])
    assert np.all(colours[2] == colours[3])
    assert [text.get_text() for text in axes.texts] == ["first", "second"]
    np.testing.assert_allclose(coloured.get_offsets(), code[[1, 3, 4, 5]])
    assert axes.texts[0].get_position() == (4.0, 5.0)


def test_filter_scale_is_centred_and_common():
    weights = np.array([[-3.0, 0.0], [1.0, 2.0]])
    image = filter_figure(weights, 3.0).axes[0].images[0]
    assert image.get_clim() == (-3.0, 3.0)
    assert image.cmap(image.norm(0.0))[3] < 0.01
    assert weight_scale(np.zeros((2, 2))) > 0


def test_svg_ids_do_not_clash_and_colours_follow_the_page():
    with figure_style():
        drawing = new_figure(200, 100)
        only_axes(drawing).plot([1, 2], [1, 2], "o-", color="#0b62b0")
    one, two = (inline_svg(drawing, key, "A < B", "line") for key in ("one", "two"))
    ids = [set(re.findall(r'id="([^"]+)"', svg)) for svg in (one, two)]
    assert not ids[0] & ids[1]
    assert 'viewBox="0 0 200 100"' in one
    assert "var(--method-0)" in one
    assert "#0b62b0" not in one
    assert "A &lt; B" in one
    assert "<metadata" not in one
    assert "<style" not in one


def test_more_classes_than_colours_differ_in_marker(tmp_path):
    page = write_report(save_run(tmp_path, *colour_run())).read_text()
    assert 'class="swatch square"' in page
    assert 'class="swatch triangle"' in page


@pytest.mark.parametrize(
    ("given", "words"),
    [(0.42, "0.4 s"), (42, "42 s"), (200, "3 min 20 s"), (59.7, "1 min 00 s"), (7500, "2 h 05 min"), (None, "–")],
)
def test_durations(given, words):
    assert duration(given) == words


def test_numbers_in_words():
    assert percent(0.0812) == "8.1"
    assert percent(float("nan")) == "–"
    assert percent_decimals([0.2, None, 0.012]) == 2
    assert percent_decimals([]) == 1
    assert [seconds(value) for value in (0.421, 12.34, 1234.5, None)] == ["0.42", "12.3", "1,234", "–"]
    assert shortened("abcdef", 4) == "abc…"
