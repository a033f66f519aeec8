"""Studies: what a user does with data, as functions that return records."""

from lamina.studies.compare import CompareOptions, compare
from lamina.studies.generate import GenerateOptions, generate
from lamina.studies.learn import LearnOptions, learn

__all__ = ["CompareOptions", "GenerateOptions", "LearnOptions", "compare", "generate", "learn"]
