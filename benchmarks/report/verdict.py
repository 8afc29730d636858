"""What to do with each engine: the accuracy gate's limits on these tiles, and the clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.latency.figures import ENGINE
from benchmarks.report.figures import EngineFigures, comparable, reference_of
from calibration.gate import Limits
from runtime.manifest import BUILT_NOT_RUN

NOTABLE_SPEED = 1.05
"""A ratio of medians below this is no gain: two runs of one engine differ by as much."""

TAKE, REFERENCE, KEPT, LOST, UNKNOWN, UNRUN = (
    *("take it", "reference", "no gain", "loses accuracy", "not measured", "compiled, not run"),
)


@dataclass(frozen=True)
class Verdict:
    """`word` is one of the above; `reason` a sentence; `tone` is good, bad, warn or plain."""

    engine: EngineFigures
    word: str
    reason: str
    tone: str
    speedup: float | None = None
    """Over the reference, medians of the engine scope; None where one was not timed."""


def verdicts(engines: Sequence[EngineFigures], limits: Limits | None = None) -> list[Verdict]:
    """One for each engine, in that order; at most one says "take it".

    That is the fastest of those within the limits, if it is notably faster than the
    reference; else the reference itself.
    """
    limits = limits or Limits()
    reference = reference_of(engines)
    found = [_verdict(each, reference, limits) for each in engines]
    passing = [v for v in found if v.word == KEPT and (v.speedup or 0) >= NOTABLE_SPEED]
    best = max(passing, key=lambda v: v.speedup or 0, default=None)
    return [_taken(v) if v is best else v for v in found]


def chosen(found: Sequence[Verdict]) -> Verdict | None:
    """The one to take, else the reference, else none."""
    for word in (TAKE, REFERENCE):
        for verdict in found:
            if verdict.word == word:
                return verdict
    return None


def _verdict(engine: EngineFigures, reference: EngineFigures | None, limits: Limits) -> Verdict:
    if not engine.was_run:
        return Verdict(engine, UNRUN, _unrun(engine), "warn")
    if engine is reference:
        return Verdict(engine, REFERENCE, "What the others are measured against.", "plain", 1.0)
    if engine.accuracy is None:
        return Verdict(engine, UNKNOWN, "No score was taken.", "warn")
    if reference is None:
        return Verdict(engine, UNKNOWN, "No FP32 engine was scored to compare it with.", "warn")
    if not comparable(engine, reference):
        reason = f"It holds another network than {reference.name}: the scores do not compare."
        return Verdict(engine, UNKNOWN, reason, "warn")
    speedup = _speedup(engine, reference)
    broken = lost_beyond(engine, reference, limits)
    if broken:
        return Verdict(engine, LOST, f"Against {reference.name}, {broken}.", "bad", speedup)
    return Verdict(engine, KEPT, _kept(engine, reference, speedup), "plain", speedup)


def lost_beyond(engine: EngineFigures, reference: EngineFigures, limits: Limits) -> str:
    """What it loses beyond a limit, in words; empty where it holds."""
    ours, theirs = engine.accuracy, reference.accuracy
    losses = {"score": theirs.score - ours.score}
    losses |= {name: f1 - ours.f1[name] for name, f1 in theirs.f1.items()}
    return ", ".join(
        f"{'the score' if name == 'score' else f'F1 of {name}'} loses {lost:.3f} "
        f"(limit {limits.of(name)})"
        for name, lost in limits.exceeded(losses).items()
    )


def _taken(verdict: Verdict) -> Verdict:
    reason = "The fastest that keeps the accuracy. " + verdict.reason
    return Verdict(verdict.engine, TAKE, reason, "good", verdict.speedup)


def _kept(engine: EngineFigures, reference: EngineFigures, speedup: float | None) -> str:
    change = engine.accuracy.score - reference.accuracy.score
    disk = f"{engine.size / reference.size:.0%} of the disk space"
    speed = "not timed" if speedup is None else f"{speedup:.2f} times as fast"
    return f"Score {change:+.3f}".replace("-", "−") + f", {speed}, {disk}."


def _speedup(engine: EngineFigures, reference: EngineFigures) -> float | None:
    ours, theirs = engine.latency.get(ENGINE), reference.latency.get(ENGINE)
    if ours is None or theirs is None or ours.batch != theirs.batch:
        return None
    return theirs.p50 / ours.p50


def _unrun(engine: EngineFigures) -> str:
    capability = engine.manifest.target.compute_capability
    where = f" for compute capability {capability}" if capability else ""
    agreement = engine.label_agreement
    graph = (
        f" Its ONNX graph gives PyTorch's label on {agreement:.3%} of the pixels."
        if agreement is not None
        else ""
    )
    made = "Built" if engine.manifest.verification.get("status") == BUILT_NOT_RUN else "Compiled"
    return f"{made}{where} and not run: its speed and its score are unknown.{graph}"
