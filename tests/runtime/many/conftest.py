"""A watch with its folders, rasters, and an engine in whose work something happens."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from runtime.engine import load_engine
from runtime.many.lasting import Reopened
from runtime.watch import main as watch_main
from runtime.watch import parser

REPOSITORY = Path(__file__).parents[3]


@pytest.fixture
def boxes(tmp_path):
    (tmp_path / "inbox").mkdir()
    return tmp_path / "inbox", tmp_path / "outbox"


@pytest.fixture
def arrive(boxes, pair):
    """Put pairs into the inbox, each a little different."""

    def put(*names, roles=("pre", "post"), extension="png"):
        for name in names:
            shift = sum(name.encode()) % 48
            for role, image in zip(("pre", "post"), pair, strict=True):
                if role in roles:
                    path = boxes[0] / f"{name}_{role}.{extension}"
                    Image.fromarray(np.roll(image, shift, axis=1)).save(path)

    return put


SYNCED = """
import runpy
from runtime.scene import unfinished
unfinished.UNSYNCED_SECONDS = 0
runpy.run_module("runtime.watch", run_name="__main__")
"""


@pytest.fixture
def start(engine_folder, boxes):
    """Start the command in a process of its own, and end it with the test.

    synced: each row of windows is, at once.
    """
    started = []

    def call(*options, outbox=boxes[1], synced=False, **process):
        line = [
            sys.executable, *(("-c", SYNCED) if synced else ("-m", "runtime.watch")),
            "--engine", engine_folder, "--inbox", boxes[0], "--outbox", outbox,
            "--threads", 1, "--settle", 0.1, "--poll", 0.02, *options,
        ]  # fmt: skip
        started.append(
            subprocess.Popen(
                [str(each) for each in line],
                cwd=REPOSITORY,
                text=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                **process,
            )
        )
        return started[-1]

    yield call
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture
def once(engine_folder, boxes):
    """One round of the command in this process, which is faster; its exit code."""

    def call(*options, inbox=boxes[0], outbox=boxes[1]):
        arguments = [
            "--engine", engine_folder, "--inbox", inbox, "--outbox", outbox, "--threads", 1,
            "--settle", 0.05, "--poll", 0.01, "--once", *options,
        ]  # fmt: skip
        return watch_main(parser().parse_args([str(each) for each in arguments]))

    return call


class Meddled:
    """The real engine; `happens` is called before it is at work, each time."""

    def __init__(self, engine, happens):
        self._engine, self._happens = engine, happens

    def __getattr__(self, name):
        return getattr(self._engine, name)

    def predict(self, *arguments, **options):
        self._happens()
        return self._engine.predict(*arguments, **options)

    def predict_many(self, pairs):
        def taken():
            for pair in pairs:
                self._happens()
                yield pair

        return self._engine.predict_many(taken())


@pytest.fixture
def engine(engine_folder):
    with load_engine(engine_folder, threads=1) as engine:
        yield engine


@pytest.fixture
def meddled(engine):
    """A function of what happens; the engine that works so."""
    return lambda happens: Meddled(engine, happens)


@pytest.fixture
def happening(monkeypatch):
    """Let something happen in the work of the watch's engine."""

    def call(happens):
        get = Reopened.get
        monkeypatch.setattr(Reopened, "get", lambda self: Meddled(get(self), happens))

    return call


@pytest.fixture
def write_raster():
    """A GeoTIFF without compression, its header first; pixels uint8 [3,H,W]."""
    rasterio = pytest.importorskip("rasterio")

    def write(path, pixels, left=500_000.0):
        height, width = pixels.shape[1:]
        with rasterio.open(
            path, "w", driver="GTiff", height=height, width=width, count=3, dtype="uint8",
            crs="EPSG:32614", transform=rasterio.Affine(0.5, 0, left, 0, -0.5, 3_300_000),
            tiled=True, blockxsize=16, blockysize=16, interleave="pixel",
        ) as file:  # fmt: skip
            file.write(pixels)

    return write
