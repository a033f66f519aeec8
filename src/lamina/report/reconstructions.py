"""Rows beside what the layers make of them: encoded up and decoded again."""

import numpy as np

from lamina.report.elements import figure, section
from lamina.report.quantities import significant
from lamina.report.records import Records
from lamina.report.tiles import (
    affordable,
    cell,
    common_limits,
    grid,
    image_shape,
    scale_words,
    spread_over,
    tile,
)

_MOST_PAIRS = 32


def reconstructions_section(records: Records) -> str:
    """Pairs of a row and its reconstruction, or nothing where they were not kept."""
    given, rebuilt = records.arrays.get("reconstruction_input"), records.arrays.get("reconstruction_output")
    if given is None or rebuilt is None:
        return ""
    limits = common_limits(given, rebuilt)
    cells = [
        cell(
            tile(given[index], records.shape, limits, "row"),
            tile(rebuilt[index], records.shape, limits, "its reconstruction"),
        )
        for index in spread_over(len(given), affordable(_MOST_PAIRS, records.shape))
    ]
    error = float(np.mean((given.astype(np.float64) - rebuilt) ** 2))
    how = "image" if image_shape(records.shape) else "line"
    maker = "model" if records.kind == "generative" else "stack"
    through = "from its hidden units" if records.kind == "generative" else "after encoding it up to the top layer"
    words = (
        f"Above, a row; below it, the {how} that the {maker} gives back {through}. "
        f"Mean squared difference over {len(given)} rows: {significant(error)}. "
        f"{scale_words(records.shape, limits)}"
    )
    body = figure(grid(cells, records.shape, pairs=True), records.caption("reconstruction_output", words.strip()))
    return section("reconstructions", "Reconstructions", body)
