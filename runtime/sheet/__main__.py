"""Print a finished map: one or two pages for people, as HTML and as PDF."""

from __future__ import annotations

import argparse
from pathlib import Path

from runtime import cli
from runtime.sheet import write


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        prog="python -m runtime.sheet",
        description="Write a sheet of a finished map for people who read no GIS: pictures, totals, "
        "the cells of 500 m with the most damage, and what was not computed. One HTML file and one "
        "PDF, with the same numbers.",
    )
    p.add_argument("map", type=Path, metavar="MAP", help="folder of a finished map")
    p.add_argument(
        "--out", type=Path, metavar="DIR",
        help="folder of sheet.html and sheet.pdf (default: MAP-sheet, beside it)",
    )  # fmt: skip
    p.add_argument(
        "--title", metavar="TEXT", help="at the top of the sheet (default: Building damage map)"
    )
    add_dates(p)
    return p


def add_dates(p: argparse.ArgumentParser) -> None:
    for role in ("before", "after"):
        p.add_argument(
            f"--taken-{role}", metavar="DATE",
            help=f"when the image {role} was taken, ISO 8601 (default: what the image says)",
        )  # fmt: skip


def main(args: argparse.Namespace) -> None:
    cli.prepare_opencv()
    source = args.map.absolute()
    out = args.out or source.parent / f"{source.name}-sheet"
    html, pdf = out / "sheet.html", out / "sheet.pdf"
    write(args.map, html, pdf, args.title, (args.taken_before, args.taken_after))
    print(f"{html}\n{pdf}")


if __name__ == "__main__":
    cli.run(parser(), main)
