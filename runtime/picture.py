"""A pair of the engine's size to PNG maps, an overlay, and polygons in pixels."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtime import summary
from runtime.buildings import find_buildings
from runtime.damage import DAMAGE_CLASSES, NODATA
from runtime.errors import ImageError
from runtime.files import adding_to_folder, write_json
from runtime.geojson import feature, write_geojson
from runtime.images import read_pair, write_png
from runtime.options import SUMMARY, MapOptions
from runtime.overlay import overlay, with_legend

if TYPE_CHECKING:
    from runtime.engine import Engine


def map_picture(
    engine: Engine, pre_path: Path, post_path: Path, out: Path, options: MapOptions
) -> dict[str, Any]:
    """See `mapping.map_pair`; the images are PNG, JPEG or TIFF of the engine's size."""
    pre, post = read_pair(pre_path, post_path)
    _check_size(engine, pre.shape[0], pre.shape[1], pre_path)
    result = engine.predict(pre, post)
    buildings = find_buildings(result.damage, result.confidence, options.min_area)
    found = {
        "pre": str(pre_path),
        "post": str(post_path),
        "height": engine.height,
        "width": engine.width,
        "classes": summary.by_class(
            Counter(building.damage_class for building in buildings),
            {each: int((result.damage == each).sum()) for each in DAMAGE_CLASSES},
        ),
        "buildings": len(buildings),
        "min_area_px": options.min_area,
        "nodata_px": int((result.damage == NODATA).sum()),
        "engine": summary.of_engine(engine),
    }
    with adding_to_folder(out) as folder:
        write_png(folder / "damage.png", result.damage)
        write_png(folder / "building.png", result.building)
        write_png(folder / "confidence.png", result.confidence)
        picture = with_legend(overlay(post, result.damage), result.damage)
        write_png(folder / "overlay.png", picture)
        write_geojson(folder / "buildings.geojson", map(feature, buildings))
        write_json(folder / SUMMARY, found)
    return found


def _check_size(engine: Engine, height: int, width: int, path: Path) -> None:
    if (height, width) != (engine.height, engine.width):
        raise ImageError(
            f"{path}: {height}x{width} (height x width), the engine takes "
            f"{engine.height}x{engine.width}; "
            f"{engine.manifest.size_advice(engine.folder, height, width)}"
        )
