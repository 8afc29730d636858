"""What every command shares: one-line errors, exit codes, ``--debug``.

A command is a module with ``parser()`` (cheap: no heavy import, so that
``--help`` is instant) and ``main(args)`` (imports what it needs). It ends with
``if __name__ == "__main__": cli.run(parser(), main)``.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn, TypeVar

from runtime import log
from runtime.errors import ToolkitError
from runtime.trust.setting import demanded

_Result = TypeVar("_Result")

ENGINES = {"engine", "engine_or_onnx"}
"""Arguments that name engine folders which a command loads."""

TRUST = "demanded_trust"
"""Where `--trust` of such a command is; `run` sees to it, for every engine that is loaded."""

PROJECT = "dual-hrnet-edge"

_EXTRA_OF_PACKAGE = {
    "runtime": "raster",
    "train": "train",
    "calibration": "export",
    "export": "export",
    "benchmarks": "bench",
}
"""What the commands of each package need beyond the base install."""

_EXTRA_OF_LIBRARY = {
    **dict.fromkeys(("numpy", "cv2"), None),
    "onnxruntime": "onnxruntime",
    **dict.fromkeys(("rasterio", "pyogrio"), "raster"),
    **dict.fromkeys(("fpdf", "fontTools", "h3"), "deliver"),
    **dict.fromkeys(("ray", "pyarrow", "pandas"), "ray"),
    "openvino": "openvino",
    **dict.fromkeys(("fastapi", "starlette", "uvicorn"), "serve"),
    "cuda": "cuda",
    "pycuda": "pycuda",
    "cryptography": "trust",
    "model_signing": "signing",
}
"""Those that commands of every package may need; None: the base install has it."""

_EXTRA_IN_THE_RUNTIME = {"pydantic": "serve"}
"""Where other packages have it with an extra of their own."""


def run(
    parser: argparse.ArgumentParser,
    main: Callable[[argparse.Namespace], int | None],
    argv: Sequence[str] | None = None,
) -> None:
    """Parse, run `main`, and leave the process with its exit code.

    A `ToolkitError`, a library that is not installed, or an operating-system error (disk full,
    no permission) becomes one line on stderr; with ``--debug`` it keeps its traceback.
    """
    add_shared(parser)
    parser.error = _usage  # type: ignore[method-assign]
    if isinstance(sys.stdout, io.TextIOWrapper):  # a name that it cannot show ends no work
        sys.stdout.reconfigure(errors="backslashreplace")
    args = argparse.Namespace(debug=False)
    try:
        # options may stand between key=value pairs
        args = _flushed(lambda: parser.parse_intermixed_args(argv))
        with demanded(getattr(args, TRUST, None)):
            code = _flushed(lambda: main(args) or 0)
    except (ModuleNotFoundError, ToolkitError, OSError, KeyboardInterrupt) as error:
        if args.debug:
            raise
        sys.exit(end(error, _package(main)))
    except Exception:  # a fault of ours: with its traceback, as one line where lines are read
        if not log.in_json():
            raise
        log.write(f"error: {traceback.format_exc()}")
        sys.exit(1)
    sys.exit(code)


def add_shared(parser: argparse.ArgumentParser) -> None:
    """The option that every command has, and that of each that loads engines."""
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    taken = {each.dest for each in parser._actions}
    if taken & ENGINES and not taken & {TRUST, "trust"}:
        parser.add_argument(
            "--trust", dest=TRUST, type=Path, metavar="DIR",
            help="take engines alone that a key in this folder has signed, besides those that the "
            "device demands anyway",
        )  # fmt: skip


def end(error: BaseException, package: str) -> int:
    """Tell in one line why a command of `package` ended; its exit code.

    Raises the error itself where it is a fault of the toolkit.
    """
    if isinstance(error, ModuleNotFoundError):
        return _report(_missing(error, package), 1)
    if isinstance(error, ToolkitError):
        return _report(str(error), error.exit_code)
    if isinstance(error, BrokenPipeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    if isinstance(error, OSError):
        subject = f"{error.filename}: " if error.filename else ""
        return _report(f"{subject}{error.strerror or error}", 1)
    if isinstance(error, KeyboardInterrupt):
        return _report("interrupted", 130)
    raise error


def install(extra: str | None) -> str:
    """The command that adds an extra to the install; None: the base install."""
    return f'pip install "{PROJECT}[{extra}]"' if extra else f"pip install {PROJECT}"


def extra_of(library: str, package: str) -> str | None:
    """The extra with `library`, for a command of `package`; None: the base install has it."""
    if package == "runtime" and library in _EXTRA_IN_THE_RUNTIME:
        return _EXTRA_IN_THE_RUNTIME[library]
    return _EXTRA_OF_LIBRARY.get(library, _EXTRA_OF_PACKAGE.get(package, "all"))


def prepare_opencv() -> None:
    """Before it is imported: it prints its own account of a damaged TIFF before ours.

    It also starts a thread for each processor, where a container is granted the time of few.
    """
    from runtime import host

    os.environ.setdefault("OPENCV_LOG_LEVEL", "OFF")
    os.environ.setdefault("OPENCV_FOR_THREADS_NUM", str(host.physical_cores()))


def python() -> str:
    """As a person types it here: its path where the environment lies in the working folder."""
    own, here = Path(sys.executable), Path.cwd()
    return str(own.relative_to(here)) if own.is_relative_to(here) else "python"


def note(message: str) -> None:
    """Progress for a person: stderr, so that stdout stays for results."""
    if log.in_json():
        log.write(message)
        return
    print("\n".join(map(_printable, message.split("\n"))), file=sys.stderr, flush=True)


def _flushed(work: Callable[[], _Result]) -> _Result:
    """What `work` gives, when all that it printed is out: a closed pipe is told here."""
    try:
        result = work()
    except SystemExit:  # of --help
        _flush()
        raise
    _flush()
    return result


def _flush() -> None:
    if sys.stdout is not None:  # None where it was closed before the start
        sys.stdout.flush()


def _package(main: Callable[..., object]) -> str:
    """The package whose command `main` is, also where that runs as ``__main__``."""
    module = sys.modules.get(getattr(main, "__module__", ""))
    return (getattr(module, "__package__", None) or "").partition(".")[0]


def _missing(error: ModuleNotFoundError, package: str) -> str:
    """Raises the error itself for a module that should be in a package that is there."""
    name = error.name or ""
    library = name.partition(".")[0]
    if not library or (library in _EXTRA_OF_PACKAGE and library != name):
        raise error
    return (
        f"{library} is not installed, this command needs it; {install(extra_of(library, package))}"
    )


def _usage(message: str) -> NoReturn:
    """One line, as for any other error."""
    sys.exit(_report(f"{message}; see --help", 2))


def _report(message: str, code: int) -> int:
    line = f"error: {' '.join(message.split())}"
    if log.in_json():
        log.write(line)
    else:
        print(_printable(line), file=sys.stderr)
    return code


def _printable(line: str) -> str:
    """A file's name, or a name in a file, may hold what a terminal takes for an order."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in line)
