"""Counts that can be defended: a sample of a map to check, and totals with intervals from it."""

from __future__ import annotations

from runtime.counts.estimate import ESTIMATE, estimate
from runtime.counts.sample import Sample, draw
from runtime.counts.sample_file import SAMPLE

__all__ = ["ESTIMATE", "SAMPLE", "Sample", "draw", "estimate"]
