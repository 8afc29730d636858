"""What a report knows of its engines, and which of them compare."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.latency.figures import LAYERS, OFFLINE, Latency
from runtime.manifest import RAN, Manifest

REFERENCE_PRECISION = "fp32"


@dataclass(frozen=True)
class Accuracy:
    """The figures of one engine on labelled tiles; `class_f1` by class name.

    `absent` names classes that the data does not have: their F1 is 0 by the rule of the
    score, and says nothing about the engine. `details` is all that was counted.
    """

    score: float
    localization_f1: float
    damage_f1: float
    class_f1: dict[str, float]
    absent: tuple[str, ...]
    data: dict[str, Any]
    machine: dict[str, Any]
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def f1(self) -> dict[str, float]:
        """Every F1 that the accuracy gate looks at, by name."""
        return {"localization": self.localization_f1, **self.class_f1}


@dataclass(frozen=True)
class EngineFigures:
    """One engine. What was not measured is None or missing; it is never 0."""

    name: str
    folder: Path
    manifest: Manifest
    identity: dict[str, Any]
    accuracy: Accuracy | None = None
    timed: tuple[Latency, ...] = ()
    robustness: dict[str, Any] | None = None
    """The record of benchmarks.robustness."""

    @property
    def size(self) -> int:
        """Bytes of the payload on disk."""
        return self.manifest.payload_bytes

    @property
    def ran_when_built(self) -> bool:
        return self.manifest.verification.get("status") == RAN

    @property
    def was_run(self) -> bool:
        """Somewhere, ever: at least one thing about it was measured on the engine itself."""
        return self.ran_when_built or self.accuracy is not None or bool(self.timed)

    @property
    def latency(self) -> dict[str, Latency]:
        """Of one call after another, by scope; the smallest batch that was timed."""
        found: dict[str, Latency] = {}
        for each in sorted(self.timed, key=lambda each: -each.batch):
            if each.scope in LAYERS and each.scenario != OFFLINE:
                found[each.scope] = each
        return found

    @property
    def offline(self) -> Latency | None:
        """With all pairs at hand."""
        return next((each for each in self.timed if each.scenario == OFFLINE), None)

    def by_itself(self, scope: str) -> Latency | None:
        """A whole map, or the start of a process."""
        return next((each for each in self.timed if each.scope == scope), None)

    @property
    def parity(self) -> dict[str, Any]:
        """Agreement with PyTorch as the manifest has it; {} where it was not measured."""
        found = self.manifest.verification.get("parity")
        return found if isinstance(found, dict) else {}

    @property
    def label_agreement(self) -> float | None:
        return self.parity.get("label_agreement")


@dataclass(frozen=True)
class Findings:
    """All that a report says. A record is None where no file of its kind was given."""

    engines: tuple[EngineFigures, ...]
    agreement: dict[str, Any] | None = None
    peers: dict[str, Any] | None = None
    pareto: dict[str, Any] | None = None

    @property
    def reference(self) -> EngineFigures | None:
        return reference_of(self.engines)

    @property
    def not_measured(self) -> tuple[tuple[str, str], ...]:
        """What the report has no section on, for want of a file, and the command that makes one."""
        given = {
            ("the score on worse images", "benchmarks.robustness"): any(
                each.robustness for each in self.engines
            ),
            ("latency beside other libraries'", "benchmarks.peers"): self.peers,
            ("score against latency against memory", "benchmarks.pareto"): self.pareto,
        }
        return tuple(what for what, found in given.items() if not found)


def reference_of(engines: Sequence[EngineFigures]) -> EngineFigures | None:
    """The first FP32 engine with a score: what the others are compared with."""
    for each in engines:
        if each.accuracy is not None and each.manifest.precision == REFERENCE_PRECISION:
            return each
    return None


def comparable(engine: EngineFigures, reference: EngineFigures | None) -> bool:
    """A difference from the reference is the engine's own only if both are one network."""
    if reference is None or engine is reference:
        return False
    return engine.manifest.model.checkpoint_sha256 == reference.manifest.model.checkpoint_sha256
