"""What a build needs is checked before a network runs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import calibration.__main__
import calibration.sensitivity
import export.build_engine
from runtime.errors import ToolkitError
from runtime.files import check_space

SIZE = ("--size", "96", "96")
INT8 = ("--int8", "--target", "onnxruntime")
PRECISIONS = {
    "fp32": ("--fp32", "--target", "onnxruntime"),
    "int8": INT8,
    "best": ("--best", "--target", "onnxruntime"),
    "fp16": ("--fp16", "--target", "tensorrt-rtx", "--compute-capability", "8.6"),
}


@pytest.fixture
def passes() -> Iterator[list[str]]:
    """A line for every module that is executed in this process, whoever calls it."""
    seen: list[str] = []
    hook = torch.nn.modules.module.register_module_forward_pre_hook(
        lambda module, _: seen.append(type(module).__name__)
    )
    yield seen
    hook.remove()


@pytest.fixture
def run(small_checkpoint: Path, tmp_path: Path) -> Callable[..., None]:
    def build(*arguments: object) -> None:
        line = ["--checkpoint", small_checkpoint, *SIZE, "--out", tmp_path / "engine", *arguments]
        args = export.build_engine.parser().parse_args([str(each) for each in line])
        export.build_engine.main(args)

    return build


@pytest.fixture
def data(synthetic: Path, tmp_path: Path) -> Path:
    return shutil.copytree(synthetic, tmp_path / "data")


def _resize(split: Path, side: int) -> None:
    for path in (split / "images").iterdir():
        cv2.imwrite(str(path), np.full((side, side, 3), 90, np.uint8))


def _unbuilt(data: Path) -> None:
    for path in (data / "test" / "labels").iterdir():
        content = json.loads(path.read_text())
        content["features"]["xy"] = []
        path.write_text(json.dumps(content))


FAULTS: dict[str, tuple[tuple[str, ...], Callable[[Path], object], str]] = {
    "no split to compare on": (
        ("fp32", "fp16", "int8", "best"),
        lambda data: shutil.rmtree(data / "test"),
        "{data}: no split to choose on, hold, test or any but train (found here: train)",
    ),
    "tiles too small": (
        ("fp32", "fp16", "int8", "best"),
        lambda data: _resize(data / "test", 64),
        "no tile of split test is 96x96 or larger",
    ),
    "no building": (
        ("fp16", "int8", "best"),
        _unbuilt,
        "none of the 2 labelled scenes shows a building",
    ),
    "a label that is none": (
        ("fp16", "int8", "best"),
        lambda data: next(iter((data / "test" / "labels").glob("*post*"))).write_text("{"),
        "_post_disaster.json: ",
    ),
    "an image that is none": (
        ("int8", "best"),
        lambda data: next(iter((data / "train" / "images").glob("*post*"))).write_bytes(b"x"),
        "_post_disaster.png: ",
    ),
    "half a pair to calibrate on": (
        ("int8", "best"),
        lambda data: next(iter((data / "train" / "images").glob("*post*"))).unlink(),
        "label without image; expected",
    ),
    "tiles that the network does not take": (
        ("int8", "best"),
        lambda data: _resize(data / "train", 100),
        "100x100 (height x width); ranges are observed on whole tiles, expected multiples of 32",
    ),
}
CASES = [(name, each) for name, (precisions, *_) in FAULTS.items() for each in precisions]


@pytest.mark.parametrize(("name", "precision"), CASES)
def test_a_fault_of_the_data_is_found_before_a_network_runs(
    run, data, passes, name, precision
) -> None:
    if precision == "fp16":
        pytest.importorskip("tensorrt_rtx")
    _, break_it, message = FAULTS[name]
    break_it(data)
    with pytest.raises(ToolkitError) as error:
        run(*PRECISIONS[precision], "--data", data)
    assert message.format(data=data) in str(error.value)
    assert passes == []
    assert not (data.parent / "engine").exists()


def test_a_build_without_a_fault_runs_the_network(run, data, passes) -> None:
    """Else nothing above would show anything."""
    run("--fp32", "--target", "onnxruntime", "--data", data)
    assert "DualHRNet" in passes


@pytest.mark.parametrize("precision", ["fp32", "int8", "best"])
def test_a_fault_of_the_request_is_found_before_a_network_runs(
    run, data, passes, tmp_path, calibration_file, precision
) -> None:
    base = (*PRECISIONS[precision], "--data", data)
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "thesis.txt").write_text("")
    (tmp_path / "damaged.pt").write_bytes(b"PK")
    cases = {
        "is no engine folder": ("--out", tmp_path / "folder"),
        "file": ("--out", tmp_path / "file" / "engine"),
        "damaged.pt": ("--checkpoint", tmp_path / "damaged.pt"),
        "expected at least 1": ("--calibration-tiles", 0),
        "leave one of the two out": ("--calibration", calibration_file, "--method", "mse"),
    }
    for message, arguments in cases.items():
        with pytest.raises((ToolkitError, OSError), match=message):
            run(*base, *arguments)
    assert passes == []


def test_a_disk_without_room_is_said() -> None:
    check_space(Path("engine"), 1)
    with pytest.raises(OSError, match=r"MB free, at least .* MB are needed"):
        check_space(Path("engine"), 2**70)


def test_without_labels_one_method_is_observed_and_the_user_told(
    run, data, tmp_path, capsys, floorless
) -> None:
    """There is nothing to choose by."""
    pytest.importorskip("openvino")
    shutil.rmtree(data / "test" / "labels")
    line = ("--int8", "--target", "openvino", "--data", data, "--calibration-tiles", 2)
    run(*line, *floorless)
    said = capsys.readouterr().err
    assert said.index("accuracy against FP32 is not measured") < said.index(
        "observing minmax range"
    )
    manifest = json.loads((tmp_path / "engine" / "manifest.json").read_text())
    assert manifest["verification"]["ranges"] == {"method": "minmax", "tried": []}


@pytest.mark.slow
def test_all_candidates_use_what_was_observed_once(run, data, tmp_path, capsys, floorless) -> None:
    pytest.importorskip("openvino")
    run(
        "--best", "--target", "openvino", "--data", data, "--calibration-tiles", 2,
        "--gate-score", 1, "--gate-f1", 1, *floorless,
    )  # fmt: skip
    said = capsys.readouterr().err
    assert said.count("observing minmax, mse, percentile ranges") == 1
    assert said.index("candidate openvino fp32") < said.index("observing minmax")
    assert (tmp_path / "engine" / "manifest.json").is_file()


def test_calibration_looks_at_its_tiles_first(small_checkpoint, data, passes, tmp_path) -> None:
    _resize(data / "train", 100)
    cases = {
        "100x100": ("--split", "train", "--out", tmp_path / "c.json"),
        "no such folder": ("--split", "hold", "--out", tmp_path / "c.json"),
        "is a folder": ("--split", "test", "--out", tmp_path),
    }
    for message, arguments in cases.items():
        line = ["--checkpoint", small_checkpoint, "--data", data, *arguments]
        args = calibration.__main__.parser().parse_args([str(each) for each in line])
        with pytest.raises((ToolkitError, OSError), match=message):
            calibration.__main__.main(args)
    assert passes == []


def test_sensitivity_looks_at_its_scenes_first(
    small_checkpoint, calibration_file, data, passes, tmp_path
) -> None:
    _unbuilt(data)
    cases = {
        "shows a building": (),
        "larger": ("--size", 128, 128),
        "is a folder": ("--plot", tmp_path / "x.png"),
    }
    (tmp_path / "x.png").mkdir()
    for message, arguments in cases.items():
        line = ["--checkpoint", small_checkpoint, "--data", data]
        line += ["--calibration", calibration_file, *arguments]
        args = calibration.sensitivity.parser().parse_args([str(each) for each in line])
        with pytest.raises((ToolkitError, OSError), match=message):
            calibration.sensitivity.main(args)
    assert passes == []
