"""The window of a scene: none that is allowed computes fewer pixels."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from export import build_engine
from export.options import deploy_options
from export.window_size import best_sizes, chosen_size
from runtime.errors import ConfigError
from runtime.scene.windows import window_rows

side = st.integers(1, 6000)
sides_of_windows = range(256, 1025, 32)


def computed(scene: tuple[int, int], window: tuple[int, int]) -> int:
    """Pixels, by placing the windows one after the other: the kept parts must reach the end."""
    halo = min(64, min(window) // 4)
    counts = []
    for length, size in zip(scene, window, strict=True):
        kept, count = size, 1
        while kept < length:  # without the last halo, which the next window keeps
            kept, count = kept + size - 2 * halo, count + 1
        counts.append(count)
    return counts[0] * counts[1] * window[0] * window[1]


@given(side, side, st.sampled_from(sides_of_windows), st.sampled_from(sides_of_windows))
@example(4096, 4096, 928, 928)
@example(1024, 1025, 1024, 1024)
def test_no_other_window_computes_less(height, width, tall, wide):
    best = best_sizes(height, width)[0]
    cost = computed((height, width), (best.height, best.width))
    assert best.share == cost / (height * width)
    other = (tall if height >= 256 else best.height), (wide if width >= 256 else best.width)
    assert cost <= computed((height, width), other)
    if cost == computed((height, width), other):
        assert best.height * best.width <= other[0] * other[1]


@given(side, side, st.booleans())
def test_windows_are_what_the_runtime_can_take_and_cover_the_scene(height, width, square):
    for each in best_sizes(height, width, square):
        assert each.height % 32 == each.width % 32 == 0
        assert 32 <= min(each.height, each.width) <= max(each.height, each.width) <= 1024
        assert each.height == each.width or not square
        halo = min(64, min(each.height, each.width) // 4)
        rows = window_rows((height, width), (each.height, each.width), halo)
        assert each.windows == rows.count
        assert rows.rows[-1].end == height
        assert rows.columns[-1].end == width
        assert each.share * height * width >= height * width  # nothing is left out


@given(st.integers(1, 255), st.integers(1, 255))
def test_a_small_scene_is_one_window_the_smallest_that_holds_it(height, width):
    [best] = best_sizes(height, width)
    assert best.windows == 1
    for length, window in ((height, best.height), (width, best.width)):
        assert length <= window < length + 32


@given(side, side, st.integers(0, 500))
def test_more_ground_never_takes_fewer_pixels(height, width, more):
    before, after = best_sizes(height, width)[0], best_sizes(height + more, width)[0]
    pixels = [before.share * height * width, after.share * (height + more) * width]
    assert round(pixels[0]) <= round(pixels[1])


def test_best_first():
    shares = [each.share for each in best_sizes(3000, 2000)]
    assert np.all(np.diff(shares) >= 0)


def test_the_choice_and_the_next_are_told(capsys):
    assert chosen_size(4096, 4096, square=False) == (928, 928)
    first, second = capsys.readouterr().err.splitlines()
    assert "--scene 4096 4096: windows of 928x928 (25 of them, 1.28 pixels computed" in first
    assert second.count("of them") == 3


def test_a_scene_without_a_pixel_is_refused():
    with pytest.raises(ConfigError, match="--scene 0 5: expected height and width in pixels, 1 to"):
        chosen_size(0, 5, square=False)


def test_size_and_scene_exclude_each_other(capsys):
    line = ["--size", "1024", "1024", "--scene", "4096", "4096"]
    with pytest.raises(SystemExit):
        build_engine.parser().parse_args(line)
    assert "argument --scene: not allowed with argument --size" in capsys.readouterr().err


@pytest.mark.parametrize(("precision", "where"), [("--best", "_best"), ("--fp16", "_one")])
@pytest.mark.parametrize(("tta", "size"), [("none", (128, 704)), ("d4", (320, 320))])
def test_every_way_to_build_takes_it(monkeypatch, precision, where, tta, size):
    class Seen(Exception):
        pass

    def build(args):
        args.precision = "fp32"  # as a candidate's
        options = deploy_options(args, "onnxruntime")
        raise Seen(options.height, options.width)

    monkeypatch.setattr(build_engine, where, build)
    line = [precision, "--scene", "100", "700", "--tta", tta]
    with pytest.raises(Seen) as seen:
        build_engine.main(build_engine.parser().parse_args(line))
    assert seen.value.args == size
