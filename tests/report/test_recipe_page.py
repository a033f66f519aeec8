"""The page of a recipe: published numbers beside measured ones, pictures, curves, deviations."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest
from page_reader import PageReader
from PIL import Image
from synthetic_runs import recipe_run, save_run

from lamina.core.errors import FileFormatError
from lamina.core.figures import Images, Lines
from lamina.report import read_records, write_report
from lamina.report.figures import image_grid, lines_figure
from lamina.report.quantities import measure


@pytest.fixture
def page(tmp_path):
    return write_report(save_run(tmp_path / "run", *recipe_run())).read_text(encoding="utf-8")


def pictures(html: str) -> list[np.ndarray]:
    """Pixels (height, width, 2) of every picture in ``html``: grey level and opacity."""
    found = re.findall(r"data:image/png;base64,([^\"]+)", html)
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(code)))) for code in found]


def test_sections_in_reading_order(page):
    reader = PageReader(page)
    assert reader.headings == [
        "Results",
        "What is reproduced",
        "Figures",
        "2 deviations from the paper",
        "Notes",
        "Settings and versions",
    ]
    assert "half the epochs" in reader.text
    assert "What is <shown>." in reader.text


def test_published_numbers_stand_beside_measured_ones(page):
    rows = PageReader(page).rows
    assert rows[0] == ["what", "published", "measured here", "unit"]
    assert rows[1] == ["log-likelihood <test>higher is better; Table 1", "−86.34ᵐ", "−86.21 ± 0.31", "nats"]
    assert rows[2] == ["errorlower is better", "1.2", "1.25", "%"]
    assert rows[3] == ["rowsall of them", "–", "60,000", ""]


def test_the_summary_compares_the_first_published_number(page):
    assert (
        "Follows A. Someone (1985), Machines, Journal. Log-likelihood <test>: published −86.34, measured here "
        "−86.21 ± 0.31 nats."
    ) in PageReader(page).text


def test_a_quick_run_says_so(tmp_path):
    document, arrays = recipe_run()
    document["quick"] = True
    text = PageReader(write_report(save_run(tmp_path, document, arrays)).read_text(encoding="utf-8")).text
    assert "not a reproduction" in text


@pytest.mark.parametrize(
    ("alter", "said"),
    [
        (lambda d: d.pop("name"), "has no part 'name'"),
        (lambda d: d["measured"][0].update(ours="many"), r"measured\[0\].ours holds 'many'"),
        (lambda d: d["measured"][0].pop("what"), "has no 'what'"),
        (lambda d: d["figures"][0].update(array="other"), "missing or garbled"),
        (lambda d: d.update(seeds=3), "'seeds' is a int"),
    ],
)
def test_altered_records_are_refused(tmp_path, alter, said):
    document, arrays = recipe_run()
    alter(document)
    with pytest.raises(FileFormatError, match=said):
        read_records(save_run(tmp_path, document, arrays))


# pictures -----------------------------------------------------------------------------------------------------------


def test_a_strip_holds_its_pictures_in_order_with_clear_gaps():
    rows = np.zeros((1, 3, 2, 2))
    rows[0, 1] = 1.0
    (strip,) = pictures(image_grid(Images("x", rows)))
    opaque = strip[0, :, 1] == 255
    edges = np.flatnonzero(np.diff(np.concatenate([[0], opaque, [0]]).astype(int)))
    assert len(edges) == 6  # three pictures, two gaps
    middle = strip[:, edges[2] : edges[3], 0]
    assert (middle == 255).all()
    assert (strip[:, : edges[1], 0] == 0).all()


def test_values_that_are_not_known_are_holes():
    rows = np.array([[[np.nan, 1.0], [0.0, 0.5]]])
    (tile,) = pictures(image_grid(Images("x", rows)))
    half = len(tile) // 2
    assert tile[0, 0, 1] < 100
    assert tuple(tile[0, -1]) == (255, 255)
    assert tuple(tile[-1, 0]) == (0, 255)
    assert tuple(tile[half, -1]) == (128, 255)


def test_signed_pictures_have_zero_in_the_middle_and_a_scale_each():
    rows = np.array([[[-2.0, 0.0], [1.0, 2.0]], [[0.0, 0.0], [0.0, 0.1]]])
    first, second = pictures(image_grid(Images("x", rows, signed=True)))
    assert [first[0, 0, 0], first[0, -1, 0], first[-1, -1, 0]] == [0, 128, 255]
    assert [second[0, 0, 0], second[-1, -1, 0]] == [128, 255]


def test_captions_stand_at_their_pictures_escaped():
    html = image_grid(Images("x", np.zeros((2, 2, 3, 3)), ("a <b>", "c")))
    assert html.index("a &lt;b&gt;") < html.index("<img") < html.index(">c<")
    tiles = image_grid(Images("x", np.zeros((2, 3, 3)), ("first", "second")))
    assert tiles.index("<img") < tiles.index(">first<") < tiles.index(">second<")


def test_very_many_pictures_are_thinned():
    html = image_grid(Images("x", np.zeros((4000, 28, 28), np.float32)))
    assert 8 <= html.count("<img") < 2000


# curves -------------------------------------------------------------------------------------------------------------


def test_curves_show_their_values_and_bands():
    x, y, sd = [1, 10, 100], [3.0, 2.0, 1.0], [0.5, 0.5, np.nan]
    axes = lines_figure(Lines("t", "steps", "nats", {"a": (x, y, sd), "b": (x, y)}, log_x=True)).axes[0]
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "linear")
    assert len(axes.lines) == 2
    np.testing.assert_array_equal(axes.lines[-1].get_ydata(), y)
    (band,) = axes.collections
    corners = band.get_paths()[0].vertices[:, 1]
    assert (corners.min(), corners.max()) == (1.0, 3.5)
    assert axes.get_xlabel() == "steps"


# numbers ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "spread", "words"),
    [
        (-86.34, None, "−86.34"),
        (451.28, 0, "451.28"),
        (1.26837, None, "1.268"),
        (1.2, None, "1.2"),
        (60000, None, "60,000"),
        (0.0012346, None, "0.001235"),
        (1.2345e-7, None, "1.23e−07"),
        (0, None, "0"),
        (1.26837, 0.0432, "1.268"),
        (-86.2071, 0.31, "−86.21"),
        (3.0, 0.5, "3.00"),
        (0.000893, 0.0000385, "0.000893"),
        (1234.5, None, "1,234.5"),
        (None, None, "–"),
        (float("nan"), None, "–"),
        (True, None, "–"),
    ],
)
def test_measures_have_as_many_digits_as_they_deserve(value, spread, words):
    assert measure(value, spread) == words
