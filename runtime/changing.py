"""Two finished maps of the same ground to the layers of what changed between them.

Ground that one of the maps does not know, or whose image after the event does not show it (cloud,
shadow: see `source.quality`), is not compared: it is 255, never "the same".
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime import cli, files, identity
from runtime.buildings.tally import Grade
from runtime.buildings.votes import building_pixels
from runtime.buildings.wanted import Wanted
from runtime.buildings.witnesses import Witnesses
from runtime.damage import BACKGROUND, CLASS_NAMES, DAMAGE_CLASSES, NODATA, NODATA_NAME
from runtime.errors import ConfigError, ImageError
from runtime.finished import FinishedMap, open_map
from runtime.going_on import working
from runtime.mapping import add_values, put_in_place, write_buildings
from runtime.options import SUMMARY, MapOptions
from runtime.output.legend import Legend
from runtime.output.maps import file_of, reader, write_classes
from runtime.output.style import Look
from runtime.scene import space
from runtime.scene.fused import ROWS
from runtime.scene.strip import Strip
from runtime.scene.unfinished import Read, Unfinished
from runtime.scene.windows import Spans, WindowRows
from runtime.source.quality import hidden_after

CHANGE = "change.json"

LAYERS = ("damage", "confidence", "quality")
"""Of each map, that are compared."""

NO_BUILDING = "no building"

SAME, MORE, LESS, NEW, GONE = "same", "more damage", "less damage", "only later", "only earlier"
CHANGES = (SAME, MORE, LESS, NEW, GONE)
"""By value of the layer from 1; 0 is no building in either map, NODATA what is not compared."""

LEGEND = Legend(
    (NO_BUILDING, *CHANGES),
    ((0, 0, 0), (255, 255, 255), (214, 39, 40), (44, 123, 182), (255, 217, 47), (148, 103, 189)),
    nodata_name="not compared",
)
LOOK = Look(
    "change", {**dict(zip(CHANGES, LEGEND.colours[1:], strict=True)), NODATA_NAME: (255, 0, 255)}
)

FEW = 0.25
"""Of a building's computed pixels: a map with fewer pixels of buildings shows none there. Where
one was found there are always some along its outline."""


def map_change(earlier: Path, later: Path, out: Path, options: MapOptions) -> dict[str, Any]:
    """Compare two folders of maps; what `python -m runtime.change` does.

    Args:
        earlier, later: folders that `predict`, `batch` or `watch` made, on one grid.
        out: folder of change.tif (or .png), changes.gpkg and .geojson, and change.json.
        options: `min_area`, `raw_outlines` and `footprints`.

    Returns:
        The content of change.json: `buildings`, how many were of each class in the earlier map
            (first key) and in the later one (second key), and how many changed how (`changes`).

    Raises:
        ConfigError: a folder without a finished map, or maps on two grids.
        ImageError: maps without a pixel that both know.
    """
    if out.exists() and not out.is_dir():
        raise ConfigError(f"--out {out}: is a file; expected a folder, or a new name")
    first, second = opened(earlier), opened(later)
    _check_grids(first, second)
    if (out / SUMMARY).exists():
        raise ConfigError(f"--out {out}: holds a map; expected another folder, or a new name")
    notes = _notes(first, second)
    size, place = first.size, first.place
    counts, pixels = Counter[tuple[str, str]](), Counter[int]()
    changes = Counter[str]()
    with working(out) as folder:
        of_each = ("damage", "confidence")
        notes += space.checked(folder, size, of_each * 4)
        for note in notes:
            cli.note(note)
        work = Unfinished.begin(folder, size, of_each, {})
        work.ready.mkdir()
        stores = [Unfinished.begin(folder / name, size, of_each, {}) for name in ("a", "b", "c")]

        def told(grades: Sequence[Grade]) -> dict[str, str | float]:
            fields = _told(grades)
            counts[str(fields["damage_earlier"]), str(fields["damage_later"])] += 1
            changes[str(fields["change"])] += 1
            return fields

        made = _compared(_maps(first), _maps(second), work, stores, pixels)
        write_buildings(
            made, work, place, _wanted(options, first), options,
            Witnesses([store.damage_and_confidence for store in stores[:2]], told),
            name="changes", look=LOOK,
        )  # fmt: skip
        if not pixels.keys() - {NODATA}:
            raise ImageError(
                f"{earlier} and {later}: no pixel is known in both; expected maps of the same "
                "ground in images that show it"
            )
        path = work.ready / file_of("change", place)
        write_classes(stores[2].whole("damage"), path, place, {}, LEGEND)
        content = {
            "earlier": _about(first),
            "later": _about(second),
            "buildings": _matrix(counts),
            "changes": {name: changes[name] for name in (*CHANGES, NODATA_NAME)},
            "pixels": {
                **{name: pixels[value] for value, name in enumerate(LEGEND.names)},
                LEGEND.nodata_name: pixels[NODATA],
            },
            "min_area_px": options.min_area,
            "footprints": str(options.footprints) if options.footprints else None,
            "notes": notes,
        }
        _publish(work, out, content)
        shutil.rmtree(folder, ignore_errors=True)
    return content


def opened(folder: Path) -> FinishedMap:
    """Raises ConfigError for a folder without a finished map, or one that was altered."""
    found = open_map(folder)
    names = [found.layer(name).name for name in LAYERS]
    if missing := [name for name in names if name not in found.summary["files"]]:
        raise ConfigError(
            f"{folder}: a map without {' and '.join(missing)}, of an older version; map it again"
        )
    if not identity.intact(folder, found.summary, names):
        raise ConfigError(
            f"{folder}: {', '.join(names)} are not as they were written; map it again"
        )
    return found


def _maps(of: FinishedMap) -> dict[str, Read]:
    return {name: reader(of.layer(name)) for name in LAYERS}


def _check_grids(first: FinishedMap, second: FinishedMap) -> None:
    found = ""
    if first.size != second.size:
        sizes = [f"{height}x{width}" for height, width in (second.size, first.size)]
        found = f"{sizes[0]} pixels (height x width), not {sizes[1]}"
    elif (first.place is None) != (second.place is None):
        found = "one of them has no coordinates"
    elif first.place is not None:
        import rasterio

        from runtime.source.grid import differences

        with (
            rasterio.open(first.folder / "damage.tif") as one,
            rasterio.open(second.folder / "damage.tif") as other,
        ):
            found = differences(one, other)
    if found:
        raise ConfigError(
            f"{second.folder} is on another grid than {first.folder}: {found}; map both with the "
            "same image before the event, and --align where the other lies on another grid"
        )


def _notes(first: FinishedMap, second: FinishedMap) -> list[str]:
    found = []
    if first.folder.samefile(second.folder):
        found.append(f"{first.folder} and {second.folder} are one map, in which nothing changed")
    one, other = (each.summary.get("engine", {}).get("graph_sha256") for each in (first, second))
    if one != other:
        found.append("the maps are of two networks: what changed may be the network's opinion")
    before = [each.summary.get("identity", {}).get("images", [None])[0] for each in (first, second)]
    if before[0] != before[1]:
        found.append("the maps have two images before the event: outlines may differ by that")
    corrected = [str(each.folder) for each in (first, second) if each.has_corrections]
    if corrected:
        found.append(
            f"{' and '.join(corrected)}: corrected by hand; what changed is told of the maps as "
            "they were made, without the corrections"
        )
    failed = [str(each.folder) for each in (first, second) if each.summary.get("failed_tiles")]
    if failed:
        found.append(f"{' and '.join(failed)}: windows that failed are not compared")
    return found


def _compared(
    first: Mapping[str, Read],
    second: Mapping[str, Read],
    work: Unfinished,
    stores: Sequence[Unfinished],
    pixels: Counter[int],
) -> Iterator[Strip]:
    """The map of the buildings of both, into `work`; each map, and the changes, into `stores`.

    pixels: to which the values of the changes are added.
    """
    height = work.size[0]
    for top in range(0, height, ROWS):
        rows = min(ROWS, height - top)
        one, other = (_known(maps, top, rows) for maps in (first, second))
        work_strip = _both(one, other)
        nothing = np.zeros_like(one.damage)
        change = Strip(top, changed(one.damage, other.damage), nothing)
        add_values(pixels, change.damage)
        for store, strip in zip(stores, (one, other, change), strict=True):
            store.add(strip, ())
        work.add(work_strip, ())
        yield work_strip


def _known(maps: Mapping[str, Read], top: int, rows: int) -> Strip:
    """What a map says where its image after the event shows the ground."""
    damage, confidence, quality = (
        maps[name](top, rows) for name in ("damage", "confidence", "quality")
    )
    hidden = hidden_after(quality)
    return Strip(
        top,
        np.where(hidden, np.uint8(NODATA), damage),
        np.where(hidden, np.uint8(0), confidence),
    )


def _both(one: Strip, other: Strip) -> Strip:
    """Buildings of either map, of the later one first."""
    later, earlier = (_is_building(each.damage) for each in (other, one))
    damage = np.where(later, other.damage, np.where(earlier, one.damage, np.uint8(BACKGROUND)))
    confidence = np.where(later | ~earlier, other.confidence, one.confidence)
    unknown = ((one.damage == NODATA) | (other.damage == NODATA)) & ~later & ~earlier
    return Strip(
        one.top,
        np.where(unknown, np.uint8(NODATA), damage),
        np.where(unknown, np.uint8(0), confidence),
    )


def changed(earlier: NDArray[np.uint8], later: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Damage of two maps, uint8 [H,W] each -> uint8 [H,W]: 0 where neither has a building, the
    place in `CHANGES` from 1, NODATA where one of them is."""
    was, now = _is_building(earlier), _is_building(later)
    found = np.zeros(earlier.shape, np.uint8)
    for value, where in enumerate(
        (
            was & now & (earlier == later),
            was & now & (earlier < later),
            was & now & (earlier > later),
            now & ~was,
            was & ~now,
        ),
        start=1,
    ):
        found[where] = value
    found[(earlier == NODATA) | (later == NODATA)] = NODATA
    return found


def _is_building(damage: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return building_pixels(damage).view(np.bool_)


def _told(grades: Sequence[Grade]) -> dict[str, str | float]:
    """Of a building by its grades in the earlier and in the later map."""
    names = [_name(grade) for grade in grades]
    if NODATA_NAME in names:
        change = NODATA_NAME
    else:
        values = [
            np.array([[CLASS_NAMES.index(n) if n in CLASS_NAMES else 0]], np.uint8) for n in names
        ]
        change = LEGEND.names[int(changed(*values)[0, 0])]
    return {
        "change": change,
        "damage_earlier": names[0],
        "damage_later": names[1],
        "confidence_earlier": _confidence(grades[0], names[0]),
        "confidence_later": _confidence(grades[1], names[1]),
    }


def _name(grade: Grade) -> str:
    if grade.not_computed > 0.5:
        return NODATA_NAME
    if grade.damage_class == NODATA or 1 - grade.shares[CLASS_NAMES[BACKGROUND]] < FEW:
        return NO_BUILDING
    return grade.damage


def _confidence(grade: Grade, name: str) -> float:
    return grade.confidence if name in CLASS_NAMES else float("nan")


def _wanted(options: MapOptions, of: FinishedMap) -> Wanted:
    height, width = of.size
    rows = WindowRows(Spans(height, height, 0), Spans(width, width, 0))
    if not options.footprints:
        return Wanted(rows)
    if of.place is None:
        raise ConfigError(f"--footprints {options.footprints}: {of.folder} has no coordinates")
    from runtime.buildings.footprint_file import open_footprints

    return Wanted(rows, footprints=open_footprints(options.footprints, *of.size, of.place))


def _matrix(counts: Mapping[tuple[str, str], int]) -> dict[str, dict[str, int]]:
    names = [*(CLASS_NAMES[each] for each in DAMAGE_CLASSES), NO_BUILDING, NODATA_NAME]
    return {one: {other: counts.get((one, other), 0) for other in names} for one in names}


def _about(of: FinishedMap) -> dict[str, Any]:
    return {
        "folder": str(of.folder),
        "post": of.summary.get("post"),
        "summary_sha256": files.sha256(of.folder / SUMMARY),
    }


def _publish(work: Unfinished, out: Path, content: dict[str, Any]) -> None:
    """Into `out`, change.json last: while it is missing the layers are not complete."""
    ready = sorted(work.ready.iterdir())
    content["files"] = identity.of_files(ready)
    (out / CHANGE).unlink(missing_ok=True)
    put_in_place(ready, out)
    files.write_json(out / CHANGE, content)


def table(content: Mapping[str, Any], out: Path) -> str:
    """For the terminal: rows are the earlier map's classes, columns the later map's."""
    matrix = content["buildings"]
    shown = [
        name for name in matrix
        if any(matrix[name].values()) or any(row[name] for row in matrix.values())
    ] or list(matrix)[:1]  # fmt: skip
    lines = [f"{'earlier / later':<16}" + "".join(f"{name:>14}" for name in shown)]
    lines += [
        f"{name:<16}" + "".join(f"{matrix[name][other]:>14}" for other in shown) for name in shown
    ]
    lines.append(", ".join(f"{name} {number}" for name, number in content["changes"].items()))
    lines.append(f"results in {out}")
    return "\n".join(lines)
