"""What lies between two rows: for layers that cannot be sampled, straight lines between codes, decoded."""

from lamina.report.elements import element, figure, section
from lamina.report.records import Records
from lamina.report.tiles import affordable, cell, common_limits, image_shape, scale_words, spread_over, tile


def interpolations_section(records: Records) -> str:
    """One line of tiles per pair of rows, or nothing where none were kept."""
    pairs = records.arrays.get("interpolations")
    if pairs is None or pairs.shape[1] < 3:
        return ""
    limits = common_limits(pairs)
    n_steps = pairs.shape[1]
    shown = spread_over(len(pairs), max(2, affordable(8 * n_steps, records.shape) // n_steps))
    cells = []
    for index in shown:
        for step, row in enumerate(pairs[index]):
            alt = {0: "a row", n_steps - 1: "another row"}.get(step, f"step {step} between them")
            cells.append(cell(tile(row, records.shape, limits, alt)))
    kind = "lines" if image_shape(records.shape) is None else "images"
    body = element("div", *cells, class_=f"between {kind}", style=f"--steps:{n_steps}")
    words = (
        f"First and last on each line are held-out rows; between them stands what the layers decode from {n_steps - 2} "
        "steps on the straight line between their top codes, the first and the last of these being their "
        f"reconstructions. {scale_words(records.shape, limits)}"
    ).strip()
    scroll = element("div", body, class_="scroll", tabindex="0", role="group", aria_label="interpolations")
    return section("interpolations", "Between rows", figure(scroll, records.caption("interpolations", words)))
