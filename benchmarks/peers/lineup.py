"""Who takes part, and why somebody could not."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.nncf_engine import TILES, engine_by_nncf, is_plain
from benchmarks.peers import graphs, pytorch
from benchmarks.peers.peer import EAGER, END_TO_END, ENGINE, Peer, Task
from runtime.errors import reason
from runtime.manifest import Manifest

if TYPE_CHECKING:
    import numpy as np

    from runtime.engine import Engine
    from train.model import DualHRNet

LEFT_OUT = "left out by --leave-out"
REASON = 300
"""Characters of a library's own words; a compiler's can be pages."""

Opener = Callable[[], list[Peer]]


class Lineup:
    """The peers that can take part, in order, each with its damage map's agreement.

    PyTorch eager is the first: its end to end damage map is the truth of the others.
    """

    def __init__(self, network: DualHRNet, task: Task) -> None:
        self.peers: list[Peer] = []
        self.agreement: dict[str, float] = {}
        self.failed: list[dict[str, str]] = []
        self._truth: np.ndarray | None = None
        self._add(pytorch.eager_peers(network, task))

    def open(self, name: str, opener: Opener) -> None:
        """Add the opener's peers; or, where they cannot be, the reason."""
        try:
            self._add(opener())
        except (Exception, pytorch.TimeLimit) as error:  # libraries fail as they please
            words = f"{type(error).__name__}: {reason(error)}"
            self.fail(name, words if len(words) <= REASON else words[:REASON] + "...")

    def fail(self, name: str, why: str) -> None:
        self.failed.append({"name": name, "reason": why})

    def _add(self, peers: list[Peer]) -> None:
        found = {peer.key: peer.damage(peer.call()) for peer in peers}
        if self._truth is None:
            assert (peers[0].name, peers[0].scope) == (EAGER, END_TO_END)
            self._truth = found[peers[0].key]
        for key, damage in found.items():
            self.agreement[key] = float((damage == self._truth).mean())
        self.peers += peers


def openers(
    network: DualHRNet, task: Task, scratch: Path, compile_limit: int, deploy_graphs: bool
) -> dict[str, Opener]:
    """By the name that --leave-out knows; graphs are exported into `scratch` when first used."""
    part = functools.partial
    found: dict[str, Opener] = {
        "pytorch-channels-last": part(pytorch.channels_last_peers, network, task),
        "pytorch-compile": part(pytorch.compiled_peers, network, task, compile_limit),
    }
    exported = functools.cache(part(_export, network, task, scratch))

    def plain(library: str) -> list[Peer]:
        return graphs.plain_peers(library, exported("plain"), task)

    def deploy(library: str, kind: str) -> list[Peer]:
        return graphs.deploy_peers(library, kind == "rewritten", exported(kind), task)

    found |= {library: part(plain, library) for library in graphs.LIBRARIES}
    if deploy_graphs:
        for kind in ("deploy", "rewritten"):
            found |= {f"{each}-{kind}": part(deploy, each, kind) for each in graphs.LIBRARIES}
    return found


def names() -> list[str]:
    """Of all who can be left out."""
    kinds = ("", "-deploy", "-rewritten")
    exports = [f"{library}{kind}" for kind in kinds for library in graphs.LIBRARIES]
    return ["pytorch-channels-last", "pytorch-compile", *exports]


def engine_peer(name: str, engine: Engine, task: Task) -> list[Peer]:
    precision = engine.manifest.precision
    call = functools.partial(engine.predict, *task.pair)
    return [Peer(name, ENGINE, END_TO_END, call, lambda maps: maps.damage, precision)]


def open_engines(
    lineup: Lineup, folders: Sequence[Path], task: Task, stack: contextlib.ExitStack
) -> None:
    from benchmarks.engines import name_of, open_or_reason

    for folder in folders:
        opened = open_or_reason(folder, task.threads)
        if isinstance(opened, str):
            lineup.fail(name_of(folder), opened)
        else:
            engine = stack.enter_context(opened)
            lineup.open(
                name_of(folder), functools.partial(engine_peer, name_of(folder), engine, task)
            )


def plain_engine(folders: Sequence[Path]) -> Path | None:
    """The first that NNCF can take: FP32 for OpenVINO."""
    return next((each for each in folders if is_plain(Manifest.read(each))), None)


def quantised_by_nncf(folders: Sequence[Path], data: Path, scratch: Path) -> Path:
    """The engine folder that NNCF makes of the first of `folders` that it can take."""
    engine = plain_engine(folders)
    assert engine is not None
    out = scratch / f"{engine.resolve().name}-nncf"
    engine_by_nncf(engine, data, "train", TILES, out)
    return out


def _export(network: DualHRNet, task: Task, scratch: Path, kind: str) -> Path:
    """The ONNX file of a `kind`: plain, deploy, or rewritten as for a GPU."""
    path = scratch / f"{kind}.onnx"
    if kind == "plain":
        from benchmarks.peers.plain import export_plain

        export_plain(network, task.size, path)
        return path
    from export.deploy import DeployOptions, deploy_graph
    from export.onnx_graph import export_onnx, save_onnx
    from export.rewrites import FOR_NVIDIA

    rewrites = FOR_NVIDIA if kind == "rewritten" else ()
    options = DeployOptions(*task.size, threshold=task.threshold, rewrites=rewrites)
    save_onnx(export_onnx(deploy_graph(network, options), options), path)
    return path
