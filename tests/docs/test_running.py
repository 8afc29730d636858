"""Code of the documentation that is run: Python compiles, and marked blocks do what they say."""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

from tests.docs.pages import IDS, PAGES, ROOT, Block, blocks
from train.synthetic.scene import make_scene

SIDE = 64
MARKED = [page for page in PAGES if any(block.run for block in blocks(page))]


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_python_compiles(page):
    for block in blocks(page):
        if block.language in ("python", "py"):
            compile(block.text, str(block), "exec")


@pytest.fixture(scope="module")
def prepared(small_checkpoint, tmp_path_factory, command) -> Path:
    """What a marked block finds: an engine, pairs of its size, the repository's folders."""
    folder = tmp_path_factory.mktemp("prepared")
    for entry in ROOT.iterdir():
        if not entry.name.startswith(".") and entry.name not in ("artifacts", "runs", "site"):
            (folder / entry.name).symlink_to(entry)
    engine = folder / "artifacts" / "my-engine"
    result = command(
        "export.build_engine", "--fp32", "--target", "onnxruntime", "--size", SIDE, SIDE,
        "--checkpoint", small_checkpoint, "--out", engine,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    scene = make_scene(3, 1, SIDE)
    for names, image in ((("before", "first-pre"), scene.pre), (("after", "first-post"), scene.post)):
        for name in names:
            cv2.imwrite(str(folder / f"{name}.png"), image[..., ::-1])
    return folder


@pytest.fixture
def folder(prepared, tmp_path) -> Path:
    out = tmp_path / "here"
    shutil.copytree(prepared, out, symlinks=True)
    return out


def run(block: Block, folder: Path) -> subprocess.CompletedProcess:
    """A block that ends well has run to its last line."""
    if block.language in ("python", "py"):
        command = [sys.executable, "-c", block.text]
    else:
        python = shlex.quote(sys.executable)
        ours = f'python() {{ {python} "$@"; }}; dual-hrnet() {{ {python} -m runtime.console "$@"; }}'
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
