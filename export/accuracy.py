"""The accuracy gate of an engine: measured against FP32, and INT8 rescued where it fails."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from calibration.gate import Comparison, Limits, Reference
from calibration.ranking import Harm, Subject, rank, spare
from export.material import Material
from export.request import EngineRequest
from runtime import cli
from runtime.errors import ExportError
from train.inference import Runner
from train.progress import progress
from train.quantisation.artefact import Artefact


@dataclass(frozen=True)
class Trial:
    """An INT8 engine with no unit spared, by the ranges that it was built with."""

    artefact: Artefact
    comparison: Comparison

    def as_dict(self, limits: Limits) -> dict[str, Any]:
        return {
            "method": self.artefact.method,
            "score": self.comparison.candidate.score,
            "losses": self.comparison.losses,
            "broken": self.comparison.broken(limits),
        }


@dataclass
class Gate:
    """Holds FP32's maps of the labelled scenes, and what was tried so far."""

    reference: Reference
    limits: Limits
    left: list[Artefact]
    """Ranges by other methods, not tried yet."""
    tried: list[Trial] = field(default_factory=list)
    _harms: list[Harm] = field(default_factory=list)

    def compare(self, request: EngineRequest, run: Runner) -> Comparison:
        comparison = self.reference.compare(run)
        artefact = request.source.calibration
        if artefact is not None and not request.options.high_precision:
            self.tried.append(Trial(artefact, comparison))
        return comparison

    def rescue(self, request: EngineRequest, comparison: Comparison) -> EngineRequest:
        """What to build after `request` was not accurate enough: INT8 with the ranges of the
        next method; when all were tried, the best of them with units left in floating point.

        Raises:
            ExportError: the precision has nothing to give back.
            CalibrationError: no choice of units holds the gate.
        """
        broken = "; ".join(comparison.broken(self.limits))
        if request.options.precision != "int8":
            raise ExportError(
                f"{request.options.precision} fails the accuracy gate on {comparison.scenes} "
                f"scenes: {broken}; nothing was written, use --fp32, or raise --gate-score or "
                "--gate-f1"
            )
        calibration = request.source.calibration
        assert calibration is not None
        if self.left:
            after = self.left.pop(0)
            cli.note(
                f"accuracy gate, {calibration.method} ranges: {broken}; trying those of "
                f"{after.method}"
            )
            return request.with_ranges(after)
        cli.note(f"accuracy gate, {calibration.method} ranges: {broken}")
        best = min(self.tried, key=lambda trial: trial.comparison.excess(self.limits)).artefact
        request = request.with_ranges(best)
        cli.note(f"ranking the units that INT8 hurts, with {best.method} ranges")
        more = self._spare(request)
        cli.note(f"left in floating point: {', '.join(more)}")
        return request.sparing(more)

    def _spare(self, request: EngineRequest) -> tuple[str, ...]:
        source, options = request.source, request.options
        assert source.calibration is not None
        subject = Subject(
            source.calibration.form(source.network).to(request.proof.device),
            source.network.config,
            source.calibration.ranges,
            options.int8_form,
            options.threshold,
            options.scales,
        )
        if not self._harms:
            with progress("sensitivity", "unit") as bar:
                self._harms = rank(subject, self.reference, bar)
        return spare(subject, self.reference, self._harms, self.limits, options.high_precision)


def open_gate(request: EngineRequest, material: Material) -> Gate | None:
    """The gate, where the precision needs one and there are labels to measure on."""
    if request.options.precision == "fp32" or not material.scenes:
        return None
    others = (
        material.artefacts[1:] if request.options.precision == "int8" and material.tiles else []
    )
    return Gate(material.reference, request.proof.limits, others)


def ranges_record(request: EngineRequest, gate: Gate | None) -> dict[str, Any] | None:
    """For the manifest: the method whose ranges were taken, and what each one lost that was
    tried; None without INT8."""
    calibration = request.source.calibration
    if calibration is None:
        return None
    tried = [trial.as_dict(gate.limits) for trial in gate.tried] if gate else []
    return {"method": calibration.method, "tried": tried}
