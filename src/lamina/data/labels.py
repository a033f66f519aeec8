"""Which rows are unlabelled, for the readers: the rule is `lamina.core.labels`, shared with the estimators."""

from lamina.core.labels import EncodedLabels, blank_values, encode_labels

__all__ = ["EncodedLabels", "blank_values", "encode_labels"]
