"""Where a run's crops come from, as data: splits, windows, sampling and caches."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from runtime.manifest import STRIDE
from train.section import Section


class SyntheticConfig(Section):
    """Synthetic scenes to learn from beside the data set; kept in RUN/synthetic-seedK."""

    tiles: int = Field(ge=1, le=100_000, description="scenes")
    size: int = Field(512, ge=64, le=4096, multiple_of=STRIDE, description="side of one, pixels")


def _names(given: Any) -> Any:
    return (given,) if isinstance(given, str) else given


def _each_once(names: tuple[str, ...]) -> tuple[str, ...]:
    if "" in names or len(set(names)) < len(names):
        raise ValueError(f"{list(names)}: expected names that differ")
    return names


Names = Annotated[
    tuple[str, ...], Field(min_length=1), BeforeValidator(_names), AfterValidator(_each_once)
]
"""A name or a list of them."""


def _as_before(value: Any) -> Any:
    """`cache` was a truth value, for memory, before there was another place."""
    if value is None or isinstance(value, bool):
        return "memory" if value else "none"
    return value


Cache = Annotated[Literal["none", "memory", "disk"], BeforeValidator(_as_before)]


class DataConfig(Section):
    train_split: Names = Field(("train",), description="split to learn from, or several")
    val_split: Names | None = Field(
        None,
        description="split that the best epoch is chosen on, or several; without it `hold`, or "
        "what there is besides `train`",
    )
    val_share: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="instead: this share of the tiles of each disaster in train_split, which are "
        "then not learnt from",
    )
    leave_out: tuple[str, ...] = Field(
        (), description="disasters whose tiles are neither learnt from nor chosen on"
    )
    crop: int = Field(
        512, ge=64, le=16384, multiple_of=STRIDE, description="side of a training crop, pixels"
    )
    window: tuple[int, int] | None = Field(
        None,
        description="range of the side cut out of a tile, pixels, before it is resized to `crop`; "
        "without it, `crop` pixels are cut and not resized",
    )
    crops_per_tile: int = Field(1, ge=1, le=10_000, description="crops taken of each tile an epoch")
    sampling: Literal["uniform", "balanced"] = Field(
        "uniform", description="balanced: tiles drawn by the rarest damage class they hold"
    )
    building_crops: float = Field(
        0.5, ge=0, le=1, description="share of crops centred on a building, every class alike"
    )
    synthetic: SyntheticConfig | None = Field(
        None, description="synthetic scenes that take a share of the crops, see `schedule`"
    )
    masks: Path | None = Field(
        None, description="folder of rasterised masks, by the labels' content; default: RUN/masks"
    )
    cache: Cache = Field(
        "none",
        description="where decoded tiles are kept. memory: of every loader process, 8 MB for "
        "1024x1024. disk: in files that windows are read from, 6 MB for 1024x1024",
    )
    cache_folder: Path | None = Field(
        None,
        description="folder of `cache: disk`, by the images' content, so runs may share it; "
        "default: RUN/tiles",
    )
    workers: int = Field(2, ge=0, description="loader processes a rank")

    @model_validator(mode="after")
    def _window_is_a_range(self) -> DataConfig:
        if self.window and not 32 <= self.window[0] <= self.window[1]:
            raise ValueError(
                f"window {list(self.window)}: expected [smallest, largest], from 32 up"
            )
        return self

    @model_validator(mode="after")
    def _one_choice_of_tiles_to_validate_on(self) -> DataConfig:
        if self.val_split and self.val_share:
            raise ValueError(
                f"val_share {self.val_share:g} beside val_split {', '.join(self.val_split)}: tiles "
                "to validate on come from one of them; set the other to null"
            )
        return self

    @property
    def windows(self) -> tuple[int, int]:
        """Least and largest side that is cut out of a tile before the zoom, pixels."""
        return self.window or (self.crop, self.crop)
