"""Weights that others published, under this toolkit's names: one module a source."""
