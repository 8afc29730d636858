"""Hand a finished map over: STAC, Copernicus EMS, FEMA, UNOSAT, a grid of cells."""

from __future__ import annotations

import argparse
from pathlib import Path

from runtime import cli
from runtime.deliver import FORMS, Cells, deliver
from runtime.sheet.__main__ import add_dates


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        prog="python -m runtime.deliver",
        description="Write a finished map in the forms that others take, corrections counted in. "
        "stac: an Item with the map's files, and one of the engine. ems, fema, unosat: the "
        "buildings in the fields and classes of that convention. grid: what is in each cell.",
    )
    p.add_argument("map", type=Path, metavar="MAP", help="folder of a finished map")
    p.add_argument(
        "--as", dest="forms", nargs="+", required=True, choices=FORMS, metavar="FORM",
        help=f"one or more of {', '.join(FORMS)}",
    )  # fmt: skip
    p.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the files")
    p.add_argument(
        "--datetime", metavar="DATE",
        help="of the STAC Item, ISO 8601 (default: when the image after was taken)",
    )  # fmt: skip
    add_dates(p)
    cells = p.add_argument_group("cells of grid").add_mutually_exclusive_group()
    cells.add_argument(
        "--cell", type=float, default=500.0, metavar="M", help="side in metres (default: 500)"
    )
    cells.add_argument(
        "--h3", type=int, metavar="RES", help="cells of H3 in place of squares, 0 to 15"
    )
    cells.add_argument(
        "--areas", type=Path, metavar="FILE", help="the polygons of a vector file in their place"
    )
    return p


def main(args: argparse.Namespace) -> None:
    cli.prepare_opencv()
    cells = Cells(args.cell, args.h3, args.areas.absolute() if args.areas else None)
    taken = (args.taken_before, args.taken_after)
    for path in deliver(args.map, args.forms, args.out, args.datetime, taken, cells):
        print(path)


if __name__ == "__main__":
    cli.run(parser(), main)
