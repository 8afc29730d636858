import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from runtime.damage import NODATA
from runtime.output import quicklook
from runtime.output.overlay import NODATA_COLOUR, overlay, with_legend
from runtime.output.quicklook import worst
from runtime.source.picture import read_image


@settings(max_examples=150, deadline=None)
@given(
    damage=hnp.arrays(
        np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=13),
        elements=st.sampled_from([0, 0, 0, 1, 2, 4, NODATA]),
    ),
    factor=st.integers(1, 6),
)  # fmt: skip
def test_a_block_shows_its_worst_class_and_never_hides_what_is_not_known(damage, factor):
    found = worst(damage, factor)
    height, width = damage.shape
    assert found.shape == (-(-height // factor), -(-width // factor))
    for row in range(found.shape[0]):
        for column in range(found.shape[1]):
            block = damage[row * factor :, column * factor :][:factor, :factor]
            classes = block[block != NODATA]
            most = classes.max(initial=0)
            assert found[row, column] == (most or (NODATA if NODATA in block else 0))


def test_a_scene_is_drawn_on_the_image_after_the_disaster(scene, mapped, reference):
    pre, post, first, second = scene(100, 170)
    _, out = mapped(pre, post)
    damage = reference(first, second)[0]
    expected = with_legend(overlay(second, damage), damage)
    np.testing.assert_array_equal(read_image(out / "overlay.png"), expected)


def test_a_large_scene_is_reduced_part_by_part(scene, mapped, reference, monkeypatch):
    monkeypatch.setattr(quicklook, "LARGEST", 48)
    monkeypatch.setattr(quicklook, "PART", 30)
    pre, post, first, second = scene(100, 170)
    _, out = mapped(pre, post)
    picture = np.asarray(Image.open(out / "overlay.png"))
    assert picture.shape[1] == 43  # 170 pixels by 4
    damage = worst(reference(first, second)[0], 4)
    ground = damage == 0
    block = second[:100, :168].reshape(25, 4, 42, 4, 3).mean(axis=(1, 3))
    apart = np.abs(picture[:25, :42] - block)[ground[:, :42]]
    assert apart.max() <= 1.5


def test_what_cannot_be_read_is_drawn_as_not_computed(scene, mapped):
    import rasterio

    pre, post, *_ = scene(128, 256, compress="deflate")
    with rasterio.open(post) as file:
        offset = int(file.get_tag_item("BLOCK_OFFSET_1_1", "TIFF", bidx=1))
    with post.open("r+b") as file:
        file.seek(offset)
        file.write(b"\xff" * 32)
    summary, out = mapped(pre, post)
    (tile, *_) = summary["failed_tiles"]
    picture = np.asarray(Image.open(out / "overlay.png"))
    part = picture[tile["row"] :, tile["column"] :][: tile["height"], : tile["width"]]
    assert (part == NODATA_COLOUR).all(axis=2).any()
