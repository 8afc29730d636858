"""Corrections by hand of a finished map: list, make, take back, export."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from runtime import cli
from runtime.errors import ConfigError

ACTIONS = ("list", "set", "add", "remove", "export")
_TAKES = {
    "list": "nothing more",
    "set": "the number of a BUILDING and its CLASS",
    "add": "a CLASS and the corners X,Y X,Y X,Y ... in pixels",
    "remove": "the ID of a correction",
    "export": "nothing more; --xbd OUT says where",
}


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        prog="python -m runtime.corrections",
        usage="%(prog)s MAP [list]\n       %(prog)s MAP set BUILDING CLASS --who NAME\n       "
        "%(prog)s MAP add CLASS X,Y X,Y X,Y ... --who NAME\n       %(prog)s MAP remove ID\n       "
        "%(prog)s MAP export --xbd OUT",
        description="Corrections by hand of a finished map. They are kept in MAP/corrections.gpkg; "
        "the map's own files are never changed. Classes: no-damage, minor-damage, major-damage, "
        "destroyed, un-classified, not-a-building; the class that the map has says that it is "
        "right.",
    )
    p.add_argument("map", type=Path, metavar="MAP", help="folder of a finished map")
    p.add_argument(
        "action", nargs="?", default="list", choices=ACTIONS, metavar="ACTION",
        help="list, set, add, remove or export (default: list)",
    )  # fmt: skip
    p.add_argument("values", nargs="*", metavar="VALUE", help="of the action, see above")
    p.add_argument("--who", metavar="NAME", help="of set and add: the person who says so")
    p.add_argument("--xbd", type=Path, metavar="OUT", help="of export: folder for an xBD data set")
    p.add_argument(
        "--tile", type=int, default=1024, metavar="PX",
        help="of export: side of a tile (default: 1024)",
    )  # fmt: skip
    p.add_argument(
        "--as-mapped", action="store_true",
        help="of export: what nobody looked at has the class of the map, not un-classified",
    )  # fmt: skip
    for when in ("pre", "post"):
        p.add_argument(
            f"--{when}", type=Path, metavar="FILE", help="of export: that image, if it was moved"
        )
    p.add_argument("--json", action="store_true", help="print the result as JSON")
    return p


def main(args: argparse.Namespace) -> None:
    cli.prepare_opencv()
    from runtime.corrections.store import Correction, Corrections

    made: list[Correction] = []
    if args.action == "export":
        _export(args)
        return
    with Corrections(args.map) as corrections:
        if args.action == "set":
            building, name = _values(args, 2)
            made = [corrections.set(_number(building), name, args.who)]
        elif args.action == "add":
            if len(args.values) < 4:
                raise _wrong(args)
            made = [corrections.add(_ring(args.values[1:]), args.values[0], args.who)]
        elif args.action == "remove":
            corrections.remove(_number(*_values(args, 1)), args.who)
        else:
            _values(args, 0)
            made = corrections.all()
        if args.json:
            content = {
                "corrections": [asdict(each) for each in made],
                "count": corrections.count(),
                "mapped": corrections.mapped(),
                "corrected": corrections.totals(),
            }
            print(json.dumps(content, indent=2))
            return
        for each in made:
            what = f"building {each.building}" if each.building is not None else "drawn"
            was = f"{each.old_class} -> " if each.old_class else ""
            print(f"{each.id:>5}  {what:<16}{was + each.new_class:<34}{each.when}  {each.who}")
        print(f"{corrections.count()} corrections")
        for name, number in corrections.totals().items():
            print(f"{name:<16}{corrections.mapped().get(name, 0):>8} mapped{number:>8} corrected")


def _export(args: argparse.Namespace) -> None:
    from runtime.corrections.xbd import export

    _values(args, 0)
    if args.xbd is None:
        raise ConfigError(
            "export: expected --xbd OUT; train.adapt needs no export, it takes MAP itself as its "
            "--corrections"
        )
    done = export(args.map, args.xbd, args.pre, args.post, args.tile, args.as_mapped)
    if args.json:
        print(json.dumps(asdict(done), indent=2))
        return
    rest = "with the map's class" if args.as_mapped else "un-classified"
    print(
        f"{done.tiles} tiles in {args.xbd / 'train'}: {done.corrected} corrected buildings, "
        f"{done.not_a_building} that are none and have no label, {done.unchecked} that nobody "
        f"looked at ({rest})"
    )


def _values(args: argparse.Namespace, count: int) -> list[str]:
    if len(args.values) != count:
        raise _wrong(args)
    return list(args.values)


def _wrong(args: argparse.Namespace) -> ConfigError:
    given = " ".join(args.values) or "nothing"
    return ConfigError(f"{args.action}: expected {_TAKES[args.action]}, not {given}; see --help")


def _number(text: str) -> int:
    if not text.isdecimal():
        raise ConfigError(f"{text}: expected a whole number")
    return int(text)


def _ring(corners: Sequence[str]) -> list[list[float]]:
    try:
        return [[float(each) for each in corner.split(",")] for corner in corners]
    except ValueError as error:
        raise ConfigError(
            f"{' '.join(corners)[:60]}: expected corners X,Y X,Y X,Y ... in pixels"
        ) from error


if __name__ == "__main__":
    cli.run(parser(), main)
