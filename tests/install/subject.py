"""What every installation maps: a pair and an engine, and what this installation makes of them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.install.wheel import REPOSITORY

EXAMPLE = REPOSITORY / "runtime" / "example"
"""The pair that comes with the package, and its engine for ONNX Runtime."""
SIDE = 128
"""Of the tiles that are trained on, and of the engines that are built here; pixels."""
TRAINING = (
    "data.val_split=test", f"data.crop={SIDE}", "data.workers=0",
    "schedule=[{epochs: 2, rate: 0.003}]",
)  # fmt: skip


@dataclass(frozen=True)
class Subject:
    """A folder with all of it; `make` fills an empty one in about a minute.

    Besides the example's engine there is one for OpenVINO, of a network that is hardly trained.
    """

    folder: Path

    @property
    def checkpoint(self) -> Path:
        return self.folder / "run" / "best.pt"

    @property
    def data(self) -> Path:
        """Sixteen labelled tiles in xBD's layout."""
        return self.folder / "data"

    def engine(self, target: str) -> Path:
        return self.folder / target

    def pair(self, kind: str = "png") -> tuple[Path, Path]:
        """`kind`: png, or tif for the same pixels with a place on the ground."""
        return self.folder / f"pre.{kind}", self.folder / f"post.{kind}"

    def map(self, target: str, kind: str = "png") -> Path:
        """What this installation made of the pair."""
        return self.folder / f"map-{target}-{kind}"

    def make(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._run("train.synthesize", "--out", self.data, "--tiles", 16, "--size", SIDE)
        self._run("train", "--config", "demo", "--data", self.data, "--out", self.folder / "run",
                  *TRAINING)  # fmt: skip
        for when, target in zip(("pre", "post"), self.pair(), strict=True):
            shutil.copyfile(EXAMPLE / f"{when}.png", target)
            place(target, target.with_suffix(".tif"))
        shutil.copytree(EXAMPLE / "engine", self.engine("onnxruntime"))
        self._run("export.build_engine", "--fp32", "--target", "openvino", "--size", SIDE, SIDE,
                  "--checkpoint", self.checkpoint, "--floor-pixels", 0, "--floor-agreement", 0,
                  "--out", self.engine("openvino"))  # fmt: skip
        for target, kind in (("onnxruntime", "png"), ("openvino", "png"), ("onnxruntime", "tif")):
            self.predict(target, kind)

    def predict(self, target: str, kind: str) -> None:
        self._run(*self.prediction(target, kind, self.map(target, kind)))

    def prediction(self, target: str, kind: str, out: Path) -> tuple[object, ...]:
        return ("runtime.predict", "--engine", self.engine(target), *self.pair(kind), "--out", out)

    def _run(self, *arguments: object) -> None:
        subprocess.run([sys.executable, "-m", *map(str, arguments)], check=True, cwd=REPOSITORY)


def place(picture: Path, out: Path) -> None:
    """The picture as a GeoTIFF, half a metre a pixel."""
    import cv2
    import rasterio
    from rasterio.transform import from_origin

    image = cv2.imread(str(picture))[..., ::-1].transpose(2, 0, 1)
    profile = {
        "driver": "GTiff", "count": 3, "dtype": "uint8", "crs": "EPSG:32616",
        "height": image.shape[1], "width": image.shape[2], "photometric": "RGB",
        "transform": from_origin(500_000, 3_600_000, 0.5, 0.5),
    }  # fmt: skip
    with rasterio.open(out, "w", **profile) as raster:
        raster.write(image)
