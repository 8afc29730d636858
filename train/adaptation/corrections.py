"""Buildings that a person judged, told from those that the network predicted.

A map's GeoPackage, edited in a GIS, holds both; only the former are truth. A feature is a
correction where

- its column `corrected` names a class: that one is true, whatever the other columns say;
- its column `checked` is true: the class in `damage` is true;
- it was drawn: it has no `area_px`, which every building of a map has;
- the map as it was written is given, and the feature is not in it, or has another class there.

With that map, what is in it and not in the edited file is not a building.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely

from runtime.buildings.spans import Spans, spans_of
from runtime.damage import BACKGROUND, CLASS_NAMES, DAMAGE_CLASSES, IGNORE
from runtime.errors import ConfigError
from train.adaptation.changes import Changes, changes
from train.adaptation.class_names import (
    EXPECTED,
    NOT_A_BUILDING,
    class_named,
    class_numbered,
    is_blank,
    is_marked,
)
from train.adaptation.features import AREA, CHECKED, CORRECTED, DAMAGE, DAMAGE_CLASS, Features

CONTRADICTING = 0.5
"""Of the smaller of two corrections: lying on each other by more, they cannot differ in class."""


@dataclass(frozen=True, eq=False)
class Correction:
    """What is true of some pixels.

    name: for a message. kind: how it came about, a word for a count.
    damage: 1..4; 255 for a building whose damage is not known; 0 for what is no building.
    pixels: those of the building, or of what is none. ground: those around a building that the
        map counted to it and that are none.
    """

    name: str
    kind: str
    damage: int
    pixels: Spans
    ground: Spans

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Top, left, bottom, right of `pixels`."""
        spans = self.pixels
        return (
            int(spans.row.min()), int(spans.begin.min()),
            int(spans.row.max()) + 1, int(spans.end.max()),
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class _Found:
    name: str
    kind: str
    damage: int
    shape: Any
    ground: Any = None


def find_corrections(
    edited: Features, original: Features | None, height: int, width: int
) -> list[Correction]:
    """All corrections on a scene of height x width pixels.

    Raises:
        ConfigError: nothing tells corrections from predictions, or a feature cannot be used; the
            message names it.
    """
    if CORRECTED in edited.columns and edited.columns[CORRECTED].dtype.kind not in "OU":
        raise ConfigError(
            f"{edited.path}: its column {CORRECTED} holds "
            f"{'marks' if edited.columns[CORRECTED].dtype.kind == 'b' else 'numbers'}, expected "
            f"names of classes; mark features that were looked at in a column named {CHECKED}"
        )
    found = list(_of_columns(edited)) if original is None else list(_of_map(edited, original))
    if not found:
        raise ConfigError(_none(edited, original))
    _check_agreement(found)
    empty = np.array([shapely.Polygon() if f.ground is None else f.ground for f in found])
    shapes = np.array([each.shape for each in found], object)
    pixels, ground = (spans_of(each, height, width) for each in (shapes, empty))
    corrections = [
        Correction(each.name, each.kind, each.damage, _owned(pixels, i), _owned(ground, i))
        for i, each in enumerate(found)
    ]
    outside = [each.name for each in corrections if not len(each.pixels.row)]
    if outside:
        more = f" and {len(outside) - 1} more" if len(outside) > 1 else ""
        raise ConfigError(
            f"{outside[0]}{more}: covers no pixel of the scene of {height}x{width}; expected "
            "corrections of this pair; remove it, or give the pair that it belongs to"
        )
    return corrections


def summary(corrections: Sequence[Correction]) -> str:
    """How many, by how they came about and by class."""
    kinds = Counter(each.kind for each in corrections)
    classes = Counter(each.damage for each in corrections)
    names = {BACKGROUND: NOT_A_BUILDING, IGNORE: "un-classified"}
    of_class = [
        f"{classes[each]} {names.get(each, CLASS_NAMES[each % len(CLASS_NAMES)])}"
        for each in (*DAMAGE_CLASSES, IGNORE, BACKGROUND)
        if classes[each]
    ]
    ways = ", ".join(f"{number} {kind}" for kind, number in sorted(kinds.items()))
    return f"{len(corrections)} corrections ({ways}): {', '.join(of_class)}"


def _of_columns(edited: Features) -> list[_Found]:
    return [
        each
        for index in range(len(edited))
        if (each := _judged(edited, index) or _drawn(edited, index))
    ]


def _of_map(edited: Features, original: Features) -> list[_Found]:
    compared = changes(edited, original)
    found = []
    for index in range(len(edited)):
        each = _judged(edited, index)
        if index in compared.drawn:
            kind, ground = "drawn", compared.drawn[index]
            damage = each.damage if each else _class_of(edited, index)
            each = _Found(edited.name(index), kind, damage, edited.geometry[index], ground)
        elif each is None and index in compared.as_before:
            each = _changed(edited, index, original, compared)
        if each:
            found.append(each)
    gone = [
        _Found(original.name(index), "removed", BACKGROUND, shape)
        for index, shape in compared.removed.items()
    ]
    return found + gone


def _judged(edited: Features, index: int) -> _Found | None:
    """By the columns that a person adds."""
    text = edited.value(CORRECTED, index)
    if not is_blank(text):
        damage = class_named(text)
        if damage is None:
            raise _unknown(edited, index, CORRECTED, text)
        return _with_shape(edited, index, "corrected", damage)
    mark = is_marked(edited.value(CHECKED, index))
    if mark is None:
        raise ConfigError(
            f"{edited.name(index)}: {CHECKED} is {edited.value(CHECKED, index)!r}; expected true "
            "or false, 1 or 0, yes or no, or nothing"
        )
    return _with_shape(edited, index, "checked", _class_of(edited, index)) if mark else None


def _drawn(edited: Features, index: int) -> _Found | None:
    if AREA not in edited.columns or not is_blank(edited.value(AREA, index)):
        return None
    return _with_shape(edited, index, "drawn", _class_of(edited, index))


def _changed(edited: Features, index: int, original: Features, compared: Changes) -> _Found | None:
    """Where the class is another one than in the map, by its name or by its number."""
    before = compared.as_before[index]
    name, number = (edited.value(column, index) for column in (DAMAGE, DAMAGE_CLASS))
    renamed = _text(name) != _text(original.value(DAMAGE, before))
    was = class_numbered(original.value(DAMAGE_CLASS, before))
    renumbered = class_numbered(number) != was and not is_blank(number)
    if not renamed and not renumbered:
        return None
    damage = _class_of(edited, index) if renamed else class_numbered(number)
    if damage is None:
        raise _unknown(edited, index, DAMAGE_CLASS, number)
    if renamed and renumbered and class_numbered(number) != damage:
        raise ConfigError(
            f"{edited.name(index)}: both were changed, {DAMAGE} to {name!r} and {DAMAGE_CLASS} to "
            f"{number}, which is another class; make them agree"
        )
    return _with_shape(edited, index, "changed", damage)


def _text(value: Any) -> str:
    return "" if is_blank(value) else str(value).strip().casefold()


def _with_shape(edited: Features, index: int, kind: str, damage: int) -> _Found:
    if edited.geometry[index] is None:
        raise ConfigError(
            f"{edited.name(index)}: is marked as corrected and has no outline on the scene; "
            "draw it, or remove the feature"
        )
    return _Found(edited.name(index), kind, damage, edited.geometry[index])


def _class_of(edited: Features, index: int) -> int:
    """By the column `damage`: it is what a map shows, so it is what a person edits."""
    text = edited.value(DAMAGE, index)
    if is_blank(text):
        raise ConfigError(f"{edited.name(index)}: has no class in {DAMAGE}; {EXPECTED}")
    damage = class_named(text)
    damage = class_numbered(text) if damage is None else damage
    if damage is None:
        raise _unknown(edited, index, DAMAGE, text)
    return damage


def _unknown(edited: Features, index: int, column: str, text: Any) -> ConfigError:
    return ConfigError(
        f"{edited.name(index)}: {column} is {str(text)[:60]!r}, no class; {EXPECTED}"
    )


def _none(edited: Features, original: Features | None) -> str:
    if original is not None:
        return (
            f"{edited.path}: its {len(edited)} features are those of {original.path}, nothing was "
            f"corrected; change a class, draw or delete a building, or mark what is right in a "
            f"column {CHECKED}"
        )
    return (
        f"{edited.path}: nothing tells which of its {len(edited)} features a person corrected; "
        f"give the map as it was written (--map FILE), or add a column {CORRECTED} with the right "
        f"class, or a column {CHECKED} that is true where {DAMAGE} is right"
    )


def _check_agreement(found: Sequence[_Found]) -> None:
    """Raises ConfigError for two that say different things of the same place."""
    shapes = np.array([each.shape for each in found], object)
    first, second = shapely.STRtree(shapes).query(shapes, predicate="intersects")
    for i, j in zip(first.tolist(), second.tolist(), strict=True):
        if i >= j or found[i].damage == found[j].damage:
            continue
        smaller = min(shapes[i].area, shapes[j].area)
        if shapely.intersection(shapes[i], shapes[j]).area > CONTRADICTING * smaller:
            raise ConfigError(
                f"{found[j].name}: lies on {found[i].name.rpartition(': ')[2]} and has another "
                "class; keep one of them"
            )


def _owned(spans: Spans, owner: int) -> Spans:
    first, last = np.searchsorted(spans.owner, (owner, owner + 1))
    return spans[first:last]
