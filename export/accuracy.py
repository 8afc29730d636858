"""The accuracy gate of an engine: measured against FP32, and INT8 rescued where it fails."""

from __future__ import annotations

from dataclasses import dataclass, field

from calibration.gate import Comparison, Reference
from calibration.ranking import Harm, Subject, rank, spare
from calibration.scenes import cut_scenes
from calibration.tiles import choose
from export.request import EngineRequest
from runtime import cli
from runtime.errors import ExportError
from train.inference import predict_maps
from train.model.inference_form import inference_form
from train.progress import progress
from train.xbd import Tile, find_tiles


@dataclass
class Gate:
    """Holds FP32's maps of the labelled scenes, and the ranking of units once it was needed."""

    request: EngineRequest
    reference: Reference
    disasters: tuple[str, ...]
    """Of the scenes."""
    _harms: list[Harm] = field(default_factory=list)

    def rescue(self, comparison: Comparison, spared: tuple[str, ...]) -> tuple[str, ...]:
        """Units to leave in floating point, after `spared` was not enough.

        Raises:
            ExportError: the precision has nothing to give back.
            CalibrationError: no choice of units holds the gate.
        """
        options, proof = self.request.options, self.request.proof
        broken = "; ".join(comparison.broken(proof.limits))
        if options.precision != "int8":
            raise ExportError(
                f"{options.precision} fails the accuracy gate on {comparison.scenes} scenes: "
                f"{broken}; nothing was written, use --fp32, or raise --gate-score or --gate-f1"
            )
        cli.note(f"accuracy gate: {broken}; ranking the units that INT8 hurts")
        subject = self._subject()
        if not self._harms:
            with progress("sensitivity", "unit") as bar:
                self._harms = rank(subject, self.reference, bar)
        more = spare(subject, self.reference, self._harms, proof.limits, spared)
        cli.note(f"left in floating point: {', '.join(more)}")
        return more

    def _subject(self) -> Subject:
        source, options = self.request.source, self.request.options
        assert source.calibration is not None
        return Subject(
            inference_form(source.network),
            source.network.config,
            source.calibration.ranges,
            options.int8_form,
            options.threshold,
        )


def open_gate(request: EngineRequest) -> Gate | None:
    """The gate, where the precision needs one and there are labels to measure on."""
    options, proof, network = request.options, request.proof, request.source.network
    if options.precision == "fp32" or proof.gate_tiles == 0:
        return None
    tiles = _labelled(request)
    if not tiles:
        cli.note("no labelled --data: accuracy against FP32 is not measured")
        return None
    tiles = choose(tiles, proof.gate_tiles)
    scenes = cut_scenes(tiles, options.height, options.width)
    cli.note(f"accuracy of FP32 on {len(scenes)} labelled scenes of split {proof.split}")
    return Gate(
        request,
        Reference(lambda pre, post: predict_maps(network, pre, post, options.threshold), scenes),
        tuple(sorted({tile.disaster for tile in tiles})),
    )


def _labelled(request: EngineRequest) -> list[Tile]:
    proof = request.proof
    if proof.data is None:
        return []
    tiles = find_tiles(proof.data, proof.split, labelled=False)
    return [tile for tile in tiles if tile.labelled]
