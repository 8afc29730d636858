"""What a build needs beside the checkpoint, read and checked before anything is computed.

`prepare` reads; what takes forward passes is computed when it is first asked for, once for all
engines that are built from the same material.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from calibration.calibrate import calibration_tiles, observed
from calibration.gate import Reference
from calibration.scenes import Scene, check_buildings, cut_scenes
from calibration.tiles import choose
from export.parity_pairs import Candidate, ParityPair, parity_pairs, windows
from export.parity_pairs import scenes as synthetic
from export.request import EngineRequest
from export.runners import fp32_runner
from export.window_gate.build import Halves, labelled_halves
from runtime import cli
from runtime.errors import DataError
from runtime.files import check_space, check_writable
from train.model import DualHRNet
from train.progress import progress
from train.quantisation.artefact import Artefact
from train.xbd import Tile, find_tiles, found_here

_BYTES = {"fp32": 4, "fp16": 2, "int8": 1}
"""Of a parameter in a payload, at the least."""


@dataclass
class Material:
    """scenes: labelled, for the accuracy gate; none without a gate.
    tiles: to observe INT8's ranges on; none where there is nothing to observe.
    gate_tiles: to choose and prove a window gate on; None without one.
    """

    request: EngineRequest
    """One of those that it is for; all have the network, the size and the threshold in common."""
    windows: list[Candidate]
    """Of a data set, to choose pairs for parity from; none without one."""
    scenes: list[Scene]
    disasters: tuple[str, ...]
    """Of the scenes."""
    tiles: list[Tile]
    gate_tiles: Halves | None = None

    @cached_property
    def network(self) -> DualHRNet:
        """The source's on the proof's device."""
        network, device = self.request.source.network, self.request.proof.device
        return network if device.type == "cpu" else copy.deepcopy(network).to(device)

    @cached_property
    def pairs(self) -> list[ParityPair]:
        """To compare engines on, with FP32's maps of them."""
        request, options = self.request, self.request.options
        cli.note("choosing pairs to compare on, by what FP32 predicts")
        fp32 = fp32_runner(request.source.network, options)
        spare = synthetic(options.height, options.width)
        found = parity_pairs(fp32, self.windows, spare, request.proof.parity_pairs)
        if len(found) < request.proof.parity_pairs:
            cli.note(f"note: --parity-pairs {request.proof.parity_pairs}: {len(found)} were found")
        return found

    @cached_property
    def reference(self) -> Reference:
        """FP32's maps of the scenes."""
        options = self.request.options
        split = self.request.proof.split
        cli.note(f"accuracy of FP32 on {len(self.scenes)} labelled scenes of split {split}")
        return Reference(fp32_runner(self.network, options), self.scenes)

    @cached_property
    def artefacts(self) -> list[Artefact]:
        """INT8's ranges on the tiles, in the order to try them in.

        Raises:
            CalibrationError: a tensor's range is 0, NaN or infinite.
        """
        source, ranges = self.request.source, self.request.ranges
        methods = ranges.methods if self.scenes else ranges.methods[:1]  # no gate, no choice
        assert ranges.data is not None
        cli.note(
            f"no --calibration given: observing {', '.join(methods)} ranges on {len(self.tiles)} "
            f"tiles of {ranges.data / ranges.split}"
        )
        with progress("calibrate", "tile") as bar:
            digest = source.checkpoint_sha256
            return observed(self.network, digest, self.tiles, methods, bar)


def prepare(requests: Sequence[EngineRequest], outs: Sequence[Path]) -> Material:
    """What any of `requests` needs; no network runs.

    Args:
        outs: where the engine of each would be put.
    Raises:
        OSError: nothing can be written there, or there is no room.
        DataError: a split is absent, its tiles are too small, or show no building.
    """
    first = requests[0]
    for request, out in zip(requests, outs, strict=True):
        check_writable(out)
        check_space(out, least_bytes(request))
    _check_split(first)
    options, proof = first.options, first.proof
    found = (
        windows(proof.data, proof.split, options.height, options.width, proof.parity_pairs)
        if proof.data
        else []
    )
    gated = [each for each in requests if each.options.precision != "fp32"]
    scenes, disasters = _scenes(gated[0]) if gated else ([], ())
    int8 = next((each for each in requests if each.options.precision == "int8"), None)
    tiles = _tiles(int8) if int8 else []
    halves = labelled_halves(proof) if first.gate else None
    return Material(int8 or first, found, scenes, disasters, tiles, halves)


def least_bytes(request: EngineRequest) -> int:
    """What the engine's payload takes on the disk, at the least."""
    return _BYTES[request.options.precision] * request.source.parameters


def _check_split(request: EngineRequest) -> None:
    data, split = request.proof.data, request.proof.split
    if data is None or (data / split / "images").is_dir():
        return
    if not data.is_dir():
        raise DataError(f"--data {data}: no such folder; expected an xBD data set")
    instead = " and pass --calibration" if request.options.precision == "int8" else ""
    raise DataError(
        f"--split {split}: {data} has no such split to compare the engine on (found here: "
        f"{found_here(data)}); name another with --split, or leave --data out{instead}"
    )


def _tiles(request: EngineRequest) -> list[Tile]:
    """To observe INT8's ranges on, where no file has them."""
    ranges = request.ranges
    if request.source.calibration is not None or ranges.data is None:
        return []
    return calibration_tiles(ranges.data, ranges.split, ranges.tiles)


def _scenes(request: EngineRequest) -> tuple[list[Scene], tuple[str, ...]]:
    """Labelled scenes to measure accuracy on, where there are any and a gate is wanted, and
    their disasters."""
    options, proof = request.options, request.proof
    if proof.gate_tiles == 0:
        return [], ()
    labelled = []
    if proof.data is not None:
        tiles = find_tiles(proof.data, proof.split, labelled=False)
        labelled = [tile for tile in tiles if tile.labelled]
    if not labelled:
        cli.note("no labelled --data: accuracy against FP32 is not measured")
        return [], ()
    tiles = choose(labelled, proof.gate_tiles)
    scenes = cut_scenes(tiles, options.height, options.width)
    check_buildings(scenes)
    return scenes, tuple(sorted({tile.disaster for tile in tiles}))
