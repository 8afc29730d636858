import json

import numpy as np
import pytest

from runtime.damage import CLASS_NAMES


def test_it_prints_the_pixels_of_each_class(example, engine_folder, towns, damage_of) -> None:
    files = [file for pre, post, *_ in towns.values() for file in (pre, post)]
    result = example("embed_runtime", engine_folder, *files)
    assert result.returncode == 0, result.stderr
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [line["pre"] for line in lines] == [str(pre) for pre, *_ in towns.values()]
    for line, (*_, pre, post) in zip(lines, towns.values(), strict=True):
        wanted = np.bincount(damage_of(pre, post).ravel(), minlength=5)
        assert [line["pixels"][n] for n in CLASS_NAMES] == pytest.approx(wanted.tolist(), abs=1)
    assert lines[0]["pixels"] != lines[1]["pixels"]  # one memory, and yet each pair's own


def test_a_pair_that_cannot_be_read_does_not_stop_the_next(example, engine_folder, towns) -> None:
    pre, post, *_ = towns["first"]
    result = example("embed_runtime", engine_folder, pre, "absent.png", pre, post)
    assert result.returncode == 1
    assert "absent.png: no such image" in result.stderr
    assert len(result.stdout.splitlines()) == 1


def test_a_folder_that_is_no_engine_is_one_line(example, towns, tmp_path) -> None:
    pre, post, *_ = towns["first"]
    result = example("embed_runtime", tmp_path, pre, post)
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1
    assert "manifest.json: missing" in result.stderr
