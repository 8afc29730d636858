"""What each compiler made of the graph, as far as this machine can say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.report.figures import EngineFigures
from runtime.errors import ToolkitError


@dataclass(frozen=True)
class PlanView:
    """`content` as export.plan.report gives it; where it is None, `reason` says why."""

    engine: EngineFigures
    content: dict[str, Any] | None
    reason: str = ""


def plans(engines: Sequence[EngineFigures]) -> list[PlanView]:
    """For a processor, the plan is what executes now: the engine runs a few times."""
    return [_view(each) for each in engines]


def _view(engine: EngineFigures) -> PlanView:
    from export.plan.report import as_dict
    from export.plan_report import plan_of_engine

    try:
        return PlanView(engine, as_dict(plan_of_engine(engine.folder)))
    except ToolkitError as error:
        return PlanView(engine, None, str(error))
