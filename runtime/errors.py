"""Every error the toolkit raises on purpose.

The message is one line that names the thing that is wrong, what was expected
and what to do. A command prints it and exits with ``exit_code``.
"""

from __future__ import annotations


class ToolkitError(Exception):
    """Root of the tree. Catch this to catch every deliberate error."""

    exit_code = 1


class ConfigError(ToolkitError):
    """A configuration file, key or command-line value that cannot be used."""

    exit_code = 2


class ImageError(ToolkitError):
    """An image that cannot be read, or is not 8-bit RGB of the expected size."""


class DataError(ToolkitError):
    """An xBD data set that is incomplete or has an unusable label."""


class CheckpointError(ToolkitError):
    """A checkpoint that is damaged, foreign, or of another architecture."""


class CalibrationError(ToolkitError):
    """A calibration artefact that is missing, degenerate, or made for something else."""


class ExportError(ToolkitError):
    """A graph or an engine that could not be produced, or failed its own proof."""


class BackendError(ToolkitError):
    """An inference library that is not installed or that refused the engine."""


class EngineError(ToolkitError):
    """An engine folder that must not be loaded."""


class ManifestError(EngineError):
    """A manifest that is missing, unreadable, or of another format version."""


class AlteredPayloadError(EngineError):
    """A payload file that is missing or differs from what the manifest recorded."""


class TargetMismatchError(EngineError):
    """An engine that was built for another device or another library version."""


def reason(error: BaseException) -> str:
    """Another library's message, on one line, to be part of ours."""
    return " ".join(str(error).split()) or type(error).__name__
