"""A part of a scene's finished maps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Strip:
    """Some rows of the maps, over the scene's full width.

    top: the first row's number in the scene.
    damage: uint8 [h,W], 0..4, 255 NODATA.
    confidence: uint8 [h,W].
    """

    top: int
    damage: NDArray[np.uint8]
    confidence: NDArray[np.uint8]
