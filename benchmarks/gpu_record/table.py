"""The record in words: the row of the table of targets, and a line for each figure."""

from __future__ import annotations

from typing import Any

TITLES = {
    "tensorrt": "TensorRT",
    "tensorrt-rtx": "TensorRT-RTX",
    "onnxruntime-cuda": "ONNX Runtime, CUDA provider",
}


def rows(record: dict[str, Any]) -> list[str]:
    """Markdown, one row for each target that was tried: target, precisions, built, run, verified.

    A target counts as run where an engine of it gave maps on the GPU, and as verified in what was
    measured of those maps.
    """
    return [_row(record, target) for target in record["targets"]]


def _row(record: dict[str, Any], target: str) -> str:
    compared = [e for e in record["comparisons"] if e["job"]["target"] == target]
    timed = [e for e in record["latency"] if e["job"]["target"] == target]
    ran = [e for e in (*compared, *timed) if "error" not in e]
    precisions = [p for p in ("fp32", "fp16") if any(e["job"]["precision"] == p for e in ran)]
    gpu = record["gpu"]
    where = f"yes, on {gpu['name']} (SM {gpu['compute_capability']})" if ran else "**never**"
    verified = []
    if any("error" not in each for each in compared):
        verified.append("labels against an FP32 engine on the processor, xView2 score")
    if any("error" not in each for each in timed):
        verified.append("latency")
    cells = (
        TITLES[target],
        ", ".join(each.upper() for each in precisions) or "-",
        "yes" if ran else "**never**",
        where,
        ", ".join(verified) or "nothing",
    )
    return f"| {' | '.join(cells)} |"


def text(record: dict[str, Any]) -> str:
    """For a person: the GPU, the tests, what agreed, times, what failed and what was left out."""
    gpu, tests = record["gpu"], record["tests"]
    lines = [f"{gpu['name']}, compute capability {gpu['compute_capability']}"]
    if "error" in tests:
        lines.append(f"tests: {tests['error']}")
    else:
        lines.append(
            f"tests: {tests['passed']} passed, {len(tests['failed'])} failed, "
            f"{len(tests['skipped'])} skipped"
        )
        lines += [f"  failed: {name}: {why}" for name, why in tests["failed"].items()]
    lines += [_compared(each) for each in record["comparisons"]]
    lines += [_timed(each) for each in record["latency"]]
    lines += [f"left out: {each['what']}: {each['why']}" for each in record["skipped"]]
    return "\n".join([*lines, "", *rows(record)])


def _compared(found: dict[str, Any]) -> str:
    job = found["job"]
    name = f"{job['precision']} on {job['target']}"
    if "error" in found:
        return f"{name}: not compared: {found['error']}"
    score = found["score"]["score"]
    return f"{name}: {found['agreement']:.4%} of the labels as FP32's, score {score:.4f}"


def _timed(found: dict[str, Any]) -> str:
    job = found["job"]
    name = f"W{job['width']} {job['side']}x{job['side']} {job['precision']} on {job['target']}"
    if "error" in found:
        return f"{name}: not timed: {found['error']}"
    times = ", ".join(
        f"{scope} {each['p50'] * 1e3:.2f} ms (p90 {each['p90'] * 1e3:.2f})"
        for scope, each in found["scopes"].items()
    )
    graph = {True: ", one CUDA graph", False: ", without a CUDA graph", None: ""}[found["graph"]]
    return f"{name}: {times}{graph}"
