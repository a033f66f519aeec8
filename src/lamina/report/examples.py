"""What the data are: one sentence and some of the rows."""

from collections.abc import Sequence

import numpy as np

from lamina.report.elements import element, figure, section, text
from lamina.report.quantities import count, is_number, shortened
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

_MOST_EXAMPLES = 60


def data_section(records: Records) -> str:
    """Sizes, source and kind of units in words, and examples where there are any; nothing where there are no data."""
    if not records.data:
        return ""
    words = element("p", text(data_words(records)), class_="lead")
    return section("data", "The data", words, _examples(records))


def data_words(records: Records) -> str:
    """The data set in plain sentences, leaving out what is not known."""
    data = records.data
    words = [_sizes(records)]
    if data.get("classes"):
        named = ", ".join(str(name) for name in data["classes"][:20])
        words.append(f"There are {len(data['classes'])} classes: {named}{', …' if len(data['classes']) > 20 else ''}.")
    if data.get("units"):
        why = f", because {data['why_units']}" if data.get("why_units") else ""
        words.append(f"The visible units are {str(data['units']).capitalize()}{why}.")
    if data.get("source"):
        words.append(f"Source: {data['source']}.")
    return " ".join(words)


def _sizes(records: Records) -> str:
    data, shape = records.data, records.shape
    rows = f"{count(data['n_train'])} training rows" if is_number(data.get("n_train")) else "training rows"
    features = data.get("n_features")
    if is_number(features):
        rows += f" of {count(features)} values"
        if len(shape) > 1:
            rows += f" ({shape_words(shape)})"
    words = f"{data.get('name', 'The data')}: {rows}"
    if is_number(data.get("n_labels")) and data["n_labels"]:
        words += (
            ", all of them labelled" if data["n_labels"] == data.get("n_train") else f", {_labelled(data['n_labels'])}"
        )
    elif records.kind != "generative":
        words += ", none of them labelled"
    return words + (f", and {count(data['n_test'])} test rows." if data.get("n_test") else ".")


def shape_words(shape: Sequence[int]) -> str:
    """``28 × 28 pixels``, ``32 × 32 pixels in colour``, or the sizes alone where a row is no image."""
    image = image_shape(shape)
    if image is None:
        return " × ".join(str(size) for size in shape)
    return f"{image[1]} × {image[2]} pixels{' in colour' if image[0] == 3 else ''}"


def _labelled(n_labels: int) -> str:
    return f"{count(n_labels)} of them labelled"


def _examples(records: Records) -> str:
    rows = records.arrays.get("examples")
    if rows is None:
        return ""
    codes = records.arrays.get("example_labels", np.full(len(rows), -1))
    limits = common_limits(rows)
    cells = []
    for index in spread_over(len(rows), affordable(_MOST_EXAMPLES, records.shape)):
        name = records.class_name(int(codes[index])) if codes[index] >= 0 else ""
        alt = f"example of class {name}" if name else "example without a label"
        cells.append(cell(tile(rows[index], records.shape, limits, alt), below=text(shortened(name, 14))))
    longest = max((len(records.class_name(int(code))) for code in codes if code >= 0), default=0)
    some = bool((codes >= 0).any())
    below_words = " Below each stands its class, where it has a label." if some else ""
    words = f"{len(cells)} rows of the data.{below_words} {scale_words(records.shape, limits)}".strip()
    return figure(grid(cells, records.shape, roomy=longest > 7), records.caption("examples", words))
