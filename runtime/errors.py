"""Every error the toolkit raises on purpose.

The message is one line that names the thing that is wrong, what was expected
and what to do. A command prints it and exits with ``exit_code``.
"""

from __future__ import annotations


class ToolkitError(Exception):
    """Root of the tree. Catch this to catch every deliberate error.

    Its message is one line for a person: show it. Raised by itself where the work is done but a
    part of it could not be, such as windows of a scene that are nodata: mend what the message
    names, and give the command again with `--resume`.
    """

    exit_code = 1


class ConfigError(ToolkitError):
    """A configuration file, key or command-line value that cannot be used.

    Nothing was computed. Correct the value that the message names; `--help` lists what is allowed.
    """

    exit_code = 2


class ImageError(ToolkitError):
    """An image that cannot be read or mapped, or is not 8-bit RGB of the expected size.

    Look at the file that the message names. Convert it as the message says (`--scale`, `--bands`,
    `--align`, a `gdal_translate` command), or copy it again where it is damaged.
    """


class DataError(ToolkitError):
    """An xBD data set that is incomplete or has an unusable label.

    Copy or correct the tile that the message names; training goes on without it by `--skip-bad`.
    """


class CheckpointError(ToolkitError):
    """A checkpoint that is damaged, foreign, or of another architecture.

    Take an earlier one of the same run (`last.pt`, `best.pt`), copy the file again, or bring
    foreign weights in with `python -m train.import_weights`.
    """


class CalibrationError(ToolkitError):
    """A calibration artefact that is missing, degenerate, or made for something else.

    Calibrate again with the checkpoint and the data that the engine is built from:
    `python -m calibration`.
    """


class ExportError(ToolkitError):
    """A graph or an engine that could not be produced, or failed its own proof.

    No engine was written. The message names the proof and the number that missed it; another
    precision, another target, or an option that it names is the way on.
    """


class BackendError(ToolkitError):
    """An inference library that is not installed or that refused the engine.

    Install what the message names, or build the engine for a library that is there.
    """


class EngineError(ToolkitError):
    """An engine folder that must not be loaded, or an engine that was closed.

    Rebuild with the command in the message, or copy the folder again from where it was built.
    """


class ManifestError(EngineError):
    """A manifest that is missing, unreadable, or of another format version.

    The folder is no engine, or one of another release: rebuild, or update the toolkit.
    """


class AlteredPayloadError(EngineError):
    """A payload file that is missing or differs from what the manifest recorded.

    Copy the whole folder again, all files of it; do not edit files in it.
    """


class SignatureError(EngineError):
    """An engine folder without a valid signature by a key that this device trusts.

    Copy the whole folder again, with its `model.sig`; or have the folder looked at, and signed, by
    who holds the key: `dual-hrnet sign`. What is trusted here says `dual-hrnet doctor`.
    """


class TargetMismatchError(EngineError):
    """An engine that was built for another device or another library version.

    Build it on, or for, the device it is to run on; the message has the command.
    """


class StoppedError(ToolkitError):
    """Work that was ended at somebody's wish.

    What is done of it is kept: give the command again with `--resume`, or let the job go on.
    """


def reason(error: BaseException) -> str:
    """Another library's message, on one line, to be part of ours."""
    return " ".join(str(error).split()) or type(error).__name__
