"""Map the building damage of one pair of images."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

from runtime import cli, identity, records
from runtime.errors import ConfigError, ToolkitError
from runtime.options import SUMMARY, UNFINISHED, add_options, groups_of, map_options


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m runtime.predict",
        usage="%(prog)s --engine DIR PRE POST [option ...]",
        description="Map the building damage of one pair of images. Writes damage, confidence "
        "and buildings, overlay.png and summary.json: GeoTIFF and GeoPackage, styled for QGIS, "
        "where the images have coordinates, PNG and GeoJSON where not.",
    )
    parser.add_argument("pre", type=Path, metavar="PRE", help="image before the disaster")
    parser.add_argument("post", type=Path, metavar="POST", help="image after the disaster")
    parser.add_argument("--engine", type=Path, required=True, metavar="DIR", help="engine folder")
    groups = groups_of(parser)
    groups.maps.add_argument(
        "--out", type=Path, metavar="DIR", help="output folder (default: ./NAME-damage, after POST)"
    )
    add_options(groups)
    groups.maps.add_argument("--json", action="store_true", help="print summary.json, not a table")
    groups.rasters.add_argument(
        "--label", type=Path, metavar="FILE", help="xBD label (.json) that places both images"
    )
    unfinished = groups.going_on.add_mutually_exclusive_group()
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
    out = args.out or _own_folder(args.pre, args.post)
    if out.exists() and not out.is_dir():
        raise ConfigError(f"--out {out}: is a file; expected a folder, or a new name")
    cli.prepare_opencv()
    from runtime.corrections.told import lines
    from runtime.engine import load_engine
    from runtime.mapping import map_pair
    from runtime.output.summary import table

    with load_engine(args.engine, args.threads, args.device, args.mode) as engine:
        summary = map_pair(engine, args.pre, args.post, out, options)
    print(json.dumps(summary, indent=2) if args.json else table(summary, out, lines(out)))
    if failed := summary["failed_tiles"]:
        raise ToolkitError(
            f"{len(failed)} of {summary['windows']} windows could not be computed and are nodata; "
            f"the first: {failed[0]['reason']}; --resume tries them again"
        )
    return 0


def _own_folder(pre: Path, post: Path) -> Path:
    """Where a pair's maps go when nobody says: in the working folder, named after `post`.

    Raises ConfigError where that holds anything but a map of these two files, or part of one.
    """
    out = Path(f"{post.stem}-damage")
    if not out.is_dir() or {path.name for path in out.iterdir()} <= {UNFINISHED}:
        return out
    try:
        summary = records.load_json(out / SUMMARY)
        images = summary["identity"]["images"]
    except (OSError, records.RecordError, LookupError, TypeError):
        what = "is there, and is no map of this command"
    else:
        if images == identity.of_images(pre, post):
            return out
        what = "holds a map of other images, or of these before they were changed"
    raise ConfigError(f"{out}: {what}; name the output folder with --out")


if __name__ == "__main__":
    cli.run(parser(), main)
