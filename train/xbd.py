"""The xBD data set on disk: which tiles there are, their labels, and the official masks.

Needs no torch, so that benchmarks and calibration read the same tiles the same way.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import shapely

from runtime.damage import IGNORE
from runtime.errors import DataError
from runtime.source.picture import read_pair
from train.label import STEM, Footprint, read_label

_IMAGE = re.compile(r"\.(?:png|jpe?g|tiff?)", re.IGNORECASE)
"""All that `runtime.source.picture` reads, so that none is passed over in silence."""
_LABEL = re.compile(r"\.json", re.IGNORECASE)


@dataclass(frozen=True)
class Tile:
    """A pre/post pair of images, with its labels where the split has them."""

    name: str
    disaster: str
    pre: Path
    post: Path
    pre_label: Path | None
    post_label: Path | None

    @property
    def labelled(self) -> bool:
        return self.pre_label is not None and self.post_label is not None

    def images(self) -> tuple[np.ndarray, np.ndarray]:
        """Pre and post, uint8 [H, W, 3] RGB each."""
        return read_pair(self.pre, self.post)

    @property
    def labels(self) -> tuple[Path, Path]:
        """The pre label and the post label."""
        if self.pre_label is None or self.post_label is None:
            raise DataError(f"{self.name}: has no labels; expected a labels/ folder beside images/")
        return self.pre_label, self.post_label

    @property
    def buildings(self) -> tuple[list[Footprint], list[Footprint]]:
        """Footprints of the pre label and of the post label, read anew each time: those of a
        whole data set would fill the memory of every loader process."""
        before, after = self.labels
        return read_label(before, damage=False), read_label(after, damage=True)

    def targets(self, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
        """Building target (0, 1; pre footprints) and damage target (0..4, 255), uint8 [H, W].

        Args:
            height, width: of the images, pixels.
        Raises:
            DataError: a label is none, or is that of another tile or of another size.
        """
        size = (height, width)
        before = read_label(self.labels[0], damage=False, size=size)
        after = read_label(self.labels[1], damage=True, size=size)
        building = rasterise(before, height, width, lambda _: 1)
        damage = rasterise(after, height, width, lambda b: IGNORE if b.damage is None else b.damage)
        return building, damage


def find_tiles(root: Path, split: str, *, labelled: bool = True) -> list[Tile]:
    """Every pair of `root/split`, sorted by name.

    Raises:
        DataError: the split is absent or empty, or the first problem that `survey` finds.
    """
    tiles, problems = survey(root, split, labelled=labelled)
    if problems:
        raise DataError(problems[0])
    return tiles


def survey(root: Path, split: str, *, labelled: bool = True) -> tuple[list[Tile], list[str]]:
    """The whole pairs of `root/split`, sorted by name, and what is wrong with the rest.

    A problem is one line that names the file: a foreign name, an image without its other
    half, a label without its image, or (with `labelled`) an image without a label.

    Raises:
        DataError: the split is absent or empty.
    """
    images, labels = Path(root) / split / "images", Path(root) / split / "labels"
    if not images.is_dir():
        raise DataError(
            f"{images}: no such folder; expected an xBD split (found here: {found_here(root)})"
        )
    problems: list[str] = []
    by_key, twice = _by_key(images, _IMAGE, problems)
    label_by_key, labels_twice = _by_key(labels, _LABEL, problems)
    twice |= labels_twice
    for key, label in label_by_key.items():
        if key not in by_key:
            problems.append(f"{label}: label without image; expected {images / label.stem}.png")
    tiles = []
    for (name, when), path in by_key.items():
        half = "post" if when == "pre" else "pre"
        pre_label, post_label = label_by_key.get((name, "pre")), label_by_key.get((name, "post"))
        if name in twice:
            continue  # which of the files is meant is not for us to choose
        if (name, half) not in by_key:
            problems.append(f"{path}: has no {half}-disaster image beside it; a pair needs both")
        elif when == "post":
            continue
        elif labelled and (pre_label is None or post_label is None):
            problems.append(
                f"{path}: has no label; expected {labels / path.stem}.json and its post"
            )
        else:
            disaster, post = name.rpartition("_")[0], by_key[name, "post"]
            tiles.append(Tile(name, disaster, path, post, pre_label, post_label))
    if not tiles and not problems:
        raise DataError(
            f"{images}: holds no tile; expected *_pre_disaster.png and *_post_disaster.png"
        )
    return tiles, problems


def folders_of_splits(root: Path) -> list[str]:
    """Names of the splits under `root`, with labels or without, in alphabetical order."""
    return sorted(folder.parent.name for folder in Path(root).glob("*/images"))


def found_here(root: Path) -> str:
    """The splits under `root` for a message; without any, the folder that may have been meant."""
    root = Path(root).absolute()
    if names := folders_of_splits(root):
        return ", ".join(names)
    for parent in (root.parent, root.parent.parent):
        if names := folders_of_splits(parent):
            return f"none, but in {parent}: {', '.join(names)}"
    for below in sorted(root.glob("*/*/images"))[:1]:
        data = below.parent.parent
        return f"none, but in {data}: {', '.join(folders_of_splits(data))}"
    return "none"


def splits(root: Path) -> list[str]:
    """Names of the splits under `root` that have labels, in alphabetical order."""
    return sorted(p.parent.name for p in Path(root).glob("*/labels") if any(p.glob("*.json")))


def label_outside(tile: Tile, building: np.ndarray, damage: np.ndarray) -> Path | None:
    """A label of footprints that all lie outside of the tile, where one of the two is so.

    building, damage: `tile.targets`.
    """
    if building.any() and damage.any():
        return None
    for label, target, footprints in zip(
        tile.labels, (building, damage), tile.buildings, strict=True
    ):
        if footprints and not target.any():
            return label
    return None


def rasterise(
    buildings: Iterable[Footprint], height: int, width: int, value: Callable[[Footprint], int]
) -> np.ndarray:
    """Masks by the official rule: `cv2.fillPoly` of the rounded int32 exterior, in label order.

    Returns:
        uint8 [H, W], 0 outside every footprint.
    """
    mask = np.zeros((height, width), np.uint8)
    for building in buildings:
        for part in shapely.get_parts(building.polygon):
            exterior = np.asarray(part.exterior.coords)[:, :2]
            cv2.fillPoly(mask, [np.round(exterior).astype(np.int32)], value(building))
    return mask


def _by_key(
    folder: Path, wanted: re.Pattern[str], problems: list[str]
) -> tuple[dict[tuple[str, str], Path], set[str]]:
    """Files by (tile, pre or post), sorted, and the tiles of which a file is there twice.

    A foreign name becomes a problem, and so do two files of one name and two suffixes.
    """
    found: dict[tuple[str, str], Path] = {}
    twice: set[str] = set()
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.name.startswith(".") or not wanted.fullmatch(path.suffix):
            continue
        match = STEM.fullmatch(path.stem)
        if match is None:
            problems.append(
                f"{path}: not an xBD name; "
                "expected <disaster>_<number>_pre_disaster or _post_disaster"
            )
            continue
        name, when = match["tile"], match["when"]
        first = found.setdefault((name, when), path)
        if first != path:
            twice.add(name)
            problems.append(
                f"{path}: {first.name} is there too, and a tile has one {when}-disaster "
                f"{'label' if wanted is _LABEL else 'image'}; remove one of them"
            )
    return dict(sorted(found.items())), twice
