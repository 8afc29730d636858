"""Three sentences: what was measured, what to take, and what to be careful of."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.latency.figures import ENGINE
from benchmarks.report.figures import EngineFigures, reference_of
from benchmarks.report.verdict import LOST, TAKE, UNRUN, Verdict, chosen

NOTABLE = 0.01
"""A difference in score or F1 up to this is not coloured."""


def summarise(found: Sequence[Verdict]) -> list[str]:
    """Sentences made from the figures alone; nothing is said that was not measured."""
    engines = [each.engine for each in found]
    return [_measured(engines), _choice(found), _care(found)]


def _measured(engines: Sequence[EngineFigures]) -> str:
    models = {each.manifest.model.checkpoint_sha256: each.manifest.model for each in engines}
    sizes = sorted({f"{e.manifest.input.height} × {e.manifest.input.width}" for e in engines})
    model = next(iter(models.values()))
    source = (
        f"one checkpoint of {model.architecture} W{model.width} "
        f"({model.parameters / 1e6:.1f} M parameters)"
        if len(models) == 1
        else f"{len(models)} different checkpoints"
    )
    data = next((each.accuracy.data for each in engines if each.accuracy), None)
    scored = sum(each.accuracy is not None for each in engines)
    on = (
        f"{scored} {_was(scored)} scored on {data['tiles']} labelled tiles of {data['name']} "
        f"({data['split']})"
        if data
        else "none was scored"
    )
    count = f"{len(engines)} engine{'s' if len(engines) > 1 else ''}"
    return f"{count} for pairs of {' and '.join(sizes)} pixels came from {source}; {on}."


def _choice(found: Sequence[Verdict]) -> str:
    best = chosen(found)
    if best is None:
        return "No FP32 engine was scored, so there is nothing to compare the others with."
    figures = best.engine.accuracy
    text = (
        f"Take {best.engine.name}: score {figures.score:.3f} (localization F1 "
        f"{figures.localization_f1:.3f}, damage F1 {figures.damage_f1:.3f})"
    )
    latency = best.engine.latency.get(ENGINE)
    if latency is not None:
        text += f", {latency.p50 * 1e3:.1f} ms a pair at the median"
    reference = reference_of([each.engine for each in found])
    if best.word == TAKE:
        change = signed(figures.score - reference.accuracy.score)
        return f"{text}, {best.speedup:.2f} times as fast as {reference.name} ({change} score)."
    return f"{text}; no other engine is both notably faster and as accurate."


def _care(found: Sequence[Verdict]) -> str:
    parts = []
    best = chosen(found)
    if best is not None:
        figures = best.engine.accuracy
        present = {n: f1 for n, f1 in figures.class_f1.items() if n not in figures.absent}
        if present:
            weakest = min(present, key=present.get)
            parts.append(f"its weakest class is {weakest} (F1 {present[weakest]:.3f})")
        if figures.absent:
            parts.append(
                f"the data has no {' and no '.join(figures.absent)}, which the official score "
                "counts as 0"
            )
    lost = [each.engine.name for each in found if each.word == LOST]
    if lost:
        parts.append(f"{' and '.join(lost)} {_lose(len(lost))} more accuracy than the gate allows")
    unrun = [each.engine.name for each in found if each.word == UNRUN]
    if unrun:
        parts.append(f"{' and '.join(unrun)} {_was(len(unrun))} compiled and never run")
    if not parts:
        return "Every engine was run and scored."
    return f"Mind that {'; '.join(parts[:-1])}{'; and ' if parts[1:] else ''}{parts[-1]}."


def _was(count: int) -> str:
    return "was" if count == 1 else "were"


def _lose(count: int) -> str:
    return "loses" if count == 1 else "lose"


def signed(difference: float) -> str:
    """A difference with its sign, a true minus, and no "-0.000"."""
    text = f"{difference:+.3f}"
    return "±0.000" if text.endswith("0.000") else text.replace("-", "−")
