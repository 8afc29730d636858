import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from runtime.scene.strip import Strip


@given(st.integers(0, 9), st.integers(1, 9), st.integers(1, 60), st.integers(0, 5))
def test_parts_are_the_strip_in_pieces_of_bounded_size(height, width, pixels, top):
    damage = np.arange(height * width, dtype=np.uint8).reshape(height, width)
    parts = list(Strip(top, damage, damage + 100).parts(pixels))
    assert [part.top for part in parts] == [
        top + sum(len(each.damage) for each in parts[:i]) for i in range(len(parts))
    ]
    assert all(part.damage.size <= max(pixels, width) for part in parts)
    for name, whole in (("damage", damage), ("confidence", damage + 100)):
        pieces = [getattr(part, name) for part in parts] or [whole[:0]]
        assert np.array_equal(np.concatenate(pieces), whole)
