"""Stored rows of a scene: what is read was stored and journalled, whatever ends the work."""

from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from runtime.damage import NODATA
from runtime.scene import unfinished
from runtime.scene.strip import Strip
from runtime.scene.unfinished import FailedTile, Unfinished, begun

WIDTH, TALL, ROWS = 24, 4, 6
MAPS = ("damage", "confidence")


def begin(folder: Path, height: int = ROWS * TALL, width: int = WIDTH) -> Unfinished:
    return Unfinished.begin(folder, (height, width), MAPS, {})


def again(work: Unfinished) -> Unfinished:
    """As another process finds it."""
    journal = begun(work.folder)
    return Unfinished(work.folder, work.size, MAPS, journal) if journal else begin(work.folder)


def strip(top: int, value: int | None, width: int = WIDTH, tall: int = TALL) -> Strip:
    """None: nothing was computed."""
    damage = np.full((tall, width), NODATA, np.uint8)
    confidence = np.zeros_like(damage)
    if value is not None:  # of a part; 0 is background
        damage[:, 3:9], confidence[:, 3:9] = value, 200
    return Strip(top, damage, confidence)


def test_a_row_without_a_computed_pixel_is_a_hole_and_reads_as_not_computed(tmp_path):
    width = 1 << 16
    work = begin(tmp_path, 2 * TALL, width)
    work.add(strip(0, None, width), ())
    work.sync()
    assert [(tmp_path / name).stat().st_blocks for name in MAPS] == [0, 0]
    for found in (work, again(work)):
        [stored] = found.strips()
        assert (stored.damage == NODATA).all()
        assert (stored.confidence == 0).all()
        assert (found.whole("damage")[:TALL, :] == NODATA).all()
        place = np.array([0, 3]), np.array([7, 9])
        assert found.whole("damage")[place].tolist() == [NODATA, NODATA]


def test_what_was_not_journalled_is_never_read_as_a_map(tmp_path):
    """A row is computed, and the process killed; the next cannot compute it."""
    work = begin(tmp_path)
    work.add(strip(0, None), ())
    work.sync()
    work.add(strip(TALL, 0), ())  # "no building"
    work = again(work)
    assert work.rows == 1
    work.add(strip(TALL, None), ())
    work.sync()
    assert (work.whole("damage")[:, :] == NODATA).all()


def test_rows_are_synced_together_before_the_journal_names_them(tmp_path, monkeypatch):
    now, done = [0.0], []
    monkeypatch.setattr(unfinished.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(unfinished.files, "sync", lambda path: done.append(path.name))
    work = begin(tmp_path)
    done.clear()
    for row in range(3):
        work.add(strip(row * TALL, 2), ())
    assert begun(tmp_path) is None
    assert done == []
    now[0] = unfinished.UNSYNCED_SECONDS
    work.add(strip(3 * TALL, 2), ())
    assert again(work).rows == 4
    assert done[:2] == sorted(MAPS, key=MAPS.index, reverse=True)
    assert done[2].startswith(".journal")
    done.clear()
    now[0] *= 2
    work.add(strip(4 * TALL, None), ())
    assert [name[:8] for name in done] == [".journal"]  # nothing else was written


step = st.one_of(
    st.tuples(st.just("add"), st.sampled_from([None, 0, 1, 4]), st.booleans()),
    st.tuples(st.just("again"), st.sampled_from([None, 0, 1, 4]), st.booleans()),
    st.sampled_from([("sync",), ("kill",)]),
)


@given(st.lists(step, max_size=25))
def test_rows_are_those_of_the_last_journal_after_any_kill(tmp_path_factory, steps):
    """Beside a model that keeps the rows in a list. Rows that failed are made again."""
    work = begin(tmp_path_factory.mktemp("work"))
    rows: list[tuple[Strip, bool]] = []
    safe = list(rows)
    for kind, *how in steps:
        if kind == "sync":
            work.sync()
            safe = list(rows)
        elif kind == "kill":
            work, rows = again(work), list(safe)
        else:
            failed = work.failed_rows()
            index = len(rows) if kind == "add" else (failed or [ROWS])[0]
            if index >= ROWS:
                continue
            made = strip(index * TALL, how[0])
            if kind == "again" and rows[index][0].damage.min() != NODATA:
                made = rows[index][0]  # what was computed is computed alike
            tiles = (FailedTile(index * TALL, 0, TALL, 2, "lost"),) if how[1] else ()
            work.add(made, tiles)
            rows[index : index + 1] = [(made, how[1])]
    assert work.failed_rows() == [i for i, (_, failed) in enumerate(rows) if failed]
    for (expected, _), found in zip(rows, work.strips(), strict=True):
        np.testing.assert_array_equal(found.damage, expected.damage)
        np.testing.assert_array_equal(found.confidence, expected.confidence)
    for name in MAPS:
        assert (work.folder / name).stat().st_size == ROWS * TALL * WIDTH
