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
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from runtime.errors import ToolkitError

PACKAGES = ("runtime", "train", "calibration", "export", "benchmarks")
INSTALL = 'install the whole toolkit from its folder: pip install ".[all]"'


def run(
    parser: argparse.ArgumentParser,
    main: Callable[[argparse.Namespace], int | None],
    argv: Sequence[str] | None = None,
) -> None:
    """Parse, run `main`, and leave the process with its exit code.

    A `ToolkitError` or an operating-system error (disk full, no permission)
    becomes one line on stderr; with ``--debug`` it keeps its traceback.
    """
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.error = _usage  # type: ignore[method-assign]
    if isinstance(sys.stdout, io.TextIOWrapper):  # a name that it cannot show ends no work
        sys.stdout.reconfigure(errors="backslashreplace")
    args = parser.parse_intermixed_args(argv)  # options may stand between key=value pairs
    if args.debug:
        sys.exit(main(args) or 0)
    try:
        code = main(args) or 0
        sys.stdout.flush()  # here, where a closed pipe is still caught
    except ModuleNotFoundError as error:
        name = (error.name or "").partition(".")[0]
        if name in PACKAGES:
            raise
        sys.exit(_report(f"{name} is not installed, this command needs it; {INSTALL}", 1))
    except ToolkitError as error:
        sys.exit(_report(str(error), error.exit_code))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        subject = f"{error.filename}: " if error.filename else ""
        sys.exit(_report(f"{subject}{error.strerror or error}", 1))
    except KeyboardInterrupt:
        sys.exit(_report("interrupted", 130))
    sys.exit(code)


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
    print("\n".join(map(_printable, message.split("\n"))), file=sys.stderr, flush=True)


def _usage(message: str) -> NoReturn:
    """One line, as for any other error."""
    sys.exit(_report(f"{message}; see --help", 2))


def _report(message: str, code: int) -> int:
    line = " ".join(message.split())
    print(f"error: {_printable(line)}", file=sys.stderr)
    return code


def _printable(line: str) -> str:
    """A file's name, or a name in a file, may hold what a terminal takes for an order."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in line)
