import json
import os
import resource
import signal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from runtime import predict
from runtime.buildings import find_buildings
from runtime.errors import ConfigError
from runtime.options import UNFINISHED

OUTPUTS = {
    "damage.png",
    "building.png",
    "confidence.png",
    "quality.png",
    "overlay.png",
    "buildings.geojson",
    "summary.json",
}


@pytest.fixture
def files(tmp_path, pair):
    """pre.png and post.png of 32x48."""
    for name, image in zip(("pre.png", "post.png"), pair, strict=True):
        Image.fromarray(image).save(tmp_path / name)
    return tmp_path / "pre.png", tmp_path / "post.png"


@pytest.fixture
def run(python, engine_folder, files, tmp_path):
    """The command in its own process; OUT is `out` beside the images."""

    def call(*options, engine=engine_folder, pre=files[0], post=files[1], **process):
        return python(
            "-m", "runtime.predict", "--engine", engine, pre, post,
            "--out", tmp_path / "out", "--threads", 1, *options, **process,
        )  # fmt: skip

    return call


@pytest.fixture
def main(engine_folder, files, tmp_path):
    """The command in this process, which is faster."""

    def call(*options, pre=files[0], post=files[1], out=tmp_path / "out"):
        arguments = ["--engine", engine_folder, pre, post, "--out", out, *options]
        predict.main(predict.parser().parse_args([str(each) for each in arguments]))
        return out

    return call


def failed(result, out) -> str:
    """The one line of a refused run that left nothing behind."""
    assert result.returncode != 0
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("error: ")
    assert not out.exists()
    assert not [path for path in out.parent.iterdir() if "partial" in path.name]
    return lines[0]


def test_a_pair_becomes_maps_polygons_and_a_summary(run, tmp_path, pair, reference):
    result = run()
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    out = tmp_path / "out"
    assert {path.name for path in out.iterdir()} == OUTPUTS
    damage, building, confidence = reference(*pair)
    for name, expected in (
        ("damage.png", damage),
        ("building.png", building),
        ("confidence.png", confidence),
    ):
        np.testing.assert_array_equal(np.asarray(Image.open(out / name)), expected)
    assert np.asarray(Image.open(out / "overlay.png")).shape == (32, 48, 3)
    buildings = find_buildings(damage, confidence)
    features = json.loads((out / "buildings.geojson").read_text())["features"]
    assert len(features) == len(buildings) > 1
    summary = json.loads((out / "summary.json").read_text())
    assert summary["buildings"] == len(buildings)
    assert summary["pixels"]["destroyed"] == int((damage == 4).sum())
    assert sum(each["buildings"] for each in summary["classes"].values()) == len(buildings)
    assert summary["engine"]["checkpoint_sha256"] == "ab" * 32
    assert summary["engine"]["built_with"] == "0.0"
    assert "destroyed" in result.stdout
    assert "dual-hrnet w8 fp32 on onnxruntime" in result.stdout


def test_json_prints_the_summary(main, capsys):
    out = main("--json")
    assert json.loads(capsys.readouterr().out) == json.loads((out / "summary.json").read_text())


def test_min_area_leaves_small_buildings_out_of_polygons_and_counts(main, capsys):
    out = main("--min-area", "10000", "--json")
    summary = json.loads(capsys.readouterr().out)
    assert summary["buildings"] == 0
    assert summary["min_area_px"] == 10000
    assert summary["classes"]["destroyed"]["area_px"] == 0
    assert summary["pixels"]["destroyed"] > 0
    assert json.loads((out / "buildings.geojson").read_text())["features"] == []


def test_an_existing_folder_keeps_its_other_files(main, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").write_text("mine")
    (tmp_path / "out" / "damage.png").write_text("old")
    out = main()
    assert {path.name for path in out.iterdir()} == {*OUTPUTS, "notes.txt"}
    assert (out / "notes.txt").read_text() == "mine"
    Image.open(out / "damage.png").verify()


@pytest.fixture
def without_out(engine_folder, files, tmp_path, monkeypatch):
    """The command without --out, in an empty working folder."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    def call(*options, pre=files[0], post=files[1]):
        arguments = ["--engine", engine_folder, pre, post, *options]
        predict.main(predict.parser().parse_args([str(each) for each in arguments]))

    return call


def test_without_out_the_maps_go_to_a_folder_named_after_the_second_image(without_out, files):
    without_out()
    folder = Path("post-damage")
    assert list(Path().iterdir()) == [folder]
    assert {path.name for path in folder.iterdir()} == OUTPUTS
    before = (folder / "damage.png").stat().st_ino
    without_out("--min-area", "2", pre=os.path.relpath(files[0]))  # the same pair, by another name
    assert (folder / "damage.png").stat().st_ino != before


def test_without_out_an_unfinished_map_is_found_again(without_out):
    (Path("post-damage") / UNFINISHED).mkdir(parents=True)
    without_out("--resume")
    assert {path.name for path in Path("post-damage").iterdir()} == OUTPUTS


@pytest.mark.parametrize(
    "content", ["mine", "{}", "[]", '{"pre": 1, "post": []}', None], ids=lambda each: str(each)[:9]
)
def test_without_out_nothing_but_an_earlier_map_is_replaced(without_out, content):
    folder = Path("post-damage")
    folder.mkdir()
    (folder / "damage.png").write_text("mine")
    if content is not None:
        (folder / "summary.json").write_text(content)
    with pytest.raises(ConfigError, match="post-damage: is there, and is no map .* with --out"):
        without_out()
    assert (folder / "damage.png").read_text() == "mine"


def test_without_out_a_map_of_other_images_is_not_replaced(without_out, files, tmp_path):
    without_out()
    before = (Path("post-damage") / "summary.json").read_bytes()
    (tmp_path / "other").mkdir()
    other = tmp_path / "other" / "post.png"
    other.write_bytes(files[1].read_bytes())
    with pytest.raises(ConfigError, match="post-damage: holds a map of other images"):
        without_out(post=other)
    assert (Path("post-damage") / "summary.json").read_bytes() == before


def test_without_out_a_map_of_a_file_that_was_exchanged_is_not_replaced(without_out, files):
    without_out()
    before = (Path("post-damage") / "summary.json").read_bytes()
    files[1].write_bytes(files[0].read_bytes())
    with pytest.raises(ConfigError, match="or of these before they were changed; name the output"):
        without_out()
    assert (Path("post-damage") / "summary.json").read_bytes() == before


def test_bad_images_are_one_line_and_leave_nothing(run, tmp_path, files, pair):
    cut = tmp_path / "cut.png"
    cut.write_bytes(files[0].read_bytes()[:-20])
    assert "cut.png: a PNG that is truncated" in failed(run(post=cut), tmp_path / "out")
    flipped = bytearray(files[0].read_bytes())
    flipped[flipped.index(b"IDAT") + 9] ^= 4
    cut.write_bytes(flipped)
    assert "that is corrupted" in failed(run(pre=cut), tmp_path / "out")
    rgba = tmp_path / "rgba.png"
    Image.fromarray(pair[0]).convert("RGBA").save(rgba)
    assert "8-bit RGBA PNG; expected 8-bit RGB" in failed(run(pre=rgba), tmp_path / "out")
    tiff = tmp_path / "cut.tif"
    Image.fromarray(pair[0]).save(tiff)
    tiff.write_bytes(tiff.read_bytes()[:2000])
    assert "cut.tif: cannot be read in the 32x48 window" in failed(run(pre=tiff), tmp_path / "out")
    assert "no such image" in failed(run(pre=tmp_path / "none.png"), tmp_path / "out")


def test_images_of_two_sizes_are_one_line_and_leave_nothing(run, tmp_path, pair):
    small = tmp_path / "small.png"
    Image.fromarray(pair[0][:16]).save(small)
    assert "small.png: 16x48, but" in failed(run(post=small), tmp_path / "out")


@pytest.mark.parametrize("size", [(100, 170), (20, 30), (33, 500)])
def test_a_picture_of_any_size_goes_through_windows(main, tmp_path, draw, reference, size):
    images = draw(*size)
    for name, image in zip(("a.png", "b.png"), images, strict=True):
        Image.fromarray(image).save(tmp_path / name)
    out = main("--min-area", 5, pre=tmp_path / "a.png", post=tmp_path / "b.png")
    damage, building, confidence = reference(*images)
    for name, expected in (
        ("damage.png", damage),
        ("building.png", building),
        ("confidence.png", confidence),
    ):
        np.testing.assert_array_equal(np.asarray(Image.open(out / name)), expected)
    features = json.loads((out / "buildings.geojson").read_text())["features"]
    expected = [each.area_px for each in find_buildings(damage, confidence, 5)]
    assert [each["properties"]["area_px"] for each in features] == expected
    assert json.loads((out / "summary.json").read_text())["windows"] > (size != (20, 30))


def test_bad_engines_are_one_line_and_leave_nothing(run, tmp_path, engine_folder, edit_manifest):
    out = tmp_path / "out"
    assert "none: does not exist" in failed(run(engine=tmp_path / "none"), out)
    edit_manifest(engine_folder, lambda content: content.update(format=2))
    assert "manifest format 2" in failed(run(), out)
    edit_manifest(engine_folder, lambda content: content.update(format=1, precision="int4"))
    assert "key precision" in failed(run(), out)
    edit_manifest(engine_folder, lambda content: content.update(precision="fp32"))
    with (engine_folder / "model.onnx").open("r+b") as file:
        file.seek(100)
        file.write(b"\xff")
    assert "model.onnx: its sha256" in failed(run(), out)


def test_options_that_cannot_be_used_exit_with_2(run, tmp_path):
    result = run("--min-area", 0)
    assert "--min-area is 0" in failed(result, tmp_path / "out")
    assert result.returncode == 2
    (tmp_path / "out").write_text("a file")
    result = run()
    assert result.returncode == 2
    assert "is a file; expected a folder" in result.stderr
    assert (tmp_path / "out").read_text() == "a file"


def small_files_only():
    """Like a full disk: writing past 1 kB of any file fails."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))


def test_a_full_disk_is_one_line_and_leaves_nothing(run, tmp_path):
    message = failed(run(preexec_fn=small_files_only), tmp_path / "out")
    assert "File too large" in message


def test_a_full_disk_leaves_the_old_results(run, main, tmp_path):
    out = main()
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    result = run("--min-area", 40, preexec_fn=small_files_only)
    assert result.returncode != 0
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_debug_shows_the_traceback(run, tmp_path):
    result = run("--debug", engine=tmp_path / "none")
    assert "Traceback" in result.stderr
    assert "ManifestError" in result.stderr


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_predict_needs_no_training_library(python, blocked, make_engine, files, tmp_path, backend):
    unwanted = (
        *("torch", "onnx", "onnxscript", "onnxsim", "pydantic", "yaml", "tqdm"),
        *("train", "export", "calibration", "benchmarks", "rasterio", "shapely", "scipy"),
        "openvino" if backend == "onnxruntime" else "onnxruntime",
    )
    folder = make_engine(tmp_path / "other", backend)
    arguments = ["predict", "--engine", folder, *files, "--out", tmp_path / "out"]
    code = f"""{blocked(*unwanted)}
import runpy
sys.argv = {[str(each) for each in arguments]!r}
runpy.run_module("runtime.predict", run_name="__main__")
"""
    result = python("-c", code)
    assert result.returncode == 0, result.stderr
    assert {path.name for path in (tmp_path / "out").iterdir()} == OUTPUTS
