"""Recipes: one paper each, followed end to end. They measure, compare with the published numbers and return records.

Inside: `record` (what a recipe returns), `context` (what it is handed), `catalogue` (which ones there are), `reproduce`
(run one in a run folder). Every folder is a recipe: ``recipe.py`` reads from top to bottom, ``published.json`` holds
the paper's numbers, ``results.json`` what was measured here.
"""

from lamina.recipes.catalogue import entries, find
from lamina.recipes.context import Context
from lamina.recipes.record import Images, Lines, Measured, Outcome
from lamina.recipes.reproduce import reproduce

__all__ = ["Context", "Images", "Lines", "Measured", "Outcome", "entries", "find", "reproduce"]
