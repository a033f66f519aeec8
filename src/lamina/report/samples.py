"""Rows that the model makes up."""

from lamina.report.elements import figure, section
from lamina.report.records import Records
from lamina.report.tiles import affordable, cell, common_limits, grid, scale_words, spread_over, tile

_MOST_SAMPLES = 60


def samples_section(records: Records) -> str:
    """Samples drawn from the model, or nothing where none were kept."""
    rows = records.arrays.get("samples")
    if rows is None:
        return ""
    limits = common_limits(rows)
    shown = spread_over(len(rows), affordable(_MOST_SAMPLES, records.shape))
    cells = [cell(tile(rows[index], records.shape, limits, "sample")) for index in shown]
    how = "" if records.kind == "generative" else " from the top of the stack down"
    words = (
        f"Rows that are in no data set: the model drew them{how}. They should look like "
        f"the examples above, and differ from one another. {scale_words(records.shape, limits)}"
    ).strip()
    return section("samples", "Samples", figure(grid(cells, records.shape), records.caption("samples", words)))
