"""Calibration, the gate and the ranking compute where the network is."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from calibration.__main__ import main as calibrate_main
from calibration.__main__ import parser as calibrate_parser
from calibration.calibrate import calibrate, calibration_tiles, observed
from calibration.rounding import rounded, runner
from calibration.sensitivity import main as sensitivity_main
from calibration.sensitivity import parser as sensitivity_parser
from export.build_engine import main as build_main
from export.build_engine import parser as build_parser
from runtime.errors import ConfigError, ToolkitError
from train.checkpoint import load_checkpoint
from train.model.inference_form import inference_form
from train.quantisation.artefact import Artefact, read_artefact
from train.quantisation.qat import quantised_training_graph

META = torch.device("meta")
"""It holds no numbers, and stands here for any device that is not the processor."""


@pytest.mark.parametrize("form", ["signed", "unsigned", "unsigned-narrow"])
def test_a_rounded_network_is_whole_on_its_device(small_checkpoint, calibration_file, form) -> None:
    """A scale left on the processor would end the first forward pass on a GPU."""
    network = load_checkpoint(small_checkpoint).network()
    ranges = read_artefact(calibration_file).ranges
    graph = rounded(inference_form(network).to(META), ranges, form)
    tensors = [*graph.parameters(), *graph.buffers()]
    assert len(tensors) > 100
    assert {each.device for each in tensors} == {META}
    trained = quantised_training_graph(network.to(META), ranges)
    assert {e.device for e in [*trained.parameters(), *trained.buffers()]} == {META}


def test_the_device_is_where_observing_happens(small_checkpoint: Path, synthetic: Path) -> None:
    given = calibrate(small_checkpoint, synthetic, "train", 1, "minmax")
    device = torch.device("cpu")
    named = calibrate(small_checkpoint, synthetic, "train", 1, "minmax", device=device)
    assert given == named
    tiles = calibration_tiles(synthetic, "train", 1)
    network = load_checkpoint(small_checkpoint).network().to(META)
    # Nothing asks for a number before the first range is taken, at the end.
    with pytest.raises(RuntimeError, match="item.* cannot be called on meta tensors"):
        observed(network, "", tiles, ["minmax"])


def test_a_gpu_that_is_too_small_is_said_in_one_line(
    small_checkpoint: Path, synthetic: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate 4 GiB")

    monkeypatch.setattr("calibration.observe.normalise", full)
    with pytest.raises(ToolkitError, match=r"does not hold a tile of 96x96; .*--device cpu"):
        calibrate(small_checkpoint, synthetic, "train", 1, "minmax")
    monkeypatch.setattr("calibration.rounding.normalise", full)
    network = load_checkpoint(small_checkpoint).network()
    pair = calibration_tiles(synthetic, "train", 1)[0].images()
    with pytest.raises(ToolkitError, match=r"does not hold a pair of 96x96; .*--device cpu"):
        runner(inference_form(network), network.config, 0.5)(*pair)


def test_an_unknown_device_is_named_before_anything_slow(
    small_checkpoint: Path, synthetic: Path, calibration_file: Path, tmp_path: Path
) -> None:
    given = ["--checkpoint", str(small_checkpoint), "--data", str(synthetic), "--device", "tpu"]
    commands = [
        (calibrate_parser, calibrate_main, ["--out", str(tmp_path / "c.json")]),
        (sensitivity_parser, sensitivity_main, ["--calibration", str(calibration_file)]),
        (build_parser, build_main, ["--fp32", "--target", "onnxruntime", "--out", "new"]),
    ]
    for parser, main, more in commands:
        with pytest.raises(ConfigError, match="device 'tpu': expected auto, cpu or cuda"):
            main(parser().parse_args([*given, *more]))


@pytest.mark.gpu
def test_ranges_of_the_gpu_are_those_of_the_processor(small_checkpoint, synthetic) -> None:
    def ranges(device: str) -> Artefact:
        return calibrate(
            small_checkpoint, synthetic, "train", 2, "percentile", device=torch.device(device)
        )

    ours, theirs = ranges("cuda").ranges, ranges("cpu").ranges
    for name, span in theirs.items():
        assert ours[name].amax == pytest.approx(span.amax, rel=0.01)
        assert ours[name].non_negative == span.non_negative
