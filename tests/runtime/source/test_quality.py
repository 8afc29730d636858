"""Cloud, shadow, saturation and flat ground are found, and clear ground is left alone."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.damage import NODATA
from runtime.source.quality import CLEAR, LAYER, REACH, judged

SIDE = 512

CLOUDED = (
    "guatemala-volcano_00000002",
    "guatemala-volcano_00000010",
    "hurricane-florence_00000087",
)
"""Of the sample, as anyone can see."""

COLLARED = ("guatemala-volcano_00000000", "guatemala-volcano_00000001")
"""Those with a black border."""


def ground(seed: int, side: int = SIDE) -> np.ndarray:
    """Fields, with texture, and white roofs of 40 pixels: uint8 [side,side,3]."""
    random = np.random.default_rng(seed)
    coarse = random.uniform(50, 130, (side // 64 + 1, side // 64 + 1, 3)).astype(np.float32)
    fields = cv2.resize(coarse, (side, side), interpolation=cv2.INTER_NEAREST)
    image = fields + random.normal(0, 12, (side, side, 1)) + random.normal(0, 3, (side, side, 3))
    for _ in range(6):
        y, x = random.integers(0, side - 40, 2)
        image[y : y + 40, x : x + 40] = random.normal(245, 4, (40, 40, 1))
    return image.clip(0, 255).astype(np.uint8)


def disc(side: int = SIDE) -> np.ndarray:
    y, x = np.mgrid[:side, :side]
    return np.hypot(y - side * 0.45, x - side * 0.55) < side * 0.3


FAULTS = {
    "shadow": lambda image: image * 0.3,
    "cloud": lambda image: image * 0.25 + 235 * 0.75,
    "no texture": lambda image: np.full_like(image, 90),
    "saturated": lambda image: np.full_like(image, 255),
}


@pytest.mark.parametrize("which", ["before", "after"])
@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_found_where_it_is(name: str, which: str) -> None:
    pair = {"before": ground(1), "after": ground(2)}
    there = disc()
    changed = FAULTS[name](pair[which].astype(float)).clip(0, 255).astype(np.uint8)
    pair[which] = np.where(there[..., np.newaxis], changed, pair[which])
    layer = judged(pair["before"], pair["after"], None, 0, 0)
    told = layer == LAYER.index(f"{name} {which}")
    assert (told & there).sum() > 0.85 * there.sum()
    assert ((layer != CLEAR) & there).sum() > 0.95 * there.sum()
    # A cell beyond its edge is taken with it.
    near = cv2.dilate(there.astype(np.uint8), np.ones((65, 65))) > 0
    assert not (layer != CLEAR)[~near].any()


def test_clear_ground_with_white_roofs_is_left_alone() -> None:
    assert not judged(ground(3), ground(4), None, 0, 0).any()


def test_what_neither_fills_its_surroundings_nor_is_known_is_no_fault() -> None:
    image = ground(5)
    image[100:140, 100:140] = 255
    assert not judged(image, image, None, 0, 0).any()
    known = ~disc()
    image[~known] = 0
    layer = judged(image, image, known, 0, 0)
    assert ((layer == NODATA) == ~known).all()
    assert not layer[known].any()


def faulty(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A pair with soft clouds in one and shadows in the other, and where it is known."""
    random = np.random.default_rng(seed)

    def soft() -> np.ndarray:
        noise = cv2.GaussianBlur(
            random.standard_normal((SIDE, SIDE)).astype(np.float32), (0, 0), 30
        )
        return (noise / noise.std() - 0.3).clip(0, 1)[..., np.newaxis]

    pre, post = ground(seed), ground(seed + 1)
    share = soft()
    pre = (pre * (1 - share) + 240 * share).astype(np.uint8)
    post = (post * (1 - 0.8 * soft())).astype(np.uint8)
    return pre, post, soft()[..., 0] < 0.9


@given(st.integers(0, 9), st.integers(0, SIDE - 1), st.integers(0, SIDE - 1), st.integers(1, 200))
@settings(deadline=None, max_examples=40)
def test_a_window_says_of_its_inner_part_what_the_whole_does(
    seed: int, top: int, left: int, side: int
) -> None:
    pre, post, known = faulty(seed)
    whole = judged(pre, post, known, 0, 0)
    y, x = max(0, top - REACH), max(0, left - REACH)
    there = np.s_[y : top + side + REACH, x : left + side + REACH]
    part = judged(pre[there], post[there], known[there], y, x)
    inner = np.s_[top : top + side, left : left + side]
    np.testing.assert_array_equal(
        part[top - y : top - y + side, left - x : left - x + side], whole[inner]
    )


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (15, 17), (300, 2)])
def test_images_of_any_size_are_judged(shape: tuple[int, int]) -> None:
    image = np.zeros((*shape, 3), np.uint8)
    layer = judged(image, image, None, 0, 0)
    assert layer.shape == shape
    assert np.isin(layer, (CLEAR, LAYER.index("no texture after"))).all()


def test_real_tiles_are_masked_where_they_are_clouded(xbd_sample: Path) -> None:
    def image(path: Path) -> np.ndarray:
        return cv2.imread(str(path))[..., ::-1]

    seen = set()
    for path in sorted(xbd_sample.glob("*/images/*_post_disaster.png")):
        pre, post = image(path.with_name(path.name.replace("_post_", "_pre_"))), image(path)
        layer = judged(np.ascontiguousarray(pre), np.ascontiguousarray(post), None, 0, 0)
        name = path.name.removesuffix("_post_disaster.png")
        found = {why for n, why in enumerate(LAYER) if (layer == n).mean() > 0.01} - {"clear"}
        seen.add(name)
        if name in COLLARED:
            assert found == {"no texture before"}, name
        elif name in CLOUDED:
            assert {"cloud after", "cloud before"} & found, name
        else:
            assert (layer != CLEAR).mean() <= 0.01, name
    assert {*CLOUDED, *COLLARED} <= seen
