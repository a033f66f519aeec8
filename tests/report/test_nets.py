"""Nets as figures: they come back as they were, are drawn on one scale, and nonsense is refused."""

from __future__ import annotations

import numpy as np
import pytest

from lamina.core.errors import DataError
from lamina.core.figures import Nets, pack, unpack
from lamina.report.nets import nets_drawing, nets_figure

SQUARE = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 2.0], [0.0, 2.0]])
ROUND = np.array([[0, 1], [1, 2], [2, 3], [3, 0]])
PAIR = Nets("Two nets", [SQUARE, SQUARE[:3] / 2], [ROUND, ROUND[:2]], ("whole", "half"), "a note")


def test_nets_come_back_as_they_were():
    (found,) = unpack(*pack([PAIR]))
    assert isinstance(found, Nets)
    assert (found.title, found.captions, found.note) == (PAIR.title, PAIR.captions, PAIR.note)
    for ours, theirs in ((found.places, PAIR.places), (found.edges, PAIR.edges)):
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(a, b)


def test_nets_share_one_scale_and_show_their_captions():
    drawing = nets_figure(PAIR)
    assert len(drawing.axes) == 2
    assert drawing.axes[0].get_ylim() == drawing.axes[1].get_ylim()
    assert [len(axes.collections[0].get_segments()) for axes in drawing.axes] == [4, 2]
    html = nets_drawing(PAIR, "nets-1")
    assert html.startswith("<svg")
    assert "whole" in html
    assert "half" in html


@pytest.mark.parametrize(
    ("places", "edges", "captions"),
    [
        ([], [], ()),
        ([SQUARE], [], ()),
        ([SQUARE], [ROUND], ("a", "b")),
        ([SQUARE[:3]], [ROUND], ()),  # names the fourth knot of three
        ([SQUARE * np.nan], [ROUND], ()),
        ([SQUARE], [ROUND * 1.0], ()),
        ([SQUARE[:, :1]], [ROUND], ()),
    ],
)
def test_what_is_refused(places, edges, captions):
    with pytest.raises(DataError, match="net"):
        Nets("odd", places, edges, captions)
