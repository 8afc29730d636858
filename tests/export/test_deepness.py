"""The model for Deepness: read and run as the plugin does it."""

from __future__ import annotations

import json

import numpy as np
import onnx
import onnxruntime
import pytest

from export.deepness import check, export_deepness, metadata
from export.deploy import DeployOptions
from export.parity_pairs import parity_pairs, scenes
from export.runners import fp32_runner
from runtime.damage import CLASS_NAMES
from runtime.errors import ExportError

SIDE = 128


@pytest.fixture(scope="module")
def options():
    return DeployOptions(height=SIDE, width=SIDE, threshold=0.35)


@pytest.fixture(scope="module")
def network(plausible):
    return plausible()


@pytest.fixture(scope="module")
def model(network, options):
    return export_deepness(network, options, (0.4, 0.6))


@pytest.fixture(scope="module")
def pairs(network, options):
    return parity_pairs(fp32_runner(network, options), [], scenes(SIDE, SIDE), 1)


def test_the_plugin_can_read_it(model):
    """What Deepness 0.6 asks of a segmentation model, by its published description."""
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    (image,), (scores,) = session.get_inputs(), session.get_outputs()
    assert (image.shape, image.type) == ([1, 6, SIDE, SIDE], "tensor(float)")
    assert scores.shape == [1, len(CLASS_NAMES), SIDE, SIDE]
    told = {
        name: json.loads(text) for name, text in session.get_modelmeta().custom_metadata_map.items()
    }
    assert told["model_type"].capitalize() == "Segmentor"
    names = sorted(told["class_names"].items(), key=lambda each: int(each[0]))
    assert [name for _, name in names] == list(CLASS_NAMES)
    assert [int(value) for value, _ in names] == list(range(len(CLASS_NAMES)))
    assert float(told["resolution"]) == 50.0
    assert int(told["tile_size"]) == SIDE
    assert float(told["seg_thresh"]) == 0
    assert int(told["seg_small_segment"]) // 2 * 2 + 1 == 1, "its median filter changes nothing"


def test_the_largest_score_is_the_label_of_the_deploy_graph(model, network, options, pairs):
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    run = fp32_runner(network, options)
    for pair in pairs:
        tile = np.concatenate([pair.pre, pair.post], 2)
        image = np.float32(tile[None] * 1.0 / 255.0).transpose(0, 3, 1, 2)
        (scores,) = session.run(None, {session.get_inputs()[0].name: image})
        np.testing.assert_allclose(scores.sum(1), 1, atol=1e-5)
        damage, _, confidence = run(pair.pre, pair.post)
        assert np.mean(scores[0].argmax(0) == damage) >= 0.9999
        there = damage > 0
        assert there.any()
        found = scores[0].max(0)[there] * 255
        assert np.quantile(np.abs(found - confidence[there]), 0.999) <= 1


def test_another_network_s_labels_are_refused(model, pairs):
    swapped = onnx.ModelProto()
    swapped.CopyFrom(model)
    assert "of its labels are PyTorch's" in check(swapped, pairs)
    turned = [
        type(pair)(pair.post, pair.pre, pair.origin, pair.maps) for pair in pairs
    ]  # the images of each pair in the wrong order
    with pytest.raises(ExportError, match="are PyTorch's .*nothing was written"):
        check(swapped, turned)


def test_the_resolution_is_told_where_it_is_known():
    assert "resolution" not in metadata(512, None)
    assert json.loads(metadata(512, (0.3, 0.7))["resolution"]) == 50
    assert json.loads(metadata(512, None)["tiles_overlap"]) == 25
    assert json.loads(metadata(128, None)["tiles_overlap"]) == 50


def test_the_command_writes_it(command, small_checkpoint, tmp_path):
    out = tmp_path / "deepness.onnx"
    result = command(
        "export.to_deepness", "--checkpoint", small_checkpoint, "--size", SIDE, "--out", out
    )
    assert result.returncode == 0, result.stderr
    assert "of its labels are PyTorch's" in result.stderr
    assert onnx.load(out).graph.input[0].name == "image"


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (("--size", 100), "--size: height 100 is not a positive multiple of 32"),
        (("--threshold", 1), "--threshold 1.0: expected between 0 and 1"),
        (("--gsd", 0.5, 0.2), "--gsd 0.5 0.2: expected 0 < MIN <= MAX metres"),
    ],
)
def test_wrong_values_are_one_line(error_line, small_checkpoint, tmp_path, arguments, match):
    line = error_line(
        "export.to_deepness", "--checkpoint", small_checkpoint, "--out", tmp_path / "x.onnx",
        *arguments,
    )  # fmt: skip
    assert match in line
    assert not (tmp_path / "x.onnx").exists()
