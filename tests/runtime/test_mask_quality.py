"""Maps of pairs with ground that cannot be judged."""

import json

import cv2
import numpy as np
import pytest
import rasterio

from runtime.damage import NODATA
from runtime.engine import load_engine
from runtime.errors import ConfigError, ImageError
from runtime.mapping import map_pair
from runtime.scene.unfinished import Unfinished
from runtime.source.quality import LAYER
from tests.runtime.map_options import map_options

FLAT, INSIDE = np.s_[64:224, 96:304], np.s_[64:224, 112:304]
FLAT_BEFORE = LAYER.index("no texture before")


def read(path):
    with rasterio.open(path) as file:
        return file.read(1)


def end_after(rows, monkeypatch):
    """What is mapped ends when so many rows of windows are stored."""
    add = Unfinished.add

    def ends(self, *arguments):
        if self.rows == rows:
            raise KeyboardInterrupt
        return add(self, *arguments)

    monkeypatch.setattr(Unfinished, "add", ends)


@pytest.fixture
def engine(make_engine, tmp_path):
    """Of 256x256 pixels, whose halo is more than what a pixel of the layer depends on."""
    with load_engine(make_engine(tmp_path / "engine", size=(256, 256)), threads=1) as engine:
        yield engine


@pytest.fixture
def flat(scene, write_raster):
    """A pair whose image before is one grey in `FLAT`."""
    pre, post, first, second = scene(700, 500)
    first[FLAT] = 200
    write_raster(pre, first)
    return pre, post, first, second


def test_the_layer_says_why_and_the_map_is_as_before(flat, mapped, reference):
    pre, post, first, second = flat
    summary, out = mapped(pre, post)
    layer = read(out / "quality.tif")
    assert (layer[INSIDE] == FLAT_BEFORE).all()
    assert layer[FLAT].all()
    counts = {why: int((layer == n).sum()) for n, why in enumerate(LAYER)}
    assert summary["quality"] == {"masked": False, "px": counts}
    np.testing.assert_array_equal(read(out / "damage.tif"), reference(first, second)[0])
    share = 1 - counts["clear"] / layer.size
    (note,) = [each for each in summary["notes"] if "cannot be judged" in each]
    assert note.startswith(f"{share:.0%} of the ground cannot be judged (no texture before ")
    assert note.endswith("--mask-quality leaves it out")
    with rasterio.open(out / "quality.tif") as file:
        assert file.nodata == NODATA
        assert "quality.qml" in summary["files"]


def test_what_is_masked_is_not_computed_and_the_layer_says_why(flat, mapped, reference):
    pre, post, first, second = flat
    summary, out = mapped(pre, post, mask_quality=True)
    layer, damage = read(out / "quality.tif"), read(out / "damage.tif")
    assert ((damage == NODATA) == (layer != 0)).all()
    clear = layer == 0
    np.testing.assert_array_equal(damage[clear], reference(first, second)[0][clear])
    assert (layer[INSIDE] == FLAT_BEFORE).all()
    assert layer[FLAT].all()
    assert summary["nodata_px"] == (layer != 0).sum()
    assert summary["quality"]["masked"]
    assert any("it is not computed" in each for each in summary["notes"])


def test_an_interrupted_map_ends_with_the_same_layer(flat, engine, tmp_path, monkeypatch):
    pre, post, *_ = flat
    options = map_options(mask_quality=True)
    whole = map_pair(engine, pre, post, tmp_path / "whole", options)
    out = tmp_path / "out"
    end_after(2, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        map_pair(engine, pre, post, out, options)
    monkeypatch.undo()
    resumed = map_pair(engine, pre, post, out, map_options(mask_quality=True, resume=True))
    assert resumed["quality"] == whole["quality"]
    for name in ("quality.tif", "damage.tif"):
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_map_without_the_mask_is_not_taken_for_one_with_it(flat, engine, tmp_path):
    pre, post, *_ = flat
    map_pair(engine, pre, post, tmp_path / "out", map_options())
    masked = map_pair(
        engine, pre, post, tmp_path / "out", map_options(mask_quality=True, resume=True)
    )
    assert masked["nodata_px"] > 0


def test_work_of_a_version_without_the_layer_is_one_line(flat, engine, tmp_path, monkeypatch):
    pre, post, *_ = flat
    end_after(1, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        map_pair(engine, pre, post, tmp_path / "out", map_options())
    monkeypatch.undo()
    (tmp_path / "out" / ".unfinished" / "quality").unlink()
    with pytest.raises(ConfigError, match="an unfinished map without its quality; --restart"):
        map_pair(engine, pre, post, tmp_path / "out", map_options(resume=True))


def test_a_pair_of_which_nothing_can_be_judged_says_so(scene, write_raster, engine, tmp_path):
    pre, post, first, _ = scene(100, 170)
    write_raster(pre, np.full_like(first, 90))
    with pytest.raises(ImageError, match=r"no ground that can be judged: no texture before 100.0%"):
        map_pair(engine, pre, post, tmp_path / "out", map_options(mask_quality=True))
    assert not (tmp_path / "out").exists()
    assert map_pair(engine, pre, post, tmp_path / "out", map_options())["nodata_px"] == 0


def test_pictures_have_the_layer_too(tmp_path, draw, engine):
    first, second = (draw(64, 96, seed=seed)[0] for seed in (1, 2))
    first[:, 48:] = 255
    for name, image in (("pre.png", first), ("post.png", second)):
        cv2.imwrite(str(tmp_path / name), image[..., ::-1])
    out = tmp_path / "out"
    map_pair(engine, tmp_path / "pre.png", tmp_path / "post.png", out, map_options())
    layer = cv2.imread(str(out / "quality.png"), cv2.IMREAD_UNCHANGED)
    assert (layer[:, 64:] == LAYER.index("saturated before")).all()
    assert json.loads((out / "summary.json").read_text())["quality"]["px"]["saturated before"] > 0
