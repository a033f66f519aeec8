"""Studies: what a user does with data, as functions that return records."""

from lamina.studies.compare import CompareOptions, compare
from lamina.studies.diagnose import Diagnosis, diagnose
from lamina.studies.facts import data_facts
from lamina.studies.generate import GenerateOptions, generate
from lamina.studies.learn import LearnOptions, learn

__all__ = [
    "CompareOptions",
    "Diagnosis",
    "GenerateOptions",
    "LearnOptions",
    "compare",
    "data_facts",
    "diagnose",
    "generate",
    "learn",
]
