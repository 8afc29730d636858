"""Small real engines, and what they must answer.

The graph keeps the deploy contract with weights that are powers of two, so that its
answer is exact and NumPy can give it independently.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from runtime import host
from runtime.damage import CLASS_NAMES
from runtime.engine import Engine, load_engine
from runtime.finished import open_map
from runtime.manifest import (
    FORMAT,
    Batch,
    Graph,
    Input,
    Manifest,
    Model,
    Target,
    payload_of,
)
from runtime.mapping import map_pair
from runtime.options import MapOptions
from tests.runtime.map_options import map_options

REPOSITORY = Path(__file__).parents[2]


def _graph(height: int, width: int, batch: tuple[int, int, int]) -> onnx.ModelProto:
    n = batch[0] if batch[0] == batch[2] else "N"
    constants = {
        "pre_weight": np.array([0.5, 0.25, 0.25], np.float32).reshape(1, 3, 1, 1),
        "post_weight": np.array([0.25, 0.25, 0.5], np.float32).reshape(1, 3, 1, 1),
        "channel": np.array([1], np.int64),
        "half": np.float32(128),
        "full": np.float32(255),
        "zero": np.float32(0),
        "one": np.float32(1),
        "low": np.float32(64),
        "middle": np.float32(128),
        "high": np.float32(192),
    }
    nodes: list[onnx.NodeProto] = []

    def node(kind: str, inputs: str, output: str, **attributes: object) -> None:
        nodes.append(helper.make_node(kind, inputs.split(), [output], **attributes))

    for name in ("pre", "post"):
        node("Cast", name, f"{name}_float", to=TensorProto.FLOAT)
        node("Transpose", f"{name}_float", f"{name}_nchw", perm=[0, 3, 1, 2])
        node("Conv", f"{name}_nchw {name}_weight", f"{name}_conv", kernel_shape=[1, 1])
        node("Floor", f"{name}_conv", f"{name}_floor")
        node("Squeeze", f"{name}_floor channel", f"{name}_value")
    node("GreaterOrEqual", "pre_value half", "is_building")
    for level in ("low", "middle", "high"):
        node("Greater", f"post_value {level}", f"above_{level}")
        node("Cast", f"above_{level}", f"step_{level}", to=TensorProto.FLOAT)
    node("Add", "step_low step_middle", "two")
    node("Add", "two step_high", "three")
    node("Add", "three one", "classes")
    node("Where", "is_building classes zero", "damage_float")
    node("Sub", "full pre_value", "none")
    node("Where", "is_building post_value none", "confidence_float")
    node("Cast", "damage_float", "damage", to=TensorProto.UINT8)
    node("Cast", "pre_value", "building", to=TensorProto.UINT8)
    node("Cast", "confidence_float", "confidence", to=TensorProto.UINT8)

    def maps(name: str, *channels: int) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.UINT8, [n, height, width, *channels])

    graph = helper.make_graph(
        nodes,
        "deploy",
        [maps("pre", 3), maps("post", 3)],
        [maps("damage"), maps("building"), maps("confidence")],
        [numpy_helper.from_array(np.asarray(v), name) for name, v in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model


@pytest.fixture(scope="session")
def make_manifest():
    """Manifest of a folder's payload files, with any field of the top level replaced."""

    def make(
        folder,
        names=("model.onnx",),
        backend="onnxruntime",
        size=(32, 48),
        batch=(1, 1, 1),
        **changes,
    ) -> Manifest:
        manifest = Manifest(
            format=FORMAT,
            model=Model("dual-hrnet", 8, 1234, "ab" * 32),
            graph=Graph("cd" * 32, 17),
            input=Input(*size, Batch(*batch), "RGB", 0.5),
            class_names=CLASS_NAMES,
            precision="fp32",
            target=Target(backend, "0.0", None, host.platform_name()),
            calibration=None,
            verification={"status": "ran", "parity": {"max": 0.25}},
            payload=payload_of(folder, names),
            created="2026-01-02T03:04:05+00:00",
        )
        return dataclasses.replace(manifest, **changes)

    return make


@pytest.fixture(scope="session")
def make_engine(make_manifest):
    """A function that writes an engine folder and returns it."""

    def make(folder: Path, backend="onnxruntime", size=(32, 48), batch=(1, 1, 1), **changes):
        folder.mkdir(parents=True)
        model = _graph(*size, batch)
        if backend == "openvino":
            openvino = pytest.importorskip("openvino")
            onnx.save(model, folder.parent / "source.onnx")
            converted = openvino.convert_model(folder.parent / "source.onnx")
            openvino.save_model(converted, folder / "model.xml", compress_to_fp16=False)
            names = ("model.xml", "model.bin")
        else:
            onnx.save(model, folder / "model.onnx")
            names = ("model.onnx",)
        make_manifest(folder, names, backend, size, batch, **changes).write(folder)
        return folder

    return make


@pytest.fixture(scope="session")
def example_windows():
    """Nine pairs of 256x256 of the packaged example, with buildings of every class."""
    folder = REPOSITORY / "runtime" / "example"
    images = [np.asarray(Image.open(folder / f"{name}.png")) for name in ("pre", "post")]
    corners = [(top, left) for top in (0, 64, 128) for left in (0, 64, 128)]
    return [tuple(each[y : y + 256, x : x + 256] for each in images) for y, x in corners]


@pytest.fixture(scope="session")
def empty_town():
    """Change an engine's payload to one that its library takes, and that sees no building."""
    weight = np.array([0.5, 0.25, 0.25], np.float32).tobytes()

    def change(folder: Path) -> None:
        (path,) = (p for p in folder.iterdir() if p.name in ("model.onnx", "model.bin"))
        content = path.read_bytes()
        assert content.count(weight) == 1
        path.write_bytes(content.replace(weight, bytes(len(weight))))

    return change


@pytest.fixture
def engine_folder(make_engine, tmp_path):
    """An ONNX Runtime engine of 32x48, one pair at a time."""
    return make_engine(tmp_path / "engine")


@pytest.fixture(scope="session")
def reference():
    """What the engines must answer: (damage, building, confidence) by NumPy."""

    def evaluate(pre: np.ndarray, post: np.ndarray):
        pre, post = pre.astype(np.int64), post.astype(np.int64)
        building = (2 * pre[..., 0] + pre[..., 1] + pre[..., 2]) // 4
        value = (post[..., 0] + post[..., 1] + 2 * post[..., 2]) // 4
        classes = 1 + (value > 64) + (value > 128) + (value > 192)
        there = building >= 128
        damage = np.where(there, classes, 0)
        confidence = np.where(there, value, 255 - building)
        return tuple(each.astype(np.uint8) for each in (damage, building, confidence))

    return evaluate


@pytest.fixture
def pair():
    """pre, post: uint8 [32,48,3], blocky enough to have buildings of every class."""
    rng = np.random.default_rng(7)

    def image(blocks):
        noise = rng.integers(0, 9, (32, 48, 3))
        return (blocks.reshape(4, 6, 1).repeat(8, 0).repeat(8, 1) + noise).astype(np.uint8)

    return image(np.tile([40, 200, 200], 8)), image(rng.permutation(np.linspace(0, 240, 24)))


@pytest.fixture(scope="session")
def edit_manifest():
    """Change manifest.json as a hand would: a function of the decoded content."""

    def edit(folder: Path, change) -> None:
        path = folder / "manifest.json"
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))

    return edit


@pytest.fixture(scope="session")
def python():
    """Run Python code or a module in a fresh process, in the repository."""

    def run(*arguments: object, **options) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, *map(str, arguments)],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            timeout=60,
            **options,
        )

    return run


@pytest.fixture(scope="session")
def blocked():
    """Source code that makes importing the named packages fail, to go first in a process."""

    def code(*names: str) -> str:
        return f"""
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {set(names)!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Blocked())
"""

    return code


UTM = "EPSG:32614"
PLACE = (0.5, 0.0, 500_000.0, 0.0, -0.5, 3_300_000.0)
"""Pixels of half a metre."""


@pytest.fixture(scope="session")
def write_raster() -> Callable[..., Path]:
    """An image [H,W,bands] to a tiled GeoTIFF; options replace the profile's."""
    rasterio = pytest.importorskip("rasterio")

    def write(path: Path, image: np.ndarray, **options: object) -> Path:
        profile = {
            "driver": "GTiff", "height": image.shape[0], "width": image.shape[1],
            "count": image.shape[2], "dtype": image.dtype,
            "crs": UTM, "transform": rasterio.Affine(*PLACE),
            "tiled": True, "blockxsize": 64, "blockysize": 64, "photometric": "RGB",
        }  # fmt: skip
        if image.shape[2] < 3:
            del profile["photometric"]
        with rasterio.open(path, "w", **{**profile, **options}) as file:
            file.write(np.moveaxis(image, 2, 0))
        return path

    return write


@pytest.fixture(scope="session")
def draw() -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    """pre, post: uint8 [H,W,3] with blocks of 11 pixels, buildings of every class."""

    def image(height: int, width: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        random = np.random.default_rng(seed)

        def one() -> np.ndarray:
            blocks = random.integers(0, 240, (height // 11 + 1, width // 11 + 1, 1))
            large = blocks.repeat(11, 0).repeat(11, 1)[:height, :width]
            return (large + random.integers(0, 9, (height, width, 3))).astype(np.uint8)

        return one(), one()

    return image


@pytest.fixture
def scene(tmp_path: Path, write_raster: Callable, draw: Callable) -> Callable[..., tuple]:
    """pre.tif and post.tif of [H,W], and their pixels."""

    def make(height: int = 100, width: int = 170, **options: object) -> tuple:
        pre, post = draw(height, width)
        paths = [
            write_raster(tmp_path / f"{name}.tif", image, **options)
            for name, image in (("pre", pre), ("post", post))
        ]
        return (*paths, pre, post)

    return make


@pytest.fixture
def engine(engine_folder: Path) -> Engine:
    """Of 32x48 pixels; its answer for a pixel depends on that pixel alone."""
    with load_engine(engine_folder, threads=1) as engine:
        yield engine


@pytest.fixture
def mapped(engine: Engine, tmp_path: Path) -> Callable[..., tuple[dict, Path]]:
    """Map a pair into `out`; the summary, and the folder."""

    def run(pre: Path, post: Path, **options: object) -> tuple[dict, Path]:
        out = tmp_path / "out"
        return map_pair(engine, pre, post, out, map_options(**options)), out

    return run


class Listener:
    """An address that answers 404, in a process of its own: GDAL asks while it holds Python."""

    def __init__(self, log: Path) -> None:
        self._log = log
        log.touch()
        self._process = subprocess.Popen(
            [sys.executable, "-c", _LISTEN, log], stdout=subprocess.PIPE, text=True
        )
        self.address = f"http://127.0.0.1:{int(self._process.stdout.readline())}/"

    def calls(self) -> list[str]:
        """First lines of what was asked for since the last time."""
        found = self._log.read_text().splitlines()
        self._log.write_text("")
        return found

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()


_LISTEN = """
import socket, sys
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
while True:
    client, _ = server.accept()
    with client, open(sys.argv[1], "a") as log:
        client.settimeout(5)
        log.write(client.recv(1000).decode(errors="replace").partition("\\r")[0] + "\\n")
        log.flush()
        client.sendall(b"HTTP/1.1 404 No\\r\\nContent-Length: 0\\r\\nConnection: close\\r\\n\\r\\n")
"""


@pytest.fixture
def listener(tmp_path: Path):
    listening = Listener(tmp_path / "calls.log")
    yield listening
    listening.close()


@pytest.fixture
def run_on_a_pair(engine_folder: Path, tmp_path: Path) -> Callable[..., None]:
    """predict, batch or watch, by its name, with the engine on a pair, and these options."""
    files = {
        "predict": ["a.png", "b.png", "--out", "out"],
        "batch": ["--pairs", "pairs.csv", "--out", "out"],
        "watch": ["--inbox", "in", "--outbox", "out", "--once"],
    }
    (tmp_path / "in").mkdir()
    (tmp_path / "pairs.csv").write_text("pre,post\na.png,b.png\n")
    for each in ("a.png", "b.png"):
        Image.new("RGB", (48, 32)).save(tmp_path / each)

    def run(name: str, *options: str) -> None:
        command = importlib.import_module(f"runtime.{name}")
        line = [each if each[0] == "-" else str(tmp_path / each) for each in files[name]]
        arguments = ["--engine", str(engine_folder), *options, *line]
        command.main(command.parser().parse_args(arguments))

    return run


@pytest.fixture
def manager(tmp_path):
    """The socket of a service manager; a function that gives what it was told since."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.setblocking(False)

        def told():
            found = []
            while True:
                try:
                    found += listening.recv(4096).decode().splitlines()
                except BlockingIOError:
                    return found

        yield tmp_path / "notify", told


HOLE = slice(0, 60), slice(100, 170)


@pytest.fixture(scope="session")
def town_folder(make_engine, draw, write_raster, tmp_path_factory):
    """A finished map of half metres, with a corner that no image knows; to be copied."""
    folder = tmp_path_factory.mktemp("town")
    images = []
    for name, image in zip(("pre", "post"), draw(100, 170), strict=True):
        image[HOLE] = 0
        images.append(write_raster(folder / f"{name}.tif", image, nodata=0))
    with load_engine(make_engine(folder / "engine"), threads=1) as engine:
        map_pair(engine, *images, folder / "town", MapOptions())
    return folder / "town"


@pytest.fixture
def town(town_folder, tmp_path):
    return open_map(shutil.copytree(town_folder, tmp_path / "town"))
