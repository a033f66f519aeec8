"""Maps of dots: what a run may keep, how it comes back, and what the page shows of it."""

from __future__ import annotations

import numpy as np
import pytest
from page_reader import PageReader
from synthetic_runs import recipe_run, save_run

from lamina.core.errors import DataError
from lamina.core.figures import Images, Points, pack, unpack
from lamina.report import write_report
from lamina.report.palette import class_colour

NOISE = np.random.default_rng(0)


def points(n: int = 30, title: str = "A map") -> Points:
    labels = np.arange(n) % 3 - (np.arange(n) % 7 == 0)
    return Points(title, NOISE.normal(size=(n, 2)), labels, ("zero", "one <b>", "two"), note="Two numbers.")


def test_a_map_comes_back_as_it_was_packed():
    given = [Images("pictures", NOISE.random((2, 3, 3))), points()]
    documents, arrays = pack(given)
    assert documents[1]["kind"] == "points"
    picture, found = unpack(documents, arrays)
    assert isinstance(picture, Images)
    assert isinstance(found, Points)
    np.testing.assert_allclose(found.places, given[1].places, rtol=1e-6)
    assert np.array_equal(found.labels, given[1].labels)
    assert (found.title, found.names, found.note) == ("A map", ("zero", "one <b>", "two"), "Two numbers.")
    with pytest.raises(DataError, match="missing or garbled"):
        unpack(documents, {key: value for key, value in arrays.items() if not key.endswith("labels")})


@pytest.mark.parametrize(
    ("places", "labels", "match"),
    [
        (np.zeros((4, 3)), np.zeros(4, int), r"expected \(n, 2\) and \(n,\)"),
        (np.zeros((4, 2)), np.zeros(3, int), r"expected \(n, 2\) and \(n,\)"),
        (np.zeros((0, 2)), np.zeros(0, int), r"expected \(n, 2\) and \(n,\)"),
        (np.full((4, 2), np.nan), np.zeros(4, int), "hold NaN"),
        (np.zeros((4, 2)), np.full(4, 2), "up to 2 for 2 names"),
        (np.zeros((4, 2)), np.zeros(4), "whole numbers"),
    ],
)
def test_bad_maps_are_refused(places, labels, match):
    with pytest.raises(DataError, match=match):
        Points("A map", places, labels, ("a", "b"))


def test_the_page_shows_the_map_with_a_legend_in_the_colours_of_the_classes(tmp_path):
    document, _ = recipe_run()
    document["figures"], arrays = pack([points(), points(title="Another <map>")])
    page = write_report(save_run(tmp_path, document, arrays)).read_text(encoding="utf-8")
    reader = PageReader(page)
    assert not reader.faults
    assert "Another <map>" in reader.text
    assert "Two numbers." in reader.text
    assert "30 dots, coloured by 3 classes." in page
    legends = [tag for tag, attributes in reader.tags if tag == "ul" and attributes.get("aria-label") == "classes"]
    assert len(legends) == 2
    for label, name in enumerate(("zero", "one &lt;b&gt;", "two")):
        assert f'style="background:{class_colour(label)}"></span>{name}</li>' in page


def test_dots_without_a_class_need_no_legend(tmp_path):
    document, _ = recipe_run()
    document["figures"], arrays = pack([Points("Plain", NOISE.normal(size=(5, 2)), np.full(5, -1), ())])
    page = write_report(save_run(tmp_path, document, arrays)).read_text(encoding="utf-8")
    assert "5 dots." in page
    assert 'aria-label="classes"' not in page
