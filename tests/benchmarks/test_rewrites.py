"""Which variants of the graph `benchmarks.rewrites` compares."""

from __future__ import annotations

from benchmarks.rewrites import table, variants
from export.rewrites import REWRITES


def test_every_rewrite_is_added_and_left_out() -> None:
    found = variants()
    assert found["plain"] == ()
    assert found[f"+ {list(REWRITES)[-1]}"] == tuple(REWRITES)
    for name in list(REWRITES)[:-1]:
        assert set(found[f"all but {name}"]) == set(REWRITES) - {name}
    row = {"variant": "plain", "kernels": 7, "bytes": 2_000_000_000, "flops": 10**12}
    assert table([row]).splitlines()[1].split() == ["plain", "7", "2.000", "1.000", "-"]
