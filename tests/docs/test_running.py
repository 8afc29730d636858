"""Code of the documentation that is run: Python compiles, and marked blocks do what they say."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
import yaml

from tests.docs.conftest import SIDE
from tests.docs.pages import IDS, PAGES, ROOT, Block, blocks
from tests.docs.shell import SHELL
from train.synthetic.scene import make_scene

LANGUAGES = {"", *SHELL, "csv", "dockerfile", "ini", "json", "python", "text", "xml", "yaml"}
"""Of blocks. Another one is checked by nothing, so it is not there by accident."""

MARKED = [page for page in PAGES if any(block.run for block in blocks(page))]


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_python_and_data_can_be_read(page):
    for block in blocks(page):
        assert block.language in LANGUAGES, block
        if block.language == "python":
            compile(block.text, str(block), "exec")
        elif block.language == "json":
            json.loads(block.text)
        elif block.language == "yaml":
            yaml.safe_load(block.text)


@pytest.fixture
def folder(built_engine, tmp_path) -> Path:
    """What a marked block finds: an engine, pairs of its size, the repository's folders."""
    folder = tmp_path / "here"
    folder.mkdir()
    for entry in ROOT.iterdir():
        if not entry.name.startswith(".") and entry.name not in ("artifacts", "runs", "site"):
            (folder / entry.name).symlink_to(entry)
    shutil.copytree(built_engine, folder / "artifacts" / "my-engine")
    scene = make_scene(3, 1, SIDE)
    for names, image in (
        (("before", "first-pre"), scene.pre),
        (("after", "first-post"), scene.post),
    ):
        for name in names:
            cv2.imwrite(str(folder / f"{name}.png"), image[..., ::-1])
    return folder


def run(block: Block, folder: Path) -> subprocess.CompletedProcess:
    """A block that ends well has run to its last line."""
    if block.language == "python":
        command = [sys.executable, "-c", block.text]
    else:
        python = shlex.quote(sys.executable)
        ours = (
            f'python() {{ {python} "$@"; }}; dual-hrnet() {{ {python} -m runtime.console "$@"; }}'
        )
        command = ["bash", "-euo", "pipefail", "-c", f"{ours}\n{block.text}"]
    return subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.parametrize("page", MARKED, ids=lambda page: str(page.relative_to(ROOT)))
def test_marked_blocks_run_one_after_the_other(page, folder):
    for block in blocks(page):
        if block.run:
            done = run(block, folder)
            assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"


def test_a_marked_block_can_fail_and_can_map(folder):
    page = ROOT / "README.md"
    map_it = "python -m runtime.predict --engine artifacts/my-engine before.png after.png --out map"
    done = run(Block(page, 1, "bash", map_it, True), folder)
    assert done.returncode == 0, done.stderr
    assert (folder / "map" / "summary.json").is_file()
    assert run(Block(page, 1, "bash", "python -m runtime.predict\ntrue", True), folder).returncode
    assert run(Block(page, 1, "python", "1 / 0", True), folder).returncode
