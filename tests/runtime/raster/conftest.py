"""GeoTIFF pairs, and an engine whose answer for any scene NumPy can give."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from runtime.engine import Engine, load_engine
from runtime.mapping import map_pair
from runtime.options import MapOptions

rasterio = pytest.importorskip("rasterio")
from rasterio.transform import from_origin  # noqa: E402

UTM = "EPSG:32614"
PLACE = from_origin(500_000, 3_300_000, 0.5, 0.5)
"""Pixels of half a metre."""


@pytest.fixture(scope="session")
def write_raster() -> Callable[..., Path]:
    """An image [H,W,bands] to a tiled GeoTIFF; options replace the profile's."""

    def write(path: Path, image: np.ndarray, **options: object) -> Path:
        profile = {
            "driver": "GTiff", "height": image.shape[0], "width": image.shape[1],
            "count": image.shape[2], "dtype": image.dtype, "crs": UTM, "transform": PLACE,
            "tiled": True, "blockxsize": 64, "blockysize": 64, "photometric": "RGB",
        }  # fmt: skip
        if image.shape[2] < 3:
            del profile["photometric"]
        with rasterio.open(path, "w", **{**profile, **options}) as file:
            file.write(np.moveaxis(image, 2, 0))
        return path

    return write


@pytest.fixture(scope="session")
def draw() -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    """pre, post: uint8 [H,W,3] with blocks of 11 pixels, buildings of every class."""

    def image(height: int, width: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        random = np.random.default_rng(seed)

        def one() -> np.ndarray:
            blocks = random.integers(0, 240, (height // 11 + 1, width // 11 + 1, 1))
            large = blocks.repeat(11, 0).repeat(11, 1)[:height, :width]
            return (large + random.integers(0, 9, (height, width, 3))).astype(np.uint8)

        return one(), one()

    return image


@pytest.fixture
def scene(tmp_path: Path, write_raster: Callable, draw: Callable) -> Callable[..., tuple]:
    """pre.tif and post.tif of [H,W], and their pixels."""

    def make(height: int = 100, width: int = 170, **options: object) -> tuple:
        pre, post = draw(height, width)
        paths = [
            write_raster(tmp_path / f"{name}.tif", image, **options)
            for name, image in (("pre", pre), ("post", post))
        ]
        return (*paths, pre, post)

    return make


@pytest.fixture
def engine(engine_folder: Path) -> Engine:
    """Of 32x48 pixels; its answer for a pixel depends on that pixel alone."""
    with load_engine(engine_folder, threads=1) as engine:
        yield engine


@pytest.fixture
def mapped(engine: Engine, tmp_path: Path) -> Callable[..., tuple[dict, Path]]:
    """Map a pair into `out`; the summary, and the folder."""

    def run(pre: Path, post: Path, **options: object) -> tuple[dict, Path]:
        out = tmp_path / "out"
        return map_pair(engine, pre, post, out, MapOptions(**options)), out

    return run
