import errno
import os

import pytest

from runtime.errors import ImageError
from runtime.scene.unfinished import COPIES, Unfinished


def test_maps_that_no_disk_of_this_size_holds_are_the_images_fault(tmp_path):
    side = 1 << 31
    with pytest.raises(ImageError, match=f"{tmp_path}: maps of {side}x{side} pixels need up to"):
        Unfinished.begin(tmp_path, (side, side), ("damage", "confidence"), {})
    assert not list(tmp_path.iterdir())


def test_maps_that_do_not_fit_now_are_the_disks_fault(tmp_path):
    disk = os.statvfs(tmp_path)
    free, total = disk.f_frsize * disk.f_bavail, disk.f_frsize * disk.f_blocks
    if total - free < total // 50:
        pytest.skip("nothing on this disk is taken")
    pixels = (free + total) // 2 // COPIES
    with pytest.raises(OSError, match="are free; free some") as caught:
        Unfinished.begin(tmp_path, (1, pixels), ("damage",), {})
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(tmp_path))
    assert not list(tmp_path.iterdir())
    Unfinished.begin(tmp_path, (1, free // 2 // COPIES), ("damage",), {})
