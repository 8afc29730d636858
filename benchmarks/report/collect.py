"""The files of the other benchmarks, read and checked to belong together."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.engines import identify, name_of
from benchmarks.latency.figures import read_figures
from benchmarks.report.figures import Accuracy, EngineFigures, Findings
from runtime.errors import ConfigError
from runtime.manifest import Manifest

LATENCY = "latency"
OF_ONE_ENGINE = ("accuracy", "robustness")
OF_MANY = ("agreement", "peers", "pareto")
_COMMANDS = {
    LATENCY: "pytest benchmarks --benchmark-json",
    **{each: f"python -m benchmarks.{each} --out" for each in (*OF_ONE_ENGINE, *OF_MANY)},
}


def collect(folders: Sequence[Path], files: Sequence[Path] = ()) -> Findings:
    """The engines in that order, each with what the files say of it.

    Raises:
        ConfigError: a file that no benchmark wrote, figures of another engine or of an
            earlier build, two files on one thing, or figures taken on different tiles.
    """
    engines = {each.name: each for each in _engines(folders)}
    common: dict[str, dict[str, Any]] = {}
    for path in files:
        record = _read(path)
        kind = record["kind"]
        if kind == LATENCY:
            _add_latencies(engines, path)
        elif kind in OF_ONE_ENGINE:
            _add(engines, kind, record, path)
        elif kind in common:
            raise ConfigError(f"{path}: a file of kind {kind} was given already; leave out one")
        else:
            common[kind] = record
    found = Findings(tuple(engines.values()), **common)
    _check_agreement(found, engines)
    _check_tiles(found)
    return found


def _engines(folders: Sequence[Path]) -> list[EngineFigures]:
    names = [name_of(folder) for folder in folders]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"--engine: two folders are named {name}; rename or leave out one")
    manifests = [Manifest.read(folder) for folder in folders]
    return [
        EngineFigures(name, folder, manifest, identify(folder, manifest))
        for name, folder, manifest in zip(names, folders, manifests, strict=True)
    ]


def _read(path: Path) -> dict[str, Any]:
    """With its `kind`, which pytest-benchmark's own format has no room for."""
    try:
        record = json.loads(path.read_text())
    except ValueError as error:
        raise ConfigError(f"{path}: not JSON ({error}); {_expected()}") from error
    if isinstance(record, dict) and "benchmarks" in record:
        return {"kind": LATENCY}
    if not isinstance(record, dict) or record.get("kind") not in _COMMANDS:
        raise ConfigError(f"{path}: holds no figures; {_expected()}")
    return record


def _expected() -> str:
    return f"expected a file written by {', '.join(_COMMANDS.values())}"


def _add(engines: dict[str, EngineFigures], kind: str, record: dict[str, Any], path: Path) -> None:
    engine = _owner(record, engines, path)
    if engine is None:
        name = record["engine"]["name"]
        raise ConfigError(f"{path}: figures of {name}, which --engine does not name")
    if getattr(engine, kind) is not None:
        raise ConfigError(f"{path}: {engine.name} has {kind} figures already; leave out one file")
    found = _accuracy(record, path) if kind == "accuracy" else record
    engines[engine.name] = replace(engine, **{kind: found})


def _add_latencies(engines: dict[str, EngineFigures], path: Path) -> None:
    """The file may time engines that the report leaves out."""
    for each in read_figures(path):
        owner = _owner({"engine": each.engine}, engines, path)
        if owner is not None:
            engines[owner.name] = replace(owner, timed=(*owner.timed, each))


def _owner(
    record: dict[str, Any], engines: dict[str, EngineFigures], path: Path
) -> EngineFigures | None:
    """The engine that the figures are of; an earlier build of one is an error."""
    identity = _field(lambda: record["engine"], path)
    engine = engines.get(_field(lambda: identity["name"], path))
    if engine and engine.identity["manifest_sha256"] != identity.get("manifest_sha256"):
        raise ConfigError(
            f"{path}: figures of another build of {engine.name} than the one in {engine.folder}; "
            "measure it again"
        )
    return engine


def _accuracy(record: dict[str, Any], path: Path) -> Accuracy:
    def read() -> Accuracy:
        figures = record["figures"]
        return Accuracy(
            figures["score"],
            figures["localization_f1"],
            figures["damage_f1"],
            figures["class_f1"],
            tuple(figures["absent"]),
            record["data"],
            record["machine"],
            figures,
        )

    return _field(read, path)


def _field(read: Callable[[], Any], path: Path) -> Any:
    try:
        return read()
    except (KeyError, TypeError) as error:
        raise ConfigError(f"{path}: lacks {error}; measure the engine again") from error


def _check_agreement(found: Findings, engines: dict[str, EngineFigures]) -> None:
    """It must be of these builds."""
    if found.agreement is None:
        return
    for each in (found.agreement["reference"], *(e["engine"] for e in found.agreement["engines"])):
        engine = engines.get(each["name"])
        if engine and engine.identity["manifest_sha256"] != each["manifest_sha256"]:
            raise ConfigError(
                f"agreement: of another build of {engine.name} than the one in {engine.folder}; "
                "measure it again"
            )


def _check_tiles(found: Findings) -> None:
    """Figures of different tiles do not compare."""
    data = [each.accuracy.data for each in found.engines if each.accuracy]
    data += [found.agreement["data"]] if found.agreement else []
    if len({each["fingerprint"] for each in data}) > 1:
        names = sorted({f"{d['name']}/{d['split']}, {d['tiles']} tiles" for d in data})
        raise ConfigError(
            f"the files were measured on different tiles ({', '.join(names)}), so they do not "
            "compare; measure all engines on the same split"
        )
