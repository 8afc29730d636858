"""Map the building damage of one pair of images."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from runtime import cli, identity, records
from runtime.errors import ConfigError, ToolkitError
from runtime.options import SUMMARY, UNFINISHED, add_options, groups_of, map_options


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m runtime.predict",
        usage="%(prog)s --engine DIR PRE POST [option ...]\n"
        "       %(prog)s --engine DIR PRE --post POST POST ... [option ...]\n"
        "       %(prog)s EARLIER_MAP LATER_MAP --out DIR",
        description="Map the building damage of one pair of images. Writes damage, confidence "
        "and buildings, overlay.png and summary.json: GeoTIFF and GeoPackage, styled for QGIS, "
        "where the images have coordinates, PNG and GeoJSON where not. Several images after the "
        "event (--post) give one map. Of two finished maps it writes what changed between them.",
    )
    parser.add_argument("pre", type=Path, metavar="PRE", help="image before the disaster")
    parser.add_argument(
        "post", type=Path, nargs="?", metavar="POST", help="image after the disaster"
    )
    parser.add_argument("--engine", type=Path, metavar="DIR", help="engine folder")
    groups = groups_of(parser)
    groups.maps.add_argument(
        "--post", type=Path, nargs="+", dest="posts", metavar="POST", default=[],
        help="several images after the event: each is mapped, and all together give one grade a "
        "building, with its sources",
    )  # fmt: skip
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
    posts = _posts(args)
    if args.pre.is_dir() and len(posts) == 1 and posts[0].is_dir():
        return _change(args, posts[0])
    if args.engine is None:
        raise ConfigError("--engine is missing; expected the folder of an engine")
    options = replace(map_options(args), resume=args.resume, restart=args.restart, label=args.label)
    out = args.out or _own_folder(args.pre, posts)
    if out.exists() and not out.is_dir():
        raise ConfigError(f"--out {out}: is a file; expected a folder, or a new name")
    cli.prepare_opencv()
    from runtime.engine import load_engine
    from runtime.finished.told import lines
    from runtime.fusing import forget, map_dates
    from runtime.mapping import map_pair
    from runtime.output.summary import table

    with load_engine(args.engine, args.threads, args.device, args.mode) as engine:
        if len(posts) > 1:
            summary = map_dates(engine, args.pre, posts, out, options)
        else:
            summary = map_pair(engine, args.pre, posts[0], out, options)
            forget(out, 0)
    print(json.dumps(summary, indent=2) if args.json else table(summary, out, lines(out)))
    if failed := summary["failed_tiles"]:
        raise ToolkitError(
            f"{len(failed)} of {summary['windows']} windows could not be computed and are nodata; "
            f"the first: {failed[0]['reason']}; --resume tries them again"
        )
    if lost := [each for each in summary.get("images_after", ()) if each["error"]]:
        raise ToolkitError(
            f"{len(lost)} of {len(posts)} images after the event are not in the map; the first: "
            f"{lost[0]['error']}; --resume tries them again"
        )
    return 0


def _posts(args: argparse.Namespace) -> list[Path]:
    posts: list[Path] = args.posts
    if args.post is not None and posts:
        raise ConfigError(
            f"{args.post} and --post: expected one image after PRE, or all of them after --post"
        )
    if args.post is None and not posts:
        raise ConfigError(f"{args.pre}: the image after the event is missing; expected PRE POST")
    return posts or [args.post]


_OF_CHANGE = {
    "pre", "post", "posts", "engine", "out", "min_area", "raw_outlines", "footprints", "json",
    "debug", "trust",
}  # fmt: skip
"""What a comparison of two maps takes; it needs no engine, and one may be given all the same."""


def _change(args: argparse.Namespace, later: Path) -> int:
    """Of two finished maps: as `python -m runtime.change`."""
    from runtime import change

    without = vars(parser().parse_args([str(args.pre)]))
    for name, value in vars(args).items():
        if name not in _OF_CHANGE and value != without.get(name, value):
            option = "--no-gate" if name == "gate" else f"--{name.replace('_', '-')}"
            raise ConfigError(
                f"{option}: two finished maps are compared as they are; expected without it, see "
                "dual-hrnet change --help"
            )
    return change.compare(args.pre, later, args)


def _own_folder(pre: Path, posts: Sequence[Path]) -> Path:
    """Where a pair's maps go when nobody says: in the working folder, named after the first image
    after the event.

    Raises ConfigError where that holds anything but a map of these files, or part of one.
    """
    out = Path(f"{posts[0].stem}-damage")
    own = {UNFINISHED, *(f"after-{number}" for number in range(1, len(posts) + 1))}
    if not out.is_dir() or {path.name for path in out.iterdir()} <= own:
        return out
    try:
        summary = records.load_json(out / SUMMARY)
        images = summary["identity"]["images"]
    except (OSError, records.RecordError, LookupError, TypeError):
        what = "is there, and is no map of this command"
    else:
        if images == identity.of_images(pre, *posts):
            return out
        what = "holds a map of other images, or of these before they were changed"
    raise ConfigError(f"{out}: {what}; name the output folder with --out")


if __name__ == "__main__":
    cli.run(parser(), main)
