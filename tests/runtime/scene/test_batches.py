"""Windows in batches: the answers of one at a time, in order, from fewer inferences."""

from __future__ import annotations

import numpy as np
import pytest

from runtime import load_engine
from runtime.engine import Engine
from runtime.errors import BackendError, ImageError
from runtime.mapping import map_pair
from runtime.options import MapOptions
from runtime.scene.batches import LONGEST, predict_each
from runtime.scene.inference import Tile, infer_rows
from runtime.scene.windows import window_rows

BATCHES = [(1, 1, 1), (4, 4, 4), (1, 3, 4), (2, 3, 4)]
BACKENDS = ["onnxruntime", "openvino"]
BAD = 251
"""A window that has this value in a corner is one that an engine fails on."""


@pytest.fixture
def images() -> np.ndarray:
    """Eleven pairs: uint8 [11,2,32,48,3]."""
    return np.random.default_rng(0).integers(0, 250, (11, 2, 32, 48, 3), np.uint8)


@pytest.fixture
def computed(monkeypatch) -> list[int]:
    """Pairs in each inference, where libraries are asked for one after the other."""
    seen, predict = [], Engine.predict

    def counting(self, pre, post):
        seen.append(len(pre) if pre.ndim == 4 else self.manifest.input.batch.min)
        return predict(self, pre, post)

    monkeypatch.setattr(Engine, "predict", counting)
    return seen


@pytest.fixture
def fails(monkeypatch) -> None:
    """Engines fail on any batch with a window that is `BAD`."""
    predict = Engine.predict

    def failing(self, pre, post):
        if (pre[..., 0, 0, 0] == BAD).any():
            raise BackendError("the device is gone")
        return predict(self, pre, post)

    monkeypatch.setattr(Engine, "predict", failing)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("batch", BATCHES)
def test_each_item_gets_the_answer_to_its_pair(
    make_engine, tmp_path, images, reference, backend, batch
):
    asked = [(number, None if number % 4 == 1 else pair) for number, pair in enumerate(images)]
    with load_engine(make_engine(tmp_path / "e", backend, batch=batch), 1) as engine:
        answers = list(predict_each(engine, asked))
    assert [item for item, _ in answers] == list(range(len(images)))
    for (_, pair), (_, found) in zip(asked, answers, strict=True):
        if pair is None:
            assert found is None
        else:
            for name, wanted in zip(
                ("damage", "building", "confidence"), reference(*pair), strict=True
            ):
                np.testing.assert_array_equal(getattr(found, name), wanted)


@pytest.mark.parametrize(
    ("batch", "expected"),
    [
        ((1, 1, 1), [1] * 11),
        ((4, 4, 4), [4, 4, 4]),  # the last with a copy
        ((1, 3, 4), [3, 3, 3, 2]),
        ((3, 3, 4), [3, 3, 3, 3]),
    ],
)
def test_no_more_is_computed_than_the_last_batch_must_hold(
    make_engine, tmp_path, images, computed, batch, expected
):
    with load_engine(make_engine(tmp_path / "e", batch=batch), 1) as engine:
        assert len(list(predict_each(engine, enumerate(images)))) == len(images)
    assert computed == expected


@pytest.mark.parametrize("batch", BATCHES)
def test_a_failure_is_of_one_window(make_engine, tmp_path, images, reference, fails, batch):
    for number in (0, 5, 10):
        images[number, 0, 0, 0, 0] = BAD
    with load_engine(make_engine(tmp_path / "e", batch=batch), 1) as engine:
        answers = dict(predict_each(engine, enumerate(images)))
    failed = [number for number, each in answers.items() if isinstance(each, BackendError)]
    assert failed == [0, 5, 10]
    for number in set(answers) - set(failed):
        np.testing.assert_array_equal(answers[number].damage, reference(*images[number])[0])


@pytest.mark.parametrize("batch", [(1, 1, 1), (8, 8, 8)])
def test_items_without_a_pair_are_answered_before_all_are_taken(make_engine, tmp_path, batch):
    taken = []

    def items():
        for number in range(10 * LONGEST):
            taken.append(number)
            yield number, None

    with load_engine(make_engine(tmp_path / "e", batch=batch), 1) as engine:
        for number, answer in predict_each(engine, items()):
            assert answer is None
            assert len(taken) - number <= LONGEST
    assert len(taken) == 10 * LONGEST


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("batch", BATCHES[1:])
def test_a_scene_in_batches_has_the_bytes_of_one_window_at_a_time(
    make_engine, scene, tmp_path, backend, batch
):
    pre, post, *_ = scene(100, 170)
    for name, each in (("single", (1, 1, 1)), ("batches", batch)):
        with load_engine(make_engine(tmp_path / name / "e", backend, batch=each), 1) as engine:
            map_pair(engine, pre, post, tmp_path / name / "out", MapOptions())
    for name in ("damage.tif", "confidence.tif"):
        one, many = (
            (tmp_path / each / "out" / name).read_bytes() for each in ("single", "batches")
        )
        assert one == many


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("batch", [(8, 8, 8), (1, 4, 8)])
def test_a_networks_labels_are_the_same_in_batches(
    example_engine, example_windows, tmp_path, backend, batch
):
    """FP32. Probabilities are rounded from sums whose order a library may choose by the batch."""
    found = []
    for name, each in (("single", (1, 1, 1)), ("batches", batch)):
        with load_engine(example_engine(tmp_path / name, backend, each), 1) as engine:
            found.append([maps for _, maps in predict_each(engine, enumerate(example_windows))])
    assert len(found[0]) == len(found[1]) == len(example_windows)
    for one, many in zip(*found, strict=True):
        np.testing.assert_array_equal(one.damage, many.damage)
        for name in ("building", "confidence"):
            difference = getattr(one, name).astype(int) - getattr(many, name)
            assert abs(difference).max() <= 1
    assert {int(each) for maps in found[0] for each in np.unique(maps.damage)} == {0, 1, 2, 3, 4}


def test_a_scene_of_225_windows_takes_29_batches_of_8(make_engine, scene, tmp_path, computed):
    pre, post, *_ = scene(32 + 14 * 16, 48 + 14 * 32)
    with load_engine(make_engine(tmp_path / "e", batch=(8, 8, 8)), 1) as engine:
        summary = map_pair(engine, pre, post, tmp_path / "out", MapOptions(halo=8))
    assert summary["windows"] == 225
    assert computed == [8] * 29


def test_a_window_that_cannot_be_read_is_in_no_batch(
    make_engine, tmp_path, images, reference, computed
):
    (row,) = rows = window_rows((32, 48 * 4), (32, 48), 0)
    tiles = [
        Tile(window, ImageError("torn") if number == 1 else (*images[number], None))
        for number, window in enumerate(row)
    ]
    with load_engine(make_engine(tmp_path / "e", batch=(1, 4, 4)), 1) as engine:
        (found,) = infer_rows(engine, rows.rows, tiles, 48 * 4, ("damage", "confidence"))
    assert computed == [3]
    assert [(each.column, each.reason) for each in found.failed] == [(48, "torn")]
    for number in (0, 2, 3):
        part = found.strip.damage[:, 48 * number : 48 * (number + 1)]
        np.testing.assert_array_equal(part, reference(*images[number])[0])
    assert (found.strip.damage[:, 48:96] == 255).all()


def test_a_dead_engine_ends_the_scene_whatever_its_batch(make_engine, scene, tmp_path, monkeypatch):
    pre, post, *_ = scene()
    calls = []

    def dead(*_):
        calls.append(1)
        raise BackendError("the device is gone")

    with load_engine(make_engine(tmp_path / "e", batch=(8, 8, 8)), 1) as engine:
        monkeypatch.setattr(Engine, "predict", dead)
        with pytest.raises(BackendError, match="the device is gone"):
            map_pair(engine, pre, post, tmp_path / "out", MapOptions())
    assert len(calls) == 4  # a batch, then three windows
