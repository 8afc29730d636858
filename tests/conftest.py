"""Fixtures that every package's tests share: real tiles, small networks, synthetic data."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from hypothesis import settings

from benchmarks.plausible import plausible_network
from runtime.manifest import Batch, Manifest, payload_of
from train.checkpoint import Checkpoint, save_checkpoint
from train.model import DualHRNet, ModelConfig
from train.quantisation.artefact import Artefact, read_artefact

# No deadline: a busy machine is no fault. In CI the same examples each time; elsewhere new ones.
settings.register_profile("here", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("here")

# Tests that import these libraries themselves send nothing.
sys.modules["openvino_telemetry"] = None
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

REPOSITORY = Path(__file__).parents[1]
Finished = subprocess.CompletedProcess[str]

SMALL = ModelConfig(
    width=8,
    stem_width=8,
    bottlenecks=1,
    modules=(1, 1, 1),
    blocks=1,
    projection=16,
    head_widths=(16, 8),
)


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"]


@pytest.fixture(scope="module")
def browser():
    """Headless Chromium, where one is installed."""
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed")
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What the runtime keeps for a faster next start is not the user's here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def strangers_keys(tmp_path: Path) -> Path:
    """A folder with a public key that has signed nothing."""
    ec = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.ec")
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    public = ec.generate_private_key(ec.SECP256R1()).public_key()
    folder = tmp_path / "keys"
    folder.mkdir(mode=0o755)
    path = folder / "key.pub"
    path.write_bytes(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    path.chmod(0o644)
    return folder


@pytest.fixture(scope="session")
def measurement_data() -> Path:
    """Real tiles and golden outputs, where they lie on this machine; never in the project."""
    folder = Path(os.environ.get("DUAL_HRNET_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip("real tiles are not on this machine; set DUAL_HRNET_DATA to their folder")
    return folder


@pytest.fixture(scope="session")
def xbd_sample(measurement_data: Path) -> Path:
    return measurement_data / "xbd-sample"


@pytest.fixture(scope="session")
def small_config() -> ModelConfig:
    return SMALL


@pytest.fixture(scope="session")
def small(small_config: ModelConfig) -> Callable[..., ModelConfig]:
    """The small network's config with other options, checked like any other."""

    def make(**fields: object) -> ModelConfig:
        given = small_config.model_dump(exclude_defaults=True)
        return ModelConfig.model_validate({**given, **fields})

    return make


@pytest.fixture(scope="session")
def plausible() -> Callable[..., DualHRNet]:
    """`plausible_network`, of the small configuration unless another is given, and of few and
    small scenes, which are seen in a second."""

    def make(config: ModelConfig = SMALL, seed: int = 0) -> DualHRNet:
        return plausible_network(config, seed, side=128, count=2)

    return make


@pytest.fixture(scope="session")
def floorless() -> tuple[object, ...]:
    """For engines of random weights in lower precision: their labels lie close to ties, so that
    rounding decides more of them than of a trained network's."""
    return ("--floor-agreement", 0, "--floor-f1", 0, "--floor-probability", 1)


@pytest.fixture(scope="session")
def small_checkpoint(tmp_path_factory: pytest.TempPathFactory, plausible: Callable) -> Path:
    path = tmp_path_factory.mktemp("small") / "best.pt"
    save_checkpoint(path, Checkpoint(model=SMALL, model_state=plausible().state_dict()))
    return path


@pytest.fixture(scope="session")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten tiles of 96x96: eight to train on, two to test on."""
    out = tmp_path_factory.mktemp("data") / "synthetic"
    command = ["-m", "train.synthesize", "--out", out, "--tiles", "10", "--size", "96"]
    subprocess.run([sys.executable, *map(str, command)], check=True, cwd=REPOSITORY)
    return out


@pytest.fixture(scope="session")
def command(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Finished]]:
    """Run a command of the toolkit as a user would; its result, whatever the exit code."""
    server = subprocess.Popen(
        [sys.executable, "tests/fork_server.py"], cwd=REPOSITORY, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert server.stdin
    assert server.stdout
    assert server.stdout.readline() == "ready\n"
    streams = {name: tmp_path_factory.mktemp("command") / name for name in ("stdout", "stderr")}

    def run(
        module: str,
        *arguments: object,
        cwd: Path = REPOSITORY,
        environ: Mapping[str, str] = os.environ,
    ) -> Finished:
        request = {
            "module": module, "arguments": [str(each) for each in arguments], "cwd": str(cwd),
            "environ": dict(environ), **{name: str(path) for name, path in streams.items()},
        }  # fmt: skip
        server.stdin.write(json.dumps(request) + "\n")
        server.stdin.flush()
        code = int(server.stdout.readline())
        return Finished([module], code, *(path.read_text() for path in streams.values()))

    yield run
    server.stdin.close()
    server.wait()


@pytest.fixture(scope="session")
def calibration_file(
    tmp_path_factory: pytest.TempPathFactory,
    small_checkpoint: Path,
    synthetic: Path,
    command: Callable,
) -> Path:
    """calibration.json of the small checkpoint, made by the command."""
    out = tmp_path_factory.mktemp("calibration") / "calibration.json"
    result = command(
        "calibration", "--checkpoint", small_checkpoint, "--data", synthetic, "--out", out,
        "--tiles", "4",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    return out


@pytest.fixture
def artefact(calibration_file: Path) -> Artefact:
    return read_artefact(calibration_file)


@pytest.fixture
def error_line(command: Callable) -> Callable[..., str]:
    """Run a command that must fail; its one line of error."""

    def run(module: str, *arguments: object, **options: object) -> str:
        result = command(module, *arguments, **options)
        assert result.returncode != 0, result.stdout
        errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
        assert len(errors) == 1, result.stderr
        assert "Traceback" not in result.stderr
        return errors[0]

    return run


@pytest.fixture
def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.fixture
def tile_set(tmp_path: Path) -> Callable[..., Path]:
    """Write a one-tile data set with given footprints: [(uid, wkt, subtype), ...]."""

    def write(buildings: list[tuple[str, str, str]], size: int = 64) -> Path:
        root = tmp_path / "tiles"
        for kind in ("images", "labels"):
            (root / "train" / kind).mkdir(parents=True, exist_ok=True)
        random = np.random.default_rng(0)
        for when in ("pre", "post"):
            stem = f"town-flood_00000000_{when}_disaster"
            image = random.integers(0, 255, (size, size, 3), np.uint8)
            cv2.imwrite(str(root / "train" / "images" / f"{stem}.png"), image)
            features = [
                {
                    "properties": {"feature_type": "building", "uid": uid}
                    | ({"subtype": subtype} if when == "post" else {}),
                    "wkt": wkt,
                }
                for uid, wkt, subtype in buildings
            ]
            label = {"features": {"xy": features, "lng_lat": []}, "metadata": {}}
            (root / "train" / "labels" / f"{stem}.json").write_text(json.dumps(label))
        return root

    return write


@pytest.fixture(scope="session")
def example_engine():
    """A function that writes a folder with the packaged example's network, FP32, of any batch."""
    source = REPOSITORY / "runtime" / "example" / "engine"

    def make(folder: Path, backend: str, batch: tuple[int, int, int] = (1, 1, 1)) -> Path:
        folder.mkdir(parents=True)
        model = onnx.load(source / "model.onnx")
        del model.graph.value_info[:]
        for each in (*model.graph.input, *model.graph.output):
            count = each.type.tensor_type.shape.dim[0]
            count.Clear()
            if batch[0] == batch[2]:
                count.dim_value = batch[0]
            else:
                count.dim_param = "N"
        names = ("model.onnx",)
        onnx.save(model, folder / "model.onnx")
        if backend == "openvino":
            openvino = pytest.importorskip("openvino")
            converted = openvino.convert_model(folder / "model.onnx")
            openvino.save_model(converted, folder / "model.xml", compress_to_fp16=False)
            (folder / "model.onnx").unlink()
            names = ("model.xml", "model.bin")
        manifest = Manifest.read(source)
        dataclasses.replace(
            manifest,
            input=dataclasses.replace(manifest.input, batch=Batch(*batch)),
            target=dataclasses.replace(manifest.target, backend=backend),
            payload=payload_of(folder, names),
        ).write(folder)
        return folder

    return make
