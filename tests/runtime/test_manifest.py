import dataclasses
import json
import time

import pytest

from runtime.errors import AlteredPayloadError, ManifestError
from runtime.manifest import MOST_BYTES, Manifest, PayloadFile, payload_of


def test_a_manifest_reads_back_as_written(engine_folder, make_manifest):
    manifest = Manifest.read(engine_folder)
    assert manifest == make_manifest(engine_folder)
    manifest.check_payload(engine_folder)


def test_payload_entries_hold_size_and_sha256(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    (entry,) = payload_of(tmp_path, ["a"])
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert entry == PayloadFile("a", 3, digest)


def refused(folder) -> str:
    with pytest.raises(ManifestError) as caught:
        Manifest.read(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_missing_folder_is_named(tmp_path):
    assert refused(tmp_path / "none").startswith(f"{tmp_path / 'none'}: does not exist")


def test_a_file_in_place_of_the_folder_is_named(tmp_path):
    (tmp_path / "file").touch()
    assert "is not a folder" in refused(tmp_path / "file")


def test_a_folder_without_manifest_is_no_engine_folder(tmp_path):
    message = refused(tmp_path)
    assert "manifest.json: missing" in message
    assert "python -m export.build_engine" in message


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff\xfe", b"[" * 100_000, b'{"format": 1, "threshold": NaN}', b"\0\0\0"],
)
def test_what_is_not_json_is_refused(engine_folder, content):
    (engine_folder / "manifest.json").write_bytes(content)
    assert "not JSON" in refused(engine_folder)


@pytest.mark.parametrize("content", ["[]", "1", '"text"', "null", "{}", '{"format": "1"}'])
def test_json_without_a_format_is_refused(engine_folder, content):
    (engine_folder / "manifest.json").write_text(content)
    assert "format" in refused(engine_folder)


def test_a_key_given_twice_is_refused(engine_folder):
    path = engine_folder / "manifest.json"
    path.write_text(path.read_text().replace("{", '{"precision": "int8",', 1))
    assert "key precision is given twice" in refused(engine_folder)


@pytest.mark.parametrize(("version", "advice"), [(2, "update this toolkit"), (0, "rebuild")])
def test_another_format_is_refused_before_its_keys_are_read(
    engine_folder, edit_manifest, version, advice
):
    def change(content):
        content.clear()
        content.update(format=version, unheard_of=1)

    edit_manifest(engine_folder, change)
    message = refused(engine_folder)
    assert f"manifest format {version}, this runtime reads format 1" in message
    assert advice in message
    assert "python -m export.build_engine" in message


def test_every_key_is_required(engine_folder, edit_manifest):
    path = engine_folder / "manifest.json"
    original = path.read_text()

    def paths(content, prefix=()):
        for key, value in content.items():
            yield (*prefix, key)
            if isinstance(value, dict) and key != "verification":
                yield from paths(value, (*prefix, key))

    keys = list(paths(json.loads(original)))
    assert len(keys) > 25
    for *parents, last in keys:
        path.write_text(original)

        def change(content, parents=parents, last=last):
            for parent in parents:
                content = content[parent]
            del content[last]

        edit_manifest(engine_folder, change)
        assert f"key {'.'.join([*parents, last])} is missing" in refused(engine_folder)


@pytest.mark.parametrize(
    ("parent", "key", "value", "message"),
    [
        ((), "extra", 1, "key extra is unknown"),
        (("input", "batch"), "extra", 1, "key input.batch.extra is unknown"),
        (("input",), "height", "32", 'key input.height must be a whole number, not "32"'),
        (("input",), "height", True, "key input.height must be a whole number, not true"),
        (("input",), "height", 32.0, "key input.height must be a whole number"),
        (("input",), "height", 0, "must be positive"),
        (("input",), "threshold", "x", "key input.threshold must be a number"),
        (("input",), "threshold", 1.5, "must lie between 0 and 1"),
        (("input",), "colour_order", "BGR", 'key input.colour_order is "BGR", expected one of'),
        (("input", "batch"), "opt", 9, "1 <= min <= opt <= max"),
        (("input",), "batch", 1, "key input.batch must be an object, not 1"),
        ((), "precision", "fp8", 'key precision is "fp8"'),
        ((), "class_names", ["a"], "another damage scale"),
        ((), "class_names", "background", "key class_names must be a list"),
        ((), "class_names", [1], r"key class_names[0] must be text"),
        ((), "calibration", 3, "key calibration must be text"),
        ((), "verification", [], "key verification must be an object"),
        (("target",), "backend", "tflite", "key target.backend is"),
        (("target",), "compute_capability", "sm86", 'must look like "8.6"'),
        (("model",), "width", None, "key model.width must be a whole number, not null"),
        ((), "payload", [], "at least one file"),
        ((), "payload", [3], "key payload[0] must be an object"),
    ],
)
def test_a_wrong_key_is_named(engine_folder, edit_manifest, parent, key, value, message):
    def change(content):
        for name in parent:
            content = content[name]
        content[key] = value

    edit_manifest(engine_folder, change)
    assert message in refused(engine_folder)


@pytest.mark.parametrize(
    "name",
    ["../secret", "/etc/passwd", "a/b", "a\\b", "..", ".", "", "C:x", "a\0b", "manifest.json"],
)
def test_a_payload_name_that_leaves_the_folder_is_refused(engine_folder, edit_manifest, name):
    edit_manifest(engine_folder, lambda content: content["payload"][0].update(name=name))
    assert "key payload[0].name must be a plain file name inside the folder" in refused(
        engine_folder
    )


def test_a_manifest_that_could_not_be_read_is_not_written(tmp_path, make_manifest):
    (tmp_path / "model.onnx").touch()
    for change in (
        {"verification": {"parity": float("nan")}},
        {"verification": {"parity": object()}},
        {"precision": "fp8"},
        {"payload": ()},
        {"class_names": ("a",)},
    ):
        with pytest.raises(ManifestError, match="not written"):
            make_manifest(tmp_path, **change).write(tmp_path)
        assert not (tmp_path / "manifest.json").exists()


def test_a_payload_of_another_size_is_refused(engine_folder):
    with (engine_folder / "model.onnx").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(AlteredPayloadError, match=r"model\.onnx: holds \d+ bytes"):
        Manifest.read(engine_folder).check_payload(engine_folder)


def test_a_payload_that_is_missing_is_refused(engine_folder):
    (engine_folder / "model.onnx").unlink()
    with pytest.raises(AlteredPayloadError, match="payload file is missing"):
        Manifest.read(engine_folder).check_payload(engine_folder)


def test_the_rebuild_command_repeats_what_the_engine_is(engine_folder):
    manifest = Manifest.read(engine_folder)
    assert manifest.rebuild_command("out") == (
        "python -m export.build_engine --fp32 --target onnxruntime --size 32 48 --out out"
    )
    size = dataclasses.replace(
        manifest.input, batch=type(manifest.input.batch)(1, 2, 4), threshold=0.3
    )
    other = dataclasses.replace(manifest, precision="int8", input=size)
    assert other.rebuild_command("out") == (
        "python -m export.build_engine --int8 --target onnxruntime --size 32 48 --batch 1 2 4 "
        "--threshold 0.3 --calibration FILE --out out"
    )


def test_an_engine_may_say_how_far_a_border_reaches(engine_folder, edit_manifest):
    assert '"reach_px"' not in (engine_folder / "manifest.json").read_text()
    edit_manifest(engine_folder, lambda content: content["model"].update(reach_px=96))
    assert Manifest.read(engine_folder).model.reach_px == 96
    for value in (0, -1, 1.5, "96", [96]):
        edit_manifest(engine_folder, lambda content, v=value: content["model"].update(reach_px=v))
        with pytest.raises(ManifestError, match="model.reach_px"):
            Manifest.read(engine_folder)


def test_another_size_is_advised_only_where_it_can_be_built(engine_folder):
    manifest = Manifest.read(engine_folder)
    assert "--size 64 96 --out e-64x96, or cut" in manifest.size_advice("e", 64, 96)
    assert manifest.size_advice("e", 1000, 1000) == "cut or pad the image to 32x48"


@pytest.mark.parametrize("key", ["gsd_m", "scale"])
def test_an_engine_may_say_what_it_was_trained_on(engine_folder, edit_manifest, key):
    """A manifest of before, without the key, stays one; what it says must be a range."""
    assert f'"{key}"' not in (engine_folder / "manifest.json").read_text()
    assert getattr(Manifest.read(engine_folder).model, key) is None
    for value in (None, [0.3, 0.8], [1, 1]):
        edit_manifest(engine_folder, lambda content, v=value: content["model"].update({key: v}))
        expected = None if value is None else tuple(map(float, value))
        found = Manifest.read(engine_folder)
        assert getattr(found.model, key) == expected
        found.write(engine_folder)
        assert Manifest.read(engine_folder) == found
    for value in ([0.8, 0.3], [0, 1], [1], [1, 2, 3], 5, ["a", "b"], {}):
        edit_manifest(engine_folder, lambda content, v=value: content["model"].update({key: v}))
        with pytest.raises(ManifestError, match=rf"key model\.{key}"):
            Manifest.read(engine_folder)


def test_a_manifest_larger_than_any_is_refused_unread(engine_folder):
    with (engine_folder / "manifest.json").open("r+b") as file:
        file.truncate(MOST_BYTES + 1)
    with pytest.raises(ManifestError, match=f"{MOST_BYTES + 1} bytes, expected at most"):
        Manifest.read(engine_folder)


def test_a_key_given_twice_among_many_is_found_at_once(engine_folder):
    names = [*map(str, range(100_000)), "99999"]
    text = ", ".join(f'"{name}": 1' for name in names)
    (engine_folder / "manifest.json").write_text(f"{{{text}}}")
    begin = time.process_time()
    with pytest.raises(ManifestError, match="key 99999 is given twice"):
        Manifest.read(engine_folder)
    assert time.process_time() - begin < 5
