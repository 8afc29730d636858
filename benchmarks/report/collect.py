"""The files of the other benchmarks, read and checked to belong together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.engines import identify, name_of
from benchmarks.latency.figures import read_figures
from benchmarks.records import LATENCY, read_record
from benchmarks.report.figures import Accuracy, EngineFigures, Findings
from runtime.errors import ConfigError
from runtime.manifest import Manifest

OF_ONE_ENGINE = ("accuracy", "robustness")
OF_MANY = ("agreement", "peers", "pareto")
_COMMANDS = {
    LATENCY: "pytest benchmarks --benchmark-json",
    **{each: f"python -m benchmarks.{each} --out" for each in (*OF_ONE_ENGINE, *OF_MANY)},
}
_EXPECTED = f"expected a file written by {', '.join(_COMMANDS.values())}"


def collect(folders: Sequence[Path], files: Sequence[Path] = ()) -> Findings:
    """The engines in that order, each with what the files say of it.

    Raises:
        ConfigError: a file that no benchmark wrote, figures of another engine or of an
            earlier build, two files on one thing, or figures taken on different tiles.
    """
    engines = {each.name: each for each in _engines(folders)}
    common: dict[str, dict[str, Any]] = {}
    for path in files:
        kind, record = read_record(path, _COMMANDS, _EXPECTED)
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


def _add(engines: dict[str, EngineFigures], kind: str, record: dict[str, Any], path: Path) -> None:
    identity = _field(lambda: record["engine"], path)
    engine = _owner(identity, engines, path)
    if engine is None:
        raise ConfigError(f"{path}: figures of {identity['name']}, which --engine does not name")
    if getattr(engine, kind) is not None:
        raise ConfigError(f"{path}: {engine.name} has {kind} figures already; leave out one file")
    found = _accuracy(record, path) if kind == "accuracy" else record
    engines[engine.name] = replace(engine, **{kind: found})


def _add_latencies(engines: dict[str, EngineFigures], path: Path) -> None:
    """The file may time engines that the report leaves out."""
    for each in read_figures(path):
        owner = _owner(each.engine, engines, path)
        if owner is not None:
            engines[owner.name] = replace(owner, timed=(*owner.timed, each))


def _owner(
    identity: dict[str, Any], engines: dict[str, EngineFigures], path: Path
) -> EngineFigures | None:
    """The engine that the figures are of; an earlier build of one is an error."""
    engine = engines.get(_field(lambda: identity["name"], path))
    if engine and _is_earlier(identity, engine):
        raise ConfigError(
            f"{path}: figures of another build of {engine.name} than the one in {engine.folder}; "
            "measure it again"
        )
    return engine


def _is_earlier(identity: dict[str, Any], engine: EngineFigures) -> bool:
    """Whether it is of another build than the engine's folder holds."""
    return engine.identity["manifest_sha256"] != identity.get("manifest_sha256")


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
        if engine and _is_earlier(each, engine):
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
