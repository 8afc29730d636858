"""What an engine is to be: where from, how, for what, and what it must prove."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from calibration.gate import Limits
from export.deploy import DeployOptions
from export.floor import FLOORS, Floor
from export.source import Ranges, Source
from export.targets import Target
from train.quantisation.artefact import Artefact


@dataclass(frozen=True)
class Proof:
    """What the engine is compared on, and what it may lose.

    data, split: an xBD data set; without one parity is measured on synthetic scenes, and
        accuracy not at all.
    parity_pairs: the fewest to compare maps on; more where a class needs them.
    """

    data: Path | None = None
    split: str = "test"
    parity_pairs: int = 2
    gate_tiles: int = 16
    """Labelled tiles that accuracy is measured on; 0 leaves the gate out."""
    limits: Limits = field(default_factory=Limits)
    floor: Mapping[str, float] = field(default_factory=dict)
    """Limits of the floor by name, in place of the precision's own."""
    allow_mixed: frozenset[str] = frozenset()
    """Convolutions that may be compiled in another precision: ONNX nodes or modules."""
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    """Where PyTorch computes the gate's FP32 maps, INT8's ranges and what a unit's rounding
    costs. Parity is proved on the processor, from whose weights the graph is exported."""


@dataclass(frozen=True)
class GateRequest:
    """source: the gate's checkpoint. budget: largest share of buildings that it may miss."""

    source: Source
    budget: float


@dataclass(frozen=True)
class EngineRequest:
    source: Source
    options: DeployOptions
    target: Target
    proof: Proof = field(default_factory=Proof)
    gsd_m: tuple[float, ...] | None = None
    """Metres of the least and the largest pixel that the network was trained on, if they are not
    to be those that the checkpoint records."""

    ranges: Ranges = field(default_factory=Ranges)
    """Where INT8's come from, if `source` has none."""

    gate: GateRequest | None = None
    """What says which windows of a scene can hold a building; None: no gate."""

    @property
    def floor(self) -> Floor:
        """What the engine's maps must hold against FP32's."""
        return FLOORS[self.options.precision].with_given(**self.proof.floor)

    def with_ranges(self, artefact: Artefact) -> EngineRequest:
        """The same with these ranges, every unit rounded."""
        source = replace(self.source, calibration=artefact)
        return replace(self.sparing(()), source=source)

    def sparing(self, units: tuple[str, ...]) -> EngineRequest:
        """The same with some HRNet units left in floating point."""
        return replace(self, options=replace(self.options, high_precision=units))
