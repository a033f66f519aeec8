"""Colours of the report: one figure serves the light page, the dark page and paper.

A figure is drawn with the light page's colours. `svg.inline_svg` then replaces each colour named in
`PAGE_COLOURS` by the page's CSS variable, so that the browser chooses. Line colours are darkened relatives
of Okabe & Ito's colour-blind-safe set; class colours are Petroff's ten (arXiv:2107.02270), which hold on
white and on dark paper and may therefore be used in rasterised parts, where no CSS variable reaches.
"""

INK = "#1d2329"
MUTED = "#66707c"
RULE = "#dde1e6"
PAPER = "#fefefe"
ON_COLOUR = "#fdfdfd"
ACCENT = "#0b62b0"
MISTAKE = "#c4501b"

#: Lamina's own first, then one colour per other method, in the order of the result table.
METHODS = (ACCENT, "#c9541f", "#0f7f5b", "#8b4aa8", "#937000", "#2f8cb3", "#a33b62", "#5b6b3a")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p")

#: Colours of a figure → colours of the page (see `style.css`).
PAGE_COLOURS = {
    INK: "currentColor",
    MUTED: "var(--muted)",
    RULE: "var(--rule)",
    PAPER: "var(--paper)",
    ON_COLOUR: "var(--on-colour)",
    MISTAKE: "var(--mistake)",
    **{colour: f"var(--method-{index})" for index, colour in enumerate(METHODS)},
}

CLASSES = (
    "#3f90da",
    "#ffa90e",
    "#bd1f01",
    "#94a4a2",
    "#832db6",
    "#a96b59",
    "#e76300",
    "#b9ac70",
    "#717581",
    "#92dadd",
)


def method_colour(index: int) -> str:
    """Colour of the ``index``-th row of the result table; index 0 is Lamina's own."""
    return METHODS[index] if index < len(METHODS) else MUTED


def method_marker(index: int) -> str:
    """Marker of the ``index``-th method, so that colour is never the only mark."""
    return MARKERS[index % len(MARKERS)]


def class_colour(code: int) -> str:
    """Colour of class ``code`` ≥ 0; from the eleventh class on the colours repeat with another marker."""
    return CLASSES[code % len(CLASSES)]


def class_marker(code: int) -> str:
    """Marker of class ``code`` ≥ 0: a disc for the first ten classes, then the next shape."""
    return MARKERS[(code // len(CLASSES)) % len(MARKERS)]
