import errno
import os

import pytest

from runtime.errors import ImageError
from runtime.scene.space import checked


def test_maps_that_no_disk_of_this_size_holds_are_the_images_fault(tmp_path):
    side = 1 << 31
    with pytest.raises(ImageError, match=f"{tmp_path}: maps of {side}x{side} pixels need "):
        checked(tmp_path, (side, side), ("damage", "confidence"))


def test_maps_that_do_not_fit_now_are_the_disks_fault(tmp_path):
    free, total = _disk(tmp_path)
    with pytest.raises(OSError, match="are free; free some") as caught:
        checked(tmp_path, (1, (free + total) // 2), ("damage",))
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(tmp_path))


def test_maps_that_may_fit_are_made_with_a_note(tmp_path):
    free, _ = _disk(tmp_path)
    (note,) = checked(tmp_path, (1, free // 4), ("damage", "confidence"))
    assert f"{tmp_path.parent}: maps of 1x{free // 4} pixels take " in note
    assert "--resume goes on when there is room" in note
    assert checked(tmp_path, (1, free // 8), ("damage", "confidence")) == []


def test_what_unfinished_maps_hold_is_not_asked_for_again(tmp_path):
    held = 256 << 20
    with (tmp_path / "damage").open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, held)
    pixels = _disk(tmp_path)[0] + held // 2
    assert checked(tmp_path, (1, pixels), ("damage",))
    with pytest.raises(OSError, match="are free; free some"):
        checked(tmp_path, (1, pixels), ("another",))


def _disk(folder):
    disk = os.statvfs(folder)
    free, total = disk.f_frsize * disk.f_bavail, disk.f_frsize * disk.f_blocks
    if total - free < total // 50:
        pytest.skip("nothing on this disk is taken")
    return free, total
