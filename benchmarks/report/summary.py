"""The figures as sentences: what a reader who reads nothing else should know."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.latency.figures import ENGINE
from benchmarks.report.figures import EngineFigures, comparable, reference_of

NOTABLE = 0.01
"""A difference in score or F1 up to this is called none."""


def summarise(engines: Sequence[EngineFigures]) -> list[str]:
    """Sentences made from the figures alone; nothing is said that was not measured."""
    reference = reference_of(engines)
    lines = [_who(engines), *_reference(reference)]
    for each in engines:
        if comparable(each, reference) and each.accuracy is not None:
            lines.append(_against(each, reference))
    lines += [_foreign(each, reference) for each in engines if _is_foreign(each, reference)]
    lines += [_not_run(each) for each in engines if not each.was_run]
    return lines


def _who(engines: Sequence[EngineFigures]) -> str:
    models = {each.manifest.model.checkpoint_sha256: each.manifest.model for each in engines}
    sizes = sorted({f"{e.manifest.input.height} × {e.manifest.input.width}" for e in engines})
    run = sum(each.was_run for each in engines)
    left = len(engines) - run
    ran = f"{run} ran" if left else "ran" if len(engines) == 1 else "all ran"
    only = f", {left} {'was' if left == 1 else 'were'} compiled but never run" if left else ""
    model = next(iter(models.values()))
    source = (
        f"one checkpoint of {model.architecture} W{model.width} "
        f"({model.parameters / 1e6:.1f} M parameters)"
        if len(models) == 1
        else f"{len(models)} different checkpoints"
    )
    count = f"{len(engines)} engine{'s' if len(engines) > 1 else ''}"
    return f"{count} for pairs of {' and '.join(sizes)} pixels, built from {source}: {ran}{only}."


def _reference(reference: EngineFigures | None) -> list[str]:
    if reference is None or reference.accuracy is None:
        return ["No FP32 engine was scored, so there is nothing to compare the others with."]
    found, data = reference.accuracy, reference.accuracy.data
    lines = [
        f"On {data['tiles']} labelled tiles of {data['name']} ({data['split']}), the FP32 "
        f"reference {reference.name} scores {found.score:.3f}: localization F1 "
        f"{found.localization_f1:.3f}, damage F1 {found.damage_f1:.3f}."
    ]
    if found.absent:
        lines.append(
            f"The data has no {' and no '.join(found.absent)}; the official score counts an "
            "absent class as 0, so these scores are low for that reason."
        )
    return lines


def _against(engine: EngineFigures, reference: EngineFigures) -> str:
    difference = engine.accuracy.score - reference.accuracy.score
    if abs(difference) <= NOTABLE:
        text = f"{engine.name} keeps that score ({signed(difference)})"
    else:
        verb = "gains" if difference > 0 else "loses"
        text = f"{engine.name} {verb} {abs(difference):.3f} of it"
    worst = min(
        (engine.accuracy.class_f1[name] - f1, name)
        for name, f1 in reference.accuracy.class_f1.items()
    )
    if worst[0] < -NOTABLE:
        text += f", most in {worst[1]} ({signed(worst[0])})"
    ours, theirs = engine.latency.get(ENGINE), reference.latency.get(ENGINE)
    if ours is not None and theirs is not None and ours.batch == theirs.batch:
        text += f"; it needs {ours.p50 * 1e3:.1f} ms at the median where the reference needs "
        text += f"{theirs.p50 * 1e3:.1f} ms"
    return f"{text}, and {engine.size / reference.size:.0%} of its disk space."


def _is_foreign(engine: EngineFigures, reference: EngineFigures | None) -> bool:
    scored = engine.accuracy is not None and reference is not None
    return scored and engine is not reference and not comparable(engine, reference)


def _foreign(engine: EngineFigures, reference: EngineFigures | None) -> str:
    return (
        f"{engine.name} holds another network than {reference.name if reference else '?'}: the "
        "two scores do not tell what the engines cost."
    )


def _not_run(engine: EngineFigures) -> str:
    capability = engine.manifest.target.compute_capability
    where = f" for compute capability {capability}" if capability else ""
    agreement = engine.label_agreement
    graph = (
        f" The ONNX graph it was compiled from gives PyTorch's label on {agreement:.2%} of the "
        "pixels."
        if agreement is not None
        else ""
    )
    return (
        f"{engine.name} was compiled{where} and not run: its speed and its score are unknown."
        + graph
    )


def signed(difference: float) -> str:
    """A difference with its sign, a true minus, and no "-0.000"."""
    text = f"{difference:+.3f}"
    return "±0.000" if text.endswith("0.000") else text.replace("-", "−")
