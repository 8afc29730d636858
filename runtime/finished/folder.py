"""The folder of a finished map: its summary, its layers row by row, and its place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime import files, records
from runtime.corrections import CORRECTIONS
from runtime.counts import estimate_file
from runtime.damage import CLASS_NAMES, DAMAGE_CLASSES
from runtime.errors import ConfigError, reason
from runtime.options import SUMMARY
from runtime.output.maps import reader
from runtime.scene.unfinished import Read
from runtime.source.georeference import Georeference

_MOST_BYTES = 1 << 26

_OF_ENGINE = (
    "folder", "architecture", "model_width", "checkpoint_sha256", "graph_sha256", "precision",
    "threshold", "backend", "run_with", "created",
)  # fmt: skip

_KEYS = {
    "height": int, "width": int, "classes": dict, "pixels": dict, "quality": dict, "engine": dict,
    "notes": list, "failed_tiles": list, "files": dict, "identity": dict, "windows": int,
}  # fmt: skip
"""Of a summary, what is read here and by those who open a map."""


@dataclass(frozen=True)
class FinishedMap:
    """A map that is complete. place: None for a picture, whose coordinates are pixels.

    estimate: totals with intervals, as `estimate.json` has them; None without one.
    """

    folder: Path
    summary: Mapping[str, Any]
    place: Georeference | None
    estimate: Mapping[str, Any] | None

    @property
    def size(self) -> tuple[int, int]:
        """Height and width, pixels."""
        return self.summary["height"], self.summary["width"]

    @property
    def name(self) -> str:
        return self.folder.resolve().name

    @property
    def mapped(self) -> dict[str, int]:
        """Buildings by class, as the engine saw them."""
        rows = self.summary["classes"]
        return {CLASS_NAMES[each]: rows[CLASS_NAMES[each]]["buildings"] for each in DAMAGE_CLASSES}

    @property
    def has_corrections(self) -> bool:
        return (self.folder / CORRECTIONS).is_file()

    def layer(self, name: str) -> Path:
        """The file of a map such as "damage"."""
        return self.folder / f"{name}{'.tif' if self.place else '.png'}"

    def rows(self, name: str) -> Read:
        """Reads rows of a map: first row and number of rows -> uint8 [rows,W].

        ConfigError, also where rows are read, for a file that is missing or damaged.
        """
        path = self.layer(name)
        if not path.is_file():
            raise ConfigError(
                f"{path}: is missing; expected the map's own file, copy its folder again"
            )
        try:
            read = reader(path)
        except TypeError as error:  # of a PNG that cannot be decoded
            raise _damaged(path) from error

        def checked(top: int, height: int) -> NDArray[np.uint8]:
            try:
                found = read(top, height)
            except OSError as error:  # of rasterio, which has a name for no file
                raise _damaged(path) from error
            if found.shape != (height, self.size[1]):
                raise _damaged(path)
            return found

        return checked

    def altered(self) -> list[str]:
        """Files of the map that are missing or no longer what was written, by name."""
        found = []
        for name, entry in self.summary["files"].items():
            path = self.folder / name
            if not path.is_file() or files.sha256(path) != entry["sha256"]:
                found.append(name)
        return sorted(found)


def _damaged(path: Path) -> ConfigError:
    return ConfigError(f"{path}: cannot be read to its end; copy the map's folder again")


def open_map(folder: Path) -> FinishedMap:
    """Raises ConfigError for a folder without a finished map, or one that cannot be read."""
    path = folder / SUMMARY
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise ConfigError(f"{folder}: {what}; expected the folder of a finished map")
    if not path.is_file():
        raise ConfigError(
            f"{folder}: no {SUMMARY}, so there is no finished map in it; map with "
            "dual-hrnet predict, or go on with an unfinished map by --resume"
        )
    summary = _load(path)
    for key, kind in _KEYS.items():
        if not isinstance(summary.get(key), kind):
            raise ConfigError(
                f"{path}: {key} is missing or of another kind; expected the summary of a map of "
                "this version; map again with dual-hrnet predict --resume"
            )
    try:
        _look_up(summary)
    except (LookupError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"{path}: is not whole ({reason(error)}); expected the summary of a map of this "
            "version; map again with dual-hrnet predict --resume"
        ) from error
    damage = folder / "damage.tif"
    place = _place_of(damage, summary) if "damage.tif" in summary["files"] else None
    return FinishedMap(folder, summary, place, estimate_file.read(folder, summary))


def _look_up(summary: Mapping[str, Any]) -> None:
    """What is read later, so that what is missing shows before anything is written."""
    for each in DAMAGE_CLASSES:
        int(summary["classes"][CLASS_NAMES[each]]["buildings"])
    sum(summary["quality"]["px"].values())
    int(summary["buildings"]) + int(summary["nodata_px"]) + bool(summary["quality"]["masked"])
    for tile in summary["failed_tiles"]:
        sum(int(tile[key]) for key in ("row", "column", "height", "width"))
        str(tile["reason"])
    after = [each["image"] for each in summary.get("images_after", ())]
    paths = [summary["pre"], *(after or [summary["post"]])]
    for path, image in zip(paths, summary["identity"]["images"], strict=True):
        Path(path), Path(image[0][0])
    for key in ("align", "scale", "bands", "nodata"):
        summary["identity"]["options"][key]
    for key in _OF_ENGINE:
        summary["engine"][key]
    for entry in summary["files"].values():
        str(entry["sha256"])


def _load(path: Path) -> dict[str, Any]:
    try:
        content = records.load_json(path, _MOST_BYTES)
    except records.RecordError as error:
        raise ConfigError(f"{path}: {error}; expected a file that the toolkit wrote") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: not an object; expected a file that the toolkit wrote")
    return content


def _place_of(path: Path, summary: Mapping[str, Any]) -> Georeference:
    from runtime.libraries import library

    rasterio = library("rasterio")
    try:
        with rasterio.open(path) as dataset:
            size = dataset.height, dataset.width
            place = Georeference(dataset.crs.to_wkt(), tuple(dataset.transform)[:6])
    except (rasterio.errors.RasterioError, AttributeError) as error:
        raise ConfigError(
            f"{path}: cannot be read as the map that summary.json tells of; copy the folder again"
        ) from error
    if size != (summary["height"], summary["width"]):
        raise ConfigError(
            f"{path}: {size[0]}x{size[1]} pixels, but summary.json tells of "
            f"{summary['height']}x{summary['width']}; copy the folder again"
        )
    return place
