"""The card of an engine: `README.md` in its folder, for people; the manifest is for programs.

It is no payload: the runtime neither reads nor checks it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from runtime.files import write_bytes
from runtime.manifest import BUILT_NOT_RUN, RAN, Manifest, WindowGate
from train import card_parts as parts
from train.card_parts import NOT_MEASURED, NOT_RECORDED, Training
from train.markdown import bullets, document, fenced, plain, table

_EXTRAS = {
    "onnxruntime": ".[onnxruntime]",
    "onnxruntime-cuda": ".[onnxruntime-cuda]",
    "openvino": ".[openvino]",
    "tensorrt": ".[tensorrt]",
    "tensorrt-rtx": ".[tensorrt-rtx]",
}
"""What pip installs for an engine to run."""

_TAGS = {"onnxruntime": "onnx", "onnxruntime-cuda": "onnx"}

_FIGURES = {"score": parts.SCORE, "localization": parts.LOCALIZATION}
"""What those of the gate are called here; the others are the F1 of a class."""


def write_card(folder: Path, manifest: Manifest, training: Training) -> None:
    write_bytes(folder / parts.FILE_NAME, card(manifest, training))


def card(manifest: Manifest, training: Training) -> bytes:
    """Markdown in UTF-8."""
    name, backend = name_of(manifest), manifest.target.backend
    tags = [_TAGS.get(backend, backend), manifest.precision]
    front = parts.metadata(name, training, tags, list(_results(manifest)))
    return document(front, _sections(name, manifest, training))


def name_of(manifest: Manifest) -> str:
    """Such as dual-hrnet-w48-1024x1024-fp16-tensorrt-rtx-sm86."""
    model, size, target = manifest.model, manifest.input, manifest.target
    names = [model.architecture, f"w{model.width}", f"{size.height}x{size.width}"]
    names += [manifest.precision, target.backend]
    if target.compute_capability:
        names.append("sm" + target.compute_capability.replace(".", ""))
    return "-".join(names)


def _results(manifest: Manifest) -> Iterator[dict[str, Any]]:
    """Of the engine itself: what its ONNX graph gave is in the text alone."""
    gate = manifest.verification["gate"]
    if not gate or manifest.verification["status"] != RAN:
        return
    figures = {
        _FIGURES.get(name, f"F1 of {name}"): value for name, value in gate["candidate"].items()
    }
    scenes = f"{gate['scenes']} labelled scenes of split {gate['split']}"
    yield parts.result(scenes, gate["split"], gate["disasters"], figures)


def _sections(name: str, manifest: Manifest, training: Training) -> Iterator[str]:
    yield f"# Engine card of {name}"
    yield (
        "Written by `python -m export.build_engine` from `manifest.json` and from what the "
        "checkpoint records. The manifest is what the runtime checks; this file is not covered "
        "by its checksums."
    )
    yield f"**{_has_run(manifest)}**"
    yield "## Model Details\n\n### Model Description\n\n" + bullets(_description(manifest))
    yield parts.USES
    yield parts.limitations(training, manifest.model.gsd_m)
    yield "## How to Get Started with the Model\n\n" + _start(manifest)
    yield parts.training_details(training)
    yield f"#### Speeds, Sizes, Times\n\n{bullets(_sizes(manifest))}"
    yield "## Evaluation\n\n### Testing Data, Factors & Metrics\n\n" + parts.metrics_explained()
    yield "### Results\n\n" + _agreement(manifest.verification)
    yield _accuracy(manifest)
    if manifest.gate:
        yield _gate(manifest.gate)
    yield parts.evaluation(training)
    yield parts.ENVIRONMENT
    yield "## Technical Specifications\n\n### Model Architecture and Objective\n\n" + bullets(
        _specification(manifest)
    )
    yield "### Compute Infrastructure\n\n" + bullets(_infrastructure(manifest))
    yield parts.CITATION


def _has_run(manifest: Manifest) -> str:
    target = manifest.target
    if manifest.verification["status"] == RAN:
        return f"This engine ran on {plain(target.platform)} when it was built."
    if manifest.verification["status"] == BUILT_NOT_RUN:
        return (
            f"This engine has not run on a GPU: it was written for {plain(target.backend)} "
            f"{plain(target.version)} where none was. What is said of its labels is of its ONNX "
            "graph on a processor."
        )
    return (
        f"This engine has not run on a GPU: it was compiled by {plain(target.backend)} "
        f"{plain(target.version)} for compute capability {plain(target.compute_capability)}. "
        "What is said of its labels is of its ONNX graph."
    )


def _description(manifest: Manifest) -> dict[str, object]:
    model, size = manifest.model, manifest.input
    batch = size.batch
    counts = str(batch.min) if batch.min == batch.max else f"{batch.min} to {batch.max}"
    return {
        "Model type": "semantic segmentation of a pair of images, Dual-HRNet",
        "Architecture": f"{model.architecture}, width {model.width}",
        "Parameters": f"{model.parameters:,}",
        "Precision": manifest.precision,
        "Input": f"two uint8 RGB images of {size.height}x{size.width}; pairs at a time: {counts}",
        "Output": "uint8 damage class, building probability x 255, confidence x 255",
        "License": f"{NOT_RECORDED}; the toolkit's code is under MIT",
        "Made from": f"checkpoint with sha256 {model.checkpoint_sha256}",
        "Created": manifest.created,
    }


def _start(manifest: Manifest) -> str:
    extra = _EXTRAS[manifest.target.backend]
    commands = (
        f'pip install "{extra}"    # in the toolkit\'s folder\n'
        "python -m runtime.predict --engine ENGINE before.png after.png --out MAP"
    )
    code = (
        "from runtime import load_engine\n\n"
        'with load_engine("ENGINE") as engine:\n'
        "    result = engine.predict(pre, post)  # uint8 [H, W, 3] RGB each\n"
        "    result.damage, result.building, result.confidence"
    )
    return f"`ENGINE` is this folder.\n\n{fenced(commands, 'sh')}\n\n{fenced(code, 'python')}"


def _sizes(manifest: Manifest) -> dict[str, object]:
    chosen = manifest.verification.get("chosen")
    return {
        "Payload": f"{manifest.payload_bytes / 1e6:.1f} MB",
        "Latency": f"chosen as the fastest: {chosen}" if chosen else NOT_MEASURED,
    }


def _agreement(verification: dict[str, Any]) -> str:
    parity = verification["parity"]
    text = (
        f"Beside PyTorch in FP32, {parity['what']} gives the same damage class on "
        f"{parity['label_agreement']:.4%} of {parity['pixels']} pixels ({parity['pairs']})"
    )
    rows = [
        (name, f"{f1:.4f}", str(parity["content"][name])) for name, f1 in parity["class_f1"].items()
    ]
    head = ["class", "F1 against PyTorch", "pixels that PyTorch predicts"]
    return f"{plain(text)}:\n\n{table(head, rows)}\n\n{_floor(parity)}"


def _floor(parity: dict[str, Any]) -> str:
    """What was measured of the engine's maps beside the limits that they had to hold."""
    floor, built = parity["floor"], parity["building_agreement"]
    held = {
        "Building pixels with the same class": (
            NOT_MEASURED if built is None else f"{built:.4%}, at least {floor['agreement']:.2%}"
        ),
        "F1 of every damage class": f"at least {floor['class_f1']:g}",
        "Mean difference of the probabilities on building pixels": (
            f"{parity['probability_difference']:.4f}, at most {floor['probability']:g}"
        ),
        "Pixels of every damage class": f"at least {floor['pixels']}",
    }
    return f"The floor that it holds:\n\n{bullets(held)}"


def _accuracy(manifest: Manifest) -> str:
    gate = manifest.verification["gate"]
    if not gate:
        return f"Accuracy of the engine on labels: {NOT_MEASURED}."
    what = manifest.verification["parity"]["what"]
    before, after = gate["reference"], gate["candidate"]
    rows = [
        (_FIGURES.get(name, f"F1 of {name}"), f"{before[name]:.4f}", f"{after[name]:.4f}")
        for name in before
    ]
    text = f"On {gate['scenes']} labelled scenes of split {gate['split']}, {what} beside FP32:"
    head = ["metric", "PyTorch FP32", manifest.precision]
    return f"{plain(text)}\n\n{table(head, rows)}"


def _gate(gate: WindowGate) -> str:
    """What it leaves out of a scene, and at what cost."""
    found, model = gate.misses, gate.model
    rows = {
        "Network": f"{model.architecture}, width {model.width}, checkpoint with sha256 "
        f"{model.checkpoint_sha256}",
        "Computed in": f"{gate.precision}, on pixels of {gate.reduction} times the size",
        "Threshold": f"{gate.threshold} of 255",
        "Buildings missed": f"{found['buildings_missed']} of {found['buildings']}; at most "
        f"{found['missed_at_most']:.2%}, with 95 % confidence",
        "Of hamlets, in windows with few buildings": f"{found['hamlet_buildings_missed']} of "
        f"{found['hamlet_buildings']}; at most {found['hamlet_missed_at_most']:.2%}",
        "Building pixels missed": f"{found['building_pixels_missed']} of "
        f"{found['building_pixels']}",
        "Buildings that it would miss if each were alone in its window": (
            f"{found['not_found_alone']} of {found['buildings_not_cut']}"
        ),
        "Windows without a building": f"{found['of_those_skipped']} of "
        f"{found['windows_without_building']} are skipped",
    }
    text = (
        "In scenes, windows where a second, small network finds no building are not computed "
        f"(`--no-gate` computes them). Measured on labelled tiles of split {found['split']} that "
        f"its threshold was not chosen on, with {found['measured_on']}:"
    )
    return f"### Gate\n\n{plain(text)}\n\n{bullets(rows)}"


def _specification(manifest: Manifest) -> dict[str, object]:
    graph, precision = manifest.graph, manifest.verification["precision"]
    flops = precision["flops_by_precision"].items()
    spared = manifest.verification["high_precision"]
    return {
        "ONNX graph": f"opset {graph.opset}, sha256 {graph.sha256}",
        "Building threshold": manifest.input.threshold,
        "Convolutions": precision["convolutions"],
        "Computed in": ", ".join(f"{name} {count / 1e9:.1f} GFLOP" for name, count in flops),
        "Left in floating point": ", ".join(spared) or "nothing beyond the precision's own form",
        "Calibration": manifest.calibration or "none",
        "Files": ", ".join(str(Path(where, entry.name)) for where, entry in manifest.files()),
    }


def _infrastructure(manifest: Manifest) -> dict[str, object]:
    target = manifest.target
    none = "any NVIDIA GPU" if target.on_gpu else "none, it runs on the processor"
    return {
        "Software": f"{target.backend} {target.version}",
        "Platform": target.platform,
        "GPU compute capability": target.compute_capability or none,
        "Processor it was built on": NOT_RECORDED,
    }
