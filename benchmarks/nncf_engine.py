"""Quantise an FP32 engine for OpenVINO by NNCF, as a folder that benchmarks take.

NNCF is OpenVINO's own quantiser. What it makes of the same graph and the same tiles can be timed
and scored by every benchmark that takes engines. The folder is a peer's: nothing proves it.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtime import cli
from runtime.errors import BackendError, ConfigError, DataError
from runtime.manifest import Manifest, payload_of

if TYPE_CHECKING:
    import numpy as np

    from train.xbd import Tile

STATUS = "a peer's, not verified"
TILES = 16
"""To calibrate on, where nobody says how many."""


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="python -m benchmarks.nncf_engine", description=__doc__)
    add = p.add_argument
    add("--engine", required=True, type=Path, metavar="DIR", help="FP32 engine for OpenVINO")
    add("--data", required=True, type=Path, metavar="DIR", help="xBD data set to calibrate on")
    add("--split", default="train", metavar="NAME", help="of --data (default: train)")
    add("--tiles", type=int, default=TILES, metavar="N", help=f"to calibrate on (default: {TILES})")
    add("--out", required=True, type=Path, metavar="DIR", help="engine folder to write")
    return p


def main(args: argparse.Namespace) -> None:
    engine_by_nncf(args.engine, args.data, args.split, args.tiles, args.out)


def engine_by_nncf(engine: Path, data: Path, split: str, count: int, out: Path) -> None:
    """Write to `out` what NNCF makes of `engine`, with `count` tiles of `data` to calibrate on.

    Raises:
        BackendError: NNCF is not installed. ConfigError: `engine` is not FP32 for OpenVINO.
        DataError: the data set has no such tiles, or smaller ones.
    """
    from calibration.calibrate import calibration_tiles
    from runtime.backends.openvino import load_openvino
    from runtime.backends.openvino_core import core_of
    from runtime.files import replacing_folder

    nncf = _library()
    manifest = Manifest.read(engine)
    if not is_plain(manifest):
        raise ConfigError(
            f"{engine}: an engine of {manifest.precision} for {manifest.target.backend}; "
            "expected one of fp32 for openvino"
        )
    manifest.check_payload(engine)
    size = manifest.input.height, manifest.input.width
    tiles = calibration_tiles(data, split, count)
    openvino = load_openvino()
    model = core_of(openvino).read_model(engine / "model.xml")
    quantised = nncf.quantize(
        model,
        nncf.Dataset(list(_pairs(tiles, size))),
        preset=nncf.QuantizationPreset.MIXED,
        subset_size=len(tiles),
    )
    with replacing_folder(out) as folder:
        openvino.save_model(quantised, str(folder / "model.xml"), compress_to_fp16=False)
        made = {"status": STATUS, "made_by": f"NNCF {nncf.__version__}, preset mixed"}
        payload = payload_of(folder, ["model.xml", "model.bin"])
        peer = replace(manifest, precision="int8", verification=made, payload=payload)
        peer.write(folder)
    cli.note(f"{out}: by NNCF {nncf.__version__} on {len(tiles)} tiles; not verified")


def is_plain(manifest: Manifest) -> bool:
    """Is it an engine that NNCF can take?"""
    return (manifest.target.backend, manifest.precision) == ("openvino", "fp32")


def _pairs(tiles: list[Tile], size: tuple[int, int]) -> Iterator[dict[str, np.ndarray]]:
    """A batch of one of each tile, cut at its top left corner.

    Raises:
        DataError: a tile is smaller than the engine.
    """
    height, width = size
    for tile in tiles:
        pre, post = (image[:height, :width] for image in tile.images())
        if pre.shape[:2] != size:
            raise DataError(f"{tile.name}: is smaller than {height}x{width}, the engine's input")
        yield {"pre": pre[None], "post": post[None]}


def _library() -> Any:
    try:
        import nncf
    except ImportError as error:
        raise BackendError(f"NNCF cannot be used ({error}); pip install nncf") from error
    return nncf


if __name__ == "__main__":
    cli.run(parser(), main)
