import csv
import importlib.util
import json
import os
import re
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from runtime import batch
from runtime.errors import ConfigError, ManifestError

REPOSITORY = Path(__file__).parents[3]


@pytest.fixture
def scenes(tmp_path, pair):
    """Write pairs of PNG files, each a little different; a function of their names."""
    folder = tmp_path / "scenes"
    folder.mkdir()

    def write(names):
        for number, name in enumerate(names):
            for role, image in zip(("pre", "post"), pair, strict=True):
                picture = Image.fromarray(np.roll(image, number, axis=1))
                picture.save(folder / f"{name}_{role}.png")
        listing = folder / "pairs.csv"
        rows = "".join(f"{name}_pre.png,{name}_post.png\n" for name in names)
        listing.write_text(f"pre,post\n{rows}")
        return listing

    return write


@pytest.fixture
def start(engine_folder, tmp_path):
    """Start the command in a process of its own, and end it with the test."""
    for package in ("ray", "pandas", "pyarrow"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    started = []

    def call(pairs, *options):
        line = [
            sys.executable, "-m", "runtime.batch", "--engine", engine_folder, "--pairs", pairs,
            "--out", tmp_path / "out", "--threads", 1, *options,
        ]  # fmt: skip
        process = subprocess.Popen(
            [str(each) for each in line], cwd=REPOSITORY, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        started.append(process)
        return process

    yield call
    for process in started:
        if process.poll() is None:
            process.terminate()
            process.wait(30)


@pytest.fixture
def main(engine_folder, tmp_path):
    """The command in this process, for what it refuses before it starts Ray."""

    def call(pairs, *options, engine=engine_folder, out=tmp_path / "out"):
        arguments = ["--engine", engine, "--pairs", pairs, "--out", out, *options]
        return batch.main(batch.parser().parse_args([str(each) for each in arguments]))

    return call


def ended(process, timeout=200):
    """Its exit code, the totals it printed, and what it wrote to stderr but for progress."""
    stdout, stderr = process.communicate(timeout=timeout)
    lines = [each for each in stderr.splitlines() if not re.fullmatch(r"\d+ of \d+ pairs", each)]
    return process.returncode, json.loads(stdout) if stdout else None, lines


def workers_of(driver: int) -> list[int]:
    """Processes with an engine that descend from the command."""
    found, parents = [], {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(path.name)] = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            if "MapWorker" in (path / "cmdline").read_text():
                found.append(int(path.name))
        except OSError:
            continue  # it ended

    def descends(pid):
        while pid not in (0, driver):
            pid = parents.get(pid, 0)
        return pid == driver

    return [each for each in found if descends(each)]


def wait_for(condition, timeout=120):
    end = time.monotonic() + timeout
    while not (value := condition()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)
    return value


def folders(out: Path) -> set[str]:
    return {each.name for each in out.iterdir() if each.is_dir() and each.name[0] != "."}


class Recorder:
    """Which folder of maps has been seen, and whether it ever was another or incomplete."""

    def __init__(self, out: Path, seen=()):
        self.out, self.seen, self.wrong = out, dict(seen), []
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._record)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._end.set()
        self._thread.join()
        self._look()

    def _record(self):
        while not self._end.wait(0.005):
            self._look()

    def _look(self):
        for name in folders(self.out) if self.out.exists() else ():
            files = {each.name: each.stat() for each in (self.out / name).iterdir()}
            state = {file: (at.st_ino, at.st_mtime_ns, at.st_size) for file, at in files.items()}
            if self.seen.setdefault(name, state) != state or "summary.json" not in files:
                self.wrong.append(name)


def assert_complete(out: Path, names):
    """Exactly these are there, whole, and nothing that is not finished."""
    assert folders(out) == set(names)
    for name in names:
        summary = json.loads((out / name / "summary.json").read_text())
        assert Path(summary["pre"]).name == f"{name}_pre.png"
        Image.open(out / name / "damage.png").verify()
    assert [each.name for each in out.iterdir() if each.name[0] == "."] == [".lock"]
    assert not [each for each in out.rglob("*") if "partial" in each.name]


def kill_one(process, out, after: int):
    """SIGKILL a worker once so many pairs are mapped."""
    wait_for(lambda: out.exists() and len(folders(out)) >= after)
    os.kill(workers_of(process.pid)[0], signal.SIGKILL)


def spoil(folder: Path, names) -> dict[str, str]:
    """Make five of the pairs bad, each in its way; the reasons that are expected."""
    cut, empty, text, small, missing = (folder / f"{name}_post.png" for name in names)
    cut.write_bytes(cut.read_bytes()[:-20])
    empty.write_bytes(b"")
    text.write_text("no image")
    with Image.open(small) as image:
        image.crop((0, 0, 48, 16)).save(small)
    missing.unlink()
    return {
        names[0]: f"{cut.name}: a PNG that is truncated",
        names[1]: f"{empty.name}: empty; expected a PNG",
        names[2]: f"{text.name}: not an image in a known format",
        names[3]: f"{small.name}: 16x48, but",
        names[4]: f"{missing.name}: no such image",
    }


def check_killed_run(scenes, start, tmp_path, count, after):
    """Two workers, one of them killed, five bad pairs; then those again, cured."""
    names = [f"p{number:03}" for number in range(count)]
    listing, out = scenes(names), tmp_path / "out"
    folder = listing.parent
    bad = names[:: count // 5][:5]
    whole = {path: path.read_bytes() for name in bad for path in folder.glob(f"{name}_*.png")}
    expected = spoil(folder, bad)
    with Recorder(out) as recorder:
        process = start(listing, "--workers", 2, "--json")
        kill_one(process, out, after)
        code, totals, stderr = ended(process)
    assert code == 1, stderr
    assert (totals["done"], totals["failed"], totals["skipped"]) == (count - 5, 5, 0)
    assert_complete(out, set(names) - set(bad))
    assert recorder.wrong == []
    with (out / "failed.csv").open(newline="") as file:
        reasons = {row["name"]: row["reason"] for row in csv.DictReader(file)}
    assert set(reasons) == set(bad)
    assert all(expected[name] in reasons[name] for name in bad)
    assert sorted(stderr) == [f"failed: {name}: {reasons[name]}" for name in bad]
    print(f"{count} pairs, one worker killed after {after}: {totals['seconds']} s")
    for path, content in whole.items():
        path.write_bytes(content)
    return names, recorder


def test_one_worker_killed_and_five_bad_pairs(scenes, start, main, tmp_path, capsys):
    names, _ = check_killed_run(scenes, start, tmp_path, 14, 3)
    done = folders(tmp_path / "out")
    listing = tmp_path / "scenes" / "done.csv"
    rows = "".join(f"{name}_pre.png,{name}_post.png\n" for name in done)
    listing.write_text(f"pre,post\n{rows}")
    capsys.readouterr()
    assert main(listing) == 0  # nothing to do
    assert "0 pairs mapped, 9 were there before, 0 failed" in capsys.readouterr().out
    assert len(names) == 14
    assert not (tmp_path / "out" / "failed.csv").exists()


def test_a_pair_without_a_known_pixel_is_listed_as_failed(scenes, start, tmp_path):
    listing = scenes(["a", "b"])
    Image.new("RGB", (48, 32)).save(listing.parent / "b_post.png")
    code, totals, _ = ended(start(listing, "--json", "--nodata", "none", "--nodata", "0"))
    assert (code, totals["done"], totals["failed"]) == (1, 1, 1)
    with (tmp_path / "out" / "failed.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert "b_post.png: not one pixel is known: every pixel of it is what --nodata" in row["reason"]


@pytest.mark.slow
def test_200_pairs_on_two_workers_one_of_them_killed(scenes, start, tmp_path):
    names, recorder = check_killed_run(scenes, start, tmp_path, 200, 70)
    out = tmp_path / "out"
    with Recorder(out, recorder.seen) as again:
        code, totals, stderr = ended(start(out / "failed.csv", "--json"))
    assert (code, stderr, totals["done"]) == (0, [], 5)
    assert again.wrong == []
    assert_complete(out, names)
    assert not (out / "failed.csv").exists()


def test_a_full_disk_ends_the_run_in_one_line_and_keeps_what_was_computed(scenes, start, tmp_path):
    names = [f"p{number:02}" for number in range(60)]
    out = tmp_path / "out"
    out.mkdir()
    (out / "failed.csv").write_text("name,pre,post,reason\nold,a,b,of last week\n")
    process = start(scenes(names))
    wait_for(lambda: out.exists() and folders(out))
    [worker] = workers_of(process.pid)
    os.kill(worker, signal.SIGSTOP)
    resource.prlimit(worker, resource.RLIMIT_FSIZE, (1000, 1000))  # like a full disk
    os.kill(worker, signal.SIGCONT)
    stdout, stderr = process.communicate(timeout=100)
    assert process.returncode == 1
    assert stdout == ""
    [line] = stderr.splitlines()
    assert line.startswith("error: ")
    assert "File too large" in line
    done = folders(out)
    assert 0 < len(done) < 60
    assert_complete(out, done)
    with (out / "failed.csv").open(newline="") as file:  # the old list is gone
        rows = {row["name"]: row["reason"] for row in csv.DictReader(file)}
    assert set(rows) == set(names) - done
    assert all("not tried, the run ended: " in each for each in rows.values())
    assert all("File too large" in each for each in rows.values())


@pytest.mark.slow
def test_a_pair_that_kills_its_worker_fails_alone(scenes, start, tmp_path):
    names = [f"p{number}" for number in range(5)]
    listing = scenes(names)
    deadly = listing.parent / "p2_pre.png"
    deadly.unlink()
    os.mkfifo(deadly)
    out = tmp_path / "out"
    process = start(listing, "--json")
    wait_for(lambda: out.exists() and folders(out) == {"p0", "p1"})
    killed = set()
    while len(killed) < 3:
        [worker] = wait_for(
            lambda: [each for each in workers_of(process.pid) if each not in killed]
        )
        # Only once it has the pair: before, it would not be the pair that killed it.
        wait_for(lambda: (out / ".working" / "p2" / ".lock").exists())
        (out / ".working" / "p2" / ".lock").unlink()
        os.kill(worker, signal.SIGKILL)
        killed.add(worker)
    code, totals, stderr = ended(process)
    assert code == 1
    assert (totals["done"], totals["failed"]) == (4, 1)
    assert stderr == ["failed: p2: p2: the worker process died 3 times while it mapped it"]
    assert_complete(out, ["p0", "p1", "p3", "p4"])


@pytest.mark.slow
def test_an_engine_that_its_library_refuses_fails_once(scenes, start, make_engine, tmp_path):
    folder = make_engine(tmp_path / "broken")
    (folder / "model.onnx").write_bytes(b"no graph")
    content = json.loads((folder / "manifest.json").read_text())
    from runtime.manifest import payload_of

    [entry] = payload_of(folder, ("model.onnx",))
    content["payload"] = [{"name": entry.name, "size": entry.size, "sha256": entry.sha256}]
    (folder / "manifest.json").write_text(json.dumps(content))
    process = start(scenes(["a", "b", "c"]), "--engine", folder)
    stdout, stderr = process.communicate(timeout=100)
    assert process.returncode == 1
    assert stdout == ""
    [line] = stderr.splitlines()
    assert "model.onnx: ONNX Runtime" in line
    assert "refused it" in line


def test_what_cannot_be_used_is_refused_before_ray_starts(main, scenes, tmp_path):
    listing = scenes(["a"])
    with pytest.raises(ConfigError, match="--workers is 0; expected 1 or more"):
        main(listing, "--workers", 0)
    with pytest.raises(ConfigError, match="--threads is 0; expected 1 to 512"):
        main(listing, "--threads", 0)
    with pytest.raises(ConfigError, match="none.gpkg: does not exist; expected a vector file"):
        main(listing, "--footprints", tmp_path / "none.gpkg")
    with pytest.raises(ConfigError, match="--address 127.0.0.1:1: nothing answers"):
        main(listing, "--address", "127.0.0.1:1")
    with pytest.raises(ConfigError, match="--address here: expected HOST:PORT"):
        main(listing, "--address", "here")
    with pytest.raises(ManifestError, match="none: does not exist"):
        main(listing, engine=tmp_path / "none")
    with pytest.raises(ConfigError, match=r"pairs.csv: is a file; expected a folder"):
        main(listing, out=listing)
    with pytest.raises(OSError, match="Not a directory"):
        main(listing, out=listing / "out")
    listing.write_text("pre,name\n")
    with pytest.raises(ConfigError, match="no column post"):
        main(listing)
    assert not (tmp_path / "out").exists()


def test_a_second_run_into_the_same_folder_is_refused(main, scenes, tmp_path):
    from runtime.many.outbox import holding

    with (
        holding(tmp_path / "out"),
        pytest.raises(ConfigError, match="another batch or watch is writing there"),
    ):
        main(scenes(["a"]))


def test_without_ray_it_says_what_to_install(python, blocked, engine_folder, scenes, tmp_path):
    arguments = ["batch", "--engine", engine_folder, "--pairs", scenes(["a"]), "--out", tmp_path]
    code = f"""{blocked("ray")}
import importlib.util, runpy
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "ray" else find(name, *rest)
sys.argv = {[str(each) for each in arguments]!r}
runpy.run_module("runtime.batch", run_name="__main__")
"""
    result = python("-c", code)
    assert result.returncode == 2
    [line] = result.stderr.splitlines()
    assert line.startswith(
        'error: ray is not installed, batches run on Ray Data; pip install "dual-hrnet-edge[ray]"'
    )


@pytest.fixture
def mapped(engine_folder, tmp_path):
    """Map pairs of a listing into the output folder, as an earlier run did."""
    from runtime.engine import load_engine
    from runtime.many.outbox import holding, map_once
    from runtime.many.pairs import find_pairs
    from runtime.options import MapOptions

    def call(listing, **options):
        with load_engine(engine_folder, 1) as engine, holding(tmp_path / "out"):
            for pair in find_pairs(listing):
                assert map_once(engine, pair, tmp_path / "out", MapOptions(**options)) is None

    return call


def totals_of(capsys):
    told = capsys.readouterr()
    return json.loads(told.out), told.err.splitlines()


def failed_in(out):
    with (out / "failed.csv").open(newline="") as file:
        return {row["name"]: row["reason"] for row in csv.DictReader(file)}


def turned(path):
    with Image.open(path) as image:
        image.rotate(180).save(path)


def test_maps_of_other_images_are_told_from_those_that_were_there(
    main, scenes, mapped, tmp_path, capsys
):
    listing = scenes(["a", "b"])
    mapped(listing)
    assert main(listing, "--json") == 0
    totals, lines = totals_of(capsys)
    assert (totals["skipped"], totals["stale"], lines) == (2, 0, [])
    turned(listing.parent / "b_post.png")
    for _ in range(2):
        assert main(listing, "--json") == 1
        totals, [line] = totals_of(capsys)
        assert (totals["done"], totals["skipped"], totals["stale"]) == (0, 1, 1)
        assert line.startswith(f"stale: b: the maps in {tmp_path / 'out' / 'b'} were made with ")
        assert "another image after; choose another --out, " in line
        assert "--redo" in line
        assert set(failed_in(tmp_path / "out")) == {"b"}


def test_maps_of_another_engine_or_other_options_are_told(
    main, scenes, mapped, make_engine, edit_manifest, tmp_path, capsys
):
    listing = scenes(["a"])
    mapped(listing)
    other = make_engine(tmp_path / "other", size=(32, 48), batch=(1, 1, 4))
    assert main(listing, "--json", engine=other) == 1
    _, [line] = totals_of(capsys)
    assert "were made with another engine; " in line
    assert main(listing, "--json", "--min-area", 5) == 1
    _, [line] = totals_of(capsys)
    assert "were made with another --min-area; " in line


def test_maps_of_nobody_knows_which_images_are_not_taken_for_these(
    main, scenes, mapped, tmp_path, capsys
):
    listing = scenes(["a"])
    mapped(listing)
    (tmp_path / "out" / "a" / "sources.json").unlink()  # as predict writes them
    assert main(listing, "--json") == 1
    _, [line] = totals_of(capsys)
    assert "have no sources.json, nobody knows of which images they are; choose" in line


def test_holes_are_told_by_every_run(main, scenes, mapped, tmp_path, capsys):
    listing = scenes(["a", "b"])
    mapped(listing)
    path = tmp_path / "out" / "a" / "summary.json"
    summary = json.loads(path.read_text())
    tile = {"row": 0, "column": 0, "height": 32, "width": 48, "reason": "damaged"}
    path.write_text(json.dumps({**summary, "failed_tiles": [tile]}))
    for _ in range(2):
        assert main(listing, "--json") == 1
        totals, lines = totals_of(capsys)
        assert (totals["skipped"], totals["with_holes"]) == (2, 1)
        assert lines == ["a: 1 windows could not be computed"]


def test_redo_replaces_what_is_of_something_else(start, scenes, mapped, tmp_path):
    listing = scenes(["a", "b"])
    mapped(listing)
    out = tmp_path / "out"
    inode = (out / "a").stat().st_ino
    before = (out / "b" / "damage.png").read_bytes()
    turned(listing.parent / "b_post.png")
    code, totals, lines = ended(start(listing, "--redo", "--json"))
    assert (code, lines) == (0, [])
    assert (totals["done"], totals["skipped"], totals["stale"]) == (1, 1, 0)
    assert_complete(out, ["a", "b"])
    assert (out / "a").stat().st_ino == inode
    assert (out / "b" / "damage.png").read_bytes() != before


def test_a_list_that_is_the_last_runs_own_loses_no_pair_to_a_kill(
    main, scenes, mapped, tmp_path, monkeypatch
):
    """The list is renewed before the work, so that what it says is of this run."""
    pytest.importorskip("ray")
    from runtime.many import workers

    listing = scenes(["a", "b"])
    out = tmp_path / "out"
    out.mkdir()
    rows = "".join(f"{each},{listing.parent}/{each}_pre.png,{listing.parent}/{each}_post.png,old\n"
                   for each in "ab")  # fmt: skip
    (out / "failed.csv").write_text(f"name,pre,post,reason\n{rows}")
    seen = []

    def killed(todo, job):
        seen.append(failed_in(out))
        raise KeyboardInterrupt

    monkeypatch.setattr(workers, "map_all", killed)
    with pytest.raises(KeyboardInterrupt):
        main(out / "failed.csv")
    assert seen == [dict.fromkeys("ab", "not tried, the run did not come to its end")]
    assert set(failed_in(out)) == {"a", "b"}


def test_files_of_an_xbd_folder_that_belong_to_no_pair_are_named(
    main, scenes, mapped, tmp_path, capsys
):
    scenes(["a"])
    images = tmp_path / "xbd" / "images"
    images.mkdir(parents=True)
    for role in ("pre", "post"):
        source = tmp_path / "scenes" / f"a_{role}.png"
        source.rename(images / f"a_{role}_disaster.png")
    (images / "a_pre_disaster.pgw").write_text("1\n0\n0\n-1\n0\n0\n")
    (images / "a_during.png").touch()
    (images / "new\nline.txt").touch()
    mapped(tmp_path / "xbd")
    capsys.readouterr()  # what mapping told of the world file
    assert main(tmp_path / "xbd", "--json") == 0
    totals, [line] = totals_of(capsys)
    assert totals["ignored"] == 2
    assert line == (
        r"2 files (a_during.png, 'new\nline.txt') in images/ belong to no pair, left out"
    )


@pytest.fixture
def mapper(engine_folder, tmp_path, monkeypatch):
    """What Ray has in a worker process, with an engine in whose work something happens."""
    pytest.importorskip("ray")
    from runtime.manifest import Manifest
    from runtime.many import workers
    from runtime.many.outbox import holding
    from runtime.options import MapOptions

    monkeypatch.setattr(workers, "_PAUSE", 0.0)

    def make(meddle):
        payload = workers.payload_sha256(Manifest.read(engine_folder))
        job = workers.Job(engine_folder, payload, tmp_path / "out", MapOptions(), 1, 1)
        mapper = workers.Mapper(job)
        mapper._engine = meddle(mapper._engine)
        return mapper

    with holding(tmp_path / "out"):
        yield make


def row_of(listing, name):
    folder = listing.parent
    return {"name": name, "pre": f"{folder}/{name}_pre.png", "post": f"{folder}/{name}_post.png"}


def test_an_image_that_is_replaced_in_the_run_is_mapped_again(mapper, meddled, scenes, tmp_path):
    from runtime.files import sha256

    listing = scenes(["a"])
    post = listing.parent / "a_post.png"
    times = []

    def replaced_once():
        times.append(1)
        if len(times) == 1:
            turned(post)

    row = mapper(lambda _: meddled(replaced_once))(row_of(listing, "a"))
    assert (row["reason"], row["fatal"], len(times)) == ("", "", 2)
    note = json.loads((tmp_path / "out" / "a" / "sources.json").read_text())
    assert note["post"]["sha256"] == sha256(post)
    always = mapper(lambda _: meddled(lambda: turned(listing.parent / "b_post.png")))
    row = always(row_of(scenes(["a", "b"]), "b"))
    assert "b_post.png: changed while it was mapped, that map was thrown away" in row["reason"]
    assert not (tmp_path / "out" / "b").exists()


def test_no_memory_is_tried_again_and_then_told_with_the_pair(mapper, meddled, scenes, tmp_path):
    listing = scenes(["a", "b"])
    times = []

    def short(least):
        times.append(1)
        if len(times) < least:
            raise MemoryError("no room")

    row = mapper(lambda _: meddled(lambda: short(3)))(row_of(listing, "a"))
    assert (row["reason"], row["fatal"]) == ("", "")
    row = mapper(lambda _: meddled(lambda: short(99)))(row_of(listing, "b"))
    assert row["reason"].startswith("b: there was not enough memory to map it (no room), 3 times")
    assert row["fatal"] == ""


def test_a_damaged_summary_hides_no_holes(main, scenes, mapped, tmp_path, capsys):
    listing = scenes(["a", "b"])
    mapped(listing)
    (tmp_path / "out" / "a" / "summary.json").write_text("{}")
    (tmp_path / "out" / "b" / "damage.png").unlink()
    assert main(listing, "--json") == 1
    totals, lines = totals_of(capsys)
    assert (totals["skipped"], totals["stale"]) == (0, 2)
    assert "a are damaged: summary.json is no summary of a map, it has no pre; " in lines[0]
    assert "b are damaged: damage.png is missing; choose another --out, " in lines[1]
    assert set(failed_in(tmp_path / "out")) == {"a", "b"}


def test_an_engine_that_is_exchanged_in_the_run_ends_it_and_keeps_what_is_mapped(
    scenes, start, make_engine, engine_folder, tmp_path
):
    names = [f"p{number:02}" for number in range(40)]
    out = tmp_path / "out"
    other = make_engine(tmp_path / "other", batch=(1, 1, 4))
    process = start(scenes(names), "--json")
    wait_for(lambda: out.exists() and folders(out))
    [worker] = workers_of(process.pid)
    os.kill(worker, signal.SIGSTOP)
    engine_folder.rename(tmp_path / "first")
    other.rename(engine_folder)
    first = set(folders(out))
    os.kill(worker, signal.SIGKILL)
    stdout, stderr = process.communicate(timeout=100)
    assert (process.returncode, stdout) == (1, "")
    [line] = stderr.splitlines()
    assert f"{engine_folder}: is another engine than when the run began; what was mapped" in line
    assert folders(out) == first
    assert_complete(out, first)
    assert set(failed_in(out)) == set(names) - first


def test_names_that_are_not_utf8_are_refused_before_the_work(main, scenes, tmp_path):
    listing = scenes(["a"])
    odd = tmp_path / os.fsdecode(b"out\xff")
    with pytest.raises(ConfigError, match=r"out\\udcff': its name is not UTF-8"):
        main(listing, out=odd)
    assert not odd.exists()


def test_the_list_of_failures_can_always_be_read_again(tmp_path, scenes):
    from runtime.many.pairs import find_pairs
    from runtime.many.workers import Outcome

    pairs = find_pairs(scenes(["a", "b\u00e4"]))
    why = "roads\udcff.gpkg: gone"
    batch._write_failed(tmp_path / "failed.csv", [Outcome(each, why, 0) for each in pairs])
    assert find_pairs(tmp_path / "failed.csv") == pairs


def test_a_terminal_that_cannot_show_a_name_ends_no_run(scenes, mapped, engine_folder, tmp_path):
    listing = scenes(["a"])
    mapped(listing)
    out = (tmp_path / "out").rename(tmp_path / "\u00e4")
    line = [sys.executable, "-m", "runtime.batch", "--engine", engine_folder, "--pairs", listing]
    result = subprocess.run(
        [*map(str, line), "--out", str(out)], cwd=REPOSITORY, capture_output=True, text=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )  # fmt: skip
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.rstrip().endswith(r"/\xe4")
