"""What the maps of a pair are made from: noted before, compared after, and by the next run.

The note holds checksums of bytes, for a writer can keep a file's size and time; the stamps
beside it tell of a file that was another one for a while.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtime import records
from runtime.errors import ToolkitError
from runtime.files import sha256
from runtime.identity import intact
from runtime.manifest import Manifest
from runtime.many.pairs import Pair
from runtime.options import SUMMARY, MapOptions
from runtime.source.sidecars import beside, renamed

SOURCES = "sources.json"
"""In a folder of maps: the images with their sidecars, the engine and the options."""

Stamp = tuple[int, int, int, int]
"""Bytes, nanoseconds of the last change of content, inode, and of the last change of any kind."""

_ROLES = {"pre": "image before", "post": "image after"}
_ALWAYS = ("pre", "post", "height", "width", "engine")
"""Keys of a summary, in every release."""
_UNSAID = {"resume", "restart"}  # they say nothing of the maps
_SHAPEFILE = {".shp", ".shx", ".dbf", ".prj", ".cpg"}


class ChangedError(ToolkitError):
    """A file was replaced, or grew, while it was mapped: that map is of no known image."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"{path}: changed while it was mapped, that map was thrown away; "
            "expected a file that is complete"
        )


class StaleError(ToolkitError):
    """Maps of this name are there, and not of what would be mapped now."""

    def __init__(self, name: str, stale: Stale) -> None:
        super().__init__(stale.line)
        self.name = name
        self.of_other_images = stale.of_other_images


@dataclass(frozen=True)
class Stale:
    """Maps that are not those that a pair would get now. `line`: why, for a person."""

    line: str
    of_other_images: bool


def stale(folder: Path, now: Mapping[str, Any]) -> Stale | None:
    """None if the maps in `folder` are whole and of `now`, a whole note."""
    other = differences(folder, now)
    of_other_images = any(each in _ROLES.values() for each in other)
    if not (folder / SOURCES).exists():
        why = f"have no {SOURCES}, nobody knows of which images they are"
    elif damage := damaged(folder):
        why = f"are damaged: {damage}"
    elif other:
        why = f"were made with another {', another '.join(other)}"
    else:
        return None
    return Stale(f"the maps in {folder} {why}", of_other_images)


def damaged(folder: Path) -> str | None:
    """What of the maps is not as it was written; None if all is.

    Maps of an earlier release do not list their files: those are believed.
    """
    summary = _content(folder / SUMMARY)
    missing = [key for key in _ALWAYS if key not in summary]
    if "files" in summary and not isinstance(summary.get("failed_tiles"), list):
        missing.append("failed_tiles")
    if missing:
        return f"{SUMMARY} is no summary of a map, it has no {missing[0]}"
    listed = summary.get("files", {})
    if not isinstance(listed, dict):
        return f"{SUMMARY} lists no files"
    for name in listed:
        if not intact(folder, summary, [name]):
            return f"{name} is {'altered' if (folder / name).exists() else 'missing'}"
    return None


def stamp(status: os.stat_result) -> Stamp:
    return status.st_size, status.st_mtime_ns, status.st_ino, status.st_ctime_ns


@dataclass(frozen=True)
class Sources:
    """`note`: of images and options, for sources.json. `stamps`: taken before the checksums."""

    pair: Pair
    options: MapOptions
    note: dict[str, Any]
    stamps: dict[Path, Stamp | None]

    @classmethod
    def of(cls, pair: Pair, options: MapOptions) -> Sources:
        """As they are now; what cannot be read is noted so: its reader has the message."""
        stamps = _stamps(pair, options)
        images = {"pre": _image(pair.pre), "post": _image(pair.post)}
        return cls(pair, options, {**images, "options": _options(options)}, stamps)

    @property
    def one_image(self) -> bool:
        """Are both images the same bytes, whatever they are called?"""
        first, second = (self.note[role]["sha256"] for role in _ROLES)
        return bool(first and first == second)

    def check(self) -> None:
        """Raises ChangedError if what was mapped since is not certainly what was noted."""
        now = _stamps(self.pair, self.options)
        for path in [*now, *self.stamps]:
            if now.get(path) != self.stamps.get(path):
                raise ChangedError(path)
        for role, path in (("pre", self.pair.pre), ("post", self.pair.post)):
            if _image(path) != self.note[role]:
                raise ChangedError(path)


def of_engine(manifest: Manifest) -> dict[str, Any]:
    """The note of an engine. Its folder may be moved, and be built again to the same bytes."""
    return {
        "payload_sha256": [entry.sha256 for entry in manifest.payload],
        "graph_sha256": manifest.graph.sha256,
        "checkpoint_sha256": manifest.model.checkpoint_sha256,
        "precision": manifest.precision,
    }


def differences(folder: Path, now: Mapping[str, Any]) -> list[str]:
    """In what the maps in `folder` were made from something else than `now`, a whole note.

    What cannot be told counts as different.
    """
    summary = _content(folder / SUMMARY)
    then = _content(folder / SOURCES)
    other = [words for role, words in _ROLES.items() if not _same_image(then.get(role), now[role])]
    engine: Any = then.get("engine") or summary.get("engine")
    known = [key for key in now["engine"] if isinstance(engine, dict) and key in engine]
    if not known or any(engine[key] != now["engine"][key] for key in known):
        other.append("engine")
    options = then.get("options")
    if not isinstance(options, dict):
        options = _options_of_summary(summary)
    usual = _options(MapOptions())
    for key in sorted({*options, *now["options"]}):
        if options.get(key, usual.get(key)) != now["options"].get(key, usual.get(key)):
            other.append(f"--{key.replace('_', '-')}")
    return other


def made_from(folder: Path, role: str, file: Path, image: str | None = None) -> bool:
    """Do the maps in `folder` note these very bytes? `image`: of which `file` is a sidecar."""
    noted = _content(folder / SOURCES).get(role)
    if not isinstance(noted, dict):
        return False
    try:
        if image is None:
            return bool(noted.get("sha256") == sha256(file))
        return {"file": renamed(file.name, image, noted["file"]), "sha256": sha256(file)} in [
            {"file": each["file"], "sha256": each["sha256"]} for each in noted.get("sidecars", ())
        ]
    except (OSError, KeyError, TypeError):
        return False


def _image(path: Path) -> dict[str, Any]:
    note = _file(path)
    if others := [_file(each) for each in beside(path)]:
        note["sidecars"] = others
    return note


def _file(path: Path) -> dict[str, Any]:
    try:
        return {"file": path.name, "bytes": path.stat().st_size, "sha256": sha256(path)}
    except OSError:
        return {"file": path.name, "bytes": None, "sha256": None}


def _same_image(then: Any, now: Mapping[str, Any]) -> bool:
    """Whatever it is called; its sidecars by what follows its name."""

    def essence(note: Any) -> Any:
        beside = {
            renamed(each["file"], note["file"], "x.x"): each["sha256"]
            for each in note.get("sidecars", ())
        }
        return note["sha256"], beside

    try:
        return bool(now["sha256"] and essence(then) == essence(now))
    except (KeyError, TypeError, AttributeError):
        return False


def _options(options: MapOptions) -> dict[str, Any]:
    """All of them, also those that are added one day."""
    fields = {each.name: getattr(options, each.name) for each in dataclasses.fields(options)}
    return {name: _plain(value) for name, value in fields.items() if name not in _UNSAID}


def _options_of_summary(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Of maps whose note has none yet."""
    identity = summary.get("identity")
    noted = identity.get("options") if isinstance(identity, dict) else None
    if not isinstance(noted, dict):
        noted = {}
    options = {key: noted[key] for key in ("align", "scale") if key in noted}
    return options | ({"min_area": summary["min_area_px"]} if "min_area_px" in summary else {})


def _plain(value: Any) -> Any:
    """As JSON gives it back."""
    if isinstance(value, Path):
        return {"sha256": _hash_of(tuple((each, stamp(each.stat())) for each in _parts(value)))}
    if isinstance(value, (tuple, list)):
        return [_plain(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


@functools.lru_cache(maxsize=16)
def _hash_of(files: tuple[tuple[Path, Stamp], ...]) -> str:
    """Of a file of the options and its parts. Kept: footprints of a country serve every pair."""
    digest = hashlib.sha256()
    for path, _ in files:
        digest.update(f"{path.suffix.lower()} {sha256(path)}\n".encode())
    return digest.hexdigest()


def _parts(path: Path) -> Iterator[Path]:
    """The files that a vector file is made of."""
    if path.is_dir():
        yield from sorted(each for each in path.rglob("*") if each.is_file())
    elif path.suffix.lower() == ".shp":
        yield from sorted(
            each
            for each in path.parent.iterdir()
            if each.stem == path.stem and each.suffix.lower() in _SHAPEFILE
        )
    else:
        yield path


def _stamps(pair: Pair, options: MapOptions) -> dict[Path, Stamp | None]:
    values = (getattr(options, each.name) for each in dataclasses.fields(options))
    paths = [part for each in values if isinstance(each, Path) for part in _parts(each)]
    for image in (pair.pre, pair.post):
        paths += [image, *beside(image)]
    return {path: _stamp_of(path) for path in paths}


def _stamp_of(path: Path) -> Stamp | None:
    try:
        return stamp(path.stat())
    except OSError:
        return None


def _content(path: Path) -> dict[str, Any]:
    """Empty where it is not there, or not what we write."""
    try:
        content = records.load_json(path)
    except (OSError, records.RecordError):
        return {}
    return content if isinstance(content, dict) else {}
