"""A tiny labelled data set, and engines whose answer NumPy can give as well."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from runtime import host
from runtime.damage import CLASS_NAMES
from runtime.manifest import (
    FORMAT,
    Batch,
    Graph,
    Input,
    Manifest,
    Model,
    Target,
    payload_of,
)

REPOSITORY = Path(__file__).parents[2]
SIDE = 64
STEP = 60  # of the post image's red channel from one class to the next

# x0, y0, x1, y1 (inclusive), the truth, and the red value that the post image has there.
BUILDINGS = {
    "synthetic-a_00000001": [
        (4, 4, 15, 15, 1, 60),
        (24, 4, 35, 19, 2, 130),
        (44, 4, 59, 11, 3, 130),  # major, predicted minor
        (4, 30, 19, 45, 4, 250),
        (30, 40, 41, 51, 255, 200),  # un-classified
    ],
    "synthetic-b_00000002": [
        (8, 8, 30, 20, 3, 190),
        (40, 40, 55, 60, 4, 190),  # destroyed, predicted major
        (4, 40, 12, 60, 1, 70),
    ],
}
FALSE_ALARM = (48, 20, 55, 29)  # bright before the disaster, no building in the truth


def _graph() -> onnx.ModelProto:
    """damage: 1..4 by the post image's red where the pre image's red is 128 or more."""
    constants = {
        "red": np.array(0, np.int64),
        "half": np.array(128, np.int32),
        "step": np.array(STEP, np.int32),
        "one": np.array(1, np.int32),
        "zero": np.array(0, np.int32),
    }
    nodes = [
        helper.make_node("Gather", ["pre", "red"], ["building"], axis=3),
        helper.make_node("Gather", ["post", "red"], ["confidence"], axis=3),
        helper.make_node("Cast", ["building"], ["b"], to=TensorProto.INT32),
        helper.make_node("Cast", ["confidence"], ["c"], to=TensorProto.INT32),
        helper.make_node("GreaterOrEqual", ["b", "half"], ["there"]),
        helper.make_node("Div", ["c", "step"], ["level"]),
        helper.make_node("Max", ["level", "one"], ["classes"]),
        helper.make_node("Where", ["there", "classes", "zero"], ["chosen"]),
        helper.make_node("Cast", ["chosen"], ["damage"], to=TensorProto.UINT8),
    ]

    def maps(name: str, *channels: int) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.UINT8, [1, SIDE, SIDE, *channels])

    graph = helper.make_graph(
        nodes,
        "deploy",
        [maps("pre", 3), maps("post", 3)],
        [maps("damage"), maps("building"), maps("confidence")],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _parity(what: str, agreement: float) -> dict:
    return {
        "what": what,
        "pairs": "2 synthetic scenes",
        "label_agreement": agreement,
        "pixels": 131_072,
        "class_f1": dict.fromkeys(CLASS_NAMES, agreement),
        "max_building_difference": 1,
        "max_confidence_difference": 1,
    }


@pytest.fixture(scope="session")
def make_engine():
    """An engine folder; a TensorRT-RTX one holds a plan that nothing here can run."""

    def make(folder: Path, backend="onnxruntime", precision="fp32", created="2026") -> Path:
        folder.mkdir(parents=True)
        gpu = backend == "tensorrt-rtx"
        name = "engine.plan" if gpu else "model.onnx"
        (folder / name).write_bytes(b"plan" * 500 if gpu else _graph().SerializeToString())
        status = "compiled, not run" if gpu else "ran"
        what = "its ONNX graph on ONNX Runtime" if gpu else "the engine"
        Manifest(
            FORMAT,
            Model("dual-hrnet", 8, 904_146, "ab" * 32),
            Graph("cd" * 32, 17),
            Input(SIDE, SIDE, Batch(1, 1, 1), "RGB", 0.5),
            CLASS_NAMES,
            precision,
            Target(backend, "1.2.3", "8.6" if gpu else None, host.platform_name()),
            None,
            {
                "status": status,
                "parity": _parity(what, 0.98765 if gpu else 1.0),
                "high_precision": ["pre.stem", "pre.layer1"] if gpu else [],
            },
            payload_of(folder, [name]),
            created,
        ).write(folder)
        return folder

    return make


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory) -> Path:
    """Two tiles of split `test`, 64x64, whose buildings are upright rectangles."""
    root = tmp_path_factory.mktemp("tiny") / "tiny-xbd"
    for kind in ("images", "labels"):
        (root / "test" / kind).mkdir(parents=True)
    for name, buildings in BUILDINGS.items():
        images = dict.fromkeys(("pre", "post"))
        for when in images:
            images[when] = np.full((SIDE, SIDE, 3), 20, np.uint8)
        x0, y0, x1, y1 = FALSE_ALARM
        images["pre"][y0 : y1 + 1, x0 : x1 + 1] = 200
        for x0, y0, x1, y1, _, red in buildings:
            images["pre"][y0 : y1 + 1, x0 : x1 + 1] = 200
            images["post"][y0 : y1 + 1, x0 : x1 + 1, 0] = red
        for when, image in images.items():
            stem = f"{name}_{when}_disaster"
            cv2.imwrite(str(root / "test" / "images" / f"{stem}.png"), image[..., ::-1])
            label = {"features": {"xy": [_feature(b, i, when) for i, b in enumerate(buildings)]}}
            (root / "test" / "labels" / f"{stem}.json").write_text(json.dumps(label))
    return root


def _feature(building, index: int, when: str) -> dict:
    x0, y0, x1, y1, truth, _ = building
    properties = {"feature_type": "building", "uid": str(index)}
    if when == "post":
        properties["subtype"] = "un-classified" if truth == 255 else CLASS_NAMES[truth]
    ring = f"{x0} {y0}, {x1} {y0}, {x1} {y1}, {x0} {y1}, {x0} {y0}"
    return {"properties": properties, "wkt": f"POLYGON (({ring}))"}


@pytest.fixture(scope="session")
def expected_score() -> dict[str, float]:
    """The official figures of the tiny case, pixel sets and the textbook formulas alone."""
    truth, found = set(), set()
    truth_class, found_class = {}, {}

    def pixels(name, x0, y0, x1, y1):
        return {(name, x, y) for x in range(x0, x1 + 1) for y in range(y0, y1 + 1)}

    for name, buildings in BUILDINGS.items():
        found |= pixels(name, *FALSE_ALARM)
        for *box, label, red in buildings:
            here = pixels(name, *box)
            truth |= here
            found |= here
            found_class.update(dict.fromkeys(here, red // STEP))
            if label != 255:
                truth_class.update(dict.fromkeys(here, label))

    def f1(ours: set, theirs: set) -> float:
        hits = len(ours & theirs)
        precision, recall = hits / len(ours), hits / len(theirs)
        return 2 * precision * recall / (precision + recall)

    classes = {}
    for value in (1, 2, 3, 4):
        ours = {p for p in truth_class if found_class[p] == value}
        classes[CLASS_NAMES[value]] = f1(ours, {p for p, c in truth_class.items() if c == value})
    localization = f1(found, truth)
    damage = 4 / sum(1 / (each + 1e-6) for each in classes.values())
    return {
        "score": 0.3 * localization + 0.7 * damage,
        "localization_f1": localization,
        "damage_f1": damage,
        **classes,
    }


@pytest.fixture(scope="session")
def python(command):
    """Run a module or code in a process of its own, in the repository, on one thread a pool.

    Commands of the toolkit start from a process that has the large libraries already.
    """
    # Beside other workers pytest-benchmark would measure nothing.
    environ = {name: value for name, value in os.environ.items() if "XDIST" not in name}
    environ["OMP_NUM_THREADS"] = "1"

    def run(*arguments: object, timeout: float = 120) -> subprocess.CompletedProcess:
        option, module, *more = map(str, arguments)
        if option == "-m" and module != "pytest":
            return command(module, *more, environ=environ)
        return subprocess.run(
            [sys.executable, option, module, *more],
            cwd=REPOSITORY,
            env=environ,
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    return run


@pytest.fixture(scope="session")
def engines(make_engine, tmp_path_factory) -> list[Path]:
    """The reference, the same graph called INT8, and one that was compiled and not run."""
    root = tmp_path_factory.mktemp("engines")
    return [
        make_engine(root / "cpu-fp32"),
        make_engine(root / "cpu-int8", precision="int8"),
        make_engine(root / "rtx-fp16", "tensorrt-rtx", "fp16"),
    ]


@pytest.fixture(scope="session")
def measured(python, engines, tiny_data, tmp_path_factory) -> dict:
    """Accuracy and latency files of the engines that run, by the public commands.

    Of the latency suites, what the report shows; `tests/benchmarks/latency` runs them all.
    """
    folder = tmp_path_factory.mktemp("measured")
    accuracy = []
    for engine in engines[:2]:
        accuracy.append(folder / f"{engine.name}.json")
        result = python(
            *("-m", "benchmarks.accuracy", "--engine", engine, "--data", tiny_data),
            *("--out", accuracy[-1]),
        )
        assert result.returncode == 0, result.stderr
    latency = folder / "latency.json"
    flags = [each for engine in engines for each in ("--engine", engine)]
    result = python(
        *("-m", "pytest", "benchmarks", "-p", "no:cacheprovider", "--rounds", 12, *flags),
        *("-k", "query_after_query and not copies", "--benchmark-json", latency),
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return {"accuracy": accuracy, "latency": latency, "pytest": result.stdout}
