import errno
import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from runtime import files


@pytest.fixture
def old(tmp_path):
    path = tmp_path / "result.json"
    path.write_text("old")
    return path


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def fail_while_writing(manager, name=""):
    with manager as temporary:
        (temporary / name).write_text("half")
        raise ZeroDivisionError


def test_a_file_is_replaced_whole(old):
    with files.replacing(old) as temporary:
        temporary.write_text("new")
        assert temporary.suffix == ".json"
        assert old.read_text() == "old"
    assert old.read_text() == "new"
    assert names(old.parent) == ["result.json"]


def test_an_error_leaves_the_old_file_and_nothing_else(old):
    with pytest.raises(ZeroDivisionError):
        fail_while_writing(files.replacing(old))
    assert old.read_text() == "old"
    assert names(old.parent) == ["result.json"]


@pytest.mark.parametrize("existing", [False, True])
@pytest.mark.parametrize("manager", ["replacing", "replacing_folder", "adding_to_folder"])
def test_a_full_disk_names_what_was_wanted(tmp_path, manager, existing):
    wanted = tmp_path / "wanted"
    if existing:
        wanted.touch() if manager == "replacing" else wanted.mkdir()
    with (
        pytest.raises(OSError, match="No space left on device: .*wanted") as caught,
        getattr(files, manager)(wanted),
        Path("/dev/full").open("w") as full,
    ):
        full.write("x")
    assert caught.value.errno == errno.ENOSPC
    assert names(tmp_path) == (["wanted"] if existing else [])


def test_files_follow_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        files.write_bytes(tmp_path / "a", b"")
        with files.replacing_folder(tmp_path / "b"):
            pass
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "b").stat().st_mode & 0o777 == 0o750


def test_a_folder_is_replaced_whole(tmp_path):
    folder = tmp_path / "engine"
    for content in ("one", "two"):
        with files.replacing_folder(folder) as temporary:
            (temporary / content).touch()
        assert names(folder) == [content]
    assert names(tmp_path) == ["engine"]


def test_an_error_leaves_the_old_folder(tmp_path):
    folder = tmp_path / "engine"
    folder.mkdir()
    (folder / "old").touch()
    with pytest.raises(ZeroDivisionError):
        fail_while_writing(files.replacing_folder(folder), "new")
    assert names(folder) == ["old"]
    assert names(tmp_path) == ["engine"]


def test_the_old_folder_comes_back_when_the_new_one_cannot_be_moved(tmp_path, monkeypatch):
    folder = tmp_path / "engine"
    folder.mkdir()
    (folder / "old").touch()
    replace = files.Path.replace

    def failing(self, target):
        if ".partial" in self.name:
            raise OSError("no")
        return replace(self, target)

    monkeypatch.setattr(files.Path, "replace", failing)
    with pytest.raises(OSError, match="no"), files.replacing_folder(folder) as temporary:
        (temporary / "new").touch()
    assert names(folder) == ["old"]
    assert names(tmp_path) == ["engine"]


def test_adding_replaces_same_names_and_keeps_others(tmp_path):
    folder = tmp_path / "out"
    with files.adding_to_folder(folder) as temporary:
        (temporary / "a").write_text("1")
        (temporary / "b").write_text("1")
        assert not folder.exists()
    with files.adding_to_folder(folder) as temporary:
        (temporary / "a").write_text("2")
        assert (folder / "a").read_text() == "1"
    assert ((folder / "a").read_text(), (folder / "b").read_text()) == ("2", "1")
    assert names(folder) == ["a", "b"]
    with pytest.raises(ZeroDivisionError):
        fail_while_writing(files.adding_to_folder(folder), "a")
    assert (folder / "a").read_text() == "2"
    assert names(folder) == ["a", "b"]


def test_the_current_folder_can_be_added_to(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with files.adding_to_folder(files.Path()) as temporary:
        (temporary / "a").touch()
    assert names(tmp_path) == ["a"]


def test_a_digest_is_that_of_the_whole_file(tmp_path):
    content = bytes(range(256)) * 10_000
    (tmp_path / "a").write_bytes(content)
    assert files.sha256(tmp_path / "a") == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("manager", ["replacing", "replacing_folder", "adding_to_folder"])
def test_a_killed_writer_leaves_no_part_at_the_destination(tmp_path, manager):
    code = f"""
import sys, time
from pathlib import Path
from runtime import files
with files.{manager}(Path(sys.argv[1])) as temporary:
    target = temporary if temporary.is_file() else temporary / "part"
    target.write_bytes(b"half")
    print("writing", flush=True)
    time.sleep(60)
"""
    arguments = [sys.executable, "-c", code, str(tmp_path / "result")]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "writing\n"
        process.send_signal(signal.SIGKILL)
    assert not (tmp_path / "result").exists()


def test_temporary_files_are_synced_before_they_are_named(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(files.os, "fsync", lambda _: synced.append((tmp_path / "a").exists()))
    files.write_bytes(tmp_path / "a", b"x")
    assert synced[0] is False


def test_a_place_is_tried_and_nothing_left_there(tmp_path):
    files.check_writable(tmp_path / "new" / "deep" / "out.json")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    for place in (tmp_path / "file" / "out.json", Path("/proc/x/out.json")):
        with pytest.raises(OSError, match="nothing can be written in") as caught:
            files.check_writable(place)
        assert caught.value.filename == str(place)


def test_an_interrupt_between_the_two_renames_keeps_the_old_folder(tmp_path, monkeypatch):
    folder = tmp_path / "engine"
    folder.mkdir()
    (folder / "manifest.json").write_text("old")
    rename, renamed = Path.replace, []

    def interrupted(self, target):
        renamed.append(self)
        if len(renamed) == 2:
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt), files.replacing_folder(folder) as temporary:
        (temporary / "manifest.json").write_text("new")
    assert [path.name for path in tmp_path.iterdir()] == ["engine"]
    assert (folder / "manifest.json").read_text() == "old"


def test_what_is_not_synced_appears_whole_or_not_at_all(tmp_path):
    files.write_unsynced(tmp_path / "new" / "a", b"one", memoryview(b"two"))
    assert (tmp_path / "new" / "a").read_bytes() == b"onetwo"
    with pytest.raises(TypeError):
        files.write_unsynced(tmp_path / "new" / "a", b"three", None)
    assert (tmp_path / "new" / "a").read_bytes() == b"onetwo"
    assert names(tmp_path / "new") == ["a"]
