"""Another map in a folder removes nothing that people made; a folder says what they did."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from runtime.corrections import CORRECTIONS, Corrections
from runtime.corrections.aside import carry
from runtime.counts import draw, estimate
from runtime.engine import load_engine
from runtime.finished.told import lines
from runtime.mapping import map_pair
from runtime.options import MapOptions
from tests.runtime.corrections.conftest import EXAMPLE, POST, PRE


@pytest.fixture(scope="module")
def engine():
    with load_engine(EXAMPLE / "engine") as found:
        yield found


def _kept(folder: Path) -> list[Path]:
    return sorted(folder.glob("*-20*"))


def test_the_same_map_made_again_keeps_its_corrections(engine, picture):
    Corrections(picture).set(1, "destroyed", "Ana")
    map_pair(engine, PRE, POST, picture, MapOptions(restart=True))
    assert Corrections(picture).count() == 1
    assert _kept(picture) == []


def test_another_map_moves_corrections_sample_and_estimate_aside(engine, picture, capsys):
    Corrections(picture).set(1, "destroyed", "Ana")
    sample = draw(picture, 20, 0)
    for row in sample.rows:
        sample.check(row.id, "destroyed")
    estimate(picture)
    content = (picture / CORRECTIONS).read_bytes()
    done = map_pair(engine, PRE, POST, picture, MapOptions(restart=True, min_area=200))
    assert [each.name.partition("-20")[0] for each in _kept(picture)] == [
        "corrections", "estimate", "sample",
    ]  # fmt: skip
    assert _kept(picture)[0].read_bytes() == content
    assert "corrections.gpkg is of the map that was there before; it is kept as" in " ".join(
        done["notes"]
    )
    assert "it is kept as corrections-20" in capsys.readouterr().err
    assert Corrections(picture).count() == 0
    assert lines(picture) == []


def test_a_map_that_is_replaced_hands_its_corrections_on(picture, placed, tmp_path):
    Corrections(picture).set(1, "destroyed", "Ana")
    digest = Corrections(picture).map.sha256
    for each in (CORRECTIONS,):
        assert not (placed / each).exists()
    same = Path(shutil.copytree(picture, tmp_path / "same"))
    (same / CORRECTIONS).unlink()
    assert carry(picture, same, digest) == []
    assert Corrections(same).count() == 1
    (note,) = carry(picture, placed, Corrections(placed).map.sha256)
    assert note.startswith("corrections.gpkg is of the map that was there before")
    assert Corrections(placed).count() == 0
    assert len(_kept(placed)) == 1


def test_a_folder_says_how_many_were_corrected_and_what_was_estimated(picture):
    assert lines(picture) == []
    Corrections(picture).set(0, "destroyed", "Ana")
    assert lines(picture) == [
        "1 corrections by hand: mapped 32 no-damage, 11 minor-damage, 14 major-damage, "
        "16 destroyed; corrected 31 no-damage, 11 minor-damage, 14 major-damage, 17 destroyed"
    ]
    sample = draw(picture, 72, 0)
    for row in sample.rows:
        sample.check(row.id, sample.map.building(row.building).damage_class)
    estimate(picture)
    _, told = lines(picture)
    assert told.startswith("estimate from 72 checked ones, 95 %: 31 no-damage (31 to 31), ")
    Corrections(picture).set(1, "destroyed", "Ana")
    assert lines(picture)[-1] == "corrections were made since that estimate; estimate again"


def test_predict_says_so_of_a_finished_map(command, picture):
    Corrections(picture).set(0, "destroyed", "Ana")
    done = command(
        "runtime.predict", "--engine", EXAMPLE / "engine", PRE, POST, "--out", picture, "--resume"
    )
    assert "1 corrections by hand: mapped 32 no-damage" in done.stdout, done.stderr
