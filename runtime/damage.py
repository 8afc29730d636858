"""The damage scale: the one place that says what a class value means.

The values follow xBD's joint damage scale. A pixel of a label map is one of
``CLASS_NAMES``' indices, or ``NODATA`` where nothing is known.
"""

from __future__ import annotations

BACKGROUND = 0
NO_DAMAGE = 1
MINOR_DAMAGE = 2
MAJOR_DAMAGE = 3
DESTROYED = 4

IGNORE = 255
"""In a target: a pixel that no loss and no score counts (un-classified buildings)."""

NODATA = 255
"""In an output: a pixel that was not computed. Never to be read as "no damage"."""

NODATA_NAME = "not computed"

CLASS_NAMES = ("background", "no-damage", "minor-damage", "major-damage", "destroyed")
DAMAGE_CLASSES = (NO_DAMAGE, MINOR_DAMAGE, MAJOR_DAMAGE, DESTROYED)

UNCLASSIFIED = "un-classified"
"""xBD's subtype of a building whose damage could not be judged."""

CLASS_COLOURS = (
    (0, 0, 0),
    (255, 255, 255),
    (255, 221, 51),
    (255, 140, 0),
    (220, 20, 30),
)
"""RGB of each class in every picture: white, yellow, orange and red buildings."""
