"""The table of scores: every figure with its difference from the reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.report.figures import EngineFigures, comparable, reference_of
from benchmarks.report.summary import NOTABLE, signed
from runtime.damage import CLASS_NAMES, DAMAGE_CLASSES

NOT_RUN = "not run"

SCORE_COLUMNS = (
    "score",
    "localization F1",
    "damage F1",
    *(CLASS_NAMES[each] for each in DAMAGE_CLASSES),
    "building F1",
    "ECE",
)
LOWER_IS_BETTER = ("ECE",)


@dataclass(frozen=True)
class Cell:
    """A figure with its difference from the reference; `tone` is good, bad or plain."""

    text: str
    difference: str = ""
    tone: str = "plain"


@dataclass(frozen=True)
class ScoreRow:
    name: str
    engine: EngineFigures
    is_reference: bool
    cells: tuple[Cell, ...]


def score_rows(engines: Sequence[EngineFigures]) -> list[ScoreRow]:
    reference = reference_of(engines)
    rows = []
    nothing: list[float | None] = [None] * len(SCORE_COLUMNS)
    for each in engines:
        compared = reference if comparable(each, reference) else None
        values, base = _values(each) or nothing, _values(compared) or nothing
        cells = tuple(map(_cell, SCORE_COLUMNS, values, base))
        if each.accuracy is None:
            cells = (Cell(NOT_RUN, tone="absent"),) * len(SCORE_COLUMNS)
        rows.append(ScoreRow(each.name, each, each is reference, cells))
    return rows


def _values(engine: EngineFigures | None) -> list[float | None] | None:
    """In the order of SCORE_COLUMNS, or None where the engine was not scored."""
    if engine is None or engine.accuracy is None:
        return None
    found = engine.accuracy
    return [
        *(found.score, found.localization_f1, found.damage_f1, *found.class_f1.values()),
        *(found.details["buildings"]["f1"]["detection"], found.details["confidence"]["ece"]),
    ]


def _cell(column: str, value: float | None, base: float | None) -> Cell:
    if value is None:
        return Cell("–", tone="absent")
    if base is None:
        return Cell(f"{value:.3f}")
    difference = value - base
    gain = -difference if column in LOWER_IS_BETTER else difference
    tone = "plain" if abs(gain) <= NOTABLE else "good" if gain > 0 else "bad"
    return Cell(f"{value:.3f}", signed(difference), tone)
