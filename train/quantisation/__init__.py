"""INT8 in PyTorch: where it rounds, how it rounds, and the file that says over which ranges.

The one source of truth for calibration, for quantisation-aware training and for export.
"""
