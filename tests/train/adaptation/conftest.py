"""A placed scene with a map of it, and what a person does to that map in a GIS."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtime.buildings import find_buildings
from runtime.source.georeference import Georeference

rasterio = pytest.importorskip("rasterio")
pytest.importorskip("pyogrio")

HEIGHT, WIDTH = 160, 224
CRS = "EPSG:32616"
TRANSFORM = (0.5, 0.0, 400_000.0, 0.0, -0.5, 4_100_000.0)

BUILDINGS = {
    # top, left, bottom, right: class
    (10, 10, 22, 30): 1,
    (10, 100, 30, 118): 2,
    (60, 40, 74, 60): 1,
    (90, 150, 110, 170): 4,
    (130, 20, 144, 36): 3,
}


@pytest.fixture(scope="session")
def damage() -> np.ndarray:
    """uint8 [H, W], the map's classes."""
    found = np.zeros((HEIGHT, WIDTH), np.uint8)
    for (top, left, bottom, right), value in BUILDINGS.items():
        found[top:bottom, left:right] = value
    return found


@pytest.fixture(scope="session")
def place() -> Georeference:
    return Georeference(rasterio.crs.CRS.from_string(CRS).to_wkt(), TRANSFORM)


def write_raster(path: Path, pixels: np.ndarray, **profile: Any) -> None:
    with rasterio.open(
        path, "w", driver="GTiff", count=3, dtype="uint8", height=pixels.shape[0],
        width=pixels.shape[1], crs=CRS, transform=rasterio.Affine(*TRANSFORM), **profile,
    ) as file:  # fmt: skip
        file.write(pixels.transpose(2, 0, 1))


@pytest.fixture(scope="session")
def rasters(tmp_path_factory: pytest.TempPathFactory, damage: np.ndarray) -> tuple[Path, Path]:
    """pre.tif and post.tif, on which buildings are bright and damage makes them darker."""
    folder = tmp_path_factory.mktemp("scene")
    random = np.random.default_rng(0)
    paths = []
    for name, light in (("pre", [0, 200, 200, 200, 200]), ("post", [0, 200, 170, 130, 100])):
        pixels = random.integers(40, 90, (HEIGHT, WIDTH, 3))
        pixels = np.where(damage[..., None] > 0, np.array(light)[damage][..., None], pixels)
        paths.append(folder / f"{name}.tif")
        write_raster(paths[-1], (pixels + random.integers(0, 20, pixels.shape)).astype(np.uint8))
    return paths[0], paths[1]


@pytest.fixture(scope="session")
def written_map(
    tmp_path_factory: pytest.TempPathFactory, damage: np.ndarray, place: Georeference
) -> Path:
    """buildings.gpkg as `runtime.predict` writes it."""
    from runtime.output.vectors import write_buildings

    folder = tmp_path_factory.mktemp("map")
    found = find_buildings(damage, np.full_like(damage, 200))
    write_buildings(found, folder, place)
    return folder / "buildings.gpkg"


@pytest.fixture
def edited(tmp_path: Path, written_map: Path) -> Callable[..., Path]:
    """The map after `edit(frame)`; `frame` is a dict of columns and `geometry`, one row each."""
    import pyogrio.raw
    import shapely

    def edit(
        change: Callable[[dict[str, np.ndarray]], dict[str, np.ndarray] | None],
        crs: str = CRS,
        name: str = "edited.gpkg",
    ) -> Path:
        meta, _, geometry, values = pyogrio.raw.read(str(written_map), layer="buildings")
        rows = dict(zip(map(str, meta["fields"]), values, strict=True))
        rows["geometry"] = shapely.from_wkb(geometry)
        rows = change(rows) or rows
        shapes = rows.pop("geometry")
        if crs != CRS:
            from rasterio.warp import transform

            points = shapely.get_coordinates(shapes)
            x, y = transform(CRS, crs, points[:, 0], points[:, 1])
            shapes = shapely.set_coordinates(shapes.copy(), np.column_stack([x, y]))
        path = tmp_path / name
        pyogrio.raw.write(
            str(path), geometry=shapely.to_wkb(shapes), geometry_type="Unknown",
            field_data=list(rows.values()), fields=np.array(list(rows), object), crs=crs,
            driver="GeoJSON" if path.suffix == ".geojson" else "GPKG",
        )  # fmt: skip
        return path

    return edit


def box(top: int, left: int, bottom: int, right: int) -> Any:
    """A rectangle of pixels in map coordinates."""
    import shapely

    a, _, c, _, e, f = TRANSFORM
    return shapely.box(c + a * left, f + e * bottom, c + a * right, f + e * top)


def row_of(rows: dict[str, np.ndarray], top: int, left: int) -> int:
    """The feature with that top left pixel."""
    import shapely

    corner = box(top, left, top + 1, left + 1).centroid
    return int(np.flatnonzero(shapely.contains(rows["geometry"], corner))[0])
