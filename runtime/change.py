"""What changed between two finished maps of the same ground."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from runtime import cli
from runtime.errors import ConfigError
from runtime.options import MapOptions


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m runtime.change",
        description="Tell what changed between two finished maps of the same ground. Writes "
        "change (damage that is more, less or the same), changes (a layer of buildings with both "
        "grades) and change.json.",
    )
    parser.add_argument("earlier", type=Path, metavar="EARLIER", help="folder of the earlier map")
    parser.add_argument("later", type=Path, metavar="LATER", help="folder of the later map")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="output folder (default: ./LATER-change)"
    )
    parser.add_argument(
        "--min-area", type=int, default=1, metavar="PX",
        help="leave buildings below PX pixels out of the layer and the counts (default: 1)",
    )  # fmt: skip
    parser.add_argument(
        "--raw-outlines", action="store_true", help="outlines along the edges of the pixels"
    )
    parser.add_argument(
        "--footprints", type=Path, metavar="FILE",
        help="compare the grades of these buildings (GeoPackage, GeoJSON, Shapefile)",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print change.json, not a table")
    return parser


def main(args: argparse.Namespace) -> int:
    return compare(args.earlier, args.later, args)


def compare(earlier: Path, later: Path, args: argparse.Namespace) -> int:
    """args: with the options of this command, those of another one included."""
    options = MapOptions(
        min_area=args.min_area, raw_outlines=args.raw_outlines, footprints=args.footprints
    )
    if args.footprints and not args.footprints.exists():
        raise ConfigError(f"--footprints {args.footprints}: does not exist; expected a vector file")
    out = args.out or Path(f"{later.resolve().name}-change")
    cli.prepare_opencv()
    from runtime.changing import map_change, table

    content = map_change(earlier, later, out, options)
    print(json.dumps(content, indent=2) if args.json else table(content, out))
    return 0


if __name__ == "__main__":
    cli.run(parser(), main)
