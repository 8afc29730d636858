"""ONNX files in ONNX Runtime and OpenVINO, both set as our engines set them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.peers.peer import ALONE, DEPLOY_GRAPH, END_TO_END, PLAIN_EXPORT, Peer, Task

if TYPE_CHECKING:
    import numpy as np

    Run = Callable[[Mapping[str, np.ndarray]], list[np.ndarray]]
    """The graph's inputs by name; its outputs in order."""


def onnxruntime_run(graph: Path, threads: int) -> Run:
    from runtime.backends.onnxruntime import load_onnxruntime, settings

    session = load_onnxruntime().InferenceSession(
        str(graph), settings(threads), providers=["CPUExecutionProvider"]
    )
    return lambda feeds: session.run(None, dict(feeds))


def openvino_run(graph: Path, threads: int) -> Run:
    from runtime.backends.openvino import load_openvino, settings
    from runtime.backends.openvino_core import core_of

    core = core_of(load_openvino())
    compiled = core.compile_model(str(graph), "CPU", settings(threads))
    request: Any = compiled.create_infer_request()

    def run(feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        results = request.infer(dict(feeds))
        return [results[port] for port in compiled.outputs]

    return run


LIBRARIES: dict[str, tuple[str, Callable[[Path, int], Run]]] = {
    "onnxruntime": ("ONNX Runtime", onnxruntime_run),
    "openvino": ("OpenVINO", openvino_run),
}


def plain_peers(library: str, graph: Path, task: Task) -> list[Peer]:
    """A plain export in both scopes, from one loaded graph."""
    from benchmarks.peers.plain import postprocess, preprocess

    title, opener = LIBRARIES[library]
    run = opener(graph, task.threads)

    def images() -> dict[str, np.ndarray]:
        return {
            name: preprocess(image, task.config)
            for name, image in zip(("pre", "post"), task.pair, strict=True)
        }

    def maps(logits: list[np.ndarray]) -> tuple[np.ndarray, ...]:
        building, damage = logits
        return postprocess(building, damage, task.threshold)

    ready = images()
    return [
        Peer(title, PLAIN_EXPORT, END_TO_END, lambda: maps(run(images())), lambda found: found[0]),
        Peer(title, PLAIN_EXPORT, ALONE, lambda: run(ready), lambda found: maps(found)[0]),
    ]


def deploy_peers(library: str, rewritten: bool, graph: Path, task: Task) -> list[Peer]:
    """The deploy graph; it has one scope, because nothing of it could be left out."""
    title, opener = LIBRARIES[library]
    run = opener(graph, task.threads)
    feeds = {name: image[None] for name, image in zip(("pre", "post"), task.pair, strict=True)}
    name = f"{title}, {'rewritten ' if rewritten else ''}deploy graph"
    return [Peer(name, DEPLOY_GRAPH, END_TO_END, lambda: run(feeds), lambda found: found[0][0])]
