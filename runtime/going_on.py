"""What is in a map's folder before the work: a finished map, part of one, or another process."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from runtime import cli, identity
from runtime.errors import ConfigError
from runtime.locks import alone_in
from runtime.options import UNFINISHED, MapOptions
from runtime.output.gate_record import skipped_of
from runtime.output.maps import file_of, maps_of, reader
from runtime.scene import unfinished
from runtime.scene.unfinished import Unfinished
from runtime.scene.windows import WindowRows
from runtime.source.pair import ScenePair


def finished(out: Path, pixels: dict[str, Any], options: MapOptions) -> dict[str, Any] | None:
    """The summary of this very map with these buildings, if every file of it is there."""
    if (out / UNFINISHED).exists():
        return None
    content = identity.finished(out, pixels)
    if not content or content.get("made_with") != identity.of_buildings(options):
        return None
    return content if identity.intact(out, content) else None


@contextlib.contextmanager
def working(out: Path) -> Iterator[Path]:
    """The folder of unfinished work, this process's alone; gone if nothing came of it."""
    new = not out.exists()
    folder = out / UNFINISHED
    out.mkdir(parents=True, exist_ok=True)
    with alone_in(folder, patience=0.0) as alone:
        if not alone:
            raise ConfigError(
                f"{out}: another process is writing a map there; let it finish, end it, or "
                "choose another folder"
            )
        try:
            yield folder
        finally:
            if not unfinished.is_kept(folder):
                shutil.rmtree(folder, ignore_errors=True)
                if new:
                    with contextlib.suppress(OSError):  # there are maps in it
                        out.rmdir()


def begun(
    folder: Path,
    out: Path,
    pair: ScenePair,
    rows: WindowRows,
    pixels: dict[str, Any],
    options: MapOptions,
) -> tuple[Unfinished, dict[str, Any]]:
    """The work to go on with, or new work; the summary of finished maps that it took over.

    Raises ConfigError for unfinished work that would be lost or is of something else.
    """
    size, maps = (pair.height, pair.width), maps_of(pair.georeference)
    journal = None if options.restart else unfinished.begun(folder)
    if journal is None:
        done = identity.finished(out, pixels) if options.resume else None
        work = Unfinished.begin(folder, size, maps, pixels)
        names = {name: file_of(name, pair.georeference) for name in maps}
        if not done or not identity.intact(out, done, names.values()):
            return work, {}
        cli.note("every pixel is there from before; the buildings are made anew")
        skipped = skipped_of(done["gate"]) if done.get("gate") else ()
        work.fill(rows.rows, {n: reader(out / f) for n, f in names.items()}, skipped)
        return work, done
    if not options.resume:
        raise ConfigError(
            f"{folder}: an unfinished map, {len(journal.heights)} of {len(rows)} rows of windows "
            "are done; --resume goes on with it, --restart throws it away"
        )
    if other := _others(journal.identity, pixels):
        raise ConfigError(
            f"{folder}: an unfinished map with another {', '.join(other)}; "
            "--restart throws it away and begins anew"
        )
    if missing := [name for name in maps if not (folder / name).exists()]:
        raise ConfigError(
            f"{folder}: an unfinished map without its {' and '.join(missing)}; --restart throws it "
            "away and begins anew"
        )
    cli.note(f"{len(journal.heights)} of {len(rows)} rows of windows are done, going on")
    return Unfinished(folder, size, maps, journal), {}


def is_of(folder: Path, pixels: dict[str, Any]) -> bool:
    """Is there unfinished work in `folder`, of just these pixels?"""
    journal = unfinished.begun(folder)
    return journal is not None and not _others(journal.identity, pixels)


_SHOWN = {"no_gate": "use of the gate (--no-gate or --footprints leave it out)"}
"""Of what is no option by its name."""


def _others(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What of an identity is another one now; of options those that are."""
    other = [key for key in now if before.get(key) != now[key]]
    if "options" not in other:
        return other
    was, here = (each.get("options") or {} for each in (before, now))
    names = sorted(key for key in {*was, *here} if was.get(key) != here.get(key))
    options = [_SHOWN.get(name, f"--{name.replace('_', '-')}") for name in names]
    return [key for key in other if key != "options"] + options
