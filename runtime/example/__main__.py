"""Map the synthetic pair that comes with the package.

The engine comes with it, too, and has seen synthetic scenes alone: it is of no use for a real
town. What runs is `runtime.predict`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from runtime import cli, predict
from runtime.errors import ConfigError
from runtime.options import RASTER_EXTRA, raster_installed

FOLDER = Path(__file__).parent
ENGINE = FOLDER / "engine"
PRE, POST = FOLDER / "pre.png", FOLDER / "post.png"
LABEL = FOLDER / "label.json"
"""xBD's label of POST: the true damage, and the (invented) place on the ground."""

MARKER = ".dual-hrnet-example"
"""Says that a folder is the example's, and its map may be replaced by the next."""


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        prog="python -m runtime.example",
        description="Map the synthetic pair that comes with the package, by the engine that comes "
        "with it: a first look at what a map is. The engine is of no use for a real town.",
    )
    p.add_argument(
        "--out", type=Path, default=Path("example-map"), metavar="DIR",
        help="output folder; an earlier example map in it is replaced (default: example-map)",
    )  # fmt: skip
    return p


def main(args: argparse.Namespace) -> None:
    out: Path = args.out
    _check_out(out)
    out.mkdir(parents=True, exist_ok=True)
    (out / MARKER).touch()
    placed = raster_installed()
    arguments = ["--engine", ENGINE, PRE, POST, "--out", out, "--restart"]
    arguments += ["--label", LABEL] if placed else []
    predict.main(predict.parser().parse_intermixed_args(list(map(str, arguments))))
    print(_conclusion(out, placed))


def _check_out(out: Path) -> None:
    """A folder that is not the example's own is refused."""
    if not out.exists():
        return
    if not out.is_dir():
        raise ConfigError(f"--out {out}: is a file; expected a folder, or a new name")
    if not (out / MARKER).is_file() and any(out.iterdir()):
        raise ConfigError(
            f"--out {out}: holds other files than an example map; choose a new folder"
        )


def _conclusion(out: Path, placed: bool) -> str:
    """Where the map is, what to open, and what comes next."""
    if placed:
        layers = f"in QGIS     {out / 'damage.tif'} and {out / 'buildings.gpkg'}"
    else:
        layers = f"for QGIS    {RASTER_EXTRA}, then this command again"
    return f"""
map         {out}
open first  {out / "overlay.png"}: the damage on the image after the disaster
{layers}

The engine was trained on synthetic scenes: it is of no use for a real town. With an engine of
your own, map your own images by
    {cli.python()} -m runtime.predict --engine ENGINE BEFORE AFTER --out MAP"""


if __name__ == "__main__":
    cli.run(parser(), main)
