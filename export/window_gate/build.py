"""A gate beside an engine: its graph compiled, its threshold chosen on labelled tiles, and what it
misses proved on others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import onnx

from export.onnx_graph import export_onnx
from export.payload import compile_payload, graph_of, model_of
from export.runners import engine_runner, graph_runner
from export.window_gate.graph import GateGraph, gate_options, reduction_of
from export.window_gate.look import look, outlines
from export.window_gate.misses import HAMLET, Seen, lower_bound, threshold_of
from runtime import cli
from runtime.engine import open_gate
from runtime.errors import ConfigError, DataError, ExportError
from runtime.manifest import GATE, Manifest, WindowGate, payload_of
from runtime.scene.gate import CELL
from runtime.scene.work import default_halo
from train.inference import Runner
from train.xbd import Tile, find_tiles

if TYPE_CHECKING:
    from export.request import EngineRequest, Proof

MARGIN = CELL
"""Pixels around the kept part of a window that a gate looks at, too."""

FEWEST = 100
"""Buildings in either half of the tiles. Of fewer, missing none says little."""

TELLING = 10
"""Windows without a building of which a gate that is of any use skips one."""


@dataclass(frozen=True)
class Halves:
    """Labelled tiles: the threshold is chosen on the first, and proved on the second."""

    chosen_on: Sequence[Tile]
    proved_on: Sequence[Tile]


def labelled_halves(proof: Proof) -> Halves:
    """Every other tile of the split, so that both halves have tiles of every disaster.

    Raises:
        ConfigError: no data set.
        DataError: too few buildings are labelled.
    """
    if proof.data is None:
        raise ConfigError(
            "--gate needs labelled tiles to measure what it misses: pass --data DIR, or leave "
            "--gate out"
        )
    found = find_tiles(proof.data, proof.split, labelled=False)
    tiles = [tile for tile in found if tile.labelled]
    halves = Halves(tiles[::2], tiles[1::2])
    for half in (halves.chosen_on, halves.proved_on):
        count = sum(len(outlines(tile, tile.images()[0].shape[:2])) for tile in half)
        if count < FEWEST:
            raise DataError(
                f"--gate: of the {len(found)} tiles of {proof.data / proof.split} {len(tiles)} "
                f"have labels, and one half of them shows {count} buildings; expected "
                f"{FEWEST} or more on either half to measure what it misses; name a larger "
                "--split, or leave --gate out"
            )
    return halves


def build_gate(
    request: EngineRequest,
    engine: Manifest,
    folder: Path,
    halves: Halves,
    runs_here: bool,
) -> WindowGate:
    """Put the gate into `folder`/gate, for the engine there; what goes into its manifest.

    Args:
        runs_here: the engine itself can be executed; else its graph is.
    Raises:
        ExportError: it misses too much, or skips nothing.
    """
    assert request.gate is not None
    source, size = request.gate.source, (engine.input.height, engine.input.width)
    options = gate_options(request.options)
    reduction = reduction_of(source.training.scale, *size)
    cli.note(f"gate: exporting {source.checkpoint}, pixels reduced {reduction} times")
    graph = GateGraph(source.network, options, reduction).eval()
    model = export_onnx(graph, options)
    inner = folder / GATE
    inner.mkdir()
    of_gate = replace(request, source=source, options=options, gate=None)
    names, _ = compile_payload(model, inner, of_gate)
    record = WindowGate(
        model=model_of(source, None),
        graph=graph_of(model, options.opset),
        precision=options.precision,
        reduction=reduction,
        threshold=1,
        margin_px=MARGIN,
        misses={},
        payload=payload_of(inner, names),
    )
    halo = default_halo(min(size), engine.model.reach_px)
    with _running(replace(engine, gate=record), folder, runs_here, model, of_gate) as run:
        chosen = look(run, halves.chosen_on, size, halo, MARGIN)
        _check_hamlets(chosen)
        threshold = _threshold(chosen, request.gate.budget)
        proved = look(run, halves.proved_on, size, halo, MARGIN)
    _check_hamlets(proved)
    _check(proved, threshold, request.gate.budget)
    misses = {
        "split": request.proof.split,
        "budget": request.gate.budget,
        "measured_on": "the engine" if runs_here else "its ONNX graph on ONNX Runtime",
        **proved.as_dict(threshold),
    }
    return replace(record, threshold=threshold, misses=misses)


@contextmanager
def _running(
    engine: Manifest, folder: Path, runs_here: bool, model: onnx.ModelProto, request: EngineRequest
) -> Iterator[Runner]:
    if runs_here:
        with open_gate(engine, folder) as gate:
            yield engine_runner(gate)
    else:
        yield graph_runner(model, request.options)


def _check_hamlets(seen: Seen) -> None:
    """Between many buildings a gate that finds one has all of them computed."""
    if (count := len(seen.hamlets)) < FEWEST:
        raise DataError(
            f"--gate: one half of the labelled tiles shows {count} buildings in windows of at most "
            f"{HAMLET}; expected {FEWEST} or more to measure what it misses of hamlets; name a "
            "--split with lone buildings, or leave --gate out"
        )


def _threshold(seen: Seen, budget: float) -> int:
    found = threshold_of(seen, budget)
    if found < 1:
        raise ExportError(
            f"the gate is too weak: to miss at most {budget:.2%} of the {len(seen.levels)} "
            "labelled buildings it may skip no window; nothing was written, train it longer or at "
            "the engine's pixel size, raise --miss-budget, or leave --gate out"
        )
    return found


def _check(seen: Seen, threshold: int, budget: float) -> None:
    found = seen.as_dict(threshold)
    if seen.missed(threshold) > budget:
        raise ExportError(
            f"the gate misses {found['buildings_missed']} of {found['buildings']} buildings on the "
            f"tiles that its threshold was not chosen on, more than {budget:.2%}; nothing was "
            "written, train it on more tiles, or leave --gate out"
        )
    missed, of = found["hamlet_buildings_missed"], found["hamlet_buildings"]
    if lower_bound(missed, of) > budget:
        raise ExportError(
            f"the gate misses {missed} of {of} buildings of hamlets (windows that show at most "
            f"{HAMLET}), which cannot be {budget:.2%} of many; nothing was written, train it on "
            "tiles with lone buildings, or leave --gate out"
        )
    if found["windows_without_building"] >= TELLING and not found["of_those_skipped"]:
        raise ExportError(
            f"the gate skips none of the {found['windows_without_building']} windows without a "
            "building, so that it only costs time; nothing was written, train it longer and on "
            "tiles without buildings, or leave --gate out"
        )


def in_words(gate: WindowGate) -> str:
    found = gate.misses
    return (
        f"gate: misses {found['buildings_missed']} of {found['buildings']} buildings and "
        f"{found['building_pixels_missed']} of {found['building_pixels']} building pixels "
        f"(at most {found['missed_at_most']:.2%} of buildings, with 95 % confidence), "
        f"{found['hamlet_buildings_missed']} of {found['hamlet_buildings']} of hamlets (at most "
        f"{found['hamlet_missed_at_most']:.2%}), would miss "
        f"{found['not_found_alone']} of {found['buildings_not_cut']} if each were alone in its "
        f"window, and skips "
        f"{found['of_those_skipped']} of {found['windows_without_building']} windows without one"
    )
