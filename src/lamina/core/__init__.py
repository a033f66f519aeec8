"""Shared ground that knows no model: errors, random numbers, numerics, checks, storage."""
