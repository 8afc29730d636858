"""Everything a report says, gathered from files and checked to belong together."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.engines import identify, name_of
from benchmarks.latency.figures import Latency, read_latencies
from runtime.errors import ConfigError
from runtime.manifest import RAN, Manifest

REFERENCE_PRECISION = "fp32"


@dataclass(frozen=True)
class Accuracy:
    """The official figures of one engine; `class_f1` by class name.

    `absent` names classes that the data does not have: their F1 is 0 by the rule of the
    score, and says nothing about the engine.
    """

    score: float
    localization_f1: float
    damage_f1: float
    class_f1: dict[str, float]
    absent: tuple[str, ...]
    data: dict[str, Any]
    machine: dict[str, Any]


@dataclass(frozen=True)
class EngineFigures:
    """One engine. What was not measured is None or missing; it is never 0."""

    name: str
    folder: Path
    manifest: Manifest
    identity: dict[str, Any]
    accuracy: Accuracy | None = None
    latency: dict[str, Latency] = field(default_factory=dict)
    """By scope."""

    @property
    def size(self) -> int:
        """Bytes of the payload on disk."""
        return sum(entry.size for entry in self.manifest.payload)

    @property
    def ran_when_built(self) -> bool:
        return self.manifest.verification.get("status") == RAN

    @property
    def was_run(self) -> bool:
        """Somewhere, ever: at least one thing about it was measured on the engine itself."""
        return self.ran_when_built or self.accuracy is not None or bool(self.latency)

    @property
    def parity(self) -> dict[str, Any]:
        """Agreement with PyTorch as the manifest has it; {} where it was not measured."""
        found = self.manifest.verification.get("parity")
        return found if isinstance(found, dict) else {}

    @property
    def label_agreement(self) -> float | None:
        return self.parity.get("label_agreement")


def collect(
    folders: Sequence[Path], accuracy_files: Sequence[Path], latency_file: Path | None
) -> list[EngineFigures]:
    """One entry for each folder, in that order.

    Raises:
        ConfigError: a file that is not what it should be, figures of another engine or of
            an earlier build, or accuracies that were taken on different data.
    """
    engines = []
    for folder in folders:
        manifest = Manifest.read(folder)
        engines.append(EngineFigures(name_of(folder), folder, manifest, identify(folder, manifest)))
    _refuse_twins(engines)
    accuracies = _accuracies(accuracy_files, engines)
    latencies = _latencies(latency_file, engines)
    return [
        EngineFigures(
            each.name,
            each.folder,
            each.manifest,
            each.identity,
            accuracies.get(each.name),
            latencies.get(each.name, {}),
        )
        for each in engines
    ]


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


def _refuse_twins(engines: list[EngineFigures]) -> None:
    names = [each.name for each in engines]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"--engine: two folders are named {name}; rename or leave out one")


def _accuracies(files: Sequence[Path], engines: list[EngineFigures]) -> dict[str, Accuracy]:
    found: dict[str, Accuracy] = {}
    for path in files:
        record = _read_accuracy(path)
        try:
            identity, figures = record["engine"], _accuracy(record)
        except (KeyError, TypeError) as error:
            raise ConfigError(f"{path}: lacks {error}; measure the engine again") from error
        if not _belongs(identity, engines, path):
            raise ConfigError(
                f"{path}: figures of {identity['name']}, which --engine does not name"
            )
        if identity["name"] in found:
            raise ConfigError(f"{path}: {identity['name']} has figures already; leave out one file")
        found[identity["name"]] = figures
    if len({each.data["fingerprint"] for each in found.values()}) > 1:
        raise ConfigError(
            "--accuracy: the files were measured on different tiles "
            f"({', '.join(sorted({_data_name(each.data) for each in found.values()}))}), so they "
            "do not compare; measure all engines on the same split"
        )
    return found


def _read_accuracy(path: Path) -> dict[str, Any]:
    expected = "expected a file written by python -m benchmarks.accuracy --out"
    try:
        record = json.loads(path.read_text())
    except ValueError as error:
        raise ConfigError(f"{path}: not JSON ({error}); {expected}") from error
    if not isinstance(record, dict) or record.get("kind") != "accuracy":
        raise ConfigError(f"{path}: holds no accuracy figures; {expected}")
    return record


def _accuracy(record: dict[str, Any]) -> Accuracy:
    figures = record["figures"]
    counts = figures["counts"]
    absent = [
        name
        for name in figures["class_f1"]
        if counts[name]["true_positive"] + counts[name]["false_negative"] == 0
    ]
    return Accuracy(
        figures["score"],
        figures["localization_f1"],
        figures["damage_f1"],
        figures["class_f1"],
        tuple(absent),
        record["data"],
        record["machine"],
    )


def _latencies(path: Path | None, engines: list[EngineFigures]) -> dict[str, dict[str, Latency]]:
    """By engine name and scope. The file may time engines that the report leaves out."""
    found: dict[str, dict[str, Latency]] = {}
    if path is None:
        return found
    for each in read_latencies(path):
        if _belongs(each.engine, engines, path):
            found.setdefault(each.engine["name"], {})[each.scope] = each
    return found


def _belongs(identity: dict[str, Any], engines: list[EngineFigures], path: Path) -> bool:
    """Whether the figures are of one of the engines; an earlier build of one is an error."""
    for each in engines:
        if each.name == identity["name"]:
            if each.identity["manifest_sha256"] == identity["manifest_sha256"]:
                return True
            raise ConfigError(
                f"{path}: figures of another build of {each.name} than the one in {each.folder}; "
                "measure it again"
            )
    return False


def _data_name(data: dict[str, Any]) -> str:
    return f"{data['name']}/{data['split']}, {data['tiles']} tiles"
