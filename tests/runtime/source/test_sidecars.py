import os

import pytest

from runtime.source.sidecars import beside, renamed


@pytest.mark.parametrize(
    ("image", "name", "belongs"),
    [
        ("town_pre.tif", "town_pre.tfw", True),
        ("town_pre.tif", "town_pre.tif.aux.xml", True),
        ("town_pre.tif", "TOWN_PRE.TIF.OVR", True),
        ("roofs.shp", "roofs.dbf", True),
        ("town_pre.tif", "town_post.tfw", False),
        ("town_pre.tif", "town_pre.png", False),
        ("town_pre.tif", "town_pre.tif", False),
    ],
)
def test_what_belongs_to_an_image(tmp_path, image, name, belongs):
    (tmp_path / image).touch()
    (tmp_path / name).touch()
    assert beside(tmp_path / image) == ([tmp_path / name] if belongs else [])


@pytest.mark.parametrize("age", [0, 3600], ids=["just now", "an hour ago"])
def test_a_file_that_comes_or_goes_is_seen_at_once(tmp_path, age):
    image = tmp_path / "a.tif"
    image.touch()

    def aged() -> None:
        status = tmp_path.stat()
        os.utime(tmp_path, ns=(status.st_atime_ns, status.st_mtime_ns - age * 10**9))

    aged()
    assert beside(image) == []
    (tmp_path / "a.tfw").touch()
    aged()
    assert beside(image) == [tmp_path / "a.tfw"]
    (tmp_path / "a.tfw").unlink()
    aged()
    assert beside(image) == []
    assert beside(tmp_path / "none" / "a.tif") == []


def test_a_new_name_keeps_them_together():
    assert renamed("a.tif.ovr", "a.tif", "a-2.tif") == "a-2.tif.ovr"
    assert renamed("a.tfw", "a.tif", "a-2.tif") == "a-2.tfw"
