import csv

import cv2
import numpy as np

from train.checkpoint import load_checkpoint
from train.inference import predict_maps


def test_every_pair_has_its_map_and_what_fails_is_recorded(
    example, engine_folder, towns, small_checkpoint, tmp_path
) -> None:
    lines = [f"{pre},{post},{name}" for name, (pre, post, *_) in towns.items()]
    lines.insert(1, "absent_pre.png,absent_post.png,absent")
    (tmp_path / "pairs.csv").write_text("\n".join(["pre,post,name", *lines]) + "\n")
    out = tmp_path / "maps"
    result = example("batch_from_python", engine_folder, tmp_path / "pairs.csv", "--out", out)
    assert result.returncode == 1
    with (out / "errors.csv").open(newline="") as file:
        ((name, error),) = [(row["name"], row["error"]) for row in csv.DictReader(file)]
    assert name == "absent"
    assert "absent_pre.png" in error
    assert sorted(p.name for p in out.iterdir()) == ["errors.csv", "first", "second"]
    assert [line.split()[0] for line in result.stdout.splitlines()] == ["first", "second"]
    # Where no other window reaches, the map is that of the window at the corner.
    network = load_checkpoint(small_checkpoint).network()
    *_, pre, post = towns["first"]
    wanted = predict_maps(network, pre[:64, :64], post[:64, :64])[0][:16, :16]
    damage = cv2.imread(str(out / "first" / "damage.png"), cv2.IMREAD_UNCHANGED)
    assert damage.shape[:2] == (96, 96)
    assert np.mean(damage[:16, :16] == wanted) > 0.99


def test_without_a_failure_it_ends_well_and_a_second_run_maps_nothing(
    example, engine_folder, towns, tmp_path
) -> None:
    pre, post, *_ = towns["first"]
    (tmp_path / "pairs.csv").write_text(f"pre,post,name\n{pre},{post},town\n")
    out = tmp_path / "maps"
    for _ in range(2):
        result = example("batch_from_python", engine_folder, tmp_path / "pairs.csv", "--out", out)
        assert result.returncode == 0, result.stderr
        written = (out / "town" / "summary.json").stat().st_mtime_ns
    assert (out / "errors.csv").read_text().split() == ["name,error"]
    example("batch_from_python", engine_folder, tmp_path / "pairs.csv", "--out", out)
    assert (out / "town" / "summary.json").stat().st_mtime_ns == written
