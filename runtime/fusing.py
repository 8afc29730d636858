"""Several images after the event, each mapped on its own, and one map of what they show together.

Each image's own map is a folder `after-N` in the output folder: a whole map as `map_pair` makes
it, with which a later run goes on. The map of all is made of these.
"""

from __future__ import annotations

import contextlib
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from runtime import cli, files, identity, resolution
from runtime.buildings.tally import Grade
from runtime.buildings.wanted import wanted_of
from runtime.buildings.witnesses import Witnesses
from runtime.corrections.aside import NAMES as OF_PEOPLE
from runtime.damage import NODATA
from runtime.errors import ConfigError, ImageError
from runtime.going_on import finished, working
from runtime.mapping import check_out, counted, map_pair, publish, results, write_buildings
from runtime.options import SUMMARY, UNFINISHED, MapOptions
from runtime.output import summary
from runtime.output.legend import LEGENDS, sources_legend
from runtime.output.maps import file_of, maps_of, reader, write_maps
from runtime.output.quicklook import write_overlay
from runtime.registering import registered
from runtime.scene import space
from runtime.scene.fused import MOST, fuse
from runtime.scene.unfinished import Unfinished
from runtime.scene.windows import window_rows
from runtime.scene.work import halo_of
from runtime.source.contract import Pixels
from runtime.source.pair import ScenePair, pair_of

if TYPE_CHECKING:
    from runtime.engine import Engine

SHOWS = 0.5
"""Of a building's pixels: an image that shows less of it is no source of its grade, where another
one shows more."""


@dataclass(frozen=True)
class Dated:
    """number: of the image, from 1. summary: of its own map, in `folder`; None where there is
    none, and then `error` says why."""

    number: int
    post: Path
    folder: Path
    summary: dict[str, Any] | None
    error: str | None = None

    @property
    def notes(self) -> list[str]:
        return list(self.summary["notes"]) if self.summary else []


def map_dates(
    engine: Engine, pre: Path, posts: Sequence[Path], out: Path, options: MapOptions
) -> dict[str, Any]:
    """Map several images after the event into one map; `python -m runtime.predict --post` does it.

    Each is mapped into `out`/after-N, on the grid of `pre`; what is there of these very images is
    taken over, unless `options.restart`. Then each pixel has the class that those agree on which
    show the ground, and each building one grade with its sources: see `scene.fused`.

    Returns:
        The content of summary.json. Its `images_after` tells of each image, its `failed_tiles` of
            windows that could not be computed in one of them.

    Raises:
        As `map_pair`. An image that cannot be mapped is told in `images_after` where another one
            can; ImageError where none can.
    """
    _check(pre, posts)
    check_out(out, [pre, *posts, options.label, options.footprints, options.aoi])
    halo = halo_of(engine, options.halo)
    pixels = identity.of_pixels(engine, pre, posts[0], options, halo)
    pixels["images"] = identity.of_images(pre, *posts)
    if options.resume and (done := finished(out, pixels, options)):
        parts = (
            identity.finished(
                out / f"after-{number}", identity.of_pixels(engine, pre, post, options, halo)
            )
            for number, post in enumerate(posts, 1)
        )
        if all(parts):
            return done
    dated = [
        _mapped(engine, pre, post, out / f"after-{number}", number, options)
        for number, post in enumerate(posts, 1)
    ]
    there = [each for each in dated if each.summary]
    if not there:
        with contextlib.suppress(OSError):  # it may hold more
            out.rmdir()
        raise ImageError(f"none of {len(posts)} images can be mapped; the first: {dated[0].error}")
    forget(out, len(posts))
    with ExitStack() as stack:
        folder = stack.enter_context(working(out))
        pairs = [stack.enter_context(pair_of(pre, each.post, options)) for each in there]
        first = pairs[0]
        place, size = first.georeference, (first.height, first.width)
        notes = [f"{each.post}: not in the map: {each.error}" for each in dated if each.error]
        notes += [f"{each.post}: {note}" for each in there for note in each.notes]
        names = (*maps_of(place), "sources")
        of_each = ("damage", "confidence")
        fresh = space.checked(folder, size, names + of_each * len(there))
        wanted = wanted_of(first, options, window_rows(size, (engine.height, engine.width), halo))
        for note in fresh:  # the others were told as each was mapped
            cli.note(note)
        notes += fresh
        work = Unfinished.begin(folder, size, names, pixels)
        work.ready.mkdir()
        stores = [Unfinished.begin(folder / each.folder.name, size, of_each, {}) for each in there]
        counts = {name: Counter[int]() for name in ("damage", "quality", "sources")}
        totals = write_buildings(
            counted(
                fuse(
                    [_maps(each, place) for each in there],
                    stores,
                    work,
                    [each.number for each in there],
                ),
                counts,
            ),
            work,
            place,
            wanted,
            options,
            _witnesses(there, stores),
        )
        write_maps(work, place, {}, {**LEGENDS, "sources": sources_legend(len(posts))})
        pixel_m = resolution.pixel_m(first)
        if options.register:
            pairs = [
                registered(pair, True, pixel_m, store.folder, {}).pair
                for pair, store in zip(pairs, stores, strict=True)
            ]
        shown = {each.number: pair for each, pair in zip(there, pairs, strict=True)}
        write_overlay(_Shown(shown, work), work, work.ready / "overlay.png")
        own = [each.summary for each in there if each.summary]
        content = {
            "pre": str(pre),
            "post": ", ".join(map(str, posts)),
            "images_after": [_told(each, counts["sources"]) for each in dated],
            "height": size[0],
            "width": size[1],
            "windows": sum(each["windows"] for each in own),
            "windows_computed": sum(each["windows_computed"] for each in own),
            "failed_tiles": [
                {**tile, "reason": f"{each['post']}: {tile['reason']}"}
                for each in own
                for tile in each["failed_tiles"]
            ],
            **results(totals, counts["damage"], counts["quality"], options),
            "pixel_m": list(pixel_m) if pixel_m else None,
            "notes": notes,
            "identity": pixels,
            "made_with": identity.of_buildings(options),
            "engine": summary.of_engine(engine),
        }
        content = publish(work, out, content)
        shutil.rmtree(folder, ignore_errors=True)  # all that is needed to go on is in after-N
        return content


def _check(pre: Path, posts: Sequence[Path]) -> None:
    if len(posts) > MOST:
        raise ConfigError(f"--post: {len(posts)} images; expected at most {MOST}")
    if not pre.exists():
        raise ImageError(f"{pre}: does not exist; expected the image before the event")
    for number, post in enumerate(posts):
        if not post.exists():
            raise ImageError(f"{post}: does not exist; expected an image after the event")
        for other in posts[:number]:
            if post.samefile(other) or _is_copy(post, other):
                raise ConfigError(
                    f"--post: {post} and {other} are one image, which would count twice; expected "
                    "each image once"
                )


def _is_copy(one: Path, other: Path) -> bool:
    return one.stat().st_size == other.stat().st_size and files.sha256(one) == files.sha256(other)


def _mapped(
    engine: Engine, pre: Path, post: Path, folder: Path, number: int, options: MapOptions
) -> Dated:
    cli.note(f"image {number}, {post}: into {folder}")
    try:
        own = replace(options, resume=not options.restart)
        return Dated(number, post, folder, map_pair(engine, pre, post, folder, own))
    except ImageError as error:
        cli.note(str(error))
        return Dated(number, post, folder, None, str(error))


def forget(out: Path, count: int) -> None:
    """The own maps of images that an earlier map in `out` was of and this is not, which has
    `count` images. One that people corrected stays, and that is told."""
    for folder in out.glob("after-*"):
        number = folder.name.removeprefix("after-")
        if number.isdecimal() and int(number) > count and (folder / SUMMARY).is_file():
            if by_hand := [name for name in OF_PEOPLE if (folder / name).exists()]:
                cli.note(f"{folder}: is in no map any more; it stays, for its {by_hand[0]}")
                continue
            shutil.rmtree(folder / UNFINISHED, ignore_errors=True)
            identity.forget(folder, [])
            with contextlib.suppress(OSError):  # what is in it is not ours
                folder.rmdir()


def _maps(each: Dated, place: Any) -> Mapping[str, Any]:
    return {name: reader(each.folder / file_of(name, place)) for name in maps_of(place)}


def _witnesses(there: Sequence[Dated], stores: Sequence[Unfinished]) -> Witnesses:
    def told(grades: Sequence[Grade]) -> dict[str, str | float]:
        shown = [1 - grade.not_computed for grade in grades]
        enough = min(SHOWS, max(shown))
        fields: dict[str, str | float] = {
            "sources": " ".join(
                str(each.number)
                for each, share in zip(there, shown, strict=True)
                if share and share >= enough
            )
        }
        for each, grade in zip(there, grades, strict=True):
            fields[f"damage_{each.number}"] = grade.damage
            fields[f"confidence_{each.number}"] = grade.confidence
        return fields

    return Witnesses([store.damage_and_confidence for store in stores], told)


def _told(each: Dated, sources: Mapping[int, int]) -> dict[str, Any]:
    """JSON values. used_px: pixels of the map that the image takes part in."""
    own = each.summary or {}
    bit = 1 << each.number - 1
    used = sum(count for value, count in sources.items() if value != NODATA and value & bit)
    return {
        "number": each.number,
        "image": str(each.post),
        "map": each.folder.name if own else None,
        "error": each.error,
        "used_px": used,
        "failed_windows": len(own.get("failed_tiles", ())),
        "registration": own.get("registration"),
        "levels": own.get("levels"),
        "notes": own.get("notes", []),
    }


@dataclass(frozen=True, eq=False)
class _Shown:
    """A picture of the ground in which each pixel is of the first image that takes part there."""

    pairs: Mapping[int, ScenePair]
    work: Unfinished

    def reduced(
        self, top: int, left: int, height: int, width: int, size: tuple[int, int]
    ) -> Pixels:
        """As a `Source` gives it. Raises ImageError where no image can be read."""
        step = -(-height // size[0]), -(-width // size[1])
        here = self.work.whole("sources")[top : top + height, left : left + width]
        sources = np.array(here[:: step[0], :: step[1]])
        sources[sources == NODATA] = 1 << min(self.pairs) - 1
        picture: NDArray[np.uint8] = np.zeros((*size, 3), np.uint8)
        errors, free = [], np.ones(size, bool)
        for number, pair in self.pairs.items():
            mine = free & (sources & (1 << number - 1) > 0)
            if not mine.any():
                continue
            try:
                picture[mine] = pair.post.reduced(top, left, height, width, size)[mine]
            except ImageError as error:
                errors.append(error)
                continue
            free &= ~mine
        if errors and free.all():
            raise errors[0]
        return picture
