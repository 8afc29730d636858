"""What goes wrong with the images of a disaster, at levels of severity.

As a rule with the post-disaster image alone. The one before comes from an archive, where somebody
could choose a sharp one and place it well; the one after is whatever the first satellite got,
through haze, compressed for a thin link, and not yet registered. An archive may be poor, too, and
one coarse sensor may have taken both: the image before, or both, can be made worse instead.

What is moved is always the post image against the other: the map lies on the grid of the pre
image, where footprints and labels are, so that the truth stays where it was.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from runtime.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np

Image = Literal["post", "pre", "both"]
"""Which of a pair is made worse."""

# Of columns and rows; tiles take turns, so that no direction is preferred.
_DIRECTIONS = ((1, 0), (0, 1), (-1, 0), (0, -1))


@dataclass(frozen=True)
class Corruption:
    """One way to be worse: `apply(image, level, turn)` gives a changed uint8 [H, W, 3] RGB.

    turn: the tile's place in the split, from 0. It is all that may differ between two tiles.
    """

    unit: str
    levels: tuple[float, ...]
    apply: Callable[[np.ndarray, float, int], np.ndarray]
    lowest: float = 0
    highest: float = float("inf")
    moves: bool = False
    """Changes where things are: of the post image alone."""

    @property
    def kind(self) -> type:
        """Of a level: int or float."""
        return type(self.levels[0])

    def worsen(
        self, pair: tuple[np.ndarray, np.ndarray], level: float, turn: int, image: Image
    ) -> tuple[np.ndarray, np.ndarray]:
        """(pre, post) with `image` changed."""
        pre, post = pair
        if image != "post" and not self.moves:
            pre = self.apply(pre, level, turn)
        if image != "pre" or self.moves:
            post = self.apply(post, level, turn)
        return pre, post

    def check(self, option: str, levels: list[float]) -> None:
        """Raises: ConfigError for a level that there is not."""
        for level in levels:
            if not self.lowest <= level <= self.highest:
                raise ConfigError(
                    f"{option} {level}: expected {self.lowest} to {self.highest} ({self.unit})"
                )


def blur(image: np.ndarray, sigma: float, turn: int = 0) -> np.ndarray:
    """Gaussian, sigma in pixels: out of focus, or of a coarser sensor."""
    import cv2

    return cv2.GaussianBlur(image, (0, 0), sigma) if sigma else image


def jpeg(image: np.ndarray, quality: int, turn: int = 0) -> np.ndarray:
    """Through libjpeg at a quality of 1 to 100, with chroma at half the resolution (4:2:0)."""
    import cv2

    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    _, content = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.cvtColor(cv2.imdecode(content, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def brightness(image: np.ndarray, factor: float, turn: int = 0) -> np.ndarray:
    """Values times the factor, rounded; what passes 255 is saturated, as on a sensor."""
    import cv2

    return cv2.convertScaleAbs(image, alpha=factor)


def misregistration(image: np.ndarray, pixels: int, turn: int = 0) -> np.ndarray:
    """Moved by whole pixels right, down, left or up, as it is the tile's turn.

    What comes in is the reflection of what is there, which no satellite saw: whoever scores the
    map leaves out a border of `pixels`.
    """
    import numpy as np

    height, width = image.shape[:2]
    x, y = (pixels * step for step in _DIRECTIONS[turn % len(_DIRECTIONS)])
    framed = np.pad(image, ((pixels, pixels), (pixels, pixels), (0, 0)), mode="reflect")
    top, left = pixels - y, pixels - x
    return np.ascontiguousarray(framed[top : top + height, left : left + width])


CORRUPTIONS = {
    "blur": Corruption("sigma, pixels", (0.5, 1.0, 1.5, 2.0, 3.0), blur),
    "jpeg": Corruption("quality", (90, 70, 50, 30, 15), jpeg, 1, 100),
    "brightness": Corruption("factor", (0.4, 0.6, 0.8, 1.25, 1.4, 1.6), brightness),
    "misregistration": Corruption("pixels", (1, 2, 4, 6, 8), misregistration, moves=True),
}
