import json

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def listed(towns, tmp_path):
    """A list of one pair."""
    pre, post, *_ = towns["first"]
    path = tmp_path / "pairs.csv"
    path.write_text(f"pre,post\n{pre},{post}\n")
    return path


def _figures(result):
    assert result.returncode == 0, result.stderr
    figures = json.loads(result.stdout)
    latency = figures["latency_ms"]
    assert 0 < latency["p50"] <= latency["p95"] <= latency["p99"] <= latency["p100"]
    assert figures["mapped"] + figures["dropped"] == figures["seen"]
    return figures


def test_frames_that_come_too_fast_are_dropped(
    example, engine_folder, listed, towns, damage_of
) -> None:
    result = example("camera_loop", engine_folder, listed, "--frames", 300, "--period", 0)
    figures = _figures(result)
    assert figures["seen"] == 300
    assert figures["dropped"] > 0
    wanted = int(np.sum(damage_of(*towns["first"][2:]) == 4))
    assert figures["destroyed_px_in_last"] == pytest.approx(wanted, abs=1)


def test_frames_with_time_between_are_all_mapped(example, engine_folder, listed) -> None:
    result = example("camera_loop", engine_folder, listed, "--frames", 4, "--period", 1)
    assert _figures(result)["mapped"] == 4


def test_frames_come_from_what_opencv_opens(
    example, engine_folder, listed, towns, damage_of, tmp_path
) -> None:
    """Pictures with numbers, which it reads without loss; the last is another town's."""
    for index, town in enumerate(("first", "second")):
        Image.fromarray(towns[town][3]).save(tmp_path / f"frame{index:02}.png")
    pattern = tmp_path / "frame%02d.png"
    result = example("camera_loop", engine_folder, listed, "--video", pattern, "--period", 1)
    figures = _figures(result)
    assert figures["seen"] == 2
    wanted = int(np.sum(damage_of(towns["first"][2], towns["second"][3]) == 4))
    assert figures["destroyed_px_in_last"] == pytest.approx(wanted, abs=1)


def test_a_video_that_cannot_be_opened_ends_it(example, engine_folder, listed) -> None:
    result = example("camera_loop", engine_folder, listed, "--video", "absent.avi")
    assert result.returncode == 1
    assert "no frame came" in result.stderr
