"""Coverage-guided fuzzing: ``python -m tests.fuzz.run TARGET --seconds N``.

The toolkit's code is instrumented, so that inputs which reach new code are kept and changed
further. A finding ends the run and leaves the input that makes it in the folder that is printed
first. Exit code 77: another exception than the toolkit's, or a word on stdout or stderr; 71: more
than 1 GB of memory; 70: more than 20 seconds for an input.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NAMES = "manifest", "signature", "label", "pairs", "picture", "raster", "footprints"
MOST_MIB, MOST_SECONDS = 1024, 20


class SaidError(Exception):
    """The toolkit, or a library below it, wrote to the terminal."""


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.run", description=__doc__)
    parser.add_argument("target", choices=NAMES)
    parser.add_argument("--seconds", type=int, default=600, metavar="N")
    parser.add_argument("--corpus", type=Path, metavar="DIR", help="inputs that are kept")
    parser.add_argument("--again", type=Path, metavar="FILE", help="only this input")
    return parser


def main(args: argparse.Namespace) -> None:
    import atheris

    with atheris.instrument_imports(include=["runtime"]):
        from runtime import cli

        cli.prepare_opencv()
        from runtime.errors import ToolkitError
        from tests.fuzz.targets import TARGETS

    target = TARGETS[args.target]
    folder = Path(tempfile.mkdtemp(prefix=f"fuzz-{args.target}-"))
    print(f"findings go to {folder}", flush=True)
    corpus = args.corpus or folder / "corpus"
    for each in (corpus, folder / "file"):
        each.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.seeds(folder)):
        (corpus / f"seed-{number}").write_bytes(seed)

    def one(content: bytes) -> None:
        with _silent():
            try:
                target.use(content, folder / "file")
            except ToolkitError as error:
                if "\n" in str(error):
                    raise SaidError(f"more than a line: {error}") from error

    if args.again:
        one(args.again.read_bytes())
        return
    limits = f"-rss_limit_mb={MOST_MIB}", f"-timeout={MOST_SECONDS}", "-max_len=65536"
    end = f"-max_total_time={args.seconds}", "-print_final_stats=1", "-verbosity=0"
    found = f"-artifact_prefix={folder}/found-"
    atheris.Setup([sys.argv[0], str(corpus), *limits, *end, found, "-seed=1"], one)
    atheris.Fuzz()


@contextmanager
def _silent() -> Iterator[None]:
    """SaidError where anything is written to stdout or stderr, by Python or below it."""
    kept = os.memfd_create("said")
    ours = [os.dup(each) for each in (1, 2)]
    try:
        for each in (1, 2):
            os.dup2(kept, each)
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for each, old in zip((1, 2), ours, strict=True):
            os.dup2(old, each)
            os.close(old)
        said = os.pread(kept, 2000, 0)
        os.close(kept)
    if said:
        raise SaidError(said.decode(errors="replace"))


if __name__ == "__main__":
    main(parser().parse_args())
