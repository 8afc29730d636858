"""What is kept for a faster next start comes from this user alone, or is not used."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from runtime import cache, host

pytestmark = pytest.mark.skipif(not hasattr(os, "geteuid"), reason="files have no owner here")


@pytest.fixture
def base(tmp_path, monkeypatch) -> Path:
    """The toolkit's cache folder; nothing of it is there, nor what it lies in."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "some" / "cache"))
    return host.cache_folder()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_what_is_kept_reads_back(base, capsys):
    assert cache.read("kind", "name") is None
    cache.write("kind", "name", b"old")
    cache.write("kind", "name", b"new")
    assert cache.read("kind", "name") == b"new"
    assert cache.read("kind", "other") is None
    assert [path.name for path in (base / "kind").iterdir()] == ["name"]
    assert capsys.readouterr().err == ""


def test_every_folder_that_is_made_is_the_users_alone(base, tmp_path):
    before = os.umask(0)
    try:
        cache.write("kind", "name", b"content")
    finally:
        os.umask(before)
    for folder in (tmp_path / "some", tmp_path / "some" / "cache", base, base / "kind"):
        assert mode(folder) == 0o700
    assert mode(base / "kind" / "name") == 0o600
    assert cache.read("kind", "name") == b"content"


def given_away(path: Path, monkeypatch) -> None:
    """Make it another user's; who is not root becomes another user instead."""
    if os.geteuid() == 0:
        os.chown(path, 12345, -1)
    else:
        another = os.geteuid() + 1
        monkeypatch.setattr(os, "geteuid", lambda: another)


def moved_and_linked(path: Path) -> None:
    real = path.rename(path.parent / "elsewhere")
    path.symlink_to(real)


@pytest.mark.parametrize("level", ["", "kind", "kind/name"])
@pytest.mark.parametrize("fault", ["group", "others", "owner", "link"])
def test_what_others_may_have_written_is_not_used(base, monkeypatch, capsys, level, fault):
    cache.write("kind", "name", b"content")
    path = base / level
    if fault == "owner":
        given_away(path, monkeypatch)
    elif fault == "link":
        moved_and_linked(path)
    else:
        path.chmod(mode(path) | (0o020 if fault == "group" else 0o002))
    assert cache.read("kind", "name") is None
    said = capsys.readouterr().err.splitlines()
    if (level, fault) != ("kind/name", "link"):  # that is no more than a file to be replaced
        assert len(said) == 1
        assert said[0].startswith(f"{base}")
        assert "XDG_CACHE_HOME" in said[0]


@pytest.mark.parametrize("level", ["", "kind"])
def test_nothing_is_written_where_others_may_write(base, level):
    cache.write("kind", "name", b"content")
    (base / level).chmod(0o777)
    cache.write("kind", "more", b"content")
    assert [path.name for path in (base / "kind").iterdir()] == ["name"]


def test_nothing_is_written_through_a_link(base, tmp_path):
    base.parent.mkdir(parents=True)
    base.symlink_to(tmp_path)
    cache.write("kind", "name", b"content")
    assert not (tmp_path / "kind" / "name").exists()


def test_a_shared_folder_may_hold_a_folder_of_ours(base):
    """/tmp as XDG_CACHE_HOME."""
    base.parent.mkdir(parents=True)
    base.parent.chmod(0o1777)
    cache.write("kind", "name", b"content")
    assert cache.read("kind", "name") == b"content"


def test_a_file_that_cannot_be_written_leaves_no_part(base, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    cache.write("kind", "name", b"content")
    assert list((base / "kind").iterdir()) == []


def test_a_pipe_is_not_waited_for(base, capsys):
    cache.write("kind", "name", b"content")
    (base / "kind" / "name").unlink()
    os.mkfifo(base / "kind" / "name", 0o600)
    assert cache.read("kind", "name") is None
    assert "is no file" in capsys.readouterr().err
