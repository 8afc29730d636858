"""Windows that cannot hold a building, by a gate that was measured when the engine was built.

What is not computed is background; how sure of that the gate is, it says for each cell.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from runtime.engine import Engine, Pair, Prediction
from runtime.errors import BackendError, EngineError
from runtime.manifest import STRIDE, WindowGate
from runtime.scene.batches import predict_each
from runtime.scene.unfinished import Skipped
from runtime.scene.windows import Span, Window

CELL = STRIDE
"""Pixels a side; a window is made of whole cells."""

Item = TypeVar("Item")


@dataclass(frozen=True, eq=False)
class Background:
    """What a gate says of a window without a building.

    cells: uint8 [H/CELL,W/CELL], the highest building probability x 255 of each.
    """

    cells: NDArray[np.uint8]

    def maps(self) -> Prediction:
        """As an engine's, [H,W]."""
        building = self.cells.repeat(CELL, 0).repeat(CELL, 1)
        return Prediction(np.zeros_like(building), building, 255 - building)


@dataclass(frozen=True, eq=False)
class Gate:
    """engine: the gate. record: what the manifest says of it.

    failures: why it said nothing of a window, each time.
    """

    engine: Engine
    record: WindowGate
    failures: list[str] = field(default_factory=list)

    def sort(
        self, items: Iterable[tuple[Item, Window, Pair | None]]
    ) -> Iterator[tuple[Item, Pair | None, Background | None]]:
        """The items in order, each with the pair that is left to compute, or with its background.

        Where the gate fails the window is computed.

        Raises EngineError where it cannot go on: as BackendError it would pass for a failure of
        the engine that asks for the next pair.
        """
        asked = ((item, item[2]) for item in items)
        try:
            for (item, window, pair), answer in predict_each(self.engine, asked):
                if isinstance(answer, BackendError):
                    self.failures.append(str(answer))
                if isinstance(answer, Prediction) and self._is_empty(answer, window):
                    yield item, None, background(answer.building)
                else:
                    yield item, pair, None
        except BackendError as error:
            raise EngineError(f"the gate: {error}") from error

    def notes(self) -> Iterator[str]:
        """For a person: what it could not do."""
        if self.failures:
            yield (
                f"the gate failed at {len(self.failures)} windows, which were computed; the first: "
                f"{self.failures[0]}"
            )

    def _is_empty(self, answer: Prediction, window: Window) -> bool:
        found = peak(answer.building, window, self.record.margin_px)
        return found < self.record.threshold


def gate_of(engine: Engine) -> Gate | None:
    """The engine's; it is loaded. None where it has none."""
    gate, record = engine.window_gate, engine.manifest.gate
    return Gate(gate, record) if gate and record else None


def peak(building: NDArray[np.uint8], window: Window, margin: int) -> int:
    """The highest of a gate's `building` [H,W] where it decides: in the part of the window that is
    kept and `margin` pixels around it. So a neighbour is computed with a building at its edge."""
    rows, columns = (
        slice(max(0, span.begin - span.start - margin), span.end - span.start + margin)
        for span in (window.row, window.column)
    )
    return int(building[rows, columns].max())


def background(building: NDArray[np.uint8]) -> Background:
    """Of a gate's `building` [H,W]."""
    height, width = building.shape
    cells = building.reshape(height // CELL, CELL, width // CELL, CELL)
    return Background(cells.max(axis=(1, 3)))


def joined(row: Span, columns: Iterable[Span]) -> tuple[Skipped, ...]:
    """Of a row of windows the runs that were skipped; columns: of the skipped windows, in order."""
    found: list[Skipped] = []
    height = row.end - row.begin
    for span in columns:
        if found and found[-1].column + found[-1].width == span.begin:
            last = found.pop()
            width, count = last.width + span.end - span.begin, last.windows + 1
            found.append(Skipped(row.begin, last.column, height, width, count))
        else:
            found.append(Skipped(row.begin, span.begin, height, span.end - span.begin, 1))
    return tuple(found)
