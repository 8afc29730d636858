"""What a person may have typed as a building's class."""

from __future__ import annotations

import math
from typing import Any

from runtime.damage import BACKGROUND, CLASS_NAMES, DAMAGE_CLASSES, IGNORE, UNCLASSIFIED

NOT_A_BUILDING = "not a building"

_NUMBERS = (BACKGROUND, *DAMAGE_CLASSES)
_YES = {"true", "t", "yes", "y", "x", "1"}
_NO = {"false", "f", "no", "n", "0"}


def _plain(text: str) -> str:
    return "".join(each for each in text.casefold() if each not in " -_\t")


_CLASSES = {
    **{_plain(CLASS_NAMES[each]): each for each in _NUMBERS},
    _plain(NOT_A_BUILDING): BACKGROUND,
    _plain(UNCLASSIFIED): IGNORE,
}

EXPECTED = "expected " + ", ".join(
    [*(CLASS_NAMES[each] for each in DAMAGE_CLASSES), UNCLASSIFIED]
) + f" or {NOT_A_BUILDING}"  # fmt: skip


def is_blank(value: Any) -> bool:
    """Null in the file, or nothing but spaces."""
    return (
        value is None or (isinstance(value, float) and math.isnan(value)) or not str(value).strip()
    )


def class_named(text: Any) -> int | None:
    """0..4, 255 for a building that cannot be judged; None for a name of no class.

    Case, spaces, hyphens and underscores do not matter.
    """
    return _CLASSES.get(_plain(str(text)))


def class_numbered(value: Any) -> int | None:
    """0..4 or 255, of a number or its digits; None for any other."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return int(number) if number in (*_NUMBERS, IGNORE) else None


def is_marked(value: Any) -> bool | None:
    """Of a mark such as true, 1, yes or x; blank is no. None for what is neither yes nor no."""
    if is_blank(value):
        return False
    text = str(value).strip().casefold().removesuffix(".0")
    return True if text in _YES else False if text in _NO else None
