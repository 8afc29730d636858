"""On what the scores of a checkpoint were counted."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Scored(BaseModel):
    """tiles: how many of the split's `of` usable ones. precision: of the forward pass."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tiles: int = Field(ge=1)
    of: int = Field(ge=1)
    precision: Literal["fp32", "bf16", "fp16"]

    @property
    def exact(self) -> bool:
        """Whether the official score of the whole split is that of these figures."""
        return self.tiles == self.of and self.precision == "fp32"

    def __str__(self) -> str:
        count = f"all {self.of}" if self.tiles == self.of else f"{self.tiles} of {self.of}"
        return f"{count} tiles in {self.precision}"
