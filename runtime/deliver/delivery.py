"""A finished map handed over: the forms that are asked for, in a folder that appears whole."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from runtime import cli, files
from runtime.counts import ESTIMATE
from runtime.deliver import FORMS, Cells
from runtime.deliver.context import Context, context_of
from runtime.deliver.conventions import CONVENTIONS
from runtime.deliver.footprint import Footprint, footprint_of
from runtime.deliver.names import by_name
from runtime.errors import ConfigError
from runtime.finished.folder import open_map
from runtime.options import SUMMARY
from runtime.output.maps import OUTPUTS

OVERLAY = "overlay.png"


def write(
    folder: Path,
    forms: Sequence[str],
    out: Path,
    when: str | None,
    taken: tuple[str | None, str | None],
    cells: Cells,
) -> list[Path]:
    """See `runtime.deliver.deliver`."""
    unknown = [each for each in forms if each not in FORMS]
    if unknown or not forms:
        raise ConfigError(
            f"--as {' '.join(unknown) or 'without a form'}; expected some of {', '.join(FORMS)}"
        )
    _check_out(folder, out)
    context = context_of(open_map(folder), when, taken)
    if context.map.place is None:
        raise ConfigError(
            f"{folder}: a picture without coordinates has no place in a GIS or a catalogue; print "
            "it with dual-hrnet sheet, or map it with its coordinates"
        )
    if "stac" in forms:
        from runtime.deliver.stac import check_date

        check_date(context)
    footprint = footprint_of(context.map)
    with files.adding_to_folder(out) as work:
        for form in dict.fromkeys(forms):
            if form in CONVENTIONS:
                from runtime.deliver.layers import write_convention

                convention = CONVENTIONS[form]
                write_convention(convention, context, footprint, work / convention.file)
            elif form == "grid":
                _write_cells(context, cells, work)
        if context.map.estimate is not None:
            shutil.copyfile(context.map.folder / ESTIMATE, work / ESTIMATE)
        if "stac" in forms:  # last: it lists the others
            _write_stac(context, footprint, work)
        names = sorted(path.name for path in work.iterdir() if path.is_file())
        _check_rest(out, [*names, work.name])
    return [out / name for name in names]


def _write_cells(context: Context, given: Cells, work: Path) -> None:
    from runtime.cells import count
    from runtime.cells.grid import areas, hexagons, squares
    from runtime.cells.layer import FILE, write
    from runtime.deliver.layers import tag

    map_, place = context.map, context.map.place
    assert place is not None
    if given.areas:
        cells = areas(given.areas, place, *map_.size)
    elif given.h3 is not None:
        cells = hexagons(place, *map_.size, given.h3)
    else:
        cells = squares(place, *map_.size, given.side)
    counts = count(map_, cells, nearest=given.areas is None)
    if counts.outside:
        cli.note(f"{counts.outside} buildings lie in none of the areas and are not counted")
    write(counts, work / FILE)
    tag(context, work / FILE)


def _write_stac(context: Context, footprint: Footprint, work: Path) -> None:
    from runtime.deliver.layers import write_buildings
    from runtime.deliver.model_item import model_item
    from runtime.deliver.provenance import copy_raster
    from runtime.deliver.stac import map_item

    folder = context.map.folder
    tags = {**context.provenance, "CORRECTIONS_APPLIED": "no: pixels are as the engine saw them"}
    for name in ("damage", "confidence", "quality"):
        copy_raster(folder / f"{name}.tif", work / f"{name}.tif", tags, name == "confidence")
    if (folder / OVERLAY).is_file():
        shutil.copyfile(folder / OVERLAY, work / OVERLAY)
    files.write_json(work / SUMMARY, by_name(context.map.summary))
    write_buildings(context, work / "buildings.gpkg")
    model = model_item(context, footprint)
    if model is None:
        cli.note("the engine's folder is not here, so there is no Item of the engine")
    else:
        files.write_json(work / "model.json", model)
    files.write_json(work / "item.json", map_item(context, footprint, work))


def _check_out(folder: Path, out: Path) -> None:
    """Raises ConfigError for a folder that holds a map: its files would be replaced."""
    if os.path.realpath(out) == os.path.realpath(folder) or (
        out.is_dir() and any((out / name).exists() for name in OUTPUTS) and not _ours(out)
    ):
        raise ConfigError(
            f"--out {out}: holds a map, whose files would be replaced; choose another folder"
        )


def _check_rest(out: Path, names: Sequence[str]) -> None:
    """Raises ConfigError where files would lie beside these that are not of this hand-over."""
    if out.is_dir() and (rest := sorted({path.name for path in out.iterdir()} - set(names))):
        raise ConfigError(
            f"--out {out}: holds {rest[0]}, which is not of this hand-over and would be taken for "
            "a part of it; choose a new folder, or name all forms at once"
        )


def _ours(out: Path) -> bool:
    """Was it delivered into before?"""
    return (out / "item.json").is_file()
