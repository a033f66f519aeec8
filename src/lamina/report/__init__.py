"""Report: a run folder's saved records → figures and one self-contained HTML file. Needs no torch."""

from lamina.report.code_map import code_map_figure
from lamina.report.comparison import comparison_figure, comparison_sentence
from lamina.report.confusion import confusion_figure
from lamina.report.curves import learning_curve_figure
from lamina.report.filters import filter_figure
from lamina.report.label_curve import label_curve_figure
from lamina.report.records import Records, read_records
from lamina.report.results import result_figure
from lamina.report.summary import summary_sentence
from lamina.report.write import write_report

__all__ = [
    "Records",
    "code_map_figure",
    "comparison_figure",
    "comparison_sentence",
    "confusion_figure",
    "filter_figure",
    "label_curve_figure",
    "learning_curve_figure",
    "read_records",
    "result_figure",
    "summary_sentence",
    "write_report",
]
