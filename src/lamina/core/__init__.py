"""Shared ground that knows no model: errors, random numbers, numerics, checks, labels, storage."""
