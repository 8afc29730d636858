"""The report as one HTML page: figures in, text out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import jinja2

from benchmarks.latency.figures import SCOPES
from benchmarks.report.charts import latency_chart
from benchmarks.report.figures import EngineFigures, comparable, reference_of
from benchmarks.report.pictures import UNCLASSIFIED_COLOUR, Scene
from benchmarks.report.summary import NOTABLE, signed, summarise
from runtime.damage import CLASS_COLOURS, CLASS_NAMES, DAMAGE_CLASSES

TEMPLATE = Path(__file__).with_name("page.html")
NOT_RUN = "not run"


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


SCORE_COLUMNS = (
    "score",
    "localization F1",
    "damage F1",
    *(CLASS_NAMES[each] for each in DAMAGE_CLASSES),
)


def render(
    engines: Sequence[EngineFigures],
    scenes: Sequence[Scene],
    commands: Sequence[str],
    made_on: dict[str, Any],
) -> str:
    """A page that refers to nothing outside itself.

    made_on: the machine that wrote the report; latencies carry their own.
    """
    environment = jinja2.Environment(
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    accuracies = [each.accuracy for each in engines if each.accuracy is not None]
    return template.render(
        engines=engines,
        summary=summarise(engines),
        score_columns=SCORE_COLUMNS,
        scores=score_rows(engines),
        reference=reference_of(engines),
        notable=NOTABLE,
        data=accuracies[0].data if accuracies else None,
        absent=accuracies[0].absent if accuracies else (),
        scopes=SCOPES,
        chart=latency_chart(engines),
        machines=_machines(engines),
        made_on=made_on,
        largest=max(each.size for each in engines),
        unrun=[each for each in engines if not each.was_run],
        class_names=CLASS_NAMES,
        scenes=scenes,
        legend=_legend(scenes),
        commands=commands,
        not_run=NOT_RUN,
        created=datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
    )


def score_rows(engines: Sequence[EngineFigures]) -> list[ScoreRow]:
    reference = reference_of(engines)
    rows = []
    for each in engines:
        compared = reference if comparable(each, reference) else None
        base = _values(compared) or [None] * len(SCORE_COLUMNS)
        values = _values(each) or [None] * len(SCORE_COLUMNS)
        cells = tuple(map(_cell, values, base))
        rows.append(ScoreRow(each.name, each, each is reference, cells))
    return rows


def _values(engine: EngineFigures | None) -> list[float] | None:
    """In the order of SCORE_COLUMNS, or None where the engine was not scored."""
    if engine is None or engine.accuracy is None:
        return None
    found = engine.accuracy
    return [found.score, found.localization_f1, found.damage_f1, *found.class_f1.values()]


def _cell(value: float | None, base: float | None) -> Cell:
    if value is None:
        return Cell(NOT_RUN, tone="absent")
    if base is None:
        return Cell(f"{value:.3f}")
    difference = value - base
    tone = "plain" if abs(difference) <= NOTABLE else "good" if difference > 0 else "bad"
    return Cell(f"{value:.3f}", signed(difference), tone)


def _machines(engines: Sequence[EngineFigures]) -> list[dict[str, Any]]:
    """What the latencies were taken on, each machine once; `load` is the highest seen."""
    found: dict[tuple[str, int], dict[str, Any]] = {}
    for each in engines:
        for latency in each.latency.values():
            machine = latency.machine
            key = (machine["cpu"], machine["cores"])
            load = max(machine["load"] or 0, found.get(key, {}).get("load") or 0)
            found[key] = {**machine, "load": load}
    return list(found.values())


def _legend(scenes: Sequence[Scene]) -> list[tuple[str, str]]:
    """Names and CSS colours."""
    entries = [("no building", CLASS_COLOURS[0])]
    entries += [(CLASS_NAMES[each], CLASS_COLOURS[each]) for each in DAMAGE_CLASSES]
    if any(scene.has_unclassified for scene in scenes):
        entries.append(("un-classified (truth only)", UNCLASSIFIED_COLOUR))
    return [(name, "#{:02x}{:02x}{:02x}".format(*colour)) for name, colour in entries]
