"""Studies: what a user does with data, as functions that return records."""

from lamina.studies.generate import GenerateOptions, generate
from lamina.studies.learn import LearnOptions, learn

__all__ = ["GenerateOptions", "LearnOptions", "generate", "learn"]
