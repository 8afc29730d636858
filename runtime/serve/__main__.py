"""Serve a page and a JSON API on the box: images come in, maps come out.

The maps are made by what `runtime.watch` uses, one job after the other.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from runtime import cli
from runtime.errors import ConfigError
from runtime.options import add_options, groups_of, map_options


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        prog="python -m runtime.serve",
        usage="%(prog)s --engine DIR --data DIR [option ...]",
        description="Serve a page and a JSON API that map pairs of images, uploaded or put into "
        "DATA/inbox as NAME_pre.EXT and NAME_post.EXT, one after the other. Maps are in "
        "DATA/maps/JOB. The description of the API is at /api/openapi.json. SIGTERM and Ctrl-C "
        "end it after the window it is at; killed at any time, it goes on where it was.",
    )
    p.add_argument("--engine", type=Path, required=True, metavar="DIR", help="engine folder")
    p.add_argument(
        "--data", type=Path, required=True, metavar="DIR",
        help="folder of uploads, jobs and maps, made if it is not there",
    )  # fmt: skip
    network = p.add_argument_group("network")
    network.add_argument(
        "--host", default="127.0.0.1", metavar="ADDRESS",
        help="address to listen on; 0.0.0.0: all, which asks for a token (default: 127.0.0.1)",
    )  # fmt: skip
    network.add_argument(
        "--port", type=int, default=8000, metavar="N",
        help="port to listen on; 0: any that is free (default: 8000)",
    )  # fmt: skip
    network.add_argument(
        "--token-file", type=Path, metavar="FILE",
        help="file with the token that is asked for (default: none on 127.0.0.1; elsewhere one is "
        "made and shown once)",
    )  # fmt: skip
    network.add_argument(
        "--max-upload", type=float, default=8.0, metavar="GB",
        help="gigabytes of an uploaded image, at most (default: 8)",
    )  # fmt: skip
    network.add_argument(
        "--max-uploads", type=int, default=64, metavar="N",
        help="uploads that no job uses yet, at most (default: 64)",
    )  # fmt: skip
    add_options(groups_of(p))
    return p


def main(args: argparse.Namespace) -> int:
    options = map_options(args)
    if not 0 <= args.port <= 65_535:
        raise ConfigError(f"--port is {args.port}; expected 0 to 65535")
    if not 1e-6 <= args.max_upload <= 100_000:
        raise ConfigError(f"--max-upload is {args.max_upload}; expected gigabytes, up to 100000")
    if not 1 <= args.max_uploads <= 10_000:
        raise ConfigError(f"--max-uploads is {args.max_uploads}; expected 1 to 10000")
    cli.prepare_opencv()
    from runtime.serve.running import serve

    return serve(args, options)


if __name__ == "__main__":
    cli.run(parser(), main)
