"""The report as one HTML page: figures in, text out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import jinja2

from benchmarks.latency.figures import LAYERS, RASTER
from benchmarks.machine import describe_machine
from benchmarks.report import plots
from benchmarks.report.charts import drawn_scopes, latency_chart, peers_chart
from benchmarks.report.figures import Findings
from benchmarks.report.pictures import ERROR_COLOURS, UNCLASSIFIED_COLOUR
from benchmarks.report.plans import PlanView
from benchmarks.report.scenes import Gallery
from benchmarks.report.scores import NOT_RUN, SCORE_COLUMNS, score_rows
from benchmarks.report.summary import NOTABLE, summarise
from benchmarks.report.verdict import Verdict
from runtime.damage import CLASS_COLOURS, CLASS_NAMES, DAMAGE_CLASSES

TEMPLATE = Path(__file__).with_name("template")


@dataclass(frozen=True)
class Made:
    """When, where, and after which commands the report was written."""

    created: str
    machine: dict[str, Any]
    commands: tuple[str, ...]

    @classmethod
    def here(cls, commands: Sequence[str]) -> Made:
        now = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
        return cls(now, describe_machine(), tuple(commands))


def render(
    findings: Findings,
    verdicts: Sequence[Verdict],
    gallery: Gallery | None,
    compiled: Sequence[PlanView],
    made: Made,
) -> str:
    """A page that refers to nothing outside itself."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATE),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    engines = findings.engines
    scored = [each for each in engines if each.accuracy is not None]
    return environment.get_template("page.html").render(
        **_data(findings),
        engines=engines,
        scored=scored,
        verdicts=verdicts,
        summary=summarise(verdicts),
        score_columns=SCORE_COLUMNS,
        scores=score_rows(engines),
        reference=findings.reference,
        notable=NOTABLE,
        drawn=drawn_scopes(engines),
        layers=LAYERS,
        gsd=_ground_sample_distance(findings),
        chart=latency_chart(engines),
        machines=_machines(findings),
        largest=max(each.size for each in engines),
        class_names=CLASS_NAMES,
        damage_names=[CLASS_NAMES[each] for each in DAMAGE_CLASSES],
        reliability=plots.reliability(engines),
        robustness=plots.robustness(engines),
        tried=[each for each in engines if each.robustness is not None],
        gallery=gallery,
        legend=_legend(gallery),
        error_legend=[(name, _css(colour)) for name, colour in ERROR_COLOURS.items()],
        compiled=compiled,
        made=made,
        not_run=NOT_RUN,
    )


def _data(findings: Findings) -> dict[str, Any]:
    """What the data were, and the charts that compare more than the engines."""
    accuracies = [each.accuracy for each in findings.engines if each.accuracy is not None]
    peers = findings.peers
    scopes = dict.fromkeys(each["scope"] for each in peers["figures"]) if peers else {}
    return {
        "data": accuracies[0].data if accuracies else None,
        "absent": accuracies[0].absent if accuracies else (),
        "peers": peers,
        "peer_charts": [(scope, peers_chart(peers, scope)) for scope in scopes],
        "pareto": findings.pareto,
        "not_measured": findings.not_measured,
        "pareto_chart": _pareto_chart(findings.pareto),
    }


def _pareto_chart(record: dict[str, Any] | None) -> str | None:
    if record is None:
        return None
    from benchmarks.pareto.chart import chart_svg

    return chart_svg(record)


def _machines(findings: Findings) -> list[dict[str, Any]]:
    """What the latencies were taken on, each machine once; `load` is the highest seen."""
    found: dict[tuple[str, int], dict[str, Any]] = {}
    for each in findings.engines:
        for latency in each.timed:
            machine = latency.machine
            key = (machine["cpu"], machine["cores"])
            load = max(machine["load"] or 0, found.get(key, {}).get("load") or 0)
            found[key] = {**machine, "load": load}
    return list(found.values())


def _ground_sample_distance(findings: Findings) -> float | None:
    """Metres, of the scenes that were mapped from GeoTIFFs."""
    found = (each.by_itself(RASTER) for each in findings.engines)
    return next((each.info["gsd_m"] for each in found if each is not None), None)


def _legend(gallery: Gallery | None) -> list[tuple[str, str]]:
    """Names and CSS colours."""
    entries = [("no building", CLASS_COLOURS[0])]
    entries += [(CLASS_NAMES[each], CLASS_COLOURS[each]) for each in DAMAGE_CLASSES]
    if gallery and any(scene.has_unclassified for scene in gallery.scenes):
        entries.append(("un-classified (truth only)", UNCLASSIFIED_COLOUR))
    return [(name, _css(colour)) for name, colour in entries]


def _css(colour: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)
