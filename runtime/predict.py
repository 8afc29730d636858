"""Map the damage of one pair: ``python -m runtime.predict --engine DIR PRE POST --out DIR``."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

from runtime import cli
from runtime.errors import ConfigError, ToolkitError
from runtime.options import add_options, map_options


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m runtime.predict",
        description="Map building damage from one pair of images. Of pictures of the engine's "
        "size, writes damage.png (class values), building.png and confidence.png (probability x "
        "255), overlay.png, buildings.geojson and summary.json; of rasters with coordinates, "
        "damage.tif and confidence.tif (cloud-optimised, each with a style for QGIS beside it), "
        "buildings.gpkg and .geojson, overlay.png and summary.json.",
    )
    parser.add_argument("pre", type=Path, metavar="PRE", help="image before the disaster")
    parser.add_argument("post", type=Path, metavar="POST", help="image after the disaster")
    parser.add_argument("--engine", type=Path, required=True, metavar="DIR", help="engine folder")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="output folder")
    parser.add_argument("--json", action="store_true", help="print summary.json, not a table")
    parser.add_argument(
        "--threads", type=int, metavar="N", help="processor threads (default: physical cores)"
    )
    raster = add_options(parser)
    raster.add_argument(
        "--label", type=Path, metavar="JSON", help="an xBD label that places both images"
    )
    unfinished = parser.add_mutually_exclusive_group()
    unfinished.add_argument(
        "--resume", action="store_true", help="go on with the unfinished map in --out"
    )
    unfinished.add_argument(
        "--restart", action="store_true", help="throw the unfinished map in --out away"
    )
    return parser


def main(args: argparse.Namespace) -> int:
    """Raises ToolkitError, when all is written, where a part could not be computed."""
    options = replace(map_options(args), resume=args.resume, restart=args.restart, label=args.label)
    if args.out.exists() and not args.out.is_dir():
        raise ConfigError(f"--out {args.out}: is a file; expected a folder, or a new name")
    cli.prepare_opencv()
    from runtime.engine import load_engine
    from runtime.mapping import map_pair
    from runtime.output.summary import table

    with load_engine(args.engine, args.threads, args.device) as engine:
        summary = map_pair(engine, args.pre, args.post, args.out, options)
    print(json.dumps(summary, indent=2) if args.json else table(summary, args.out))
    if failed := summary["failed_tiles"]:
        raise ToolkitError(
            f"{len(failed)} of {summary['windows']} windows could not be computed and are nodata; "
            f"the first: {failed[0]['reason']}; --resume tries them again"
        )
    return 0


if __name__ == "__main__":
    cli.run(parser(), main)
